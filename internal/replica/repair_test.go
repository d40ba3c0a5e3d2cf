package replica

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/raft"
	"github.com/logq/logq/record"
	"github.com/logq/logq/segments"
)

// group is replicas in one place, whose messages are delivered by hand.
type group struct {
	t    *testing.T
	reps map[raft.ReplicaID]*Replica
	mems map[raft.ReplicaID]*vfs.Mem
	out  Output
	net  []Send
}

func newGroup(t *testing.T, n int) *group {
	g := &group{t: t, reps: make(map[raft.ReplicaID]*Replica), mems: make(map[raft.ReplicaID]*vfs.Mem)}
	for i := 1; i <= n; i++ {
		g.mems[raft.ReplicaID(i)] = vfs.NewMem()
	}
	for i := 1; i <= n; i++ {
		g.open(raft.ReplicaID(i))
	}
	return g
}

func (g *group) open(id raft.ReplicaID, mark ...raft.EntryID) *Replica {
	g.t.Helper()
	o := Options{
		Identity: segments.Identity{Topic: [16]byte{1}}, ID: id, FS: g.mems[id], Dir: "log", Seed: uint64(id),
		SegmentBytes: 8 << 10, TailBytes: 4 << 10, Hard: raft.HardState{},
	}
	if r := g.reps[id]; r != nil {
		o.Hard = r.HardState()
	}
	for _, m := range mark {
		o.Mark = m
	}
	for i := range g.mems {
		o.Voters = append(o.Voters, i)
	}
	slices.Sort(o.Voters)
	r, _, err := Open(o)
	if err != nil {
		g.t.Fatal(err)
	}
	g.reps[id] = r
	g.t.Cleanup(func() { _ = r.Log().Close() })
	return r
}

// do runs an input of a replica, its disk work, and collects what it sends.
func (g *group) do(r *Replica, f func(out *Output)) {
	g.t.Helper()
	f(&g.out)
	for {
		g.net = append(g.net, slices.Clone(g.out.Sends)...)
		g.out.Reset()
		w := r.Disk()
		switch {
		case w.Repair != nil:
			err := r.Log().Repair(w.Repair)
			r.Repaired(err, &g.out)
		case w.Save || w.Flush:
			if w.Flush {
				if err := r.Log().Flush(); err != nil {
					g.t.Fatal(err)
				}
				r.Flushed(w.FlushN, &g.out)
			}
			if w.Save {
				r.Saved(w.SaveN, &g.out)
			}
		default:
			return
		}
	}
}

// frames reads what a message carries.
func (g *group) frames(s *Send) (b []byte) {
	g.t.Helper()
	if s.Cold {
		b, err := g.reps[s.Message.From].Log().ReadFrames(nil, segments.Index(s.Message.Lo), segments.Index(s.Message.Hi))
		if err != nil {
			g.t.Fatal(err)
		}
		return b
	}
	return slices.Concat(s.Frames...)
}

// deliver delivers everything, but not to those that are down.
func (g *group) deliver(down ...raft.ReplicaID) {
	g.t.Helper()
	for range 10_000 {
		if len(g.net) == 0 {
			return
		}
		s := g.net[0]
		g.net = g.net[1:]
		if r := g.reps[s.Message.To]; !slices.Contains(down, s.Message.To) {
			b := g.frames(&s)
			g.do(r, func(out *Output) { _ = r.Step(&s.Message, b, out) })
		}
	}
	g.t.Fatal("messages go on for ever")
}

func (g *group) tick(n int, down ...raft.ReplicaID) {
	g.t.Helper()
	for range n {
		for id, r := range g.reps {
			if !slices.Contains(down, id) {
				g.do(r, func(out *Output) { r.Tick(out) })
			}
		}
		g.deliver(down...)
	}
}

func (g *group) leader(down ...raft.ReplicaID) *Replica {
	g.t.Helper()
	for range 100 {
		for id, r := range g.reps {
			if st := r.Status(); st.Serving && !slices.Contains(down, id) {
				return r
			}
		}
		g.tick(1, down...)
	}
	g.t.Fatal("no leader")
	return nil
}

