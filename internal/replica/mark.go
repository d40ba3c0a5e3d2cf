package replica

import (
	"github.com/logq/logq/raft"
	"github.com/logq/logq/segments"
)

// MarkKind is the journal key kind of the last entry of a log that was closed in
// order. It lies apart from the log and proves what the log must hold when it is opened
// again: the loss of its end can't be told from a torn write otherwise. It goes
// before anything is cut off the log (DiskWork.Unmark).
const MarkKind uint8 = 2

// EncodeMark encodes the journal value of a mark.
func EncodeMark(id raft.ReplicaID, e raft.EntryID) []byte {
	return encodeState([3]uint64{uint64(id), uint64(e.Term), uint64(e.Index)})
}

// DecodeMark decodes the journal value of a mark.
func DecodeMark(b []byte) (raft.ReplicaID, raft.EntryID, error) {
	v, err := decodeState("mark of a closed log", b)
	return raft.ReplicaID(v[0]), raft.EntryID{Term: raft.Term(v[1]), Index: raft.Index(v[2])}, err
}

// Mark returns the entry to be noted when the log is closed in order, after its last
// Flush; ok is false if there is none, or what is noted already must stay.
func (r *Replica) Mark() (e raft.EntryID, ok bool) {
	e = lastOf(r.log)
	return e, e.Index > 0 && !r.log.Unflushed() && r.log.Err() == nil && !r.core.Status().Repairing
}

func lastOf(l *segments.Log) raft.EntryID {
	prev, _ := l.PrevOfFirst()
	return raft.EntryID{Term: raft.Term(l.LastTerm()), Index: raft.Index(max(prev, l.Last()))}
}

// promised returns what the log has lost of what the mark proves, if it has.
func (r *Replica) promised() raft.EntryID {
	mark, last := r.o.Mark, lastOf(r.log)
	if mark.Index == 0 || last.Term > mark.Term || last.Term == mark.Term && last.Index >= mark.Index {
		return raft.EntryID{}
	}
	return mark
}

// Repairing says that the log has lost its end and hasn't got it again.
func (r *Replica) Repairing() bool { return r.err == nil && r.core.Status().Repairing }
