package sim

import "github.com/logq/logq/raft"

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
	evReach
	evSpace
	evMembers
	evScrub
	evKinds
)

var eventNames = [evKinds]string{
	"", "tick", "deliver", "disk", "client", "read", "fault", "restart", "strike", "reach", "space", "members", "scrub",
}

// event is something that will happen at a simulated time.
type event struct {
	kind    eventKind
	node    int
	life    int  // of the node: events of an earlier life are void
	mangled bool // a bit of frames was flipped on the way
	ok      bool // of evReach
	sent    uint64
	msg     raft.Message
	frames  []byte
	op      *diskOp
}

// eventQueue is a heap by time, then by the order in which events were made.
type eventQueue struct {
	items []slot
	seq   uint64
	spare []*event
}

// slot keeps what is compared beside the pointer.
type slot struct {
	at  micros
	seq uint64
	e   *event
}

func (s *slot) before(o *slot) bool { return s.at < o.at || s.at == o.at && s.seq < o.seq }

// make returns an event to fill in and add.
func (q *eventQueue) make(kind eventKind, node int) *event {
	var e *event
	if n := len(q.spare); n > 0 {
		e, q.spare = q.spare[n-1], q.spare[:n-1]
		*e = event{}
	} else {
		e = new(event)
	}
	e.kind, e.node = kind, node
	return e
}

// done takes an event back that was handled.
func (q *eventQueue) done(e *event) { q.spare = append(q.spare, e) }

func (q *eventQueue) add(at micros, e *event) {
	q.seq++
	q.items = append(q.items, slot{at: at, seq: q.seq, e: e})
	for i := len(q.items) - 1; i > 0; {
		up := (i - 1) / 2
		if q.items[up].before(&q.items[i]) {
			break
		}
		q.items[i], q.items[up] = q.items[up], q.items[i]
		i = up
	}
}

// next takes the first event out. There always is one: clients never cease.
func (q *eventQueue) next() (micros, *event) {
	top := q.items[0]
	n := len(q.items) - 1
	q.items[0], q.items[n] = q.items[n], slot{}
	q.items = q.items[:n]
	q.sink(0)
	return top.at, top.e
}

func (q *eventQueue) sink(i int) {
	for n := len(q.items); ; {
		least := 2*i + 1
		if least >= n {
			return
		}
		if r := least + 1; r < n && q.items[r].before(&q.items[least]) {
			least = r
		}
		if q.items[i].before(&q.items[least]) {
			return
		}
		q.items[i], q.items[least] = q.items[least], q.items[i]
		i = least
	}
}

// hurry moves events of a kind that are later than by to that time.
func (q *eventQueue) hurry(kind eventKind, by micros) {
	for i := range q.items {
		if s := &q.items[i]; s.e.kind == kind && s.at > by {
			s.at = by
		}
	}
	for i := len(q.items)/2 - 1; i >= 0; i-- {
		q.sink(i)
	}
}
