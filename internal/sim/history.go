package sim

import (
	"fmt"
	"math"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/logq/logq/record"
)

// history is what clients have asked and were told, for the check that it is
// linearizable: as if each operation had taken place at one moment between call
// and answer.
type history struct {
	ops   []operation
	clock int64 // numbers calls and answers
}

type opKind uint8

const (
	opAppend opKind = iota + 1 // put a batch at the end; tells the offset
	opRead                     // read the batch at an offset that is committed
	opLatest                   // ask for the high watermark
)

// operation is one call. What kind it is decides the meaning of the others.
type operation struct {
	kind    opKind
	records uint32
	value   uint64        // of the batch
	offset  record.Offset // of its first record, or the high watermark
	call    int64
	ret     int64 // 0: no answer yet; dropped: it did not take place
}

const dropped = -1

func (h *history) tick() int64 {
	h.clock++
	return h.clock
}

// begin notes a call and returns its number.
func (h *history) begin(o operation) int {
	o.call = h.tick()
	h.ops = append(h.ops, o)
	return len(h.ops) - 1
}

// end notes the answer.
func (h *history) end(op int, offset record.Offset) {
	h.ops[op].offset, h.ops[op].ret = offset, h.tick()
}

// drop forgets a call that had no effect and told nothing.
func (h *history) drop(op int) { h.ops[op].ret = dropped }

// partition is the state of the model: the batches in order. Two lists with the
// same hash are the same.
type partition struct {
	next record.Offset
	hash uint64
	last *batchAt
}

type batchAt struct {
	before *batchAt
	base   record.Offset
	value  uint64
}

// model is what a partition is for its clients.
var model = porcupine.Model{
	Init: func() any { return partition{} },
	Step: func(state, input, _ any) (bool, any) {
		s, o := state.(partition), input.(*operation)
		switch o.kind {
		case opAppend:
			if o.offset != s.next {
				return false, s
			}
			return true, partition{
				next: s.next + record.Offset(o.records), hash: (s.hash ^ o.value) * 0x9e3779b97f4a7c15,
				last: &batchAt{before: s.last, base: s.next, value: o.value},
			}
		case opRead:
			for b := s.last; b != nil && b.base >= o.offset; b = b.before {
				if b.base == o.offset {
					return b.value == o.value, s
				}
			}
			return false, s
		default:
			return o.offset == s.next, s
		}
	},
	Equal: func(a, b any) bool {
		x, y := a.(partition), b.(partition)
		return x.next == y.next && x.hash == y.hash
	},
}

// checkLinearizable looks for an order of all operations that explains what the
// clients were told. It first tries the order in which entries were committed,
// which explains a right history; only if that doesn't, all orders.
func (w *world) checkLinearizable() error {
	at := make(map[uint64]*committed, len(w.committed))
	for i := range w.committed {
		if c := &w.committed[i]; c.value != 0 {
			at[c.value] = c
		}
	}
	ops := w.operations(at, true)
	w.report.Operations += len(ops)
	if porcupine.CheckOperations(model, ops) {
		return nil
	}
	if r := porcupine.CheckOperationsTimeout(model, w.operations(at, false), searchTime); r != porcupine.Ok {
		return fmt.Errorf("the history of the clients isn't linearizable (%v): %d operations", r, len(ops))
	}
	return nil
}

// searchTime bounds the search among all orders, in real time.
const searchTime = 20 * time.Second

// operations returns the history for the checker. Of appends whose outcome nobody
// knows the log tells where they are; one that isn't there had no effect. With
// points each append takes place when it was first known to be committed.
func (w *world) operations(at map[uint64]*committed, points bool) []porcupine.Operation {
	ops := make([]porcupine.Operation, 0, len(w.ops))
	for i := range w.ops {
		o := &w.ops[i]
		call, ret := 2*o.call, 2*o.ret
		switch {
		case ret < 0, ret == 0 && o.kind == opLatest:
			continue
		case o.kind == opAppend:
			c := at[o.value]
			if c == nil && ret == 0 {
				continue
			}
			if ret == 0 {
				o.offset, ret = c.base, math.MaxInt64
			}
			if points && c != nil && call < 2*c.clock && 2*c.clock < ret {
				call, ret = 2*c.clock, 2*c.clock+1
			}
		}
		ops = append(ops, porcupine.Operation{ClientId: i, Input: o, Call: call, Return: ret})
	}
	return ops
}
