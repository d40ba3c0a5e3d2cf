package rafttest

import (
	"fmt"
	"io"

	"github.com/logq/logq/raft"
)

// Chooser returns a number in [0, n); everything random in a history comes from
// it: a seeded generator, or the bytes of a fuzzer.
type Chooser func(n int) int

// Report counts what happened in a history, so that a test can tell that it was
// worth something.
type Report struct {
	Nodes, Steps, Elections, Committed, Lost, Crashes, Reads int
	// Configs counts configurations that were proposed, Joint those of them with
	// other voters.
	Configs, Joint int
	// Jumps counts logs that were begun anew, Trims those that lost their front.
	Jumps, Trims int
	// Quiet counts how often a node fell quiet.
	Quiet int
	// Rots counts logs that lost a durable tail.
	Rots int
	// Damages counts entries that became unreadable.
	Damages int
}

// Add sums reports.
func (r *Report) Add(o Report) {
	r.Nodes += o.Nodes
	r.Steps += o.Steps
	r.Elections += o.Elections
	r.Committed += o.Committed
	r.Lost += o.Lost
	r.Crashes += o.Crashes
	r.Reads += o.Reads
	r.Configs += o.Configs
	r.Joint += o.Joint
	r.Jumps += o.Jumps
	r.Trims += o.Trims
	r.Quiet += o.Quiet
	r.Rots += o.Rots
	r.Damages += o.Damages
}

// history is one run. Its weights are drawn at the start: a few strong faults
// find what a mix of all weak ones never does.
type history struct {
	c      *Cluster
	pick   Chooser
	ops    []op
	total  int
	report Report
	data   int
	dup    int // one message in dup is duplicated, 0: none
	drop   int
	fifo   bool // messages of one link stay in order
}

type op struct {
	weight int
	run    func(h *history)
}

// RunHistory lets chance drive a cluster for a number of steps, with crashes,
// slow disks and a bad network, and checks everything after each. Then faults
// end, and the cluster must elect a leader, commit, and become equal everywhere.
func RunHistory(pick Chooser, steps int, trace io.Writer) (Report, error) {
	h := &history{pick: pick}
	h.draw(trace)
	for h.report.Steps = 0; h.report.Steps < steps && h.c.err == nil; h.report.Steps++ {
		h.step()
	}
	if h.c.err == nil {
		h.converge()
	}
	h.report.Elections, h.report.Lost = h.c.Stats()
	h.report.Quiet = h.c.Quiets
	h.report.Committed, h.report.Jumps = len(h.c.Committed()), h.c.Jumps
	return h.report, h.c.err
}

func (h *history) draw(trace io.Writer) {
	pick := h.pick
	one := func(v ...int) int { return v[pick(len(v))] }
	h.report.Nodes = one(3, 3, 3, 5, 1, 2, 4, 6)
	voters := min(h.report.Nodes, one(9, 9, 3, 1))
	h.dup, h.drop, h.fifo = one(0, 20, 3), one(0, 0, 50, 8), pick(2) == 0
	h.c = New(Options{
		Nodes: h.report.Nodes, Voters: voters, Seed: uint64(pick(1 << 16)), Trace: trace,
		Raft: raft.Options{
			ElectionTicks: one(4, 8), HeartbeatTicks: one(1, 2), MaxMessageBytes: one(1, 8, 1000),
			MaxInflightMessages: one(1, 2, 4), MaxInflightBytes: one(4, 1000), MaxUncommittedBytes: one(20, 1000),
			Priority: one(0, 0, 1, -1), Quiesce: pick(2) == 0,
		},
	})
	auto := pick(3) == 0
	for _, n := range h.c.Nodes {
		n.AutoDisk = auto
	}
	h.ops = []op{
		{one(20, 60), (*history).deliver},
		{one(5, 15), (*history).tick},
		{one(4, 30), func(h *history) { h.any().Journal() }},
		{one(4, 30), func(h *history) { h.any().Write() }},
		{one(2, 10), (*history).propose},
		{one(0, 0, 1, 3), (*history).crash},
		{3, (*history).restart},
		{one(0, 2), (*history).read},
		{one(0, 0, 1), (*history).transfer},
		{one(0, 1), func(h *history) { h.c.Campaign(h.any().ID) }},
		{one(0, 1), (*history).sent},
		{one(0, 0, 1), func(h *history) { h.c.Isolate(h.any().ID) }},
		{one(0, 0, 1), func(h *history) { h.c.CutLink(h.any().ID, h.any().ID) }},
		{one(1, 3), func(h *history) { h.c.Heal() }},
		{one(0, 0, 1), (*history).fault},
		{one(0, 1), (*history).powerLoss},
		{one(0, 1, 3), (*history).usurp},
		{one(0, 0, 2, 8), (*history).reconfigure},
		{one(0, 0, 1, 4), (*history).trim},
		{one(0, 0, 1), (*history).rot},
		{one(0, 0, 1), (*history).damage},
		{one(0, 1), func(h *history) { h.any().Repair() }},
		{one(1, 4), func(h *history) { h.any().Wake(h.pick(5)) }},
		{one(0, 1), func(h *history) { h.any().PeerDown(h.any().ID, h.pick(2) == 0) }},
	}
	h.ops[15].weight = min(h.ops[15].weight, h.ops[5].weight)
	for _, o := range h.ops {
		h.total += o.weight
	}
}

