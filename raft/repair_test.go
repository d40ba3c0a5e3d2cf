package raft_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/logq/logq/internal/invariants"
	"github.com/logq/logq/raft"
	"github.com/logq/logq/raft/rafttest"
	"github.com/logq/logq/raft/spec"
)

// The tests of this file are about replicas whose disk has lost or damaged what it
// had: S8, D3, S30, S35.

// ackedAndLost makes a cluster of three in which entry 2 is committed by 1 and 2,
// and 2 has lost it from its disk; noticed says that it knows.
func ackedAndLost(t *testing.T, noticed bool) *rafttest.Cluster {
	t.Helper()
	c := newCluster(t, 3, func(o *rafttest.Options) { o.Unchecked = !noticed })
	elect(t, c, 1)
	c.Isolate(3)
	at := propose(t, c, 1, "a")
	c.Stabilize()
	want(t, "commit", status(c, 1).Commit, at)
	n := c.Node(2)
	n.Crash(0)
	if noticed {
		n.Rot(1)
	} else {
		n.Wipe(1)
	}
	c.Heal()
	n.StartForgetful()
	c.Take(nil)
	want(t, "last", status(c, 2).Last, at-1)
	want(t, "repairing", status(c, 2).Repairing, noticed)
	return c
}

// S8 (b): a voter has lost what it had acknowledged, and there is evidence. It votes
// only for logs that have it. The naive version, which votes by the log that it has,
// elects a leader without a committed entry: that is shown first.
func TestS8_VoterHasLostWhatItAcknowledged(t *testing.T) {
	for _, noticed := range []bool{false, true} {
		c := ackedAndLost(t, noticed)
		c.Node(1).Crash(0)
		forget(c, 2, 3)
		for _, id := range ids(3, 2) {
			c.Campaign(id)
			c.Stabilize()
		}
		want(t, fmt.Sprintf("noticed %v: somebody leads without the committed entry", noticed), c.Leader() != 0, !noticed)
		if !noticed {
			continue
		}
		for range 10 * electionTicks {
			c.TickAll()
		}
		want(t, "leader", c.Leader(), 0)
		// With who has it, the group goes on, also with the repaired one alone.
		c.Node(1).Start()
		lead := c.WaitLeader(20 * electionTicks)
		want(t, "leader", lead, 1)
		want(t, "repairing", status(c, 2).Repairing, false)
		c.Node(1).Crash(0)
		lead = c.WaitLeader(20 * electionTicks)
		want(t, "the repaired one votes and may lead", lead == 2 || lead == 3, true)
		want(t, "committed entry", c.Node(lead).Log[1].Data, "a")
	}
}

// S8 (nats-server#7587, cockroach#30260 and more: processes that panicked): the
// leader learns that a follower has less than it had acknowledged. It counts on
// nothing there and sends it again.
func TestS8_LeaderLowersTheMatch(t *testing.T) {
	c := ackedAndLost(t, true)
	c.Isolate(3)
	want(t, "match before", peerOf(c, 1, 2).Match, 2)
	c.Node(2).AutoDisk = false
	at := propose(t, c, 1, "b")
	for range 3 * heartbeatTicks {
		c.Tick(1, 1)
		c.Stabilize()
	}
	want(t, "role", status(c, 1).Role, raft.RoleLeader)
	if m := peerOf(c, 1, 2).Match; m > 1 {
		t.Errorf("match %d, on its disk is entry 1", m)
	}
	want(t, "commit, which never falls", status(c, 1).Commit, at-1)
	c.Node(2).Flush()
	c.Stabilize()
	want(t, "match when it has all again", peerOf(c, 1, 2).Match, at)
	want(t, "commit", status(c, 1).Commit, at)
	want(t, "repairing", status(c, 2).Repairing, false)
}

