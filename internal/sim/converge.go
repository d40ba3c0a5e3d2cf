package sim

import (
	"fmt"

	"github.com/logq/logq/raft"
)

// converge ends the faults and demands what must then come true: one leader, a
// fresh append acknowledged, equal logs everywhere, and everything acknowledged
// in them.
func (w *world) converge() error {
	w.healed = true
	w.healNetwork()
	w.s.drop, w.s.dup, w.s.slowMessage, w.s.diskStall = 0, 0, 0, 0
	w.s.diskMax, w.s.latencyMax = min(w.s.diskMax, 2000), min(w.s.latencyMax, 2000)
	w.s.clientEvery = max(w.s.clientEvery, 20*millisecond)
	w.tracef("healed")
	for _, n := range w.nodes {
		n.pausedUntil = 0
		if n.rep != nil && n.rep.Err() != nil {
			w.crash(n)
		}
		if n.rep == nil {
			if err := w.start(n); err != nil {
				return err
			}
		}
	}
	acked, end := w.report.Acked, w.now+healTime
	for range healSteps {
		if err := w.next(); err != nil {
			return fmt.Errorf("after healing: %w", err)
		}
		if w.report.Acked > acked+2 && w.equal() {
			return w.checkFinal()
		}
		if w.now > end {
			break
		}
	}
	return fmt.Errorf("no convergence after healing: %d new acks, %s", w.report.Acked-acked, w.describe())
}

func (w *world) describe() string {
	s := ""
	for _, n := range w.nodes {
		if n.rep == nil {
			s += fmt.Sprintf(" %d: down;", n.id)
			continue
		}
		st := n.rep.Status()
		s += fmt.Sprintf(" %d: %v term %d, last %d, durable %d, commit %d;", n.id, st.Role, st.Term, n.rep.Log().Last(), n.rep.Log().Durable(), n.commit)
	}
	return s
}

// equal: all logs end at the same index, and all of it is committed everywhere.
func (w *world) equal() bool {
	members := w.members()
	if members == nil {
		return false
	}
	last := len(members[0].mirror)
	for _, n := range members {
		if n.rep == nil || len(n.mirror) != last || n.commit != raft.Index(last) {
			return false
		}
	}
	return last == len(w.committed)
}

// checkFinal compares whole logs and looks for everything acknowledged.
func (w *world) checkFinal() error {
	at := make(map[uint64]int)
	for i, c := range w.committed {
		if c.value != 0 {
			if first, dup := at[c.value]; dup {
				return fmt.Errorf("value %d is committed twice, at %d and %d", c.value, first+1, i+1)
			}
			at[c.value] = i
		}
		for _, n := range w.members() {
			if n.mirror[i].id != c.id {
				return fmt.Errorf("replica %d holds another entry %d than was committed", n.id, i+1)
			}
		}
	}
	for off, v := range w.ackedAt {
		i, ok := at[v]
		if !ok || w.committed[i].base != off {
			return fmt.Errorf("acknowledged value %d is not at offset %d", v, off)
		}
	}
	return nil
}
