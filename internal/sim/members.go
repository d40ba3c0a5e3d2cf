package sim

import (
	"fmt"
	"slices"

	"github.com/logq/logq/internal/replica"
	"github.com/logq/logq/raft"
	"github.com/logq/logq/segments"
)

// inForce returns the configurations that are in force somewhere, or may come
// into force: the last that is committed, and all later ones.
func (w *world) inForce() []raft.Config {
	last, configs := raft.Index(0), []raft.Config{{Voters: w.voters}}
	for i, id := range w.configIDs {
		if id.Index > last && int(id.Index) <= len(w.committed) && w.committed[id.Index-1].term == id.Term {
			last, configs[0] = id.Index, w.configs[i].Config
		}
	}
	for i, id := range w.configIDs {
		if id.Index > last {
			configs = append(configs, w.configs[i].Config)
		}
	}
	return configs
}

// checkPending: a log holds at most one configuration that isn't committed, since
// the next one is begun only when that is.
func (w *world) checkPending(n *node) error {
	pending := 0
	for i := len(w.committed); i < len(n.mirror); i++ {
		if n.mirror[i].kind == segments.KindConfig {
			pending++
		}
	}
	if pending > 1 {
		return fmt.Errorf("the log of replica %d holds %d configurations that aren't committed", n.id, pending)
	}
	return nil
}

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
		case o.gone:
		case x < 7 && learns, x < 5 && !votes && !learns, x == 7:
			learners = append(learners, o.id)
		}
	}
	if !w.majorityLeft(voters, nil) {
		return nil // an operator would see that
	}
	return w.propose(n, st.ConfigIndex, voters, learners)
}

func (w *world) propose(n *node, at raft.Index, voters, learners []raft.ReplicaID) error {
	w.tracef("%d is asked for voters %d, learners %d", n.id, voters, learners)
	return w.step(n, func(out *replica.Output) {
		// A refusal is an answer.
		if _, err := n.rep.ProposeConfig(at, voters, learners, out); err == nil {
			w.report.Configs++
			if n.rep.Status().Config.Joint() {
				w.report.Joint++
			}
		}
	})
}

// dismissLost removes replicas that are gone for good, as an operator does in the
// end.
func (w *world) dismissLost() error {
	n := w.newestLeader()
	if n == nil || n.seen.joint {
		return nil
	}
	st := n.rep.Status()
	lost := func(id raft.ReplicaID) bool { return w.nodes[id-1].gone }
	if !slices.ContainsFunc(st.Config.Voters, lost) && !slices.ContainsFunc(st.Config.Learners, lost) {
		return nil
	}
	voters := slices.DeleteFunc(slices.Clone(st.Config.Voters), lost)
	return w.propose(n, st.ConfigIndex, voters, slices.DeleteFunc(slices.Clone(st.Config.Learners), lost))
}

// trim drops the front of a log, up to its commit index at most.
func (w *world) trim(n *node) error {
	return w.step(n, func(out *replica.Output) {
		before := n.rep.Log().First()
		if n.rep.Trim(n.commit+1, out) == nil && n.rep.Log().First() > before {
			w.tracef("%d trims its log to %d", n.id, n.rep.Log().First())
			w.report.Trims++
		}
	})
}

// newestLeader returns the leader of the highest term, nil if there is none.
func (w *world) newestLeader() (lead *node) {
	for _, n := range w.nodes {
		if n.leads() && (lead == nil || n.seen.term > lead.seen.term) {
			lead = n
		}
	}
	return lead
}

// members returns the nodes that the newest leader counts as members; nil without
// a leader, or while the configuration changes.
func (w *world) members() (members []*node) {
	lead := w.newestLeader()
	if lead == nil || lead.seen.joint {
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
