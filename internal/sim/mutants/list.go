package main

// mutant is one deliberate bug: a few texts of the production code replaced.
type mutant struct {
	name  string
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
			old: "c.view.behind(EntryID{Term: m.LogTerm, Index: m.Index})",
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
	{name: "commit counts an older term (figure 8)", edits: []edit{
		{file: "raft/replication.go",
			old: "i > c.commit && i >= c.lead.noop {",
			new: "i > c.commit {"},
		{file: "raft/replication.go",
			old: "if t, ok := c.view.term(i); !ok || t != c.hard.Term {",
			new: "if t, ok := c.view.term(i); !ok {"},
	}},
	{name: "leader counts itself before its disk has it", edits: []edit{{
		file: "raft/replication.go",
		old:  "append(c.scratch[:0], uint64(c.view.durable))",
		new:  "append(c.scratch[:0], uint64(c.view.last))",
	}}},
	{name: "half of the voters taken for a majority", edits: []edit{{
		file: "raft/replication.go",
		old:  "if i := Index(quorum.Reached(c.scratch)); ",
		new:  "if i := Index(max(quorum.Reached(c.scratch), slices.Max(c.scratch))); ",
	}, {
		file: "raft/replication.go",
		old:  "\t\"errors\"\n",
		new:  "\t\"errors\"\n\t\"slices\"\n",
	}}},
	{name: "follower acknowledges before its disk has it", edits: []edit{{
		file: "raft/replication.go",
		old:  "return min(c.follow.verified, c.view.durable)",
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
			old: "return min(c.follow.verified, c.view.durable)",
			new: "return c.view.durable"},
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
		old:  "confirmed := quorum.Reached(c.scratch)",
		new:  "confirmed := max(quorum.Reached(c.scratch), c.lead.round)",
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
		{file: "segments/recover.go",
			old: "case loc.WriteTerm < write:",
			new: "case false:"},
		{file: "segments/recover.go",
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
	{name: "truncated proposal reported as not written", edits: []edit{{
		file: "internal/replica/proposals.go",
		old:  "case v.index > i:\n\t\t\twaiting = append(waiting, v)",
		new:  "case false:",
	}}},
}
