package raft

import (
	"errors"
	"testing"

	"github.com/logq/logq/internal/invariants"
)

// The core can't be brought to break its invariants from outside; so the fields are
// broken here, to see that the core notices before it acts on them.

// oneByte is a log of entries of one byte.
type oneByte struct{}

// Fit implements Log.
func (oneByte) Fit(lo, hi Index, maxBytes int) (Index, int) {
	n := max(1, min(int(hi-lo), maxBytes))
	return lo + Index(n), n
}

// sample returns replica 1 of three with entries 1 to 4 of terms 1 and 2, of which 2
// are committed: a follower of 2 in term 2.
func sample(t *testing.T) *Core {
	t.Helper()
	c, err := New(Options{ID: 1, Voters: []ReplicaID{1, 2, 3}, ElectionTicks: 10, HeartbeatTicks: 2}, oneByte{}, HardState{Term: 2}, LogState{
		Last: 4, Commit: 2, Terms: []TermStart{{Term: 1, First: 1}, {Term: 2, First: 3}},
	})
	if err != nil {
		t.Fatal(err)
	}
	stepSample(t, c, Message{Type: MsgAppend, From: 2, Term: 2, Index: 4, LogTerm: 2, Lo: 5, Hi: 5, Commit: 2})
	return c
}

func stepSample(t *testing.T, c *Core, m Message) {
	t.Helper()
	m.To = 1
	if err := c.Step(&m); err != nil {
		t.Fatal(err)
	}
	settleSample(c)
}

func settleSample(c *Core) {
	for c.Pending() {
		if n := c.Ready().N; n != 0 {
			c.Persisted(n)
		}
	}
}

// sampleLeader is the same as the leader of term 3, which replicates to 2.
func sampleLeader(t *testing.T) *Core {
	t.Helper()
	c := sample(t)
	c.Campaign()
	settleSample(c)
	stepSample(t, c, Message{Type: MsgPreVoteReply, From: 2, Term: 3, Context: 1})
	stepSample(t, c, Message{Type: MsgVoteReply, From: 2, Term: 3})
	stepSample(t, c, Message{Type: MsgAppendReply, From: 2, Term: 3, Index: 5, HintIndex: 5, Context: 1})
	if _, err := c.Propose(0, []int{1}); err != nil {
		t.Fatal(err)
	}
	c.Ready()
	if !c.serving() || c.peers[0].window.len() == 0 {
		t.Fatalf("no leader with something on its way: %+v", c.Status())
	}
	return c
}

// violated says what is broken by f, "" if nothing is.
func violated(f func()) (what string) {
	err := func() (err error) {
		defer invariants.Recover(&err)
		f()
		return nil
	}()
	var v *invariants.Violation
	if errors.As(err, &v) {
		return v.Text
	}
	return ""
}

