package sim

import (
	"fmt"

	"github.com/logq/logq/raft"
	"github.com/logq/logq/segments"
)

// converge ends the faults and demands what must then come true within a bound:
// one leader, fresh appends acknowledged, equal logs everywhere, and everything
// acknowledged in them.
func (w *world) converge() error {
	if err := w.heal(); err != nil {
		return err
	}
	acked, elections, begin := w.report.Acked, w.report.Elections, w.now
	for i := range healSteps {
		if err := w.next(); err != nil {
			return fmt.Errorf("after healing: %w", err)
		}
		took := w.now - begin
		if w.report.SlowestAck == 0 && w.report.Acked > acked {
			w.report.SlowestAck = max(1, took)
		}
		if w.report.SlowestAck == 0 && took > ackTime || took > healTime {
			break
		}
		if i%16 == 0 && w.report.Acked > acked+2 && w.equal() {
			w.report.SlowestHeal, w.report.HealElections = took, w.report.Elections-elections
			return w.checkFinal()
		}
		if i%256 == 0 {
			if err := w.dismissLost(); err != nil {
				return err
			}
		}
	}
	return fmt.Errorf("no convergence after healing: %d new acks, %d elections, %s", w.report.Acked-acked, w.report.Elections-elections, w.describe())
}

// heal ends all faults and starts what is down.
func (w *world) heal() error {
	w.tracef("healed")
	w.healed = true
	w.healNetwork()
	w.s.diskMax, w.s.latencyMax = min(w.s.diskMax, 2000), min(w.s.latencyMax, 2000)
	w.s.clientEvery = 30 * millisecond
	w.q.hurry(evDisk, w.now+second)
	w.q.hurry(evMembers, w.now)
	w.q.hurry(evScrub, w.now)
	for _, n := range w.nodes {
		n.pausedUntil = 0
		w.freeSpace(n)
		if n.rep != nil && n.rep.Err() != nil {
			w.dead(n)
			w.cutPower(n)
		}
		if n.rep == nil && !n.gone {
			if err := w.start(n); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *world) describe() string {
	s := ""
	for _, n := range w.nodes {
		if n.rep == nil {
			s += fmt.Sprintf(" %d: down;", n.id)
			continue
		}
		st := n.rep.Status()
		s += fmt.Sprintf(" %d: %v term %d, last %d, durable %d, commit %d, %v;", n.id, st.Role, st.Term, n.rep.Log().Last(), n.rep.Log().Durable(), n.commit, st.Config)
	}
	return s
}

// equal: all logs end at the same index, all of it is committed everywhere, all
// follow one leader, and no member is lost.
func (w *world) equal() bool {
	members := w.members()
	if members == nil {
		return false
	}
	last, lead := len(members[0].mirror), w.newestLeader()
	for _, n := range members {
		if !n.alive() || n.rotten || len(n.mirror) != last || n.commit != raft.Index(last) || n.seen.term != lead.seen.term {
			return false
		}
	}
	return last == len(w.committed) && lead.seen.serving
}

// checkFinal compares whole logs, as they are on disk, and looks for everything
// acknowledged.
func (w *world) checkFinal() error {
	at := make(map[uint64]int, len(w.committed))
	for i, c := range w.committed {
		if c.value != 0 {
			if first, dup := at[c.value]; dup {
				return fmt.Errorf("value %d is committed twice, at %d and %d", c.value, first+1, i+1)
			}
			at[c.value] = i
		}
	}
	for _, n := range w.members() {
		for i, c := range w.committed {
			if n.mirror[i] != c.entry {
				return fmt.Errorf("replica %d holds another entry %d than was committed", n.id, i+1)
			}
		}
		if err := w.checkDisk(n); err != nil {
			return err
		}
	}
	for off, v := range w.ackedAt {
		i, ok := at[v]
		if !ok || w.committed[i].base != off {
			return fmt.Errorf("acknowledged value %d is not at offset %d", v, off)
		}
	}
	return w.checkLinearizable()
}

// checkDisk reads the whole log of n with all checksums.
func (w *world) checkDisk(n *node) error {
	lo, hi := n.rep.Log().First(), n.rep.Log().Last()+1
	var err error
	if n.buf, err = n.rep.Log().ReadFrames(n.buf[:0], lo, hi); err != nil {
		return fmt.Errorf("replica %d can't read its log: %w", n.id, err)
	}
	i := int(lo)
	for rest := n.buf; len(rest) > 0; i++ {
		_, size, err := segments.ParseFrame(segments.Identity{Topic: topicID}, rest)
		if err != nil {
			return fmt.Errorf("replica %d holds a bad frame: %w", n.id, err)
		}
		if entryID(rest[:segments.ReplicatedSize]) != w.committed[i-1].id {
			return fmt.Errorf("the disk of replica %d holds another entry %d than was committed", n.id, i)
		}
		rest = rest[size:]
	}
	if i != int(hi) {
		return fmt.Errorf("the log of replica %d holds entries to %d, it says %d", n.id, i-1, hi-1)
	}
	return nil
}