func (h *history) step() {
	x := h.pick(h.total)
	for _, o := range h.ops {
		if x -= o.weight; x < 0 {
			o.run(h)
			break
		}
	}
	const netMax = 300
	for len(h.c.Net) > netMax {
		h.c.Net = h.c.Net[1:]
	}
}

func (h *history) any() *Node { return h.c.Nodes[h.pick(len(h.c.Nodes))] }

// leading returns a node that believes it leads, or any.
func (h *history) leading() *Node {
	from := h.pick(len(h.c.Nodes))
	for i := range h.c.Nodes {
		n := h.c.Nodes[(from+i)%len(h.c.Nodes)]
		if n.Core != nil && n.Core.Status().Role == raft.RoleLeader {
			return n
		}
	}
	return h.c.Nodes[from]
}

func (h *history) deliver() {
	if len(h.c.Net) == 0 {
		return
	}
	i := h.pick(len(h.c.Net))
	if h.fifo {
		for k := range i {
			if e := h.c.Net[k]; e.From == h.c.Net[i].From && e.To == h.c.Net[i].To {
				i = k
				break
			}
		}
	}
	e := h.c.Net[i]
	if h.dup == 0 || h.pick(h.dup) > 0 {
		h.c.Net = append(h.c.Net[:i:i], h.c.Net[i+1:]...)
	}
	if h.drop > 0 && h.pick(h.drop) == 0 {
		h.c.tracef("dropped: %v\n", e.Message)
		return
	}
	h.c.Hand(e)
}

func (h *history) tick() {
	n := h.any()
	h.c.tracef("tick %d\n", n.ID)
	h.c.Tick(n.ID, 1)
}

func (h *history) propose() {
	data := make([]string, 1+h.pick(3))
	for i := range data {
		h.data++
		data[i] = fmt.Sprintf("v%d", h.data)
	}
	n := h.leading()
	h.c.tracef("propose %d %v\n", n.ID, data)
	_, _ = h.c.Propose(n.ID, data...) // a refusal is an answer
}

func (h *history) crash() { h.crashNode(h.any()) }

func (h *history) crashNode(n *Node) {
	if n.Core == nil {
		return
	}
	for range h.pick(4) {
		n.JournalSilently()
	}
	for range h.pick(4) {
		n.WriteSilently()
	}
	n.Crash(h.pick(3))
	h.report.Crashes++
}

func (h *history) powerLoss() {
	if h.pick(4) > 0 {
		return
	}
	for _, n := range h.c.Nodes {
		h.crashNode(n)
	}
}

func (h *history) restart() {
	if n := h.any(); n.Core == nil {
		h.start(n)
	}
}

func (h *history) start(n *Node) {
	h.c.tracef("start %d\n", n.ID)
	if h.pick(2) == 0 {
		n.Start()
	} else {
		n.StartForgetful()
	}
}

func (h *history) read() {
	if _, err := h.c.Read(h.leading().ID); err == nil {
		h.report.Reads++
	}
}

func (h *history) transfer() {
	_ = h.c.Transfer(h.leading().ID, raft.ReplicaID(h.pick(len(h.c.Nodes)+1)))
}

func (h *history) sent() {
	h.c.Sent(h.leading().ID, h.any().ID, h.pick(2) == 0)
}

// trim drops some committed entries of a log.
func (h *history) trim() {
	n := h.any()
	if n.Core == nil || n.Commit == 0 {
		return
	}
	first := n.Commit + 1 - raft.Index(h.pick(min(20, int(n.Commit))))
	h.c.tracef("trim %d before %d\n", n.ID, first)
	if n.Trim(first) == nil {
		h.report.Trims++
	}
}

// rot makes a stopped node lose durable entries. Only one node at a time: what a
// majority has lost is lost.
func (h *history) rot() {
	n := h.any()
	if n.Core != nil {
		return
	}
	for _, o := range h.c.Nodes {
		config := o.configAt(len(o.Log)).Config
		if o.disk.promised.Index != 0 || len(o.disk.damaged) > 0 && o != n || len(config.Voters) < 3 || config.Joint() && len(config.Outgoing) < 3 {
			return
		}
	}
	k := 1 + h.pick(3)
	if !h.elsewhere(n, len(n.disk.log)-k+1) {
		return
	}
	h.c.tracef("%d loses its tail\n", n.ID)
	n.Rot(k)
	h.report.Rots++
}

// elsewhere says that all entries of n's disk from index i on are on another disk.
// What is damaged and was only here can block a group in which this replica's vote
// is needed: as long as nobody knows that it was not committed, that is right.
func (h *history) elsewhere(n *Node, i int) bool {
	for _, o := range h.c.Nodes {
		if k := len(n.disk.log); o != n && len(o.disk.log) >= k && i >= 1 && o.disk.log[k-1] == n.disk.log[k-1] {
			return true
		}
	}
	return false
}

