package raft

// ring is a queue that reuses its memory: once it has grown to its working
// size, pushing and popping allocate nothing.
type ring[T any] struct {
	buf  []T // length is 0 or a power of two
	head int
	n    int // Invariant: n <= len(buf)
}

func (r *ring[T]) len() int { return r.n }

// at returns the i-th oldest element, which stays valid until the next push.
func (r *ring[T]) at(i int) *T { return &r.buf[(r.head+i)&(len(r.buf)-1)] }

func (r *ring[T]) front() *T { return r.at(0) }
func (r *ring[T]) back() *T  { return r.at(r.n - 1) }

func (r *ring[T]) push(v T) {
	if r.n == len(r.buf) {
		grown := make([]T, max(4, 2*len(r.buf)))
		for i := range r.n {
			grown[i] = *r.at(i)
		}
		r.buf, r.head = grown, 0
	}
	r.n++
	*r.back() = v
}

func (r *ring[T]) popFront() (v T) {
	v = *r.front()
	r.head = (r.head + 1) & (len(r.buf) - 1)
	r.n--
	return v
}

func (r *ring[T]) popBack() (v T) {
	v = *r.back()
	r.n--
	return v
}

func (r *ring[T]) clear() { r.head, r.n = 0, 0 }