// S8: what repair asks for, by the candidate's last entry. The own log counts too.
func TestS8_RepairingVoterComparesWithWhatItHad(t *testing.T) {
	for _, tc := range []struct {
		last    raft.EntryID
		granted bool
	}{
		{raft.EntryID{Term: 2, Index: 4}, false},
		{raft.EntryID{Term: 2, Index: 8}, false},
		{raft.EntryID{Term: 2, Index: 9}, true},
		{raft.EntryID{Term: 2, Index: 10}, true},
		{raft.EntryID{Term: 1, Index: 99}, false},
		{raft.EntryID{Term: 3, Index: 1}, true},
	} {
		for _, typ := range []raft.MessageType{raft.MsgPreVote, raft.MsgVote} {
			core := newCore(t, raft.Options{ID: 1, Voters: ids(1, 2, 3)}, raft.HardState{Term: 3}, raft.LogState{
				Last: 4, Terms: []raft.TermStart{{Term: 2, First: 1}}, Promised: raft.EntryID{Term: 2, Index: 9},
			})
			sent := core.step(t, raft.Message{Type: typ, From: 2, Term: 4, Index: tc.last.Index, LogTerm: tc.last.Term, Context: 1})
			want(t, fmt.Sprintf("%v for a log up to %v: granted", typ, tc.last), !sent[len(sent)-1].Reject, tc.granted)
		}
	}
}

// S8: a repairing replica's own vote doesn't count. A majority of the others is
// enough; then none of them has what it lost, and so that was not committed.
func TestS8_RepairingCandidateDoesNotCountItself(t *testing.T) {
	lost := raft.LogState{Last: 4, Terms: []raft.TermStart{{Term: 2, First: 1}}, Promised: raft.EntryID{Term: 2, Index: 9}}
	core := newCore(t, raft.Options{ID: 1, Voters: ids(1, 2, 3)}, raft.HardState{Term: 3}, lost)
	core.Campaign()
	core.pump()
	core.step(t, raft.Message{Type: raft.MsgPreVoteReply, From: 2, Term: 4, Context: 1})
	want(t, "role by one of two others", core.Status().Role, raft.RolePreCandidate)
	core.step(t, raft.Message{Type: raft.MsgPreVoteReply, From: 3, Term: 4, Context: 1})
	want(t, "role by both", core.Status().Role, raft.RoleCandidate)
	core.step(t, raft.Message{Type: raft.MsgVoteReply, From: 2, Term: 4})
	want(t, "role by one of two others", core.Status().Role, raft.RoleCandidate)
	core.step(t, raft.Message{Type: raft.MsgVoteReply, From: 3, Term: 4})
	want(t, "role by both", core.Status().Role, raft.RoleLeader)
	want(t, "repairing as a leader", core.Status().Repairing, false)
	// Alone it has nobody to trust.
	alone := newCore(t, raft.Options{ID: 1, Voters: ids(1)}, raft.HardState{Term: 3}, lost)
	for range 10 * electionTicks {
		alone.Tick()
		alone.pump()
	}
	want(t, "role of a single voter that lost its tail", alone.Status().Role, raft.RoleFollower)
}

// S8: the repair ends when the log is as up-to-date on disk as it was: by the lost
// entries, by another's of a later term, or by a jump; not before the disk has it.
func TestS8_RepairEnds(t *testing.T) {
	for name, tc := range map[string]struct {
		m    raft.Message
		ends bool
	}{
		"less of the same term": {raft.Message{Type: raft.MsgAppend, Index: 4, LogTerm: 2, Lo: 5, Hi: 9, EntryTerm: 2}, false},
		"all of the same term":  {raft.Message{Type: raft.MsgAppend, Index: 4, LogTerm: 2, Lo: 5, Hi: 10, EntryTerm: 2}, true},
		"one of a later term":   {raft.Message{Type: raft.MsgAppend, Index: 4, LogTerm: 2, Lo: 5, Hi: 6, EntryTerm: 4}, true},
		"a jump short of it":    {raft.Message{Type: raft.MsgJump, Index: 8, LogTerm: 2, Commit: 8}, false},
		"a jump to it":          {raft.Message{Type: raft.MsgJump, Index: 9, LogTerm: 2, Commit: 9}, true},
		"a jump of later term":  {raft.Message{Type: raft.MsgJump, Index: 8, LogTerm: 3, Commit: 8}, true},
	} {
		core := newCore(t, raft.Options{ID: 1, Voters: ids(1, 2, 3)}, raft.HardState{Term: 4}, raft.LogState{
			Last: 4, Terms: []raft.TermStart{{Term: 2, First: 1}}, Promised: raft.EntryID{Term: 2, Index: 9},
		})
		core.hold = true
		tc.m.From, tc.m.Term = 2, 4
		if tc.m.Type == raft.MsgJump {
			core.step(t, tc.m, raft.ConfigEntry{Config: raft.Config{Voters: ids(1, 2, 3)}})
		} else {
			core.step(t, tc.m)
		}
		want(t, name+": repairing before it is durable", core.Status().Repairing, true)
		core.flush()
		want(t, name+": repairing", core.Status().Repairing, !tc.ends)
	}
}

