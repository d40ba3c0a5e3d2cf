package replica

import (
	"github.com/logq/logq/internal/invariants"
	"github.com/logq/logq/raft"
	"github.com/logq/logq/record"
)

// offsetMarks remembers, for each entry above the commit index, the offset that
// follows it, so that the high watermark of a new commit index is known without
// asking the disk. Index and offset are never derived from each other: no-op
// and config entries take an index and no offset.
type offsetMarks struct {
	first raft.Index // index of the oldest mark
	next  fifo[record.Offset]
}

// push adds the entry i, which next follows.
func (m *offsetMarks) push(i raft.Index, next record.Offset) {
	if m.next.len() == 0 {
		m.first = i
	}
	invariants.Assertf(i == m.first+raft.Index(m.next.len()), "offset mark %d after %d marks from %d", i, m.next.len(), m.first)
	m.next.push(next)
}

// reset forgets all: the log begins anew.
func (m *offsetMarks) reset() { m.next.drop(m.next.len()) }

// truncate drops the entries from i on. They are all above the commit index, or
// the core has broken its promise.
func (m *offsetMarks) truncate(i raft.Index) {
	if m.next.len() == 0 || i >= m.first+raft.Index(m.next.len()) {
		return
	}
	invariants.Assertf(i >= m.first, "truncation at %d at or below the commit index %d", i, m.first-1)
	m.next.keep(int(i - m.first))
}

// commit drops the entries up to i and returns the offset after entry i.
func (m *offsetMarks) commit(i raft.Index) record.Offset {
	invariants.Assertf(i >= m.first && i < m.first+raft.Index(m.next.len()),
		"commit %d outside the %d marks from %d", i, m.next.len(), m.first)
	n := int(i - m.first)
	hw := *m.next.at(n)
	m.next.drop(n + 1)
	m.first = i + 1
	return hw
}
