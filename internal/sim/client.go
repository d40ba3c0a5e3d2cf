package sim

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/logq/logq/internal/replica"
	"github.com/logq/logq/raft"
	"github.com/logq/logq/record"
)

// clients remembers what was asked and answered.
type clients struct {
	calls     map[uint64]call
	reads     map[uint64]readCall
	token     uint64
	value     uint64
	ackedAt   map[record.Offset]uint64 // offset → value
	refused   map[uint64]bool          // values reported as not written
	ackedNext record.Offset            // offset after the highest acknowledged record
	builder   *record.Builder
}

type call struct {
	node  raft.ReplicaID
	value uint64
}

type readCall struct {
	node raft.ReplicaID
	min  record.Offset // acknowledged before the read was asked
}

func newClients() clients {
	return clients{
		calls: make(map[uint64]call), reads: make(map[uint64]readCall),
		ackedAt: make(map[record.Offset]uint64), refused: make(map[uint64]bool),
		builder: record.NewBuilder(record.BuilderOptions{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}),
	}
}

// leader returns a node that thinks it leads: a random one if several do.
func (w *world) leader() *node {
	var found *node
	for i, k := 0, w.r.IntN(len(w.nodes)); i < len(w.nodes); i++ {
		n := w.nodes[(i+k)%len(w.nodes)]
		if n.rep != nil && n.rep.Err() == nil && n.pausedUntil <= w.now && n.rep.Status().Role == raft.RoleLeader {
			found = n
			break
		}
	}
	return found
}

// batch builds one batch of one to three records; the first value names it.
func (w *world) batch(value uint64) (record.Batch, error) {
	v := make([]byte, max(8, w.r.IntN(w.s.valueBytes+1)))
	binary.LittleEndian.PutUint64(v, value)
	for range 1 + w.r.IntN(3) {
		if err := w.builder.Append(record.Record{Timestamp: w.now / 1000, Value: v}); err != nil {
			return nil, err
		}
	}
	b, err := w.builder.Seal(nil)
	return record.Batch(b), err
}

func (w *world) clientAppend() error {
	n := w.leader()
	if n == nil {
		return nil
	}
	w.value++
	b, err := w.batch(w.value)
	if err != nil {
		return err
	}
	w.token++
	token := w.token
	w.calls[token] = call{node: n.id, value: w.value}
	w.report.Appends++
	return w.step(n, func(out *replica.Output) { n.rep.Append(b, 0, token, out) })
}

// answered handles the outcome of an append.
func (w *world) answered(r replica.AppendResult) error {
	c, ok := w.calls[r.Token]
	if !ok {
		return fmt.Errorf("append %d answered twice, now with %v", r.Token, r.Err)
	}
	delete(w.calls, r.Token)
	var unknown *replica.UnknownError
	switch {
	case r.Err == nil:
		w.report.Acked++
		if v, dup := w.ackedAt[r.Base]; dup {
			return fmt.Errorf("offset %d acknowledged for values %d and %d", r.Base, v, c.value)
		}
		w.ackedAt[r.Base] = c.value
		w.ackedNext = max(w.ackedNext, r.Last+1)
		return w.checkAcked(r)
	case errors.As(r.Err, &unknown):
		w.report.Unknown++
	default:
		w.report.NotWritten++
		w.refused[c.value] = true
	}
	return nil
}

// unknown ends a call whose node died.
func (w *world) unknown(token uint64, c call) {
	delete(w.calls, token)
	w.report.Unknown++
}

func (w *world) clientRead() error {
	n := w.leader()
	if n == nil {
		return nil
	}
	w.token++
	token := w.token
	w.clients.reads[token] = readCall{node: n.id, min: w.ackedNext}
	w.report.Reads++
	return w.step(n, func(out *replica.Output) { n.rep.Read(token, out) })
}

func (w *world) readAnswered(r replica.ReadResult) error {
	c, ok := w.clients.reads[r.Token]
	if !ok {
		return fmt.Errorf("read %d answered twice", r.Token)
	}
	delete(w.clients.reads, r.Token)
	if r.Err != nil {
		return nil
	}
	w.report.ReadsServed++
	if r.HighWatermark < c.min {
		return fmt.Errorf("stale read: replica %d says %d, but %d was acknowledged before it was asked", c.node, r.HighWatermark, c.min)
	}
	// What one read has shown, later reads may not take back.
	w.ackedNext = max(w.ackedNext, r.HighWatermark)
	return nil
}