// D3: all replicas lose power under load, and each has a torn tail that nobody was
// told of. That is no evidence, so all vote. Were a torn tail enough to abstain, as
// in the naive version that is shown first, nobody could be elected.
func TestD3_TornTailsDontBarFromVoting(t *testing.T) {
	for _, naive := range []bool{true, false} {
		c := newCluster(t, 3)
		elect(t, c, 1)
		propose(t, c, 1, "a")
		c.Stabilize()
		for _, n := range c.Nodes {
			n.AutoDisk = false
		}
		propose(t, c, 1, "b", "c", "d")
		c.Stabilize()
		for i, n := range c.Nodes {
			if naive {
				n.WriteSilently()
				n.Crash(0)
				n.Rot(1) // what tore is taken for a loss
			} else {
				n.Crash(i)
			}
		}
		for _, n := range c.Nodes {
			n.AutoDisk = true
			n.StartForgetful()
		}
		lead := c.WaitLeader(10 * electionTicks)
		want(t, fmt.Sprintf("naive %v: there is a leader", naive), lead != 0, !naive)
		if !naive {
			propose(t, c, lead, "e")
			c.Stabilize()
		}
	}
}

// A replica with an entry that it can't read, and that may not be committed, acknowledges
// what is before, and all again when it is repaired. What is known to be committed
// doesn't matter: nobody counts on this replica for it any more.
func TestDamagedFollower(t *testing.T) {
	c := newCluster(t, 3)
	elect(t, c, 1)
	c.Isolate(3)
	propose(t, c, 1, "a", "b", "c")
	for range 2 * heartbeatTicks {
		c.TickAll()
	}
	c.Node(2).Damage(3)
	want(t, "damaged", fmt.Sprint(status(c, 2).Damaged, status(c, 2).Unsettled), "3 0")
	at := propose(t, c, 1, "d")
	c.Stabilize()
	want(t, "commit counts on it with damage in what is committed", status(c, 1).Commit, at)
	c.Node(2).Repair()

	at = propose(t, c, 1, "e")
	c.Deliver(typed(raft.MsgAppend, 2))
	c.Take(nil) // so it doesn't know that this is committed
	c.Node(2).Damage(at)
	want(t, "damaged", fmt.Sprint(status(c, 2).Damaged, status(c, 2).Unsettled), fmt.Sprint(at, at))
	propose(t, c, 1, "f")
	c.Take(nil)
	c.Tick(1, heartbeatTicks)
	c.Deliver(typed(raft.MsgHeartbeat, 2))
	want(t, "acknowledged", sentTo(c, raft.MsgHeartbeatReply, 1)[0].Index, at-1)
	c.Stabilize()
	c.Node(2).Repair()
	want(t, "damaged", status(c, 2).Damaged, 0)
	for range 2 * heartbeatTicks {
		c.TickAll()
	}
	want(t, "commit", status(c, 1).Commit, at+1)
}

// A leader that can't read what is committed leads on: others have it. One that
// can't read what may be its alone hands over.
func TestDamagedLeader(t *testing.T) {
	c := newCluster(t, 3)
	elect(t, c, 1)
	propose(t, c, 1, "a", "b")
	c.Stabilize()
	c.Node(1).Damage(2)
	want(t, "role", status(c, 1).Role, raft.RoleLeader)
	c.Isolate(3)
	at := propose(t, c, 1, "c")
	c.Stabilize()
	want(t, "commit by one other and itself", status(c, 1).Commit, at)

	at = propose(t, c, 1, "e")
	c.Node(1).Damage(at)
	want(t, "role", status(c, 1).Role, raft.RoleFollower)
	c.Heal()
	c.Stabilize()
	if c.WaitLeader(10*electionTicks) == 0 {
		t.Errorf("no leader: %v", c.Nodes)
	}
}

