package replica

import "github.com/logq/logq/raft"

// Quiet says that the replica needs no Tick; see raft.Core.Quiet.
func (r *Replica) Quiet() bool { return r.err == nil && r.core.Quiet() }

// Wake ends quiet; see raft.Core.Wake.
func (r *Replica) Wake(missed int, out *Output) {
	if r.err == nil {
		r.core.Wake(missed)
		r.pump(out)
	}
}

// PeerDown tells that a replica can't be reached, or can again; see raft.Core.PeerDown.
func (r *Replica) PeerDown(id raft.ReplicaID, down bool, out *Output) {
	if r.err == nil {
		r.core.PeerDown(id, down)
		r.pump(out)
	}
}
