package etcdtest

import (
	"fmt"

	"github.com/logq/logq/raft"
	"github.com/logq/logq/raft/rafttest"
)

// typeOf are the types of messages that scenarios name.
var typeOf = map[string]raft.MessageType{"MsgApp": raft.MsgAppend}

// run carries out one command. What the core refuses is no error here: etcd's may
// refuse it too, and the comparison tells.
func (m *mirror) run(st *step) error {
	d := &st.TestData
	on := nodes(d)
	first := raft.ReplicaID(0)
	if len(on) > 0 {
		first = on[0]
	}
	switch d.Cmd {
	case "add-nodes":
		m.exist += int(first)
	case "campaign":
		m.campaign(first)
	case "compact":
		if err := m.c.Node(first).Trim(raft.Index(on[1]) + 1); err != nil {
			return err
		}
	case "deliver-msgs":
		m.deliverMsgs(st, on)
	case "process-ready":
		for _, id := range on {
			m.ready(id)
		}
	case "process-append-thread":
		for _, id := range on {
			m.appendThread(id)
		}
	case "process-apply-thread", "send-snapshot":
	case "propose":
		_, _ = m.c.Propose(first, d.CmdArgs[1].Key)
	case "propose-conf-change":
		changes, err := parseChanges(d)
		if err != nil {
			return err
		}
		voters, learners := target(m.status(first).Config, changes)
		_, _ = m.c.ProposeConfig(first, voters, learners)
	case "report-unreachable":
		m.c.Sent(first, on[1], false)
	case "set-randomized-election-timeout":
		m.timeouts[first] = int(values(d, "timeout")[0])
	case "stabilize":
		if len(on) == 0 {
			on = m.all()
		}
		return m.stabilize(on)
	case "tick-election":
		m.tick(first, electionTicks)
	case "tick-heartbeat":
		m.tick(first, heartbeatTicks)
	case "transfer-leadership":
		from, to := raft.ReplicaID(values(d, "from")[0]), raft.ReplicaID(values(d, "to")[0])
		m.handing[from] = to
		_ = m.c.Transfer(from, to)
	case "forget-leader":
		// A second time at once would be two timeouts.
		if s := m.status(first); m.s.polite && s.Role == raft.RoleFollower && !m.forgot[first] {
			m.forgot[first] = true
			m.c.Tick(first, electionTicks*tickParts)
		}
	default:
		return fmt.Errorf("unknown command %s", d.Cmd)
	}
	m.gather()
	return m.c.Err()
}

func (m *mirror) deliverMsgs(st *step, to []raft.ReplicaID) {
	match := func(*rafttest.Envelope) bool { return true }
	if name := text(&st.TestData, "type"); name != "" {
		match = func(e *rafttest.Envelope) bool { return e.Type == typeOf[name] }
	}
	for _, id := range to {
		m.deliver(id, false, match)
	}
	for _, id := range values(&st.TestData, "drop") {
		m.deliver(raft.ReplicaID(id), true, match)
	}
}

// campaign starts an election. If the scenario has no pre-vote, all consent to it at
// once; gather lets the requests for votes go past those who hear a leader.
func (m *mirror) campaign(id raft.ReplicaID) {
	delete(m.timeouts, id)
	m.c.Campaign(id)
	if m.s.polite {
		return
	}
	for _, e := range m.c.Take(func(e *rafttest.Envelope) bool { return e.Type == raft.MsgPreVote }) {
		m.c.Hand(rafttest.Envelope{Message: raft.Message{Type: raft.MsgPreVoteReply, From: e.To, To: id, Term: e.Term, Context: e.Context}})
	}
}

// tick lets time pass. If the scenario has set a timeout, an election begins at its
// end.
func (m *mirror) tick(id raft.ReplicaID, ticks int) {
	for range ticks {
		m.c.Tick(id, tickParts)
		if left, ok := m.timeouts[id]; ok {
			if m.timeouts[id] = left - 1; left == 1 {
				m.campaign(id)
			}
		}
	}
}
