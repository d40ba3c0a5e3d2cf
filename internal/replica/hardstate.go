package replica

import (
	"encoding/binary"
	"fmt"

	"github.com/logq/logq/raft"
)

// HardStateKind is the journal key kind of a replica's Raft hard state.
const HardStateKind uint8 = 1

const (
	stateVersion = 1
	stateBytes   = 1 + 3*8
)

// Identity and hard state share one journal record, because a vote is only
// worth something for the incarnation that cast it.

// EncodeHardState returns the journal value of hs for replica id.
func EncodeHardState(id raft.ReplicaID, hs raft.HardState) []byte {
	return encodeState([3]uint64{uint64(id), uint64(hs.Term), uint64(hs.Vote)})
}

// DecodeHardState is the inverse of EncodeHardState.
func DecodeHardState(b []byte) (raft.ReplicaID, raft.HardState, error) {
	v, err := decodeState("hard state", b)
	return raft.ReplicaID(v[0]), raft.HardState{Term: raft.Term(v[1]), Vote: raft.ReplicaID(v[2])}, err
}

// encodeState is the form of all that a replica keeps in the journal: a version and
// three numbers, little-endian, the first of which names the replica.
func encodeState(v [3]uint64) []byte {
	b := append(make([]byte, 0, stateBytes), stateVersion)
	for _, n := range v {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	return b
}

func decodeState(what string, b []byte) (v [3]uint64, err error) {
	if len(b) != stateBytes {
		return v, fmt.Errorf("%s has %d bytes, want %d", what, len(b), stateBytes)
	}
	if b[0] != stateVersion {
		return v, fmt.Errorf("%s has version %d; this build reads version %d", what, b[0], stateVersion)
	}
	for i := range v {
		v[i] = binary.LittleEndian.Uint64(b[1+8*i:])
	}
	return v, nil
}
