package raft_test

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/logq/logq/raft"
)

// FuzzCore plays every input of a core against it: forged messages of all types
// with forged configurations, time, disk work that is done late, proposals and
// changes of membership, trims, damage, restarts from what either file had. The
// model of a driver beside it checks that the core asks for nothing impossible; with
// the build tag "invariants" the core checks itself after each input.
func FuzzCore(f *testing.F) {
	for seed := range uint64(4) {
		f.Add(randomScript(seed))
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		if err := playCore(script, t.Logf); err != nil {
			t.Fatal(err)
		}
	})
}

var scriptsFlag = flag.Uint64("scripts", 3000, "how many scripts TestCoreSurvivesAnything plays")

// TestCoreSurvivesAnything is FuzzCore with seeds, in every test run.
func TestCoreSurvivesAnything(t *testing.T) {
	for seed := range *scriptsFlag {
		if playCore(randomScript(seed+1<<20), nil) == nil {
			continue
		}
		err := playCore(randomScript(seed+1<<20), t.Logf)
		t.Fatalf("seed %d: %v", seed, err)
	}
}

// playCore plays a script; all that isn't said by it is 0. trace, if not nil, is
// told of every input.
func playCore(script []byte, trace func(format string, args ...any)) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the core panics: %v", r)
		}
	}()
	const scriptMax = 4 << 10
	b := &bytesChooser{script[:min(len(script), scriptMax)]}
	d := &lonely{b: b, trace: trace, o: raft.Options{
		ID: 1, ElectionTicks: 3, HeartbeatTicks: 1, MaxMessageBytes: 4, MaxInflightMessages: 2, MaxInflightBytes: 8,
		MaxUncommittedBytes: 50, Lease: uint64(b.pick(2) * 2), Quiesce: b.pick(2) == 0, Priority: b.pick(3) - 1,
		Voters: [][]raft.ReplicaID{ids(1, 2, 3), ids(1), ids(1, 2), nil, ids(2, 3, 4)}[b.pick(5)],
	}, now: files{configs: map[raft.Index]raft.Config{}}}
	d.disk = d.now.clone()
	d.start()
	for len(b.data) > 0 && d.err == nil {
		d.play()
		if trace != nil {
			s := d.core.Status()
			s.Peers = nil
			trace("  %+v", s)
		}
	}
	return d.err
}

// files are what a driver has of a log, in memory or on disk.
type files struct {
	hard    raft.HardState
	prev    raft.EntryID
	terms   []raft.Term // of the entries after prev
	configs map[raft.Index]raft.Config
	start   *raft.ConfigEntry // in force at prev
	written raft.Term         // the leader term under which the log was written
}

func (f *files) clone() files {
	g := *f
	g.terms, g.configs = slices.Clone(f.terms), maps.Clone(f.configs)
	return g
}

func (f *files) last() raft.Index { return f.prev.Index + raft.Index(len(f.terms)) }

func (f *files) term(i raft.Index) (raft.Term, bool) {
	switch {
	case i == f.prev.Index:
		return f.prev.Term, true
	case i < f.prev.Index || i > f.last():
		return 0, false
	}
	return f.terms[i-f.prev.Index-1], true
}

// truncate drops the entries from i on.
func (f *files) truncate(i raft.Index) {
	f.terms = f.terms[:i-f.prev.Index-1]
	maps.DeleteFunc(f.configs, func(at raft.Index, _ raft.Config) bool { return at >= i })
}

// trim drops the entries before first.
func (f *files) trim(first raft.Index) {
	if first <= f.prev.Index+1 || first > f.last()+1 {
		return
	}
	t, _ := f.term(first - 1)
	for at := f.prev.Index + 1; at < first; at++ {
		if c, ok := f.configs[at]; ok {
			f.start = &raft.ConfigEntry{Index: at, Config: c}
			delete(f.configs, at)
		}
	}
	f.terms = slices.Clone(f.terms[first-1-f.prev.Index:])
	f.prev = raft.EntryID{Term: t, Index: first - 1}
}