// With the build tag "invariants" every input ends with a look at all fields; without
// it nobody looks.
func TestCheckSeesBrokenFields(t *testing.T) {
	for name, tc := range map[string]struct {
		make func(*testing.T) *Core
		mar  func(c *Core)
	}{
		"durable behind the end":           {sample, func(c *Core) { c.view.durable = 5 }},
		"durable before the start":         {sample, func(c *Core) { c.view.prev.Index = 5 }},
		"commit behind the end":            {sample, func(c *Core) { c.commit = 5 }},
		"entries without a term":           {sample, func(c *Core) { c.view.terms = nil }},
		"terms that fall":                  {sample, func(c *Core) { c.view.terms[1].Term = 1 }},
		"a run that begins before another": {sample, func(c *Core) { c.view.terms[1].First = 1 }},
		"an empty run":                     {sample, func(c *Core) { c.view.terms[1].First = 5 }},
		"configuration behind the end":     {sample, func(c *Core) { c.configs[0].Index = 5 }},
		"old configurations that are kept": {sample, func(c *Core) { c.configs = append(c.configs, ConfigEntry{Index: 2, Config: c.configs[0].Config}) }},
		"no configuration":                 {sample, func(c *Core) { c.configs = nil }},
		"another seat":                     {sample, func(c *Core) { c.seat.in = false }},
		"joint by mistake":                 {sample, func(c *Core) { c.joint = true }},
		"quiet without a leader":           {sample, func(c *Core) { c.quiet, c.commit, c.follow.verified, c.leader = true, 4, 4, 0 }},
		"quiet before all is committed":    {sample, func(c *Core) { c.quiet = true }},
		"term on disk that is ahead":       {sample, func(c *Core) { c.hardDurable.Term = 3 }},
		"vote on disk that is another":     {sample, func(c *Core) { c.hardDurable.Vote, c.hard.Vote = 2, 3 }},
		"write that was not handed out":    {sample, func(c *Core) { c.writes.push(write{n: c.n + 1}) }},
		"writes out of order":              {sample, func(c *Core) { c.n = 9; c.writes.push(write{n: 3}); c.writes.push(write{n: 3}) }},
		"write behind the end":             {sample, func(c *Core) { c.n = 9; c.writes.push(write{n: 3, through: 5}) }},
		"follower with a leader's no-op":   {sample, func(c *Core) { c.lead.noop = 4 }},
		"follower with a transfer":         {sample, func(c *Core) { c.lead.transfer.to = 2 }},
		"follower with a read":             {sample, func(c *Core) { c.lead.reads.push(pendingRead{}) }},
		"verified behind the end":          {sample, func(c *Core) { c.follow.verified = 5 }},
		"verified before commit":           {sample, func(c *Core) { c.follow.verified = 1 }},
		"acknowledged, not durable":        {sample, func(c *Core) { c.follow.acked, c.view.durable = 4, 3 }},

		"commit before the start": {sample, func(c *Core) {
			c.view.prev, c.view.terms = EntryID{Term: 1, Index: 2}, c.view.terms[1:]
			c.commit, c.view.terms[0].First = 1, 3
		}},
		"terms that fall behind the start": {sample, func(c *Core) { c.view.prev.Term = 9 }},

		"leader that follows":             {sampleLeader, func(c *Core) { c.leader = 2 }},
		"leader that voted for another":   {sampleLeader, func(c *Core) { c.hard.Vote, c.hardDurable.Vote = 2, 2 }},
		"leader whose vote isn't on disk": {sampleLeader, func(c *Core) { c.hardDurable = HardState{} }},
		"leader without a no-op":          {sampleLeader, func(c *Core) { c.lead.noop = 0 }},
		"no-op behind the end":            {sampleLeader, func(c *Core) { c.lead.noop = 99; c.commit = 2 }},
		"two configurations under way": {sampleLeader, func(c *Core) {
			c.configs = append(c.configs, ConfigEntry{Index: 6, Config: c.configs[0].Config})
			c.configs[0].Index = 5
			c.commit, c.lead.noop = 4, 3
		}},
		"three configurations": {sampleLeader, func(c *Core) {
			one := c.configs[0].Config
			c.configs = []ConfigEntry{{Index: 3, Config: one}, {Index: 5, Config: one}, {Index: 6, Config: one}}
			c.commit, c.lead.noop = 4, 3
		}},
		"quota that doesn't add up":       {sampleLeader, func(c *Core) { c.lead.quotaInBytes++ }},
		"match behind next":               {sampleLeader, func(c *Core) { c.peers[0].match = c.peers[0].next }},
		"next behind the end":             {sampleLeader, func(c *Core) { c.peers[0].next = 9 }},
		"window that doesn't add up":      {sampleLeader, func(c *Core) { c.peers[0].windowBytes++ }},
		"window with a gap":               {sampleLeader, func(c *Core) { c.peers[0].push(8, 9, 1) }},
		"window with nothing":             {sampleLeader, func(c *Core) { c.peers[0].push(7, 7, 0) }},
		"window behind next":              {sampleLeader, func(c *Core) { c.peers[0].push(7, 8, 1) }},
		"quiet with something on its way": {sampleLeader, func(c *Core) { c.quiet = true }},
	} {
		c := tc.make(t)
		if what := violated(c.check); what != "" {
			t.Errorf("%s: broken before: %s", name, what)
		}
		tc.mar(c)
		if noticed := violated(c.check) != ""; noticed != invariants.Enabled {
			t.Errorf("%s: noticed is %v", name, noticed)
		}
	}
}

