package replica

import (
	"encoding/binary"
	"fmt"

	"github.com/logq/logq/raft"
)

// HardStateKind is the journal key kind of a replica's Raft hard state.
const HardStateKind uint8 = 1

const (
	hardStateVersion = 1
	hardStateBytes   = 1 + 3*8
)

// Identity and hard state share one journal record, because a vote is only
// worth something for the incarnation that cast it.

// EncodeHardState returns the journal value of hs for replica id.
func EncodeHardState(id raft.ReplicaID, hs raft.HardState) []byte {
	b := make([]byte, hardStateBytes)
	b[0] = hardStateVersion
	binary.LittleEndian.PutUint64(b[1:], uint64(id))
	binary.LittleEndian.PutUint64(b[9:], uint64(hs.Term))
	binary.LittleEndian.PutUint64(b[17:], uint64(hs.Vote))
	return b
}

// DecodeHardState is the inverse of EncodeHardState.
func DecodeHardState(b []byte) (raft.ReplicaID, raft.HardState, error) {
	if len(b) != hardStateBytes {
		return 0, raft.HardState{}, fmt.Errorf("hard state has %d bytes, want %d", len(b), hardStateBytes)
	}
	if b[0] != hardStateVersion {
		return 0, raft.HardState{}, fmt.Errorf("hard state has version %d; this build reads version %d", b[0], hardStateVersion)
	}
	return raft.ReplicaID(binary.LittleEndian.Uint64(b[1:])), raft.HardState{
		Term: raft.Term(binary.LittleEndian.Uint64(b[9:])),
		Vote: raft.ReplicaID(binary.LittleEndian.Uint64(b[17:])),
	}, nil
}