// state describes the log for raft.New.
func (f *files) state() raft.LogState {
	s := raft.LogState{Prev: f.prev, Last: f.last(), WriteTerm: f.written}
	if f.start != nil {
		s.Configs = append(s.Configs, *f.start)
	}
	for i := f.prev.Index + 1; i <= s.Last; i++ {
		t, _ := f.term(i)
		if n := len(s.Terms); n == 0 || s.Terms[n-1].Term != t {
			s.Terms = append(s.Terms, raft.TermStart{Term: t, First: i})
		}
		if c, ok := f.configs[i]; ok {
			s.Configs = append(s.Configs, raft.ConfigEntry{Index: i, Config: c})
		}
	}
	return s
}

// lonely is the driver of one core; nobody else exists.
type lonely struct {
	b    *bytesChooser
	o    raft.Options
	core *raft.Core
	err  error
	// trace, if not nil, gets a line for each input.
	trace func(format string, args ...any)

	now    files // as ordered
	disk   files // as reported
	queue  []files
	queued []uint64
	commit raft.Index

	stepped []raft.ConfigEntry // beside the message being stepped
	asked   []raft.Message     // the newest that want an answer
	clock   uint64
}

func (d *lonely) failf(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf(format, args...)
	}
}

// Fit implements raft.Log.
func (d *lonely) Fit(lo, hi raft.Index, maxBytes int) (raft.Index, int) {
	if lo >= hi || lo <= d.now.prev.Index || hi > d.now.last()+1 {
		d.failf("asked how much of [%d, %d) fits, the log is (%d, %d]", lo, hi, d.now.prev.Index, d.now.last())
	}
	return flatLog{1}.Fit(lo, hi, maxBytes)
}

// start boots the core from the disk.
func (d *lonely) start() {
	d.now, d.queue, d.queued = d.disk.clone(), nil, nil
	s := d.now.state()
	s.Commit = min(d.commit, s.Last) * raft.Index(d.b.pick(2))
	s.Commit = max(s.Commit, s.Prev.Index)
	if d.now.hard.Term > 0 && d.b.pick(4) == 0 {
		s.Promised = raft.EntryID{Term: max(1, s.LastTerm()) + raft.Term(d.b.pick(2)), Index: s.Last + 1 + raft.Index(d.b.pick(2))}
	}
	if k := len(d.now.terms); k > 0 && d.b.pick(4) == 0 {
		s.Damaged = s.Prev.Index + 1 + raft.Index(d.b.pick(k))
	}
	d.commit = s.Commit
	core, err := raft.New(d.o, d, d.now.hard, s)
	if err != nil {
		d.failf("it doesn't start: %v", err)
		return
	}
	d.core = core
	d.pump()
}

// crash stops the core. Each file may have done more than was reported.
func (d *lonely) crash() {
	log, hard := d.disk, d.disk
	if n := len(d.queue); n > 0 {
		if k := d.b.pick(n + 1); k > 0 {
			log = d.queue[k-1]
		}
		if k := d.b.pick(n + 1); k > 0 {
			hard = d.queue[k-1]
		}
	}
	d.disk = log.clone()
	d.disk.hard = hard.hard
	d.start()
}

// persist reports some of the disk work that waits.
func (d *lonely) persist() {
	if len(d.queue) == 0 {
		return
	}
	k := d.b.pick(len(d.queue))
	d.disk = d.queue[k]
	n := d.queued[k]
	d.queue, d.queued = d.queue[k+1:], d.queued[k+1:]
	d.core.Persisted(n)
}

// pump carries out what the core wants.
func (d *lonely) pump() {
	for d.err == nil && d.core.Pending() {
		r := d.core.Ready()
		d.carryOut(&r)
	}
}