func (g *group) append(n int, down ...raft.ReplicaID) {
	g.t.Helper()
	lead := g.leader(down...)
	for i := range n {
		b := record.NewBuilder(record.BuilderOptions{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1})
		if err := b.Append(record.Record{Timestamp: 1, Value: fmt.Appendf(nil, "%0200d", i)}); err != nil {
			g.t.Fatal(err)
		}
		batch, err := b.Seal(nil)
		if err != nil {
			g.t.Fatal(err)
		}
		g.do(lead, func(out *Output) { lead.Append(batch, 0, 0, out) })
		g.deliver(down...)
	}
}

// damage opens a replica again whose entries [lo, hi) are unreadable.
func (g *group) damage(id raft.ReplicaID, lo, hi segments.Index) *Replica {
	g.t.Helper()
	if err := g.reps[id].Log().Close(); err != nil {
		g.t.Fatal(err)
	}
	names, err := g.mems[id].List("log")
	if err != nil {
		g.t.Fatal(err)
	}
	for _, name := range names {
		name = "log/" + name
		var at []int64
		if _, err := segments.Inspect(g.mems[id], name, func(f segments.FrameInfo) error {
			if f.Frame.Index >= lo && f.Frame.Index < hi {
				at = append(at, f.Pos)
			}
			return nil
		}); err != nil {
			g.t.Fatal(err)
		}
		f, err := g.mems[id].OpenReadWrite(name)
		if err != nil {
			g.t.Fatal(err)
		}
		for _, pos := range at {
			if _, err := f.WriteAt(make([]byte, segments.FrameHeaderSize), pos); err != nil {
				g.t.Fatal(err)
			}
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			g.t.Fatal(err)
		}
	}
	return g.open(id)
}

// equal compares a replica's log with another's, byte by byte of the replicated parts.
func (g *group) equal(a, b *Replica) {
	g.t.Helper()
	first := max(a.Log().First(), b.Log().First())
	ra, err1 := a.Log().ReadFrames(nil, first, a.Log().Last()+1)
	rb, err2 := b.Log().ReadFrames(nil, first, b.Log().Last()+1)
	if err := errors.Join(err1, err2); err != nil {
		g.t.Fatal(err)
	}
	for len(ra) > 0 && len(rb) > 0 {
		_, n, err := segments.ViewFrame(ra)
		if err != nil || !slices.Equal(ra[:segments.ReplicatedSize], rb[:segments.ReplicatedSize]) || !slices.Equal(ra[segments.FrameHeaderSize:n], rb[segments.FrameHeaderSize:n]) {
			g.t.Fatal("the logs differ")
		}
		ra, rb = ra[n:], rb[n:]
	}
	if len(ra)+len(rb) > 0 {
		g.t.Fatal("the logs are not equally long")
	}
}

// TestRepairFromAnyone: a damaged replica asks until it finds somebody who has what it
// lost, and takes nothing else.
func TestRepairFromAnyone(t *testing.T) {
	g := newGroup(t, 3)
	g.append(60)
	g.tick(10)
	lead := g.leader()
	id := lead.ID()%3 + 1
	other := id%3 + 1
	if other == lead.ID() {
		other = other%3 + 1
	}
	r := g.damage(id, 10, 25)
	if gaps := r.Damage(); len(gaps) == 0 || gaps[0].Lo != 10 || r.Status().Damaged != 10 || r.Status().Unsettled != 0 {
		t.Fatalf("damage %v, %+v", gaps, r.Status())
	}
	g.tick(200, lead.ID()) // the leader is away; the third one has it
	if len(r.Damage()) != 0 {
		t.Fatalf("still damaged: %v", r.Damage())
	}
	g.equal(r, g.reps[other])
}

