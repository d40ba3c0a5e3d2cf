package sim

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/logq/logq/internal/replica"
	"github.com/logq/logq/raft"
	"github.com/logq/logq/record"
	"github.com/logq/logq/segments"
)

// clients remembers what was asked and answered.
type clients struct {
	calls     map[uint64]call
	reads     map[uint64]call
	token     uint64
	value     uint64
	ackedAt   map[record.Offset]uint64 // offset → value
	refused   map[uint64]bool          // values reported as not written
	ackedNext record.Offset            // offset after the highest acknowledged record
	builder   *record.Builder
	history
	valueBuf, fetchBuf []byte
}

type call struct {
	node  raft.ReplicaID
	value uint64        // of an append
	min   record.Offset // of a read: acknowledged before it was asked
	op    int           // in the history
}

func newClients() clients {
	return clients{
		calls: make(map[uint64]call), reads: make(map[uint64]call),
		ackedAt: make(map[record.Offset]uint64), refused: make(map[uint64]bool),
		builder: record.NewBuilder(record.BuilderOptions{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}),
	}
}

// leader returns a node that thinks it leads: a random one if several do.
func (w *world) leader() *node {
	for i, k := 0, w.r.IntN(len(w.nodes)); i < len(w.nodes); i++ {
		n := w.nodes[(i+k)%len(w.nodes)]
		if n.leads() && n.pausedUntil <= w.now {
			return n
		}
	}
	return nil
}