func (d *lonely) carryOut(r *raft.Ready) {
	if r.SaveHard {
		if was := d.now.hard; r.Hard.Term < was.Term || r.Hard.Term == was.Term && was.Vote != 0 && was.Vote != r.Hard.Vote {
			d.failf("hard state %+v after %+v", r.Hard, was)
		}
		d.now.hard = r.Hard
	}
	if r.Install != nil {
		d.install(r.Install.Prev)
	}
	if r.Truncate != 0 {
		if r.Truncate <= d.commit || r.Truncate > d.now.last() {
			d.failf("truncation at %d, commit %d, last %d", r.Truncate, d.commit, d.now.last())
			return
		}
		d.now.truncate(r.Truncate)
	}
	d.append(r)
	if r.N != 0 {
		d.queue, d.queued = append(d.queue, d.now.clone()), append(d.queued, r.N)
	} else if r.SaveHard || r.Install != nil || r.Truncate != 0 || r.Append.Lo < r.Append.Hi {
		d.failf("disk work without a number: %+v", r)
	}
	if r.Commit != 0 {
		if r.Commit <= d.commit || r.Commit > d.now.last() {
			d.failf("commit %d after %d, last %d", r.Commit, d.commit, d.now.last())
		}
		d.commit = r.Commit
	}
	for i := range r.Send {
		d.sent(&r.Send[i])
	}
}

func (d *lonely) install(prev raft.EntryID) {
	if prev.Index <= d.commit || len(d.stepped) != 1 {
		d.failf("a log that begins after %v, commit %d, %d configurations", prev, d.commit, len(d.stepped))
		return
	}
	d.now.prev, d.now.terms, d.now.configs = prev, nil, map[raft.Index]raft.Config{}
	d.now.start, d.now.written = &d.stepped[0], d.now.hard.Term
}

func (d *lonely) append(r *raft.Ready) {
	e := &r.Append
	if e.Lo >= e.Hi {
		return
	}
	if before, _ := d.now.term(d.now.last()); e.Lo != d.now.last()+1 || e.Term < before || e.Term > d.now.hard.Term {
		d.failf("append %+v after entry %d of term %d", *e, d.now.last(), before)
		return
	}
	for i := e.Lo; i < e.Hi; i++ {
		d.now.terms = append(d.now.terms, e.Term)
	}
	d.now.written = d.now.hard.Term
	switch e.Kind {
	case raft.KindConfig:
		d.now.configs[e.Lo] = r.Config.Clone()
	case raft.KindData:
		for _, c := range d.stepped {
			if c.Index >= e.Lo && c.Index < e.Hi {
				d.now.configs[c.Index] = c.Config
			}
		}
	}
}

// sent checks that a message says what is so.
func (d *lonely) sent(m *raft.Message) {
	if m.From != d.o.ID || m.To == 0 || m.To == m.From || m.Term == 0 {
		d.failf("sent: %v", m)
	}
	switch m.Type {
	case raft.MsgPreVote, raft.MsgVote, raft.MsgAppend, raft.MsgHeartbeat, raft.MsgJump:
		const askedMax = 8
		if d.asked = append(d.asked, *m); len(d.asked) > askedMax {
			d.asked = d.asked[1:]
		}
	}
	switch m.Type {
	case raft.MsgAppend:
		if t, ok := d.now.term(m.Index); !ok || t != m.LogTerm || m.Lo != m.Index+1 || m.Hi < m.Lo || m.Hi > d.now.last()+1 {
			d.failf("sent: %v, the log is (%v, %d]", m, d.now.prev, d.now.last())
			return
		}
		for i := m.Lo; i < m.Hi; i++ {
			if t, _ := d.now.term(i); t != m.EntryTerm {
				d.failf("sent: %v, entry %d is of term %d", m, i, t)
			}
		}
	case raft.MsgJump:
		if d.now.prev != (raft.EntryID{Term: m.LogTerm, Index: m.Index}) {
			d.failf("sent: %v, the log begins after %v", m, d.now.prev)
		}
	case raft.MsgVote:
		if d.disk.hard.Term < m.Term {
			d.failf("sent: %v, on disk is %+v", m, d.disk.hard)
		}
	case raft.MsgVoteReply:
		if !m.Reject && d.disk.hard != (raft.HardState{Term: m.Term, Vote: m.To}) {
			d.failf("sent: %v, on disk is %+v", m, d.disk.hard)
		}
	case raft.MsgAppendReply, raft.MsgHeartbeatReply:
		if !m.Reject && m.Index > 0 && (m.Index > d.disk.last() || m.Term != d.disk.hard.Term) {
			d.failf("sent: %v, on disk are entry %d and %+v", m, d.disk.last(), d.disk.hard)
		}
	}
	var again raft.Message
	if n, err := again.Decode(m.AppendTo(nil)); err != nil || n > raft.MaxMessageSize || again != *m {
		d.failf("sent: %v doesn't survive its encoding: %v", m, err)
	}
}

