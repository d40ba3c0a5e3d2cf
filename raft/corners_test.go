package raft_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/logq/logq/raft"
	"github.com/logq/logq/raft/rafttest"
)

// The tests of this file reach the corners that no other test does. Each is a rule
// of its own, though a small one.

// follower3 is replica 1 of three with entries 1 to 4 of term 2, in term 3.
func follower3(t *testing.T, change ...func(o *raft.Options)) *bareCore {
	t.Helper()
	o := raft.Options{ID: 1, Voters: ids(1, 2, 3)}
	for _, f := range change {
		f(&o)
	}
	return newCore(t, o, raft.HardState{Term: 3}, raft.LogState{Last: 4, Terms: []raft.TermStart{{Term: 2, First: 1}}})
}

// A driver that forgets the Ready of a jump is told so, like one of an append.
func TestReadyComesAfterAJump(t *testing.T) {
	core := follower3(t)
	m := raft.Message{Type: raft.MsgJump, From: 2, To: 1, Term: 3, Index: 9, LogTerm: 3, Commit: 9}
	if err := core.Step(&m, raft.ConfigEntry{}); err != nil {
		t.Fatal(err)
	}
	if err := core.Step(&m, raft.ConfigEntry{}); !errors.Is(err, raft.ErrReadyFirst) {
		t.Errorf("a second message gives %v", err)
	}
	// A fault in between forgets the jump.
	core.Faulted(nil)
	core.pump()
	want(t, "logs begun anew", len(core.jumps), 0)
	want(t, "pending", core.Pending(), false)
}

// Numbers beyond all bounds are refused wherever they stand.
func TestNumbersAreBounded(t *testing.T) {
	for name, m := range map[string]raft.Message{
		"index":      {Type: raft.MsgVote, Index: 1<<62 + 1, LogTerm: 1},
		"high":       {Type: raft.MsgAppend, Lo: 1, Hi: 1<<62 + 1, EntryTerm: 1},
		"commit":     {Type: raft.MsgHeartbeat, Commit: 1<<62 + 1},
		"hint":       {Type: raft.MsgAppendReply, HintIndex: 1<<62 + 1},
		"hint term":  {Type: raft.MsgAppendReply, Reject: true, HintIndex: 1, HintTerm: 1<<62 + 1},
		"log term":   {Type: raft.MsgVote, Index: 1, LogTerm: 4},
		"entry term": {Type: raft.MsgAppend, Lo: 1, Hi: 2, EntryTerm: 4},
		// Heartbeats are refused by an AppendReply.
		"match of a refusal": {Type: raft.MsgHeartbeatReply, Reject: true, Index: 9},
	} {
		core := follower3(t)
		m.From, m.To, m.Term = 2, 1, 3
		var pe *raft.ProtocolError
		if err := core.Step(&m); !errors.As(err, &pe) {
			t.Errorf("%s out of range gives %v", name, err)
		}
	}
	full := newCore(t, raft.Options{ID: 1, Voters: ids(1)}, raft.HardState{Term: 1}, raft.LogState{
		Last: 1<<62 - 1, Terms: []raft.TermStart{{Term: 1, First: 1}},
	})
	full.lead(t)
	if _, err := full.Propose(0, []int{1}); err == nil {
		t.Error("an entry behind the last index is proposed")
	}
}