// batch builds one batch of one to three records; the first value names it.
func (w *world) batch(n *node, value uint64, records int) (record.Batch, error) {
	size := max(8, w.r.IntN(w.s.valueBytes+1))
	w.valueBuf = slices.Grow(w.valueBuf[:0], size)[:size]
	binary.LittleEndian.PutUint64(w.valueBuf, value)
	for range records {
		if err := w.builder.Append(record.Record{Timestamp: max(0, (w.now+n.wall)/1000), Value: w.valueBuf}); err != nil {
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
	records := 1 + w.r.IntN(3)
	b, err := w.batch(n, w.value, records)
	if err != nil {
		return err
	}
	w.token++
	token := w.token
	w.calls[token] = call{node: n.id, value: w.value, op: w.begin(operation{kind: opAppend, value: w.value, records: uint32(records)})}
	w.report.Appends++
	return w.step(n, func(out *replica.Output) { n.rep.Append(b, 0, token, out) })
}

// answers handles the outcomes of a step.
func (w *world) answers(n *node) error {
	for _, r := range n.out.Appends {
		if err := w.answered(r); err != nil {
			return err
		}
	}
	// What a failed replica gives up comes in any order.
	slices.SortFunc(n.out.Reads, func(a, b replica.ReadResult) int { return int(a.Token) - int(b.Token) })
	for _, r := range n.out.Reads {
		if err := w.readAnswered(r); err != nil {
			return err
		}
	}
	return nil
}

// answered handles the outcome of an append.
func (w *world) answered(r replica.AppendResult) error {
	c, ok := w.calls[r.Token]
	if !ok {
		return fmt.Errorf("append %d answered twice, now with %v", r.Token, r.Err)
	}
	delete(w.calls, r.Token)
	w.mix(r.Token, uint64(r.Base), uint64(r.Term))
	var unknown *replica.UnknownError
	switch {
	case r.Err == nil:
		w.report.Acked++
		if v, dup := w.ackedAt[r.Base]; dup {
			return fmt.Errorf("offset %d acknowledged for values %d and %d", r.Base, v, c.value)
		}
		w.ackedAt[r.Base] = c.value
		w.ackedNext = max(w.ackedNext, r.Last+1)
		w.end(c.op, r.Base)
		return w.checkAcked(r)
	case errors.As(r.Err, &unknown):
		w.report.Unknown++
	default:
		w.report.NotWritten++
		w.refused[c.value] = true
		w.drop(c.op)
	}
	return nil
}

// checkAcked: an acknowledged batch is committed where the answer says.
func (w *world) checkAcked(r replica.AppendResult) error {
	for i := len(w.committed) - 1; i >= 0; i-- {
		if c := &w.committed[i]; c.value != 0 && c.base == r.Base {
			if v := w.ackedAt[r.Base]; c.value != v {
				return fmt.Errorf("value %d acknowledged at offset %d, value %d is committed there", v, r.Base, c.value)
			}
			return nil
		}
	}
	return fmt.Errorf("offset %d acknowledged but not committed", r.Base)
}

// abandon ends the calls at a node that died: what becomes of them is unknown.
func (w *world) abandon(n *node) {
	for token, c := range w.calls {
		if c.node == n.id {
			delete(w.calls, token)
			w.report.Unknown++
		}
	}
	for token, c := range w.reads {
		if c.node == n.id {
			delete(w.reads, token)
		}
	}
}

// clientRead asks a leader for the high watermark, and some replica for records.
func (w *world) clientRead() error {
	if w.r.IntN(2) == 0 {
		return w.fetch()
	}
	n := w.leader()
	if n == nil {
		return nil
	}
	w.token++
	token := w.token
	w.reads[token] = call{node: n.id, min: w.ackedNext, op: w.begin(operation{kind: opLatest})}
	w.report.Reads++
	return w.step(n, func(out *replica.Output) { n.rep.Read(token, out) })
}

func (w *world) readAnswered(r replica.ReadResult) error {
	c, ok := w.reads[r.Token]
	if !ok {
		return fmt.Errorf("read %d answered twice", r.Token)
	}
	delete(w.reads, r.Token)
	w.mix(r.Token, uint64(r.HighWatermark))
	if r.Err != nil {
		w.drop(c.op)
		return nil
	}
	w.report.ReadsServed++
	if r.HighWatermark < c.min {
		return fmt.Errorf("stale read: replica %d says %d, but %d was acknowledged before it was asked", c.node, r.HighWatermark, c.min)
	}
	// What one read has shown, later reads may not take back.
	w.ackedNext = max(w.ackedNext, r.HighWatermark)
	w.end(c.op, r.HighWatermark)
	return nil
}

// fetch reads records below the high watermark of some replica.
func (w *world) fetch() error {
	n := w.nodes[w.r.IntN(len(w.nodes))]
	if w.r.Float64() >= w.s.follower {
		n = w.leader()
	}
	if n == nil || !n.alive() || n.pausedUntil > w.now || n.rep.HighWatermark() <= n.rep.Log().StartOffset() {
		return nil
	}
	hw, start := n.rep.HighWatermark(), n.rep.Log().StartOffset()
	at := start + record.Offset(w.r.Int64N(int64(hw-start)))
	fails := w.chance(ReadFails, w.s.readFails)
	if fails {
		n.disk.failRead()
	}
	b, next, err := n.rep.Log().ReadBatches(w.fetchBuf[:0], at, hw, 1)
	n.disk.clear()
	if isInjected(err) || n.rotten && errors.Is(err, segments.ErrCorrupt) {
		return nil
	}
	if err != nil || len(b) == 0 {
		return fmt.Errorf("replica %d can't read offset %d of [%d,%d): %d bytes, %w", n.id, at, start, hw, len(b), err)
	}
	w.fetchBuf = b
	w.report.Fetches++
	return w.fetched(n, record.Batch(b), at, next)
}

// fetched notes what was read, and holds it against what was committed.
func (w *world) fetched(n *node, b record.Batch, at, next record.Offset) error {
	v, err := w.valueOf(b)
	if err != nil {
		return fmt.Errorf("replica %d serves a bad batch at offset %d: %w", n.id, at, err)
	}
	base := b.BaseOffset()
	w.mix(uint64(at), uint64(base), v)
	if base > at || at >= next || next != base+record.Offset(b.Count()) {
		return fmt.Errorf("replica %d serves the batch [%d,%d) for offset %d", n.id, base, next, at)
	}
	w.end(w.begin(operation{kind: opRead, value: v, records: uint32(b.Count())}), base)
	return nil
}
