package main

// mutant is one deliberate bug: a few texts of the production code replaced.
type mutant struct {
	name  string
	by    judge
	edits []edit
}

// edit replaces old, which stands exactly count times in file (0 means once).
type edit struct {
	file, old, new string
	count          int
}

// list holds the bugs of the kind that real implementations had. A few need the
// assertion gone that would name them at once: the simulation's own checks are
// what is tried here.
var list = []mutant{
	{name: "vote not persisted", edits: []edit{{
		file: "raft/election.go",
		old:  "c.hard.Vote, c.hardDirty = m.From, true",
		new:  "c.hard.Vote = m.From\n\t\tc.hardDurable = c.hard",
	}}},
	{name: "vote sent before it is durable", edits: []edit{{
		file: "raft/election.go",
		old:  "if c.follow.grant != 0 && c.hardDurable == c.hard {",
		new:  "if c.follow.grant != 0 {",
	}}},
	{name: "vote cleared on a step-down within the term", edits: []edit{{
		file: "raft/raft.go",
		old:  "c.role, c.leader = RoleFollower, leader",
		new:  "if was == RoleCandidate {\n\t\tc.hard.Vote, c.hardDirty = 0, true\n\t}\n\tc.role, c.leader = RoleFollower, leader",
	}}},
	{name: "second vote in a term", edits: []edit{{
		file: "raft/election.go",
		old:  "return c.hard.Vote == id || c.hard.Vote == 0 && c.leader == 0",
		new:  "return c.hard.Vote == id || c.leader == 0",
	}}},
	{name: "logs compared by committed index", edits: []edit{
		{file: "raft/election.go", count: 2,
			old: "c.mayTrust(EntryID{Term: m.LogTerm, Index: m.Index})",
			new: "(m.Index >= c.commit)"},
	}},
	{name: "logs compared by index only", edits: []edit{{
		file: "raft/log.go",
		old:  "if t := l.lastTerm(); e.Term != t {\n\t\treturn e.Term > t\n\t}\n\treturn e.Index >= l.last",
		new:  "return e.Index >= l.last",
	}}},
	{name: "logs compared by term only", edits: []edit{{
		file: "raft/log.go",
		old:  "if t := l.lastTerm(); e.Term != t {\n\t\treturn e.Term > t\n\t}\n\treturn e.Index >= l.last",
		new:  "return e.Term >= l.lastTerm()",
	}}},
	{name: "pre-vote answer counted as a vote", edits: []edit{{
		file: "raft/election.go",
		old:  "if m.Type == MsgPreVoteReply {\n\t\tif c.role",
		new:  "if m.Type == MsgPreVoteReply && c.role != RoleCandidate {\n\t\tif c.role",
	}}},
	{name: "own vote counted before it is durable", edits: []edit{
		{file: "raft/election.go",
			old: "\tc.poll.transfer = transfer\n}",
			new: "\tc.poll.transfer = transfer\n\tc.hardDurable = c.hard\n\tc.openPoll()\n}"},
		{file: "raft/election.go",
			old: "if c.view.durable < last.Index {",
			new: "if false {"},
	}},
	{name: "commit counts an older term (figure 8)", by: raftHistories, edits: []edit{
		{file: "raft/replication.go",
			old: "i > c.commit && i >= c.lead.noop {",
			new: "i > c.commit {"},
		{file: "raft/replication.go",
			old: "if t, ok := c.view.term(i); !ok || t != c.hard.Term {",
			new: "if t, ok := c.view.term(i); !ok {"},
	}},
	{name: "leader counts itself before its disk has it", edits: []edit{{
		file: "raft/replication.go",
		old:  "c.reached(uint64(c.sound()), (*progress).matched)",
		new:  "c.reached(uint64(c.view.last), (*progress).matched)",
	}}},
	{name: "half of the voters taken for a majority", edits: []edit{{
		file: "raft/replication.go",
		old:  "return quorum.Reached(c.scratch)",
		new:  "quorum.Reached(c.scratch)\n\treturn c.scratch[len(c.scratch)/2]",
	}}},
	{name: "follower acknowledges before its disk has it", edits: []edit{{
		file: "raft/replication.go",
		old:  "return min(c.follow.verified, c.sound())",
		new:  "return c.follow.verified",
	}}},
	{name: "durable index without its write's number", edits: []edit{{
		file: "raft/replication.go",
		old:  "w.through = min(w.through, i-1)",
		new:  "_ = w",
	}}},
	{name: "follower commits its last index, not the verified prefix", edits: []edit{{
		file: "raft/replication.go", count: 2,
		old: "c.commitTo(min(m.Commit, c.follow.verified))",
		new: "c.commitTo(min(m.Commit, c.view.last))",
	}}},
	{name: "follower acknowledges its last index, not the verified prefix", edits: []edit{
		{file: "raft/replication.go",
			old: "return min(c.follow.verified, c.sound())",
			new: "return c.sound()"},
		{file: "raft/replication.go", count: 2,
			old: "HintIndex: c.follow.verified",
			new: "HintIndex: c.view.last"},
	}},
	{name: "truncation by an old, shorter append", edits: []edit{
		{file: "raft/replication.go",
			old: "from = c.view.conflict(lo, m.Hi, m.EntryTerm)",
			new: "from = lo"},
		{file: "raft/replication.go",
			old: "case from <= c.follow.verified:",
			new: "case false:"},
		{file: "raft/replication.go",
			old: "if i <= c.commit {\n\t\tinvariants.Assertf(false, \"truncation",
			new: "if false {\n\t\tinvariants.Assertf(false, \"truncation"},
		{file: "internal/replica/pump.go",
			old: "invariants.Assertf(rd.Truncate > r.commit,",
			new: "invariants.Assertf(true,"},
	}},
	{name: "read confirmed before the leader's no-op", edits: []edit{{
		file: "raft/read.go",
		old:  "for c.lead.reads.len() > 0 && c.serving() {",
		new:  "for c.lead.reads.len() > 0 {",
	}}},
	{name: "read confirmed without a majority", edits: []edit{{
		file: "raft/read.go",
		old:  "confirmed := c.reached(c.lead.round, (*progress).answered)",
		new:  "confirmed := c.lead.round",
	}}},
	{name: "read confirmed by an answer to an earlier heartbeat", edits: []edit{{
		file: "raft/read.go",
		old:  "c.lead.reads.push(pendingRead{id: c.readID, round: c.lead.round + 1})",
		new:  "c.lead.reads.push(pendingRead{id: c.readID, round: c.lead.round})",
	}}},
	{name: "journal not waited for", edits: []edit{{
		file: "internal/replica/disk.go",
		old:  "if r.save && r.n > q.savedN || r.flush && r.n > q.flushed {",
		new:  "if r.flush && r.n > q.flushed {",
	}}},
	{name: "segments not waited for", edits: []edit{{
		file: "internal/replica/disk.go",
		old:  "if r.save && r.n > q.savedN || r.flush && r.n > q.flushed {",
		new:  "if r.save && r.n > q.savedN {",
	}}},
	{name: "stale suffix kept (D2)", edits: []edit{
		{file: "segments/scan.go",
			old: "case loc.WriteTerm < write:",
			new: "case false:"},
		{file: "segments/scan.go",
			old: "case f.PrevTerm != at.term:",
			new: "case f.PrevTerm > at.term:"},
		{file: "segments/flush.go",
			old: "\tif st.cut {\n",
			new: "\tif false {\n"},
	}},
	{name: "hard state forgotten at a restart", edits: []edit{{
		file: "internal/replica/replica.go",
		old:  "r.hard = r.o.Hard\n",
		new:  "r.hard = raft.HardState{Term: r.o.Hard.Term}\n",
	}}},
	{name: "overwritten proposal still counted as own", edits: []edit{{
		file: "internal/replica/pump.go",
		old:  "r.own.truncate(rd.Truncate)",
		new:  "_ = r.own",
	}}},
	{name: "joint state: commits need the new voters only", by: raftHistories, edits: []edit{{
		file: "raft/replication.go",
		old:  "r = min(r, c.reachedBy(self, share, true))",
		new:  "_ = share",
	}}},
	{name: "joint state: elections need the new voters only", by: raftHistories, edits: []edit{{
		file: "raft/election.go",
		old:  "result = quorum.Both(result, out.result())",
		new:  "_ = out",
	}}},
	{name: "joint state left before it is committed", by: raftHistories, edits: []edit{{
		file: "raft/change.go",
		old:  "now.Config.Joint() && now.Index <= c.commit && c.serving()",
		new:  "now.Config.Joint()",
	}}},
	{name: "change of one voter without a joint state, before an own-term commit (2015)", by: raftHistories, edits: []edit{{
		file: "raft/change.go",
		old:  "\tif !slices.Equal(voters, now.Config.Voters) {\n\t\tto.Outgoing",
		new:  "\tif d := len(voters) - len(now.Config.Voters); d > 1 || d < -1 || d == 0 {\n\t\tto.Outgoing",
	}, {
		file: "raft/change.go",
		old:  "case !c.serving():",
		new:  "case false:",
	}}},
	{name: "second change while one is pending", by: raftHistories, edits: []edit{{
		file: "raft/change.go",
		old:  "case now.Index > c.commit || now.Config.Joint():",
		new:  "case false:",
	}}},
	{name: "configuration in force only when it is committed", by: raftHistories, edits: []edit{{
		file: "raft/change.go",
		old:  "\tnow := &c.config().Config\n\tids",
		new:  "\tnow := &c.configs[0].Config\n\tids",
	}, {
		file: "raft/change.go",
		old:  "c.configs = slices.Delete(c.configs, 0, n)",
		new:  "c.configs = slices.Delete(c.configs, 0, n)\n\t\tc.seatAll()",
	}}},
	{name: "configuration not rolled back by a truncation", by: raftHistories, edits: []edit{{
		file: "raft/change.go",
		old:  "\tif n < len(c.configs) {\n\t\tclear",
		new:  "\tif false {\n\t\tclear",
	}, {
		file: "raft/change.go",
		old:  "if last := c.config(); e.Index <= last.Index || e.Index > c.view.last {",
		new:  "if last := c.config(); false {",
	}}},
	{name: "learner counted for commits", by: raftHistories, edits: []edit{{
		file: "raft/replication.go",
		old:  "p.seat.in && !outgoing || p.seat.out && outgoing {\n\t\t\tc.scratch = append(c.scratch, share(p))",
		new:  "(p.seat.in || !p.seat.out) && !outgoing || p.seat.out && outgoing {\n\t\t\tc.scratch = append(c.scratch, share(p))",
	}}},
	{name: "leader that is no voter counts itself", by: raftHistories, edits: []edit{{
		file: "raft/replication.go",
		old:  "if c.seat.in && !outgoing || c.seat.out && outgoing {",
		new:  "if true {",
	}}},
	{name: "candidate that is no voter counts itself", by: raftHistories, edits: []edit{{
		file: "raft/election.go",
		old:  "\tvar in, out poll\n\tin.add(c.seat.in, c.ownBallot())\n\tout.add(c.seat.out, c.ownBallot())\n\tfor i := range c.peers {\n\t\tp := &c.peers[i]\n\t\tin.add(p.seat.in, p.vote)",
		new:  "\tvar in, out poll\n\tin.add(true, ballotYes)\n\tout.add(true, ballotYes)\n\tfor i := range c.peers {\n\t\tp := &c.peers[i]\n\t\tin.add(p.seat.in, p.vote)",
	}}},
	{name: "replica that is no voter never campaigns", by: raftHistories, edits: []edit{{
		file: "raft/change.go",
		old:  "for i := range c.configs {\n\t\tif c.configs[i].Config.Votes",
		new:  "for i := len(c.configs) - 1; i < len(c.configs); i++ {\n\t\tif c.configs[i].Config.Votes",
	}}},
	{name: "jump to before the commit index accepted", by: raftHistories, edits: []edit{{
		file: "raft/jump.go",
		old:  "\tcase m.Index <= c.commit:\n",
		new:  "\tcase false:\n",
	}, {
		file: "raft/jump.go",
		old:  "case m.Index <= c.follow.verified:",
		new:  "case false:",
	}, {
		file: "raft/jump.go",
		old:  "case c.view.has(prev):",
		new:  "case c.view.has(prev) && m.Index > c.view.prev.Index:",
	}}},
	{name: "jump acknowledged before the new log is durable", by: raftHistories, edits: []edit{{
		file: "raft/replication.go",
		old:  "c.hardDurable.Term != c.hard.Term || c.installing != 0 {",
		new:  "c.hardDurable.Term != c.hard.Term {",
	}, {
		file: "raft/jump.go",
		old:  "if c.installing == 0 {",
		new:  "if true {",
	}}},
	{name: "writes to the old log vouch for the new one", by: raftHistories, edits: []edit{{
		file: "raft/jump.go",
		old:  "w.through = min(w.through, prev.Index)",
		new:  "_ = w",
	}}},
	{name: "jump without the configuration", by: raftHistories, edits: []edit{{
		file: "raft/jump.go",
		old:  "c.configs = append(c.configs[:0], ConfigEntry{Index: config.Index, Config: config.Config.Clone()})",
		new:  "c.configs = c.configs[:1]",
	}}},
	{name: "own proposals behind a jump reported as lost", by: raftHistories, edits: []edit{{
		file: "raft/jump.go",
		old:  "if r.Lo = max(r.Lo, prev.Index+1); r.Lo < r.Hi {",
		new:  "if true {",
	}}},
	{name: "log trimmed above the commit index", by: raftTests, edits: []edit{{
		file: "raft/jump.go",
		old:  "case first-1 > c.commit || first-1 > c.view.durable:",
		new:  "case false:",
	}}},
	{name: "replica that lost its tail votes as if it hadn't", by: raftHistories, edits: []edit{{
		file: "raft/disk.go",
		old:  "return c.view.behind(last) && last.upToDate(c.promised)",
		new:  "return c.view.behind(last)",
	}}},
	{name: "replica with gaps in its log counts its own vote", by: raftHistories, edits: []edit{{
		file: "raft/disk.go",
		old:  "\tif c.abstains() {\n\t\treturn ballotOpen",
		new:  "\tif false {\n\t\treturn ballotOpen",
	}}},
	{name: "learner whose log is newest never campaigns", by: raftTests, edits: []edit{{
		file: "raft/change.go",
		old:  "if c.summoned && ",
		new:  "if false && ",
	}}},
	{name: "replica with gaps in its log never campaigns", by: raftTests, edits: []edit{{
		file: "raft/disk.go",
		old:  "return !c.abstains() || !c.alone() && (c.unsettled == 0 || c.unsettled > c.commit && c.damaged == c.unsettled && c.config().Index < c.unsettled)",
		new:  "return !c.abstains()",
	}}},
	{name: "term raised by a pre-vote", by: raftTests, edits: []edit{{
		file: "raft/raft.go",
		old:  "if m.Type == MsgPreVote || m.Type == MsgPreVoteReply && !m.Reject {",
		new:  "if m.Type == MsgPreVoteReply && !m.Reject {",
	}}},
	{name: "check of the quorum counts itself twice", by: raftTests, edits: []edit{{
		file: "raft/election.go",
		old:  "\tout.add(c.seat.out, ballotYes)\n\tfor i := range c.peers {\n\t\tp := &c.peers[i]\n\t\theard := ballotOpen",
		new:  "\tout.add(c.seat.out, ballotYes)\n\tin.yes++\n\tfor i := range c.peers {\n\t\tp := &c.peers[i]\n\t\theard := ballotOpen",
	}}},
	{name: "transfer without the exemption from stickiness", by: raftTests, edits: []edit{{
		file: "raft/raft.go",
		old:  "if m.Type == MsgVote && c.sticky() && !m.Transfer {",
		new:  "if m.Type == MsgVote && c.sticky() {",
	}}},
	{name: "transfer survives a step-down", by: raftTests, edits: []edit{{
		file: "raft/raft.go",
		old:  "c.lead = leaderState{reads:",
		new:  "c.lead = leaderState{transfer: c.lead.transfer, reads:",
	}}},
	{name: "window freed by an old acknowledgement", by: raftTests, edits: []edit{{
		file: "raft/progress.go",
		old:  "\tif m <= p.match {\n\t\treturn false\n\t}\n",
		new:  "\tif m <= p.match {\n\t\tp.window.clear()\n\t\tp.windowBytes = 0\n\t\treturn false\n\t}\n",
	}}},
	{name: "id of a read used again", by: raftTests, edits: []edit{{
		file: "raft/read.go",
		old:  "\tc.readID++\n",
		new:  "\tc.readID = uint64(c.lead.reads.len()) + 1\n",
	}}},
	{name: "lease counted from the answer, not from the heartbeat", by: raftTests, edits: []edit{{
		file: "raft/lease.go",
		old:  "c.lead.leaseFrom, c.lead.leased = c.lead.sentAt.popFront().sent, true",
		new:  "c.lead.sentAt.popFront()\n\t\tc.lead.leaseFrom, c.lead.leased = c.clock, true",
	}}},
	{name: "lease kept after a transfer", by: raftTests, edits: []edit{{
		file: "raft/lease.go",
		old:  "!l.handedOver && ",
		new:  "",
	}}},
	{name: "voter forgets at a restart that it may have confirmed a lease", by: raftTests, edits: []edit{{
		file: "raft/election.go",
		old:  "if c.o.Lease > 0 && c.cameBack &&",
		new:  "if false &&",
	}}},
	{name: "sticky follower enters a later term by a late refusal", by: raftTests, edits: []edit{{
		file: "raft/raft.go",
		old:  "if m.Type.reply() && c.role == RoleFollower && c.sticky() {",
		new:  "if false {",
	}}},
	{name: "leader whose disk hangs leads on (D7)", by: raftTests, edits: []edit{{
		file: "raft/raft.go",
		old:  "\tc.yieldStalled()\n",
		new:  "",
	}}},
	{name: "replica whose disk hangs campaigns", by: raftTests, edits: []edit{{
		file: "raft/raft.go",
		old:  "c.hardDurable == c.hard && !c.stalled() {",
		new:  "c.hardDurable == c.hard {",
	}}},
	{name: "leader quiet before all followers are", by: raftTests, edits: []edit{{
		file: "raft/quiet.go",
		old:  "if !c.peers[i].quiet && !c.peers[i].down {",
		new:  "if false && !c.peers[i].quiet {",
	}}},
	{name: "new voter that has not caught up", by: raftTests, edits: []edit{{
		file: "raft/change.go",
		old:  "if !slices.Contains(now.Config.Voters, id) && !c.caughtUp(id) {",
		new:  "if false {",
	}}},
	{name: "removed leader stays", by: raftTests, edits: []edit{{
		file: "raft/change.go",
		old:  "if c.role != RoleLeader || c.seat.votes() || now.Index > c.commit {",
		new:  "if true || now.Index > c.commit {",
	}}},
	{name: "answers of strangers counted", by: raftTests, edits: []edit{{
		file: "raft/election.go",
		old:  "if p.vote != ballotOpen || !p.seat.votes() {",
		new:  "if p.vote != ballotOpen {",
	}, {
		file: "raft/election.go",
		old:  "\t\tin.add(p.seat.in, p.vote)\n",
		new:  "\t\tin.add(p.seat.in, p.vote)\n\t\tif !p.seat.votes() && p.vote == ballotYes {\n\t\t\tin.yes++\n\t\t}\n",
	}}},
	{name: "truncated proposal reported as not written", edits: []edit{{
		file: "internal/replica/proposals.go",
		old:  "case v.index > i:\n\t\t\twaiting = append(waiting, v)",
		new:  "case false:",
	}}},
	{name: "damaged entries acknowledged", edits: []edit{{
		file: "raft/disk.go",
		old:  "return min(c.view.durable, c.unsettled-1)",
		new:  "return c.view.durable",
	}}},
	{name: "damage in what may not be committed taken for settled", edits: []edit{{
		file: "internal/replica/repair.go",
		old:  "unsettled = max(raft.Index(g.Lo), r.commit+1)",
		new:  "unsettled = 0",
	}}},
	{name: "entries behind damage cut off", by: raftTests, edits: []edit{{
		file: "raft/replication.go",
		old:  "if c.damaged != 0 && c.damaged < from && from <= c.view.last && from < m.Hi {",
		new:  "if false {",
	}}},
	{name: "configuration before the lost one counts votes", by: raftTests, edits: []edit{{
		file: "raft/disk.go",
		old:  "func (c *Core) configLost() bool { return c.lostConfig > c.config().Index }",
		new:  "func (c *Core) configLost() bool { return false }",
	}}},
	{name: "configuration behind damage counts votes", by: raftTests, edits: []edit{{
		file: "raft/disk.go",
		old:  "c.unsettled > c.commit && c.damaged == c.unsettled && c.config().Index < c.unsettled)",
		new:  "c.unsettled > c.commit)",
	}}},
	{name: "damage truncated at the next start", edits: []edit{{
		file: "segments/scan.go",
		old:  "case r.durable >= x:\n\t\treturn true, nil",
		new:  "case false:\n\t\treturn true, nil",
	}}},
	{name: "repair with whatever comes", edits: []edit{
		{file: "internal/replica/repair.go",
			old: "hi, _ = r.log.Fit(lo, hi, r.o.MaxMessageBytes)",
			new: "hi, _ = r.log.Fit(lo, hi, r.o.MaxMessageBytes)\n\t\tm.EntryTerm, _ = func() (raft.Term, bool) { t, ok := r.log.Term(lo); return raft.Term(t), ok }()\n\t\treply.Message.EntryTerm = m.EntryTerm"},
		{file: "segments/repair.go",
			old: "case first.PrevTerm != g.before.term || first.BaseOffset != g.before.next:",
			new: "case first.Index == 0:"},
		{file: "segments/repair.go",
			old: "case hi == g.hi && (last.Next() != g.next || g.end != openEnd && end != g.end):",
			new: "case false:"},
		{file: "segments/repair.go",
			old: "case last.Next() > g.next || g.end != openEnd && end >= g.end:",
			new: "case false:"},
	}},
	{name: "lost tail not noticed", edits: []edit{{
		file: "internal/replica/replica.go",
		old:  "Promised:  r.promised(),",
		new:  "Promised:  raft.EntryID{},",
	}}},
	{name: "mark of a closed log deleted before the log holds it again", edits: []edit{{
		file: "internal/replica/step.go",
		old:  "r.disk.take(r.disk.marked && !r.core.Status().Repairing)",
		new:  "r.disk.take(r.disk.marked)",
	}}},
}