// Who has asked for votes with a log that it can't read gives up. A damaged replica
// offers what is before the damage, and drops the rest when it wins by others alone.
func TestDamagedCandidate(t *testing.T) {
	ls := raft.LogState{Last: 6, Terms: []raft.TermStart{{Term: 1, First: 1}, {Term: 2, First: 4}}}
	for _, role := range []raft.Role{raft.RolePreCandidate, raft.RoleCandidate} {
		core := newCore(t, raft.Options{ID: 1, Voters: ids(1, 2, 3)}, raft.HardState{Term: 3}, ls)
		core.Campaign()
		core.pump()
		if role == raft.RoleCandidate {
			core.step(t, raft.Message{Type: raft.MsgPreVoteReply, From: 2, Term: 4, Context: 1})
		}
		want(t, "role", core.Status().Role, role)
		if err := core.SetDamaged(5, 5); err != nil {
			t.Fatal(err)
		}
		want(t, "role", core.Status().Role, raft.RoleFollower)
	}
	core := newCore(t, raft.Options{ID: 1, Voters: ids(1, 2, 3)}, raft.HardState{Term: 3}, ls)
	if err := core.SetDamaged(5, 5); err != nil {
		t.Fatal(err)
	}
	core.Campaign()
	sent := core.pump()
	want(t, "offers", fmt.Sprint(sent[0].LogTerm, sent[0].Index), "2 4")
	core.step(t, raft.Message{Type: raft.MsgPreVoteReply, From: 2, Term: 4, Context: 1})
	sent = core.step(t, raft.Message{Type: raft.MsgPreVoteReply, From: 3, Term: 4, Context: 1})
	want(t, "offers", fmt.Sprint(sent[0].Type, sent[0].LogTerm, sent[0].Index), fmt.Sprint(raft.MsgVote, 2, 4))
	core.step(t, raft.Message{Type: raft.MsgVoteReply, From: 2, Term: 4})
	want(t, "role by one of two others", core.Status().Role, raft.RoleCandidate)
	core.step(t, raft.Message{Type: raft.MsgVoteReply, From: 3, Term: 4})
	want(t, "role by both", core.Status().Role, raft.RoleLeader)
	want(t, "dropped from", fmt.Sprint(core.cuts), "[5]")
	want(t, "damaged", core.Status().Damaged, 0)
	want(t, "no-op", core.appends[len(core.appends)-1], raft.Entries{Lo: 5, Hi: 6, Term: 4, Kind: raft.KindNoOp})

	// What is known to be committed is on others: it waits for them.
	ls.Commit = 5
	core = newCore(t, raft.Options{ID: 1, Voters: ids(1, 2, 3)}, raft.HardState{Term: 3}, ls)
	if err := core.SetDamaged(5, 5); err != nil {
		t.Fatal(err)
	}
	core.Campaign()
	want(t, "messages", len(core.pump()), 0)
	want(t, "messages on behalf of a leader", len(core.step(t, raft.Message{Type: raft.MsgTimeoutNow, From: 2, Term: 4})), 0)
	// It votes by its whole log all the same.
	sent = core.step(t, raft.Message{Type: raft.MsgVote, From: 3, Term: 5, Index: 5, LogTerm: 2, Transfer: true})
	want(t, "vote for a log up to the damage", sent[0].Reject, true)
}