// TestRepairWaits: while nobody who has it can be reached there is no harm done, and no
// storm of questions.
func TestRepairWaits(t *testing.T) {
	g := newGroup(t, 3)
	g.append(60)
	g.tick(10)
	id := g.leader().ID()
	r := g.damage(id, 10, 12)
	asked := 0
	for range 1000 {
		g.do(r, func(out *Output) { r.Tick(out) })
		for i := range g.net {
			if g.net[i].Message.Type == raft.MsgRepair {
				asked++
			}
		}
		g.net = nil
	}
	if asked < 10 || asked > 1000/r.o.ElectionTicks+1 {
		t.Errorf("%d questions in 1000 ticks", asked)
	}
	g.tick(400)
	if len(r.Damage()) != 0 {
		t.Errorf("still damaged: %v", r.Damage())
	}
}

// TestRepairOfWhatIsTrimmedElsewhere: the replica trims too, or gives up if its own
// segments don't allow that.
func TestRepairOfWhatIsTrimmedElsewhere(t *testing.T) {
	for _, tc := range []struct {
		name   string
		lo, hi segments.Index
		lost   bool
	}{
		{"in a segment that goes", 5, 7, false},
		{"in the one where the others begin", 0, 0, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := newGroup(t, 3)
			g.append(120)
			g.tick(20)
			id := g.leader().ID()%3 + 1
			first := segments.Index(0)
			for other, r := range g.reps {
				if other != id {
					g.do(r, func(out *Output) {
						if err := r.Trim(60, out); err != nil {
							t.Fatal(err)
						}
					})
					first = r.Log().First()
				}
			}
			lo, hi := tc.lo, tc.hi
			if tc.lost {
				lo, hi = first-1, first+1 // one of the two they have
			}
			r := g.damage(id, lo, hi)
			if tc.lost {
				// Its segments begin elsewhere than theirs.
				g.tick(100)
			}
			g.tick(300)
			if len(r.Damage()) != 0 && r.Err() == nil {
				t.Fatalf("damage %v, first %d, others begin at %d", r.Damage(), r.Log().First(), first)
			}
			if !tc.lost && (r.Err() != nil || r.Log().First() <= tc.lo) {
				t.Errorf("first %d, %v", r.Log().First(), r.Err())
			}
		})
	}
}

// TestRepairMessages: what is not asked, not ours, or not possible.
func TestRepairMessages(t *testing.T) {
	g := newGroup(t, 3)
	g.append(60)
	g.tick(10)
	lead := g.leader()
	id := lead.ID()%3 + 1
	r := g.damage(id, 10, 12)
	step := func(to *Replica, m raft.Message, frames []byte) (err error) {
		g.do(to, func(out *Output) { err = to.Step(&m, frames, out) })
		return err
	}
	ask := raft.Message{Type: raft.MsgRepair, From: id, To: lead.ID(), Term: 1, Lo: 10, Hi: 12, EntryTerm: lead.Status().Term, Context: 9}
	for name, change := range map[string]func(m *raft.Message){
		"a stranger":      func(m *raft.Message) { m.From = 77 },
		"nobody":          func(m *raft.Message) { m.From = 0 },
		"another":         func(m *raft.Message) { m.To = 77 },
		"another group":   func(m *raft.Message) { m.Group[0] = 1 },
		"no entries":      func(m *raft.Message) { m.Hi = m.Lo },
		"entry 0":         func(m *raft.Message) { m.Lo = 0 },
		"entries of none": func(m *raft.Message) { m.EntryTerm = 0 },
	} {
		m := ask
		change(&m)
		if err := step(lead, m, nil); err == nil || len(g.net) > 0 {
			t.Errorf("%s asks: %v, %d answers", name, err, len(g.net))
		}
		g.net = nil
	}
	for name, change := range map[string]func(m *raft.Message){
		"another term":   func(m *raft.Message) { m.EntryTerm++ },
		"behind the end": func(m *raft.Message) { m.Lo, m.Hi = 1000, 1<<40 },
	} {
		m := ask
		change(&m)
		if err := step(lead, m, nil); err != nil || len(g.net) != 1 || !g.net[0].Message.Reject {
			t.Errorf("%s: %v, %v", name, err, g.net)
		}
		g.net = nil
	}
	if err := step(lead, ask, nil); err != nil || len(g.net) != 1 || g.net[0].Message.Reject || g.net[0].Message.Hi != 12 {
		t.Fatalf("%v, %v", err, g.net)
	}
	answer, frames := g.net[0].Message, g.frames(&g.net[0])
	g.net = nil
	if err := step(r, answer, frames); !errors.Is(err, raft.ErrStale) || len(r.Damage()) != 1 {
		t.Errorf("an answer to another question: %v", err)
	}
	for r.mend.asked != lead.ID() {
		g.do(r, func(out *Output) { r.Tick(out) })
	}
	answer.Context = r.mend.question
	bad := slices.Clone(frames)
	bad[len(bad)-1] ^= 1
	var refused *FrameError
	if err := step(r, answer, bad); !errors.As(err, &refused) || len(r.Damage()) != 1 {
		t.Errorf("damaged frames: %v", err)
	}
	g.net = nil
	for r.mend.asked != lead.ID() {
		g.do(r, func(out *Output) { r.Tick(out) })
	}
	answer.Context = r.mend.question
	if err := step(r, answer, frames); err != nil || len(r.Damage()) != 0 {
		t.Errorf("the right answer: %v, %v", err, r.Damage())
	}
	g.equal(r, lead)
}

