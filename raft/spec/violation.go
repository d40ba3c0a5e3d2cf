package spec

import (
	"fmt"

	"github.com/logq/logq/raft"
)

// Violation says that no action of the specification explains what a replica did.
type Violation struct {
	Replica raft.ReplicaID
	// Input is what was given to the core.
	Input string
	// Action is the action that comes closest, Guard what it would have needed.
	Action, Guard string
	// Detail are the values.
	Detail string
}

// Error names the input, the action and its guard.
func (v *Violation) Error() string {
	return fmt.Sprintf("spec: replica %d, %s: %s needs %q: %s", v.Replica, v.Input, v.Action, v.Guard, v.Detail)
}
