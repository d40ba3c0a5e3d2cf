package sim

import (
	"container/heap"

	"github.com/logq/logq/raft"
)

type eventKind uint8

const (
	evTick eventKind = iota + 1
	evDeliver
	evDisk
	evClient
	evRead
	evFault
	evRestart
	evStrike
	evKinds
)

var eventNames = [evKinds]string{"", "tick", "deliver", "disk", "client", "read", "fault", "restart", "strike"}

// event is something that will happen at a simulated time.
type event struct {
	at     micros
	seq    uint64 // order of events of one time, and of their making
	kind   eventKind
	node   int
	life   int // of the node: events of an earlier life are void
	msg    raft.Message
	frames []byte
	op     *diskOp
}

// eventQueue is a heap by time; container/heap keeps it.
type eventQueue struct {
	items []*event
	seq   uint64
}

func (q *eventQueue) Len() int { return len(q.items) }
func (q *eventQueue) Less(i, j int) bool {
	a, b := q.items[i], q.items[j]
	return a.at < b.at || a.at == b.at && a.seq < b.seq
}
func (q *eventQueue) Swap(i, j int) { q.items[i], q.items[j] = q.items[j], q.items[i] }
func (q *eventQueue) Push(x any)    { q.items = append(q.items, x.(*event)) }
func (q *eventQueue) Pop() any {
	e := q.items[len(q.items)-1]
	q.items[len(q.items)-1] = nil
	q.items = q.items[:len(q.items)-1]
	return e
}

func (q *eventQueue) add(e *event) {
	q.seq++
	e.seq = q.seq
	heap.Push(q, e)
}

func (q *eventQueue) next() *event {
	if len(q.items) == 0 {
		return nil
	}
	return heap.Pop(q).(*event)
}
