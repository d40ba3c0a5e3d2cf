package spec

import (
	"fmt"

	"github.com/logq/logq/raft"
)

// Options shape a Group.
type Options struct {
	// Forged says that messages are made up which no replica has sent. Then only each
	// replica by itself is checked, and not what only the whole group can know.
	Forged bool
}

// Group is the abstract state of all replicas of one group, with what happened
// over all lives of all of them.
type Group struct {
	o        Options
	replicas []*Replica // ascending by id
	terms    map[raft.Term]*leadership
	// committed is the log of what any replica has committed.
	committed log
}

// leadership is a term and its entries, in any log. Entries of one term begin at
// one index and follow one entry wherever they stand, since one leader wrote them.
type leadership struct {
	leader      raft.ReplicaID // 0: the entries were there before anything was observed
	first, last raft.Index
	before      raft.Term // of the entry before first
	cut         bool      // first and before are unknown
}

// New returns a group of which nothing was seen yet.
func New(o Options) *Group {
	return &Group{o: o, terms: make(map[raft.Term]*leadership)}
}

// Replica returns the replica with an id, which is down until Start.
func (g *Group) Replica(id raft.ReplicaID) *Replica {
	if r := g.find(id); r != nil {
		return r
	}
	r := &Replica{g: g, id: id}
	at := len(g.replicas)
	for at > 0 && g.replicas[at-1].id > id {
		at--
	}
	g.replicas = append(g.replicas, nil)
	copy(g.replicas[at+1:], g.replicas[at:])
	g.replicas[at] = r
	return r
}

// Forge is Options.Forged from now on.
func (g *Group) Forge() { g.o.Forged = true }

func (g *Group) find(id raft.ReplicaID) *Replica {
	if i := int(id) - 1; i >= 0 && i < len(g.replicas) && g.replicas[i].id == id {
		return g.replicas[i] // ids often are 1, 2, 3
	}
	for _, r := range g.replicas {
		if r.id == id {
			return r
		}
	}
	return nil
}

// register takes note of the entries that a disk held before anything was seen.
func (g *Group) register(l *log) {
	before := l.prev.Term
	for k, run := range l.runs {
		end := l.last
		if k+1 < len(l.runs) {
			end = l.runs[k+1].First - 1
		}
		t := g.terms[run.Term]
		if t == nil {
			t = &leadership{first: run.First, before: before, cut: k == 0 && l.prev.Index > 0}
			g.terms[run.Term] = t
		}
		if t.leader == 0 {
			t.last = max(t.last, end)
		}
		before = run.Term
	}
}

// elected is what must be true of the whole group when r takes the lead.
func (g *Group) elected(r *Replica) error {
	if g.o.Forged {
		return nil
	}
	if t := g.terms[r.term]; t != nil {
		return r.refuse("BecomeLeader", "one leader in a term", "replica %d leads term %d", t.leader, r.term)
	}
	c := g.committed.lastID()
	if c.Index >= r.log.prev.Index && !r.log.holds(c) {
		return r.refuse("BecomeLeader", "the log holds all that is committed", "%v is committed, the log is %v", c, &r.log)
	}
	g.terms[r.term] = &leadership{leader: r.id, first: r.log.last + 1, last: r.log.last + 1, before: r.log.lastID().Term}
	return nil
}

// matching is Log Matching for the entries [lo, hi) of term t, which r has just
// appended after one of term before.
func (g *Group) matching(r *Replica, action string, lo, hi raft.Index, before, t raft.Term) error {
	if g.o.Forged {
		return nil
	}
	l := g.terms[t]
	switch {
	case l == nil:
		return r.refuse(action, "the entries are of a term that was led", "[%d, %d) of term %d", lo, hi, t)
	case l.leader == r.id && r.role == raft.RoleLeader && r.term == t:
		l.last = max(l.last, hi-1)
	case hi-1 > l.last:
		return r.refuse(action, "the entries exist at the leader of their term", "[%d, %d) of term %d, which ends at %d", lo, hi, t, l.last)
	case l.cut:
	case lo == l.first && before != l.before, lo < l.first, lo > l.first && before != t:
		return r.refuse(action, "entries of a term follow one entry in all logs (Log Matching)",
			"[%d, %d) of term %d after one of term %d; elsewhere they begin at %d after one of term %d", lo, hi, t, before, l.first, l.before)
	}
	return nil
}

// commits is State Machine Safety: what r commits is what all others do.
func (g *Group) commits(r *Replica, action string, to raft.Index) error {
	if g.o.Forged {
		return nil
	}
	if p := r.log.prev; p.Index > g.committed.last {
		g.committed.begin(p) // the disks began there
	}
	at := min(to, g.committed.last)
	if e := r.log.runOf(at); e.Term != g.committed.runOf(at).Term { // Log Matching covers those before
		return r.refuse(action, "a committed entry is the same everywhere (State Machine Safety)", "commit %d of %v, elsewhere %v", to, &r.log, &g.committed)
	}
	for at < to {
		hi := min(r.log.endOf(at+1), to+1)
		g.committed.append(hi, r.log.runOf(at+1).Term)
		at = hi - 1
	}
	return nil
}

// led says whether id is the leader of a term, as far as is known.
func (g *Group) led(id raft.ReplicaID, t raft.Term) bool {
	l := g.terms[t]
	return g.o.Forged || l != nil && l.leader == id
}

// String returns what is committed, for messages.
func (g *Group) String() string {
	return fmt.Sprintf("%d replicas, committed %v", len(g.replicas), &g.committed)
}