func TestOptionsAreBounded(t *testing.T) {
	for name, change := range map[string]func(o *raft.Options){
		"election ticks": func(o *raft.Options) { o.ElectionTicks = 1<<20 + 1 },
		"messages":       func(o *raft.Options) { o.MaxInflightMessages = 1<<10 + 1 },
		"no messages":    func(o *raft.Options) { o.MaxInflightMessages = -1 },
		"voters":         func(o *raft.Options) { o.Voters = make([]raft.ReplicaID, raft.MembersMax+1) },
	} {
		o := raft.Options{ID: 1, Voters: ids(1)}
		change(&o)
		if _, err := raft.New(o, flatLog{1}, raft.HardState{}, raft.LogState{}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := raft.New(raft.Options{ID: 1}, flatLog{1}, raft.HardState{}, raft.LogState{
		Prev: raft.EntryID{Term: 1, Index: 4}, Last: 5, Damaged: 4, Unsettled: 4, Terms: []raft.TermStart{{Term: 1, First: 5}},
	}); err == nil {
		t.Error("damage before the start of the log is accepted")
	}
}

// The joint state is committed and not left yet, since no Ready came in between: no
// other change is taken, and proposals that wait go first.
func TestJointStateBetweenReadys(t *testing.T) {
	core := newCore(t, raft.Options{ID: 1, Voters: ids(1, 2)}, raft.HardState{}, raft.LogState{})
	core.lead(t)
	ack := func(i raft.Index) {
		t.Helper()
		m := raft.Message{Type: raft.MsgAppendReply, From: 2, To: 1, Term: 1, Index: i, HintIndex: i, Context: 1}
		if err := core.Step(&m); err != nil {
			t.Fatal(err)
		}
	}
	ack(1)
	core.pump()
	at, err := core.ProposeConfig(0, ids(1), ids(2))
	if err != nil {
		t.Fatal(err)
	}
	core.pump()
	first, err := core.Propose(0, []int{1})
	if err != nil {
		t.Fatal(err)
	}
	ack(at)
	want(t, "commit", core.Status().Commit, at)
	want(t, "joint", core.Status().Config.Joint(), true)
	if _, err := core.ProposeConfig(at, ids(1), nil); !errors.Is(err, raft.ErrConfigPending) {
		t.Errorf("another change gives %v", err)
	}
	core.pump()
	want(t, "joint", core.Status().Config.Joint(), false)
	want(t, "appended", fmt.Sprint(core.appends[2:]), fmt.Sprint([]raft.Entries{
		{Lo: first, Hi: first + 1, Term: 1, Kind: raft.KindData}, {Lo: first + 1, Hi: first + 2, Term: 1, Kind: raft.KindConfig},
	}))
}

// A follower that is told to jump has more than the start after all, and says so in
// the answer to a heartbeat: the jump is repeated, to which it answers with what it
// has, as to an append.
func TestJumpTurnsOutToBeNeedless(t *testing.T) {
	start := func() *bareCore {
		core := newCore(t, raft.Options{ID: 1, Voters: ids(1, 2, 3)}, raft.HardState{Term: 2}, raft.LogState{
			Prev: raft.EntryID{Term: 1, Index: 10}, Last: 14, Terms: []raft.TermStart{{Term: 2, First: 11}},
		})
		core.lead(t)
		sent := core.step(t, raft.Message{
			Type: raft.MsgAppendReply, Reject: true, From: 2, Term: 3, Index: 14, LogTerm: 2, HintIndex: 4, HintTerm: 1, HintFirst: 1, Context: 1,
		})
		want(t, "message", sent[0].Type, raft.MsgJump)
		want(t, "jumping", core.Status().Peers[0].Jumping, true)
		return core
	}
	core := start()
	sent := core.step(t, raft.Message{Type: raft.MsgHeartbeatReply, From: 2, Term: 3, Index: 12, HintIndex: 12})
	want(t, "messages", len(sent), 1)
	want(t, "match", core.Status().Peers[0].Match, 12)
	sent = core.step(t, raft.Message{Type: raft.MsgAppendReply, From: 2, Term: 3, Index: 12, HintIndex: 12, Context: sent[0].Context})
	want(t, "then it goes on from", fmt.Sprint(sent[0].Type, sent[0].Lo), fmt.Sprint(raft.MsgAppend, 13))
}

// Between a refusal and the Ready that answers it nothing is on its way, so nothing
// is taken for lost.
func TestHeartbeatAnswerBetweenReadys(t *testing.T) {
	core := follower3(t)
	core.lead(t)
	core.step(t, raft.Message{Type: raft.MsgAppendReply, From: 3, Term: 4, Index: 5, HintIndex: 5, Context: 1})
	for range heartbeatTicks {
		core.Tick()
	}
	core.pump()
	for _, m := range []raft.Message{
		{Type: raft.MsgAppendReply, Reject: true, Index: 4, LogTerm: 2, HintIndex: 2, HintTerm: 2, HintFirst: 1, Context: 1},
		{Type: raft.MsgHeartbeatReply, Context: 1},
	} {
		m.From, m.To, m.Term = 2, 1, 4
		if err := core.Step(&m); err != nil {
			t.Fatal(err)
		}
	}
	core.Sent(2, true)
	sent := core.pump()
	want(t, "messages", len(sent), 1)
	want(t, "appends from", fmt.Sprint(sent[0].Type, sent[0].Lo), fmt.Sprint(raft.MsgAppend, 3))
}

// After a fault nothing does anything, and nothing panics.
func TestFaultedTakesAllInputs(t *testing.T) {
	core := follower3(t, func(o *raft.Options) { o.Quiesce = true })
	core.lead(t)
	core.Faulted(nil)
	core.pump()
	before := fmt.Sprintf("%+v", core.Status())
	core.Tick()
	core.Campaign()
	core.Sent(2, true)
	core.PeerDown(2, true)
	core.Wake(3)
	core.LearnCommitted(raft.EntryID{Term: 2, Index: 4})
	core.Persisted(0)
	want(t, "state", fmt.Sprintf("%+v", core.Status()), before)
	want(t, "pending", core.Pending(), false)

	// A quiet one stops too, and isn't quiet any more.
	quiet := follower3(t, func(o *raft.Options) { o.Quiesce = true })
	quiet.step(t, raft.Message{Type: raft.MsgAppend, From: 2, Term: 3, Index: 4, LogTerm: 2, Lo: 5, Hi: 5, Commit: 4})
	quiet.step(t, raft.Message{Type: raft.MsgHeartbeat, From: 2, Term: 3, Commit: 4, Context: 1, Quiet: true})
	want(t, "quiet", quiet.Quiet(), true)
	quiet.Faulted(nil)
	want(t, "quiet", quiet.Quiet(), false)
}

// The lease remembers a bounded number of rounds, and the newest of them.
func TestLeaseRoundsAreBounded(t *testing.T) {
	c, err := raft.New(raft.Options{ID: 1, Voters: ids(1, 2), ElectionTicks: 1000, HeartbeatTicks: 1, Lease: 5}, flatLog{1}, raft.HardState{}, raft.LogState{})
	if err != nil {
		t.Fatal(err)
	}
	core := &bareCore{Core: c}
	core.lead(t)
	core.step(t, raft.Message{Type: raft.MsgAppendReply, From: 2, Term: 1, Index: 1, HintIndex: 1, Context: 1})
	const rounds = 200
	for i := range uint64(rounds) {
		core.SetClock(i + 1)
		core.Tick()
		core.pump()
	}
	answered := func() bool {
		before := len(core.reads)
		if _, err := core.Read(); err != nil {
			t.Fatal(err)
		}
		core.pump()
		return len(core.reads) > before
	}
	core.step(t, raft.Message{Type: raft.MsgHeartbeatReply, From: 2, Term: 1, Index: 1, HintIndex: 1, Context: rounds - 10})
	want(t, "lease by an old round", answered(), false)
	core.step(t, raft.Message{Type: raft.MsgHeartbeatReply, From: 2, Term: 1, Index: 1, HintIndex: 1, Context: rounds})
	want(t, "lease by the newest", answered(), true)
}

// A follower agrees to be quiet only with the option, with everything on its disk,
// and when nothing is on its way there.
func TestQuietFollowerHasEverything(t *testing.T) {
	hush := raft.Message{Type: raft.MsgHeartbeat, From: 2, Term: 3, Commit: 4, Context: 1, Quiet: true}
	verify := raft.Message{Type: raft.MsgAppend, From: 2, Term: 3, Index: 4, LogTerm: 2, Lo: 5, Hi: 5, Commit: 4}
	option := func(o *raft.Options) { o.Quiesce = true }
	for name, tc := range map[string]struct {
		quiesce bool
		first   []raft.Message
		hush    raft.Message
		quiet   bool
	}{
		"all there":            {true, []raft.Message{verify}, hush, true},
		"without the option":   {false, []raft.Message{verify}, hush, false},
		"not verified":         {true, nil, hush, false},
		"the leader has more":  {true, []raft.Message{verify}, raft.Message{Type: raft.MsgHeartbeat, From: 2, Term: 3, Commit: 5, Context: 1, Quiet: true}, false},
		"not asked":            {true, []raft.Message{verify}, raft.Message{Type: raft.MsgHeartbeat, From: 2, Term: 3, Commit: 4, Context: 1}, false},
		"a vote is on its way": {true, []raft.Message{{Type: raft.MsgVote, From: 2, Term: 3, Index: 4, LogTerm: 2}, verify}, hush, false},
	} {
		core := follower3(t)
		if tc.quiesce {
			core = follower3(t, option)
		}
		core.hold = true
		for _, m := range tc.first {
			core.step(t, m)
		}
		sent := core.step(t, tc.hush)
		want(t, name+": quiet", core.Quiet(), tc.quiet)
		want(t, name+": agrees", sent[len(sent)-1].Quiet, tc.quiet)
	}
}

// A leader asks its followers to be quiet only when its own disk has everything and
// no joint state is to be left, and takes no answer to a question that it didn't ask.
func TestQuietLeaderHasEverything(t *testing.T) {
	start := func() *bareCore {
		core := newCore(t, raft.Options{ID: 1, Voters: ids(1, 2, 3), Quiesce: true}, raft.HardState{}, raft.LogState{})
		core.lead(t)
		for _, id := range ids(2, 3) {
			core.step(t, raft.Message{Type: raft.MsgAppendReply, From: id, Term: 1, Index: 1, HintIndex: 1, Context: 1})
		}
		return core
	}
	asks := func(core *bareCore) bool {
		for range heartbeatTicks {
			core.Tick()
		}
		for _, m := range core.pump() {
			if m.Type == raft.MsgHeartbeat && m.Quiet {
				return true
			}
		}
		return false
	}
	ack := func(core *bareCore, i raft.Index) {
		for _, id := range ids(2, 3) {
			m := raft.Message{Type: raft.MsgAppendReply, From: id, To: 1, Term: 1, Index: i, HintIndex: i, Context: 2}
			if err := core.Step(&m); err != nil {
				t.Fatal(err)
			}
		}
	}
	core := start()
	want(t, "asks", asks(core), true)
	core.step(t, raft.Message{Type: raft.MsgHeartbeatReply, From: 2, Term: 1, Index: 1, HintIndex: 1, Context: 1, Quiet: true})
	core.step(t, raft.Message{Type: raft.MsgHeartbeatReply, From: 3, Term: 1, Index: 1, HintIndex: 1, Context: 1, Quiet: true})
	want(t, "quiet", core.Quiet(), true)

	core = start()
	if _, err := core.Read(); err != nil { // round 1 asks nobody to be quiet
		t.Fatal(err)
	}
	core.pump()
	for _, id := range ids(2, 3) {
		core.step(t, raft.Message{Type: raft.MsgHeartbeatReply, From: id, Term: 1, Index: 1, HintIndex: 1, Context: 1, Quiet: true})
	}
	want(t, "quiet by answers that were not asked for", core.Quiet(), false)

	core = start()
	core.hold = true
	if _, err := core.Propose(0, []int{1}); err != nil {
		t.Fatal(err)
	}
	core.pump()
	ack(core, 2)
	core.pump()
	want(t, "commit", core.Status().Commit, 2)
	want(t, "asks while its own disk lacks an entry", asks(core), false)
	core.flush()
	want(t, "asks when it has it", asks(core), true)

	core = start()
	if _, err := core.ProposeConfig(0, ids(1, 2), ids(3)); err != nil {
		t.Fatal(err)
	}
	core.pump()
	ack(core, 2) // and no Ready, which would leave the joint state
	want(t, "commit", core.Status().Commit, 2)
	want(t, "asks in the joint state", asks(core), false)
}

// What another replica knows to be committed is committed here too, if it is here.
func TestLearnCommitted(t *testing.T) {
	core := follower3(t)
	for _, e := range []raft.EntryID{{Term: 2, Index: 9}, {Term: 1, Index: 3}, {Term: 3, Index: 3}, {}} {
		core.LearnCommitted(e)
		want(t, fmt.Sprintf("commit after %v", e), core.Status().Commit, 0)
	}
	core.LearnCommitted(raft.EntryID{Term: 2, Index: 3})
	core.pump()
	want(t, "commit", core.commit, 3)
	core.LearnCommitted(raft.EntryID{Term: 2, Index: 2})
	want(t, "commit", core.Status().Commit, 3)
}

// Reports of writes come in order; what was reported, or is older than all that
// waits, changes nothing.
func TestPersistedAgain(t *testing.T) {
	core := follower3(t)
	core.hold = true
	for i := range raft.Index(3) {
		core.step(t, raft.Message{Type: raft.MsgAppend, From: 2, Term: 3, Index: 4 + i, LogTerm: raft.Term(2 + min(i, 1)), Lo: 5 + i, Hi: 6 + i, EntryTerm: 3})
	}
	want(t, "writes", fmt.Sprint(core.held), "[1 2 3]")
	core.Persisted(2)
	want(t, "durable", core.Status().Durable, 6)
	core.Persisted(1)
	core.Persisted(2)
	want(t, "durable", core.Status().Durable, 6)
	core.Persisted(3)
	want(t, "durable", core.Status().Durable, 7)
}

func TestMoreNames(t *testing.T) {
	for want, got := range map[string]fmt.Stringer{
		"MessageType(99)": raft.MessageType(99),
		"1->2 Heartbeat term=3 commit=4 ctx=5 quiet":    raft.Message{Type: raft.MsgHeartbeat, From: 1, To: 2, Term: 3, Commit: 4, Context: 5, Quiet: true},
		"1->2 Jump term=3 to=2/7 commit=9 ctx=5":        raft.Message{Type: raft.MsgJump, From: 1, To: 2, Term: 3, Index: 7, LogTerm: 2, Commit: 9, Context: 5},
		"1->2 Vote term=3 last=2/7 transfer":            raft.Message{Type: raft.MsgVote, From: 1, To: 2, Term: 3, Index: 7, LogTerm: 2, Transfer: true},
		"1->2 PreVoteReply term=3 ctx=5 reject":         raft.Message{Type: raft.MsgPreVoteReply, From: 1, To: 2, Term: 3, Context: 5, Reject: true},
		"1->2 AppendReply term=3 match=7 verified=9":    raft.Message{Type: raft.MsgAppendReply, From: 1, To: 2, Term: 3, Index: 7, HintIndex: 9},
		"1->2 Append term=3 prev=2/7 commit=4":          raft.Message{Type: raft.MsgAppend, From: 1, To: 2, Term: 3, Index: 7, LogTerm: 2, Lo: 8, Hi: 8, Commit: 4},
		"voters(1,2) outgoing(2,3) learners(4)":         raft.Config{Voters: ids(1, 2), Outgoing: ids(2, 3), Learners: ids(4)},
		"1->2 HeartbeatReply term=3 match=7 verified=9": raft.Message{Type: raft.MsgHeartbeatReply, From: 1, To: 2, Term: 3, Index: 7, HintIndex: 9},
	} {
		if got.String() != want {
			t.Errorf("%q, want %q", got.String(), want)
		}
	}
	for what, same := range map[string][2]raft.Config{
		"voters":   {{Voters: ids(1)}, {Voters: ids(2)}},
		"outgoing": {{Voters: ids(1), Outgoing: ids(1)}, {Voters: ids(1), Outgoing: ids(2)}},
		"learners": {{Voters: ids(1), Learners: ids(3)}, {Voters: ids(1), Learners: ids(2)}},
	} {
		want(t, "equal with other "+what, same[0].Equal(same[1]), false)
	}
	c := newCluster(t, 4, founders(3))
	elect(t, c, 1)
	teach(t, c, 1, 4)
	s := status(c, 1)
	want(t, "match of a learner", s.Match(4), s.Last)
	c.Cut = func(*rafttest.Envelope) bool { return true }
}
