package powerloss

// Reading compares all that a topic holds, read from its first offset to its end,
// with the ledger. Use Ledger.Read; its methods must not be called concurrently.
type Reading struct {
	l     *Ledger
	topic string
	next  map[int32]int64
	met   map[uint64]bool
}

// Read begins to compare a topic.
func (l *Ledger) Read(topic string) *Reading {
	return &Reading{l: l, topic: topic, next: make(map[int32]int64), met: make(map[uint64]bool)}
}

// Add compares the next record of a partition.
func (r *Reading) Add(partition int32, offset int64, value []byte) {
	l, at := r.l, lane{r.topic, partition}
	l.mu.Lock()
	defer l.mu.Unlock()
	if want := r.next[partition]; offset != want {
		l.breach(Gap, "%s/%d: offset %d follows %d", at.topic, partition, offset, want-1)
		if offset > want {
			r.missing(at, want, offset, "the read left it out")
		}
	}
	r.next[partition] = offset + 1
	id := l.known(at, offset, value)
	if id == 0 {
		if ids := l.places[at]; offset < int64(len(ids)) && ids[offset] != 0 {
			l.gone(at, offset, ids[offset], "something else is there")
		}
		return
	}
	l.place(at, offset, id)
	if f := &l.fates[id-1]; r.met[id] && f.outcome == acknowledged && !f.twice {
		l.breach(Twice, "%s/%d offset %d: record %d again", at.topic, partition, offset, id)
	}
	r.met[id] = true
}

// End says that the read has reached the end: what is known to lie beyond is lost.
// It returns how many records there are.
func (r *Reading) End() (records int64) {
	l := r.l
	l.mu.Lock()
	defer l.mu.Unlock()
	for at, ids := range l.places {
		if at.topic == r.topic {
			r.missing(at, r.next[at.partition], int64(len(ids)), "the partition ends before")
		}
	}
	for _, n := range r.next {
		records += n
	}
	return records
}

// missing is called with l.mu held.
func (r *Reading) missing(at lane, from, to int64, why string) {
	ids := r.l.places[at]
	for off := from; off < min(to, int64(len(ids))); off++ {
		if ids[off] != 0 {
			r.l.gone(at, off, ids[off], why)
			ids[off] = 0 // told once
		}
	}
}