// damage makes an entry unreadable, on one node at a time.
func (h *history) damage() {
	n := h.any()
	for _, o := range h.c.Nodes {
		config := o.configAt(len(o.Log)).Config
		if o != n && (len(o.disk.damaged) > 0 || o.disk.promised.Index != 0) || len(config.Voters) < 3 || config.Joint() && len(config.Outgoing) < 3 {
			return
		}
	}
	if len(n.disk.log) > 0 {
		i := raft.Index(len(n.disk.log) - h.pick(min(10, len(n.disk.log))))
		if !h.elsewhere(n, int(i)) {
			return
		}
		h.c.tracef("%d can't read entry %d\n", n.ID, i)
		n.Damage(i)
		h.report.Damages++
	}
}

// reconfigure proposes some other configuration: learners first, so that they
// have a chance to become voters.
func (h *history) reconfigure() {
	n := h.leading()
	if n.Core == nil {
		return
	}
	now := n.Core.Status().Config
	var voters, learners []raft.ReplicaID
	for _, o := range h.c.Nodes {
		votes, learns := now.Votes(o.ID), now.Contains(o.ID) && !now.Votes(o.ID)
		switch x := h.pick(8); {
		case x < 5 && votes, x < 3 && learns:
			voters = append(voters, o.ID)
		case x < 6 && learns, x < 4 && !votes && !learns, x == 5:
			learners = append(learners, o.ID)
		}
	}
	h.c.tracef("configure %d: voters %d, learners %d\n", n.ID, voters, learners)
	if i, err := h.c.ProposeConfig(n.ID, voters, learners); err == nil && n.Core != nil && i == n.Core.Status().ConfigIndex {
		h.report.Configs++
		if n.Core.Status().Config.Joint() {
			h.report.Joint++
		}
	}
}

// usurp makes a change of leaders likely while entries of the old one are half
// replicated: the others miss their leader, and one of them is given a run.
func (h *history) usurp() {
	n := h.any()
	if h.pick(2) == 0 {
		h.c.Heal()
		h.c.Isolate(h.leading().ID)
	}
	h.c.tracef("%d is to lead\n", n.ID)
	for _, o := range h.c.Nodes {
		if o != n && h.pick(4) > 0 {
			h.c.Tick(o.ID, h.c.o.Raft.ElectionTicks)
		}
	}
	h.c.Campaign(n.ID)
	for range h.pick(40) {
		h.deliver()
		if h.pick(2) == 0 {
			o := h.any()
			o.Journal()
			o.Write()
		}
	}
	if h.pick(2) == 0 {
		h.c.Heal()
	}
}

// fault fails a node's disk: whatever was on its way is not done.
func (h *history) fault() {
	n := h.any()
	if n.Core == nil || h.pick(3) > 0 {
		return
	}
	n.Fault(nil)
	n.Flush() // a later sync that succeeds must not count
	h.crashNode(n)
}

// converge ends all faults. Within a bounded time there is a leader, what it
// commits is everywhere, and the logs are equal.
func (h *history) converge() {
	h.c.tracef("faults end\n")
	h.c.Heal()
	for _, n := range h.c.Nodes {
		if n.Core == nil {
			h.start(n)
		}
		n.AutoDisk = true
		n.Flush()
	}
	// A host would have noticed that connections broke.
	for _, n := range h.c.Nodes {
		for _, o := range h.c.Nodes {
			n.PeerDown(o.ID, false)
		}
		n.Wake(0)
	}
	h.c.Stabilize()
	const repairTicks = 100 // a leader may be needed before a repair, and after it
	for range repairTicks {
		h.c.TickAll()
		for _, n := range h.c.Nodes {
			n.Repair()
		}
	}
	if h.c.WaitLeader(2000) == 0 {
		h.c.failf("no leader whom all follow, long after all faults ended: %v", h.c.Nodes)
		return
	}
	const ticksMax = 500
	proposed := false
	for range ticksMax {
		if id := h.c.Leader(); id != 0 && !proposed {
			_, err := h.c.Propose(id, "last")
			proposed = err == nil
		}
		for _, n := range h.c.Nodes {
			n.Repair()
		}
		h.c.TickAll()
		if h.c.err != nil || proposed && h.equal() {
			return
		}
	}
	h.c.failf("the logs are not equal long after all faults ended: %v", h.c.Nodes)
}

func (h *history) equal() bool {
	lead := h.c.Leader()
	if lead == 0 {
		return false
	}
	config := h.c.Node(lead).Core.Status().Config
	if config.Joint() {
		return false
	}
	for _, n := range h.c.Nodes {
		if !config.Contains(n.ID) {
			continue
		}
		if len(n.Log) != len(h.c.Committed()) || int(n.Commit) != len(n.Log) {
			return false
		}
	}
	return true
}