// Damage goes with the entries: when a leader replaces them, when retention drops
// them, when the log begins anew.
func TestDamageGoesWithTheEntries(t *testing.T) {
	start := func() *bareCore {
		return newCore(t, raft.Options{ID: 1, Voters: ids(1, 2, 3)}, raft.HardState{Term: 3}, raft.LogState{
			Last: 6, Commit: 3, Damaged: 3, Terms: []raft.TermStart{{Term: 1, First: 1}},
		})
	}
	core := start()
	// Nothing is cut off behind damage: that may be the evidence of it.
	later := raft.Message{Type: raft.MsgAppend, From: 2, To: 1, Term: 3, Index: 4, LogTerm: 1, Lo: 5, Hi: 6, EntryTerm: 3}
	if err := core.Step(&later); !errors.Is(err, raft.ErrDamaged) {
		t.Errorf("a truncation behind damage: %v, want ErrDamaged", err)
	}
	core.pump()
	want(t, "log after it was refused", core.Status().Last, 6)
	if err := core.Trim(3); err != nil {
		t.Fatal(err)
	}
	want(t, "damaged after a trim before it", core.Status().Damaged, 3)
	if err := core.Trim(4); err != nil {
		t.Fatal(err)
	}
	want(t, "damaged after a trim behind it", core.Status().Damaged, 0)
	core = start()
	if err := core.SetDamaged(5, 5); err != nil {
		t.Fatal(err)
	}
	core.step(t, raft.Message{Type: raft.MsgAppend, From: 2, Term: 3, Index: 4, LogTerm: 1, Lo: 5, Hi: 6, EntryTerm: 3})
	want(t, "damaged after a truncation", core.Status().Damaged, 0)
	core = start()
	core.step(t, raft.Message{Type: raft.MsgJump, From: 2, Term: 3, Index: 9, LogTerm: 2, Commit: 9}, raft.ConfigEntry{})
	want(t, "damaged after a jump", core.Status().Damaged, 0)
	for _, first := range []raft.Index{9, 10, 11} {
		if err := core.SetDamaged(first, first); err == nil {
			t.Errorf("entry %d of an empty log after 9 is damaged", first)
		}
	}
	core.Faulted(nil)
	if err := core.SetDamaged(0, 0); !errors.Is(err, raft.ErrFaulted) {
		t.Errorf("after a fault: %v", err)
	}
}

// S30: a replica's disk comes back empty, or as an old image, under the same id. The
// core can't know; it believes its disk, and what it had promised is gone: it votes
// twice. So the host must give every directory an id of its own. Shown here is what
// the id is for, and that another id counts for nothing until it is added.
func TestS30_WipedDiskUnderTheSameID(t *testing.T) {
	c := newCondemned(3, madeUp)
	hand(c, raft.Message{Type: raft.MsgVote, From: 1, To: 2, Term: 5})
	want(t, "first vote", sentTo(c, raft.MsgVoteReply, 1)[0].Reject, false)
	c.Node(2).Crash(0)
	c.Node(2).Fill(0) // the wiped disk
	c.Node(2).Start()
	hand(c, raft.Message{Type: raft.MsgVote, From: 3, To: 2, Term: 5})
	var second *spec.Violation
	if !errors.As(c.Err(), &second) || second.Guard != "one vote in a term" {
		t.Errorf("a wiped replica with its old id votes a second time, and the specification says %v", c.Err())
	}

	c = newCluster(t, 4, founders(3))
	elect(t, c, 1)
	c.Node(3).Crash(0) // its directory is lost; what comes instead is 4
	c.Isolate(2)
	at := propose(t, c, 1, "a")
	for _, m := range []raft.Message{
		{Type: raft.MsgAppendReply, Index: at, HintIndex: at, Context: 1},
		{Type: raft.MsgHeartbeatReply, Index: at, HintIndex: at, Context: 1},
	} {
		m.From, m.To, m.Term = 4, 1, 1
		if err := c.Node(1).Core.Step(&m); !errors.Is(err, raft.ErrUnknownPeer) {
			t.Errorf("%v of an id that is no member gives %v", m.Type, err)
		}
	}
	c.Stabilize()
	want(t, "commit", status(c, 1).Commit, at-1)
	c.Heal()
	c.Tick(1, heartbeatTicks)
	c.Stabilize()
	teach(t, c, 1, 4)
	configure(t, c, 1, ids(1, 2, 4), nil)
	c.Stabilize()
	want(t, "configuration", configOf(c, 1), "voters(1,2,4)")
	want(t, "log of the replacement", len(c.Node(4).Log), len(c.Node(1).Log))
}

// S35: what breaks an invariant of one core is a panic with a type that the host
// recovers, not an error that it might pass over; another core goes on.
func TestS35_BrokenInvariantIsTyped(t *testing.T) {
	broken := newCore(t, raft.Options{ID: 1, Voters: ids(1)}, raft.HardState{}, raft.LogState{})
	other := newCore(t, raft.Options{Group: raft.GroupID{1}, ID: 1, Voters: ids(1)}, raft.HardState{}, raft.LogState{})
	err := func() (err error) {
		defer invariants.Recover(&err)
		broken.Persisted(99) // never handed out
		return nil
	}()
	var v *invariants.Violation
	if !errors.As(err, &v) {
		t.Fatalf("a write that was never handed out is done: %v, want a Violation", err)
	}
	other.lead(t)
	if _, err := other.Propose(0, []int{1}); err != nil {
		t.Error(err)
	}
	other.pump()
	want(t, "commit of the other", other.Status().Commit, 2)
}