// What would harm others is checked in every build, where it is about to happen.
func TestHarmIsPrevented(t *testing.T) {
	for name, tc := range map[string]struct {
		make func(*testing.T) *Core
		harm func(c *Core)
	}{
		"a term that falls":                   {sample, func(c *Core) { c.becomeFollower(1, 0) }},
		"a term that is entered twice":        {sample, func(c *Core) { c.enterTerm(HardState{Term: 2}) }},
		"a leader that was no candidate":      {sample, func(c *Core) { c.becomeLeader() }},
		"a leader whose vote isn't on disk":   {sample, func(c *Core) { c.campaign(false); c.becomeLeader() }},
		"a candidate whose log isn't on disk": {sample, func(c *Core) { c.view.durable = 3; c.openPoll() }},
		"a truncation of what is committed":   {sample, func(c *Core) { c.truncateFrom(2) }},
		"a commit behind the end":             {sample, func(c *Core) { c.commitTo(5) }},
		"a message to itself":                 {sample, func(c *Core) { c.send(1, Message{Type: MsgHeartbeat}) }},
		"a message to nobody":                 {sample, func(c *Core) { c.send(0, Message{Type: MsgHeartbeat}) }},
		"a configuration twice":               {sample, func(c *Core) { c.adopt(ConfigEntry{Index: 0}) }},
		"a configuration behind the end":      {sample, func(c *Core) { c.adopt(ConfigEntry{Index: 5}) }},
		"a truncation of all configurations":  {sample, func(c *Core) { c.configs[0].Index = 3; c.dropConfigs(3) }},
		"damage outside the log":              {sample, func(c *Core) { c.unsettled = 9; c.lastSound() }},
		"entries from two sources": {sample, func(c *Core) {
			c.stage(Entries{Lo: 5, Hi: 6, Term: 2, Kind: KindData})
			c.stage(Entries{Lo: 6, Hi: 7, Term: 2, Kind: KindData})
		}},
		"a leader that voted for another": {sample, func(c *Core) { c.role = RoleCandidate; c.becomeLeader() }},
		"a proposal onto a no-op": {sampleLeader, func(c *Core) {
			c.staged = Entries{Lo: 7, Hi: 8, Term: 3, Kind: KindNoOp}
			c.stage(Entries{Lo: 8, Hi: 9, Term: 3, Kind: KindData})
		}},
		"a proposal with a gap": {sampleLeader, func(c *Core) {
			c.staged = Entries{Lo: 7, Hi: 8, Term: 3, Kind: KindData}
			c.stage(Entries{Lo: 9, Hi: 10, Term: 3, Kind: KindData})
		}},
		"a proposal of another term": {sampleLeader, func(c *Core) {
			c.staged = Entries{Lo: 7, Hi: 8, Term: 2, Kind: KindData}
			c.stage(Entries{Lo: 8, Hi: 9, Term: 3, Kind: KindData})
		}},
		"a log that says that too much fits":     {sampleLeader, func(c *Core) { c.sizes = allFits{}; c.fit(3, 10) }},
		"a trim behind the end":                  {sample, func(c *Core) { c.view.trim(9) }},
		"a write that was never handed out":      {sample, func(c *Core) { c.Persisted(99) }},
		"an append of what isn't there":          {sampleLeader, func(c *Core) { p := &c.peers[0]; p.next = 9; c.sendAppend(p, 10) }},
		"a log that says that nothing fits":      {sampleLeader, func(c *Core) { c.sizes = nothingFits{}; c.fit(1, 10) }},
		"a commit of an entry of an older term":  {sampleLeader, func(c *Core) { c.commit, c.lead.noop, c.peers[0].match, c.peers[1].match = 2, 3, 4, 4; c.maybeCommit() }},
		"an append before the start of the log":  {sampleLeader, func(c *Core) { c.view.trim(4); c.sendAppend(&progress{id: 2, next: 2}, 3) }},
		"a term in which it was before, for log": {sample, func(c *Core) { c.view.append(6, 1) }},
	} {
		c := tc.make(t)
		if violated(func() { tc.harm(c) }) == "" {
			t.Errorf("%s is not prevented", name)
		}
	}
}

// nothingFits is a log that breaks its contract.
type nothingFits struct{}

// Fit implements Log.
func (nothingFits) Fit(lo, _ Index, _ int) (Index, int) { return lo, 0 }

// allFits is another.
type allFits struct{}

// Fit implements Log.
func (allFits) Fit(_, hi Index, _ int) (Index, int) { return hi + 1, 0 }
