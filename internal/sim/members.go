package sim

import (
	"github.com/logq/logq/internal/replica"
	"github.com/logq/logq/raft"
)

// reconfigure asks a leader for some other configuration: learners first, so that
// they have a chance to become voters.
func (w *world) reconfigure() error {
	n := w.leader()
	if n == nil {
		return nil
	}
	st := n.rep.Status()
	var voters, learners []raft.ReplicaID
	for _, o := range w.nodes {
		votes := st.Config.Votes(o.id)
		learns := !votes && st.Config.Contains(o.id)
		switch x := w.r.IntN(8); {
		case x < 6 && votes, x < 4 && learns:
			voters = append(voters, o.id)
		case x < 7 && learns, x < 5 && !votes && !learns, x == 7:
			learners = append(learners, o.id)
		}
	}
	w.tracef("%d is asked for voters %d, learners %d", n.id, voters, learners)
	return w.step(n, func(out *replica.Output) {
		// A refusal is an answer.
		if _, err := n.rep.ProposeConfig(st.ConfigIndex, voters, learners, out); err == nil {
			w.report.Configs++
			if n.rep.Status().Config.Joint() {
				w.report.Joint++
			}
		}
	})
}

// trim drops the front of a log, up to its commit index at most.
func (w *world) trim(n *node) error {
	if n.rep == nil || n.rep.Err() != nil || n.pausedUntil > w.now {
		return nil
	}
	return w.step(n, func(out *replica.Output) {
		before := n.rep.Log().First()
		if n.rep.Trim(n.commit+1, out) == nil && n.rep.Log().First() > before {
			w.tracef("%d trims its log to %d", n.id, n.rep.Log().First())
			w.report.Trims++
		}
	})
}

// members returns the nodes that the newest leader counts as members; nil without
// a leader, or while the configuration changes.
func (w *world) members() (members []*node) {
	var lead *node
	for _, n := range w.nodes {
		if n.rep != nil && n.rep.Err() == nil && n.rep.Status().Role == raft.RoleLeader && (lead == nil || n.rep.Status().Term > lead.rep.Status().Term) {
			lead = n
		}
	}
	if lead == nil || lead.rep.Status().Config.Joint() {
		return nil
	}
	config := lead.rep.Status().Config
	for _, n := range w.nodes {
		if config.Contains(n.id) {
			members = append(members, n)
		}
	}
	return members
}