// A configuration among the damaged entries is in force when it can be read again, and
// one behind the damage keeps the replica from campaigning: it would count votes by
// what its log, as far as it counts, doesn't hold.
func TestConfigurationInTheDamage(t *testing.T) {
	start := func(configs ...raft.ConfigEntry) *bareCore {
		return newCore(t, raft.Options{ID: 1, Voters: ids(1, 2, 3)}, raft.HardState{Term: 3}, raft.LogState{
			Last: 6, Commit: 2, Damaged: 4, Unsettled: 4, Terms: []raft.TermStart{{Term: 1, First: 1}}, Configs: configs,
		})
	}
	joint := raft.Config{Voters: ids(1, 4, 5), Outgoing: ids(1, 2, 3)}
	after := raft.ConfigEntry{Index: 5, Config: raft.Config{Voters: ids(1, 4, 5)}}
	core := start(after)
	core.Campaign()
	want(t, "messages of a campaign by a configuration behind the damage", len(core.pump()), 0)
	core = start()
	core.Campaign()
	want(t, "messages of a campaign without", len(core.pump()), 2)

	core = start()
	core.LearnConfig(raft.ConfigEntry{Index: 4, Config: joint})
	core.LearnConfig(raft.ConfigEntry{Index: 4, Config: joint}) // again
	core.LearnConfig(raft.ConfigEntry{Index: 9, Config: joint}) // not in the log
	want(t, "in force", fmt.Sprint(core.Status().ConfigIndex, core.Status().Config), "4 "+joint.String())
	core = start(raft.ConfigEntry{Index: 2, Config: after.Config})
	core.LearnConfig(raft.ConfigEntry{Index: 1, Config: joint}) // older than the committed one
	want(t, "in force", core.Status().ConfigIndex, 2)
	core = start(after)
	core.LearnConfig(raft.ConfigEntry{Index: 4, Config: joint})
	want(t, "in force", core.Status().ConfigIndex, 5)
	core.step(t, raft.Message{Type: raft.MsgAppend, From: 2, Term: 4, Index: 3, LogTerm: 1, Lo: 4, Hi: 5, EntryTerm: 4})
	want(t, "in force after both are replaced", core.Status().ConfigIndex, 0)
}

// What a driver may not say of damage, and what doesn't matter any more after a fault.
func TestDamageIsChecked(t *testing.T) {
	sound := raft.LogState{Last: 6, Commit: 2, Terms: []raft.TermStart{{Term: 1, First: 1}}}
	for _, d := range [][2]raft.Index{{0, 4}, {5, 4}, {7, 0}, {3, 7}} {
		ls := sound
		ls.Damaged, ls.Unsettled = d[0], d[1]
		if _, err := raft.New(raft.Options{ID: 1, Voters: ids(1, 2, 3)}, nil, raft.HardState{Term: 1}, ls); err == nil {
			t.Errorf("a log damaged from %d and %d on is taken", d[0], d[1])
		}
		core := newCore(t, raft.Options{ID: 1, Voters: ids(1, 2, 3)}, raft.HardState{Term: 1}, sound)
		if err := core.SetDamaged(d[0], d[1]); err == nil {
			t.Errorf("damage from %d and %d on is taken", d[0], d[1])
		}
	}
	core := newCore(t, raft.Options{ID: 1, Voters: ids(1, 2, 3)}, raft.HardState{Term: 1}, sound)
	core.Faulted(nil)
	core.LearnConfig(raft.ConfigEntry{Index: 4, Config: raft.Config{Voters: ids(1)}})
	core.Wake(3)
	want(t, "configuration after a fault", core.Status().ConfigIndex, 0)
}

