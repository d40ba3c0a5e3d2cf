package raft_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/logq/logq/raft"
	"github.com/logq/logq/raft/rafttest"
)

func TestOptionsReportAllFaults(t *testing.T) {
	_, err := raft.New(raft.Options{
		ID: 4, Voters: []raft.ReplicaID{1, 2, 2, 0}, ElectionTicks: 2, HeartbeatTicks: 3,
		MaxMessageBytes: -1, MaxInflightBytes: -1, MaxInflightMessages: -1, MaxUncommittedBytes: -1,
	}, nil, raft.HardState{}, raft.LogState{Prev: raft.EntryID{Index: 3}, Last: 2, Terms: []raft.TermStart{{Term: 2, First: 9}, {Term: 1, First: 4}}, Commit: 9})
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range []string{
		"voter 2 appears twice", "voter 3 of", "ElectionTicks", "MaxMessageBytes", "MaxInflightBytes", "MaxInflightMessages",
		"MaxUncommittedBytes", "entry before the first", "last index 2", "commit index 9", "term start {1 4} after {2 9}", "behind the last index", "log is nil",
	} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error doesn't say %q:\n%v", part, err)
		}
	}
	if _, err := raft.New(raft.Options{ID: 1, Voters: []raft.ReplicaID{1}}, noLog{}, raft.HardState{}, raft.LogState{}); err != nil {
		t.Errorf("the defaults are refused: %v", err)
	}
}

// D4: entries can be on disk in a term that the journal doesn't have yet. The
// replica continues in it without a vote, and promises nothing before it is saved.
func TestLogIsAheadOfTheJournal(t *testing.T) {
	c := newCluster(t, 3, madeUp)
	n := c.Node(1)
	n.AutoDisk = false
	hand(c, raft.Message{Type: raft.MsgAppend, From: 2, To: 1, Term: 7, Lo: 1, Hi: 2, EntryTerm: 7}, data(7, "a")...)
	n.WriteSilently()
	n.Crash(0)
	_, hard := n.Durable()
	want(t, "term in the journal", hard.Term, 0)
	n.Start()
	s := status(c, 1)
	want(t, "term", s.Term, 7)
	want(t, "vote", s.Vote, 0)
	want(t, "it is being saved", n.Writes(), 1)
	hand(c, raft.Message{Type: raft.MsgAppend, From: 2, To: 1, Term: 7, Lo: 1, Hi: 2, EntryTerm: 7}, data(7, "a")...)
	want(t, "acknowledged before it is saved", sentTo(c, raft.MsgAppendReply, 2)[0].Index, 0)
	n.Flush()
	want(t, "acknowledged after", sentTo(c, raft.MsgAppendReply, 2)[1].Index, 1)
	_, hard = n.Durable()
	want(t, "term in the journal", hard.Term, 7)
}

