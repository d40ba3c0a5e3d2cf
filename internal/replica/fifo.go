package replica

// fifo is a queue in one slice that reuses its memory: popping moves a head,
// and the dead front is closed up when it outgrows the live part, so that push
// and pop are amortised O(1) and a steady state allocates nothing.
type fifo[T any] struct {
	items []T
	head  int
}

func (q *fifo[T]) len() int    { return len(q.items) - q.head }
func (q *fifo[T]) push(v T)    { q.items = append(q.items, v) }
func (q *fifo[T]) at(i int) *T { return &q.items[q.head+i] }
func (q *fifo[T]) keep(n int)  { clear(q.items[q.head+n:]); q.items = q.items[:q.head+n] }

// drop removes the n oldest items.
func (q *fifo[T]) drop(n int) {
	clear(q.items[q.head : q.head+n])
	q.head += n
	switch live := q.len(); {
	case live == 0:
		q.items, q.head = q.items[:0], 0
	case q.head > live && q.head > 64:
		copy(q.items, q.items[q.head:])
		clear(q.items[live:])
		q.items, q.head = q.items[:live], 0
	}
}