// The texts of messages between drivers.
func TestRepairMessagesAsText(t *testing.T) {
	for want, m := range map[string]raft.Message{
		"1->2 Repair term=3 entries=[4,6) of 2":                           {Type: raft.MsgRepair, From: 1, To: 2, Term: 3, Lo: 4, Hi: 6, EntryTerm: 2},
		"2->1 RepairReply term=3 entries=[4,0) of 2 reject":               {Type: raft.MsgRepairReply, From: 2, To: 1, Term: 3, Lo: 4, EntryTerm: 2, Reject: true},
		"2->1 RepairReply term=3 entries=[4,0) of 2 log after 3/9 reject": {Type: raft.MsgRepairReply, From: 2, To: 1, Term: 3, Lo: 4, EntryTerm: 2, Reject: true, Index: 9, LogTerm: 3},
	} {
		if got := m.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// A leader steps down when it can't read what may not be committed, also if nobody can
// be reached to take over.
func TestDamagedLeaderWithoutASuccessor(t *testing.T) {
	c := newCluster(t, 3)
	elect(t, c, 1)
	c.Isolate(2)
	c.Isolate(3)
	at := propose(t, c, 1, "a")
	c.Node(1).Damage(at)
	want(t, "role", status(c, 1).Role, raft.RoleFollower)
	c.Take(nil)
}

// Whoever has promised an entry has been in its term, also if the hard state is older: it
// was on its way when the log had the entry already.
func TestPromisedTermIsReached(t *testing.T) {
	core := newCore(t, raft.Options{ID: 1, Voters: ids(1, 2, 3)}, raft.HardState{}, raft.LogState{Promised: raft.EntryID{Term: 4, Index: 1}})
	want(t, "term", core.Status().Term, 4)
	sent := core.step(t, raft.Message{Type: raft.MsgPreVote, From: 2, Term: 5, Context: 1})
	want(t, "refused", sent[0].Reject, true)
	want(t, "in term", sent[0].Term, 4)
}

// A replica whose configuration in force can't be read neither campaigns by an older one,
// even one by which it is the only voter, nor takes its log for settled by it (seed 267339
// of 5,000 steps).
func TestConfigurationLost(t *testing.T) {
	start := func(ls raft.LogState) *bareCore {
		ls.Last, ls.Terms = 9, []raft.TermStart{{Term: 1, First: 1}}
		return newCore(t, raft.Options{ID: 1, Voters: ids(1)}, raft.HardState{Term: 3}, ls)
	}
	next := raft.ConfigEntry{Index: 5, Config: raft.Config{Voters: ids(1, 2, 3)}}
	core := start(raft.LogState{Commit: 8, Damaged: 4, LostConfig: 5})
	core.Campaign()
	want(t, "messages", len(core.pump()), 0)
	want(t, "role", core.Status().Role, raft.RoleFollower)
	core.LearnConfig(raft.ConfigEntry{Index: 4, Config: raft.Config{Voters: ids(1, 2, 3), Outgoing: ids(1)}})
	core.Campaign()
	want(t, "messages, while only an older one is known", len(core.pump()), 0)
	core.LearnConfig(next)
	core.Campaign()
	want(t, "messages, when it is known again", len(core.pump()), 2)

	// What may not be committed can be given up, the configuration with it.
	core = start(raft.LogState{Commit: 3, Damaged: 4, Unsettled: 4, LostConfig: 5})
	core.Campaign()
	want(t, "role", core.Status().Role, raft.RolePreCandidate)
	core = start(raft.LogState{Commit: 3, Damaged: 4, Unsettled: 4})
	core.Campaign()
	core.pump()
	want(t, "role of the only voter", core.Status().Role, raft.RoleLeader)

	// A jump or a new entry in its place ends it too.
	core = start(raft.LogState{Commit: 3, Damaged: 4, Unsettled: 4, LostConfig: 5})
	core.step(t, raft.Message{Type: raft.MsgAppend, From: 2, Term: 4, Index: 3, LogTerm: 1, Lo: 4, Hi: 5, EntryTerm: 4})
	core.pump()
	core.Campaign()
	core.pump()
	want(t, "role when it is cut off", core.Status().Role, raft.RoleLeader)

	for _, ls := range []raft.LogState{{LostConfig: 5}, {Damaged: 6, LostConfig: 5}, {Damaged: 6, LostConfig: 10}} {
		ls.Last, ls.Terms = 9, []raft.TermStart{{Term: 1, First: 1}}
		if _, err := raft.New(raft.Options{ID: 1, Voters: ids(1)}, nil, raft.HardState{Term: 3}, ls); err == nil {
			t.Errorf("%+v is taken", ls)
		}
	}
}