// A log may begin in the middle, as after retention.
func TestLogBeginsLater(t *testing.T) {
	prev := raft.EntryID{Term: 3, Index: 100}
	c, err := raft.New(raft.Options{ID: 1, Voters: []raft.ReplicaID{1}}, noLog{}, raft.HardState{Term: 4}, raft.LogState{
		Prev: prev, Last: 103, Terms: []raft.TermStart{{Term: 3, First: 101}, {Term: 4, First: 103}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s := c.Status()
	want(t, "commit", s.Commit, 100)
	c.Campaign()
	c.Persisted(c.Ready().N)
	r := c.Ready()
	want(t, "no-op", r.Append, raft.Entries{Lo: 104, Hi: 105, Term: 5, Kind: raft.KindNoOp})
	c.Persisted(r.N)
	want(t, "commit", c.Ready().Commit, 104)

	empty, err := raft.New(raft.Options{ID: 1, Voters: []raft.ReplicaID{1, 2}}, noLog{}, raft.HardState{}, raft.LogState{Prev: prev, Last: 100})
	if err != nil {
		t.Fatal(err)
	}
	s = empty.Status()
	want(t, "term of an empty log after term 3", s.Term, 3)
	want(t, "last term", s.LastTerm, 3)
	m := raft.Message{Type: raft.MsgAppend, From: 2, To: 1, Term: 4, Index: 50, LogTerm: 1, Lo: 51, Hi: 102, EntryTerm: 2, Commit: 100}
	var pe *raft.ProtocolError
	if err := empty.Step(&m); !errors.As(err, &pe) {
		t.Errorf("entries of term 2 after one of term 3 give %v, want a ProtocolError", err)
	}
	empty.Ready()
	m.EntryTerm = 3
	if err := empty.Step(&m); err != nil {
		t.Fatal(err)
	}
	want(t, "appended of what overlaps the start", empty.Ready().Append, raft.Entries{Lo: 101, Hi: 102, Term: 3, Kind: raft.KindData})
}

func TestExpectedTerm(t *testing.T) {
	c := newCluster(t, 3)
	elect(t, c, 1)
	var not *raft.NotLeaderError
	for _, term := range []raft.Term{2, 99} {
		if _, err := c.ProposeAt(1, term, "a"); !errors.As(err, &not) || not.Leader != 1 || not.Term != 1 {
			t.Errorf("a proposal for term %d gives %v, want the leader and its term", term, err)
		}
	}
	if _, err := c.ProposeAt(1, 1, "a"); err != nil {
		t.Errorf("a proposal for the leader's term gives %v", err)
	}
	if _, err := c.Propose(2, "a"); !errors.As(err, &not) || not.Leader != 1 {
		t.Errorf("a follower answers %v, want the leader", err)
	}
	for _, sizes := range [][]int{nil, {-1}} {
		if _, err := c.Node(1).Core.Propose(0, sizes); err == nil {
			t.Errorf("sizes %v are accepted", sizes)
		}
	}
	c.Stabilize()
}

// The quota counts what is not committed, lets one proposal of any size pass, and
// is free again after the commit, and in the next leadership.
func TestUncommittedQuota(t *testing.T) {
	c := newCluster(t, 3, func(o *rafttest.Options) { o.Raft.MaxUncommittedBytes = 10 })
	elect(t, c, 1)
	propose(t, c, 1, strings.Repeat("x", 99))
	want(t, "uncommitted", status(c, 1).UncommittedBytes, 100)
	if _, err := c.Propose(1, "a"); !errors.Is(err, raft.ErrBusy) {
		t.Errorf("a proposal beyond the quota gives %v", err)
	}
	c.Stabilize()
	want(t, "uncommitted after the commit", status(c, 1).UncommittedBytes, 0)
	c.Isolate(1)
	for range 2 {
		propose(t, c, 1, "abcd")
	}
	if _, err := c.Propose(1, ""); !errors.Is(err, raft.ErrBusy) {
		t.Errorf("a proposal beyond the quota gives %v", err)
	}
	forget(c, 2, 3)
	elect(t, c, 2)
	c.Heal()
	for range 2 * electionTicks {
		c.TickAll()
	}
	forget(c, 1, 3)
	c.Isolate(2)
	elect(t, c, 1)
	want(t, "uncommitted in the next leadership", status(c, 1).UncommittedBytes, 0)
	propose(t, c, 1, "abcd")
}

// Proposals are taken before the no-op is committed, and follow it.
func TestProposeBeforeServing(t *testing.T) {
	c := newCluster(t, 3)
	c.Campaign(1)
	for range 4 {
		c.Deliver(nil)
	}
	want(t, "serving", status(c, 1).Serving, false)
	want(t, "index", propose(t, c, 1, "a"), 2)
	c.Stabilize()
	want(t, "commit", status(c, 1).Commit, 2)
}

// Several proposals may share a Ready and become one append.
func TestProposalsGather(t *testing.T) {
	c, err := raft.New(raft.Options{ID: 1, Voters: []raft.ReplicaID{1}}, noLog{}, raft.HardState{}, raft.LogState{})
	if err != nil {
		t.Fatal(err)
	}
	c.Campaign()
	c.Persisted(c.Ready().N)
	if _, err := c.Propose(0, []int{1}); !errors.Is(err, raft.ErrReadyFirst) {
		t.Errorf("a proposal in the Ready of the no-op gives %v", err)
	}
	c.Persisted(c.Ready().N)
	for range 3 {
		if _, err := c.Propose(0, []int{1, 1}); err != nil {
			t.Fatal(err)
		}
	}
	r := c.Ready()
	want(t, "append", r.Append, raft.Entries{Lo: 2, Hi: 8, Term: 1, Kind: raft.KindData})
	want(t, "pending", c.Pending(), false)
	want(t, "nothing more", c.Ready().N, 0)
}

// What the transport could not take is sent again when the peer is heard, or when
// the transport says that it can be reached.
func TestSentFeedback(t *testing.T) {
	c := newCluster(t, 3)
	elect(t, c, 1)
	c.TickAll()
	propose(t, c, 1, "a")
	propose(t, c, 1, "b")
	c.Take(typed(raft.MsgAppend, 3))
	sent := func(ok bool) { c.Sent(1, 3, ok) }
	sent(false)
	s := status(c, 1)
	want(t, "next", s.Peers[1].Next, 3)
	sent(false)
	sent(false) // more often than there is something
	s = status(c, 1)
	want(t, "next", s.Peers[1].Next, 2)
	want(t, "on their way", s.Peers[1].InflightBytes, 0)
	propose(t, c, 1, "c")
	want(t, "appends while it can't be reached", len(sentTo(c, raft.MsgAppend, 3)), 0)
	sent(true)
	got := sentTo(c, raft.MsgAppend, 3)
	want(t, "appends when it can", len(got), 1)
	want(t, "entries", fmt.Sprint(got[0].Lo, got[0].Hi), "2 5")
	c.Stabilize()
	want(t, "commit", status(c, 1).Commit, 4)
	sent(false)
	propose(t, c, 1, "d")
	c.Stabilize()
	c.Tick(1, heartbeatTicks)
	c.Stabilize()
	s = status(c, 1)
	want(t, "match after a heartbeat", s.Match(3), 5)
	c.Sent(1, 99, false) // nobody
	c.Sent(2, 1, false)  // no leader
}

func TestReadsAreBounded(t *testing.T) {
	c := newCluster(t, 3)
	elect(t, c, 1)
	c.Isolate(1)
	n := 0
	for ; ; n++ {
		if _, err := c.Read(1); err != nil {
			if !errors.Is(err, raft.ErrBusy) {
				t.Errorf("read %d gives %v", n, err)
			}
			break
		}
	}
	if n < 1000 || n > 10_000 {
		t.Errorf("%d reads wait", n)
	}
}

// What no correct replica sends is an error that names it, and has no effect.
func TestProtocolErrors(t *testing.T) {
	c := newCluster(t, 3, madeUp, withLogs(3, terms(1, 2, 3)))
	c.Node(1).Crash(0)
	c.Node(1).Mark(2)
	c.Node(1).Start()
	lead := raft.Message{Type: raft.MsgHeartbeat, From: 2, To: 1, Term: 3}
	hand(c, lead)
	for name, m := range map[string]raft.Message{
		"term 0":                        {Type: raft.MsgHeartbeat},
		"term too high":                 {Type: raft.MsgHeartbeat, Term: 1<<62 + 1},
		"index too high":                {Type: raft.MsgHeartbeat, Term: 3, Commit: 1<<62 + 1},
		"entry of a later term":         {Type: raft.MsgAppend, Term: 3, Index: 3, LogTerm: 3, Lo: 4, Hi: 5, EntryTerm: 4},
		"gap before the entries":        {Type: raft.MsgAppend, Term: 3, Index: 3, LogTerm: 3, Lo: 5, Hi: 6, EntryTerm: 3},
		"entries backwards":             {Type: raft.MsgAppend, Term: 3, Index: 3, LogTerm: 3, Lo: 4, Hi: 3, EntryTerm: 3},
		"term falls in the message":     {Type: raft.MsgAppend, Term: 3, Index: 3, LogTerm: 3, Lo: 4, Hi: 5, EntryTerm: 2},
		"entries of term 0":             {Type: raft.MsgAppend, Term: 3, Lo: 1, Hi: 2},
		"index without a term":          {Type: raft.MsgAppend, Term: 3, Index: 3, Lo: 4, Hi: 4},
		"vote: term without an index":   {Type: raft.MsgVote, Term: 4, LogTerm: 2},
		"another leader in the term":    {Type: raft.MsgAppend, From: 3, Term: 3, Index: 3, LogTerm: 3, Lo: 4, Hi: 4},
		"another committed entry":       {Type: raft.MsgAppend, Term: 3, Index: 2, LogTerm: 1, Lo: 3, Hi: 3},
		"replaces a committed entry":    {Type: raft.MsgAppend, Term: 3, Index: 1, LogTerm: 1, Lo: 2, Hi: 3, EntryTerm: 3},
		"hint without a term":           {Type: raft.MsgAppendReply, Reject: true, Term: 3, HintIndex: 2},
		"hint from behind its end":      {Type: raft.MsgAppendReply, Reject: true, Term: 3, HintIndex: 2, HintTerm: 1, HintFirst: 3},
		"more durable than verified":    {Type: raft.MsgAppendReply, Term: 3, Index: 2, HintIndex: 1},
		"heartbeat reply, more durable": {Type: raft.MsgHeartbeatReply, Term: 3, Index: 2, HintIndex: 1},
		"type":                          {Type: 99, Term: 3},
	} {
		if m.From == 0 {
			m.From = 2
		}
		m.To = 1
		before := fmt.Sprint(c.Node(1))
		err := c.Node(1).Step(rafttest.Envelope{Message: m})
		var pe *raft.ProtocolError
		if !errors.As(err, &pe) || pe.From != m.From || pe.Type != m.Type {
			t.Errorf("%s gives %v, want a ProtocolError", name, err)
		}
		want(t, name, fmt.Sprint(c.Node(1)), before)
	}
	for name, tc := range map[string]struct {
		m    raft.Message
		want error
	}{
		"wrong group":   {raft.Message{Type: raft.MsgHeartbeat, Group: raft.GroupID{1}, From: 2, To: 1, Term: 3}, raft.ErrWrongGroup},
		"wrong replica": {raft.Message{Type: raft.MsgHeartbeat, From: 2, To: 3, Term: 3}, raft.ErrWrongGroup},
		"unknown peer":  {raft.Message{Type: raft.MsgHeartbeatReply, From: 9, To: 1, Term: 3}, raft.ErrUnknownPeer},
		"nobody":        {raft.Message{Type: raft.MsgHeartbeat, To: 1, Term: 3}, raft.ErrUnknownPeer},
		"itself":        {raft.Message{Type: raft.MsgHeartbeat, From: 1, To: 1, Term: 3}, raft.ErrUnknownPeer},
	} {
		if err := c.Node(1).Core.Step(&tc.m); !errors.Is(err, tc.want) {
			t.Errorf("%s gives %v, want %v", name, err, tc.want)
		}
	}
	c.Take(nil)

	// On a leader: another leader of its term, and acknowledgements of what it
	// doesn't have.
	c = newCluster(t, 3, madeUp)
	elect(t, c, 1)
	for _, m := range []raft.Message{
		{Type: raft.MsgAppend, Index: 1, LogTerm: 1, Lo: 2, Hi: 2},
		{Type: raft.MsgHeartbeat},
		{Type: raft.MsgAppendReply, Index: 2, HintIndex: 2},
		{Type: raft.MsgHeartbeatReply, Index: 1, HintIndex: 7},
	} {
		m.From, m.To, m.Term = 2, 1, 1
		var pe *raft.ProtocolError
		if err := c.Node(1).Core.Step(&m); !errors.As(err, &pe) {
			t.Errorf("%v gives %v, want a ProtocolError", m, err)
		}
	}
	want(t, "role", status(c, 1).Role, raft.RoleLeader)
	// An answer to a round that was never asked confirms no read.
	id, _ := c.Read(1)
	c.Take(nil)
	hand(c, raft.Message{Type: raft.MsgHeartbeatReply, From: 2, To: 1, Term: 1, Context: 99})
	_, answered := c.Node(1).Reads[id]
	want(t, "answered", answered, false)
	s := status(c, 1)
	want(t, "match of nobody", s.Match(9), 0)
}

// A term at the end of the numbers, which only a forged message can bring, costs
// this group its elections and nothing else.
func TestTermsDontOverflow(t *testing.T) {
	c := newCluster(t, 3, madeUp)
	hand(c, raft.Message{Type: raft.MsgHeartbeat, From: 2, To: 1, Term: 1 << 62})
	want(t, "term", status(c, 1).Term, 1<<62)
	hand(c, raft.Message{Type: raft.MsgTimeoutNow, From: 2, To: 1, Term: 1 << 62})
	c.Tick(1, 5*electionTicks)
	want(t, "term", status(c, 1).Term, 1<<62)
}

// Proposals of very many leaderships without a commit: the oldest are forgotten,
// which leaves them unknown; the others are settled.
func TestOpenOutcomesAreBounded(t *testing.T) {
	c, err := raft.New(raft.Options{ID: 1, Voters: []raft.ReplicaID{1, 2}}, flatLog{1}, raft.HardState{}, raft.LogState{})
	if err != nil {
		t.Fatal(err)
	}
	var last raft.Ready
	pump := func() {
		for c.Pending() {
			if last = c.Ready(); last.N != 0 {
				c.Persisted(last.N)
			}
		}
	}
	step := func(m raft.Message) {
		m.From, m.To = 2, 1
		if err := c.Step(&m); err != nil {
			t.Fatalf("%v: %v", m, err)
		}
		pump()
	}
	const leaderships = 300
	for i := range uint64(leaderships) {
		term := raft.Term(2*i + 1)
		c.Campaign()
		pump()
		step(raft.Message{Type: raft.MsgPreVoteReply, Term: term, Context: 2*i + 1})
		step(raft.Message{Type: raft.MsgVoteReply, Term: term})
		if _, err := c.Propose(term, []int{1}); err != nil {
			t.Fatal(err)
		}
		pump()
		// Another leader replaces everything with one entry.
		step(raft.Message{Type: raft.MsgAppend, Term: term + 1, Lo: 1, Hi: 2, EntryTerm: term + 1})
	}
	last = raft.Ready{}
	m := raft.Message{Type: raft.MsgHeartbeat, From: 2, To: 1, Term: 2 * leaderships, Commit: 1}
	if err := c.Step(&m); err != nil {
		t.Fatal(err)
	}
	r := c.Ready()
	want(t, "commit", r.Commit, 1)
	want(t, "lost ranges", len(r.Lost), 256)
	want(t, "the newest", r.Lost[255], raft.LostRange{Lo: 3, Hi: 4, Term: 2*leaderships - 1})
}

// A driver that forgets Ready is told so, and nothing is mixed up.
func TestReadyComesBetweenAppends(t *testing.T) {
	c, err := raft.New(raft.Options{ID: 1, Voters: []raft.ReplicaID{1, 2}}, noLog{}, raft.HardState{}, raft.LogState{})
	if err != nil {
		t.Fatal(err)
	}
	m := raft.Message{Type: raft.MsgAppend, From: 2, To: 1, Term: 1, Lo: 1, Hi: 2, EntryTerm: 1}
	if err := c.Step(&m); err != nil {
		t.Fatal(err)
	}
	if err := c.Step(&m); !errors.Is(err, raft.ErrReadyFirst) {
		t.Errorf("a second append gives %v", err)
	}
	r := c.Ready()
	want(t, "append", r.Append, raft.Entries{Lo: 1, Hi: 2, Term: 1, Kind: raft.KindData})
	want(t, "number", r.N, 1)
	want(t, "hard state", r.Hard, raft.HardState{Term: 1})
	if err := c.Step(&m); err != nil {
		t.Errorf("after Ready it gives %v", err)
	}
	c.Persisted(1)
	c.Persisted(1) // again
	c.Persisted(0)
	want(t, "durable", c.Status().Durable, 1)
}

// Priority bends who comes first, never whether someone does.
func TestPriority(t *testing.T) {
	first := make(map[raft.ReplicaID]int)
	for seed := range uint64(100) {
		c := newCluster(t, 3, func(o *rafttest.Options) {
			o.Seed = seed
			o.PerNode = func(o *raft.Options) { o.Priority = map[raft.ReplicaID]int{1: 0, 2: 1, 3: -1}[o.ID] }
		})
		lead := c.WaitLeader(10 * electionTicks)
		first[lead]++
		c.Node(lead).Crash(0)
		if c.WaitLeader(10*electionTicks) == 0 {
			t.Fatalf("seed %d: no leader without %d", seed, lead)
		}
	}
	if first[2] < 75 || first[3] > 5 || first[0] > 0 {
		t.Errorf("first leaders by replica: %v; want mostly 2, hardly ever 3", first)
	}
}

func TestNames(t *testing.T) {
	for want, got := range map[string]fmt.Stringer{
		"leader": raft.RoleLeader, "role(9)": raft.Role(9), "no-op": raft.KindNoOp, "config": raft.KindConfig, "kind(0)": raft.Kind(0),
		"AppendReply": raft.MsgAppendReply, "MessageType(0)": raft.MessageType(0), "3/7": raft.EntryID{Term: 3, Index: 7},
	} {
		if got.String() != want {
			t.Errorf("%q, want %q", got.String(), want)
		}
	}
	for _, err := range []error{
		&raft.NotLeaderError{Term: 3}, &raft.NotLeaderError{Leader: 2, Term: 3},
		&raft.ProtocolError{From: 2, Type: raft.MsgVote, Term: 3, What: "x"}, &raft.DecodeError{What: "x"},
	} {
		if !strings.HasPrefix(err.Error(), "raft: ") {
			t.Errorf("%q doesn't say where it comes from", err)
		}
	}
}