// TestMarkGoesBeforeACut: a follower whose end is replaced loses the mark of when it was
// closed, first: else the mark would prove that something is missing which a leader has
// taken away.
func TestMarkGoesBeforeACut(t *testing.T) {
	g := newGroup(t, 3)
	g.append(5)
	g.tick(10)
	old := g.leader()
	id := old.ID()
	others := slices.DeleteFunc([]raft.ReplicaID{1, 2, 3}, func(o raft.ReplicaID) bool { return o == id })
	g.append(1, others...) // reaches nobody
	lead := g.leader(id)
	g.append(3, id)
	// It hears of the new term, so that no later save takes the mark along.
	g.do(old, func(out *Output) {
		_ = old.Step(&raft.Message{Type: raft.MsgHeartbeat, From: lead.ID(), To: id, Term: lead.Status().Term, Context: 1}, nil, out)
	})
	g.net = nil
	mark, ok := old.Mark()
	if !ok || mark.Index != raft.Index(old.Log().Last()) || old.HardState().Term != lead.Status().Term {
		t.Fatalf("mark %v, %v", mark, ok)
	}
	if err := old.Log().Close(); err != nil {
		t.Fatal(err)
	}
	r := g.open(id, mark)
	if !r.disk.marked || r.Repairing() {
		t.Fatalf("marked %v, repairing %v", r.disk.marked, r.Repairing())
	}
	before := r.Log().Last()
	for range 100 {
		g.tick(1)
		if t, _ := r.Log().Term(before); t != segments.Term(mark.Term) {
			break
		}
	}
	if r.disk.marked {
		t.Error("the log is cut, and the journal still says that it was longer")
	}
	g.tick(10)
	g.equal(r, g.reps[others[0]])
}

// TestMarkOfALostTail: the log ends before what the mark proves, until a leader has sent
// that again; so long the mark stays.
func TestMarkOfALostTail(t *testing.T) {
	g := newGroup(t, 3)
	g.append(5)
	g.tick(10)
	id := g.leader().ID()%3 + 1
	r := g.reps[id]
	mark, _ := r.Mark()
	if err := r.Log().Close(); err != nil {
		t.Fatal(err)
	}
	mark.Index += 2
	r = g.open(id, mark)
	if !r.Repairing() {
		t.Fatal("nothing is missed")
	}
	if _, ok := r.Mark(); ok {
		t.Error("a log that has lost its end is noted as whole")
	}
	g.append(3)
	g.tick(10)
	if r.Repairing() {
		t.Error("it still misses what it has again")
	}
}