// play hands in one input.
func (d *lonely) play() {
	b, c := d.b, d.core
	x := b.pick(32)
	if d.trace != nil {
		d.trace("input %d", x)
	}
	switch x {
	case 0, 1, 2:
		d.clock += uint64(b.pick(3))
		c.SetClock(d.clock)
		c.Tick()
	case 3, 4, 5:
		d.persist()
	case 6:
		_, _ = c.Propose(raft.Term(b.pick(8)*b.pick(2)), []int{b.pick(3), b.pick(3)})
	case 7:
		_, _ = c.Read()
	case 8:
		_ = c.Transfer(raft.ReplicaID(b.pick(5)))
	case 9:
		c.Campaign()
	case 10:
		c.Sent(raft.ReplicaID(b.pick(5)), b.pick(2) == 0)
	case 11:
		if first := raft.Index(b.pick(12)); c.Trim(first) == nil {
			d.now.trim(first)
			d.disk.trim(first)
			for i := range d.queue {
				d.queue[i].trim(first)
			}
		}
	case 12:
		if b.pick(2) == 0 {
			_ = c.SetDamaged(raft.Index(b.pick(9)), raft.Index(b.pick(9)))
		} else {
			_ = c.SetDamaged(0, 0)
		}
	case 13:
		c.Wake(b.pick(5))
	case 14:
		if i := raft.Index(b.pick(9)); b.pick(2) == 0 {
			t, _ := d.now.term(i)
			c.LearnCommitted(raft.EntryID{Term: t, Index: i})
		}
		c.PeerDown(raft.ReplicaID(b.pick(5)), b.pick(2) == 0)
	case 15:
		at := c.Status().ConfigIndex
		_, _ = c.ProposeConfig(at, d.members(), d.members())
	case 16:
		if b.pick(4) == 0 {
			d.crash()
			return
		}
	case 17, 18, 19, 20, 21:
		d.honest()
	case 22, 23, 24:
		d.plausible()
	case 25:
		if b.pick(16) == 0 {
			c.Faulted(nil)
			d.pump()
			d.crash()
			return
		}
	default:
		m, _ := forged(b)
		m.Quiet = b.pick(4) == 0
		if m.To == 1 && b.pick(4) > 0 {
			m.Term = max(1, c.Status().Term+raft.Term(b.pick(2))) // else most are stale
		}
		d.step(&m)
	}
	d.pump()
	d.stepped = nil
	c = d.core
	if s := c.Status(); s.Commit != d.commit || s.Last != d.now.last() || s.First != d.now.prev.Index+1 || s.Faulted != nil {
		d.failf("the core is at %+v, its driver at commit %d, (%d, %d]", s, d.commit, d.now.prev.Index, d.now.last())
	}
}

// honest answers what the core has asked last, as another replica would: grants,
// acknowledgements of some of the log, refusals with a hint.
func (d *lonely) honest() {
	if len(d.asked) == 0 {
		return
	}
	q := d.asked[d.b.pick(len(d.asked))]
	m := raft.Message{From: q.To, To: 1, Term: q.Term, Context: q.Context}
	switch q.Type {
	case raft.MsgPreVote:
		m.Type = raft.MsgPreVoteReply
	case raft.MsgVote:
		m.Type = raft.MsgVoteReply
	case raft.MsgHeartbeat:
		m.Type, m.Quiet = raft.MsgHeartbeatReply, q.Quiet
		m.HintIndex = raft.Index(d.b.pick(int(d.now.last()) + 1))
		m.Index = m.HintIndex - min(m.HintIndex, raft.Index(d.b.pick(3)))
	default:
		m.Type = raft.MsgAppendReply
		m.HintIndex = max(q.Index, q.Hi-min(q.Hi, 1))
		m.Index = m.HintIndex - min(m.HintIndex, raft.Index(d.b.pick(3)))
		if d.b.pick(3) == 0 {
			m.Reject, m.Index, m.LogTerm = true, q.Index, q.LogTerm
			m.HintIndex = m.Index - min(m.Index, 1+raft.Index(d.b.pick(3)))
			m.HintTerm, m.HintFirst = raft.Term(d.b.pick(5)), min(m.HintIndex, 1)
			if m.HintIndex == 0 {
				m.HintTerm = 0
			}
		}
	}
	d.step(&m)
}

// plausible hands in what a leader might send whose log equals this one at first.
func (d *lonely) plausible() {
	s := d.core.Status()
	m := raft.Message{Type: raft.MsgAppend, From: raft.ReplicaID(d.b.pick(4)), To: 1, Term: max(1, s.Term+raft.Term(d.b.pick(2))), Context: 1}
	if s.Leader > 1 && m.Term == s.Term {
		m.From = s.Leader
	}
	m.Index = d.now.prev.Index + raft.Index(d.b.pick(len(d.now.terms)+1))
	m.LogTerm, _ = d.now.term(m.Index)
	m.Commit = raft.Index(d.b.pick(int(m.Index) + 2))
	m.EntryTerm = min(m.Term, max(1, m.LogTerm)+raft.Term(d.b.pick(3)))
	m.Lo, m.Hi = m.Index+1, m.Index+1+raft.Index(d.b.pick(4))
	if m.Lo == m.Hi {
		m.EntryTerm = 0
	}
	d.step(&m)
}

// step hands in a forged message with forged configurations.
func (d *lonely) step(m *raft.Message) {
	for i := m.Lo; i < m.Hi && i < m.Lo+4; i++ {
		if m.Type == raft.MsgAppend && d.b.pick(6) == 0 {
			d.stepped = append(d.stepped, raft.ConfigEntry{Index: i, Config: d.forgedConfig()})
		}
	}
	if m.Type == raft.MsgJump && d.b.pick(8) > 0 || d.b.pick(64) == 63 {
		d.stepped = append(d.stepped, raft.ConfigEntry{Index: raft.Index(d.b.pick(9)), Config: d.forgedConfig()})
	}
	// An entry has one content: what stands there already is told as it is.
	for i := range d.stepped {
		e := &d.stepped[i]
		if c, ok := d.now.configs[e.Index]; ok && m.Type == raft.MsgAppend {
			e.Config = c
		}
	}
	if d.trace != nil {
		d.trace("%v %v", m, d.stepped)
	}
	err := d.core.Step(m, d.stepped...)
	if err != nil && !knownError(err) {
		d.failf("%v: %v", m, err)
	}
}

func (d *lonely) members() (list []raft.ReplicaID) {
	for id := raft.ReplicaID(1); id <= 4; id++ {
		if d.b.pick(2) == 0 {
			list = append(list, id)
		}
	}
	return list
}

func (d *lonely) forgedConfig() raft.Config {
	c := raft.Config{Voters: d.members()}
	switch d.b.pick(4) {
	case 0:
		c.Outgoing = d.members()
	case 1:
		c.Learners = d.members()
	}
	if d.b.pick(4) > 0 && c.Validate() != nil {
		return raft.Config{Voters: ids(1, 2, 3)}
	}
	return c
}
