package spec

import (
	"slices"

	"github.com/logq/logq/raft"
)

// forgetConfigs drops the configurations that no truncation can bring back.
func (r *Replica) forgetConfigs() {
	n := 0
	for n+1 < len(r.configs) && r.configs[n+1].Index <= r.commit {
		n++
	}
	if n > 0 {
		r.configs = slices.Delete(r.configs, 0, n)
	}
}

// Configured: a change of configuration was accepted, as entry i.
func (r *Replica) Configured(i raft.Index, voters, learners []raft.ReplicaID, s *raft.Status) error {
	r.now = "ProposeConfig"
	now := r.config()
	if i == now.Index {
		return r.finish(s, never) // nothing changes
	}
	to := raft.Config{Voters: voters, Learners: learners}
	if !slices.Equal(voters, now.Config.Voters) {
		to.Outgoing = now.Config.Voters
	}
	if !s.Config.Equal(to) {
		return r.refuse("ChangeConfig", "a change of voters is joint", "from %v to %v", now.Config, s.Config)
	}
	for _, id := range voters {
		if id != r.id && !now.Config.Contains(id) {
			return r.refuse("ChangeConfig", "new voters are learners before", "replica %d in %v", id, now.Config)
		}
	}
	if now.Config.Joint() {
		return r.refuse("ChangeConfig", "the joint state is left", "%v", now.Config)
	}
	if err := r.changeConfig("ChangeConfig", i, &to); err != nil {
		return err
	}
	return r.finish(s, never)
}

// changeConfig: a leader appends a configuration, which is in force at once.
func (r *Replica) changeConfig(action string, i raft.Index, to *raft.Config) error {
	now := r.config()
	switch {
	case r.role != raft.RoleLeader:
		return r.refuse(action, "the replica leads", "it is %v", r.role)
	case now.Index > r.commit:
		return r.refuse(action, "one configuration at a time is not committed", "that of entry %d, commit is %d", now.Index, r.commit)
	case r.commit < r.lead.noop:
		return r.refuse(action, "an entry of the own term is committed", "commit is %d, the no-op %d", r.commit, r.lead.noop)
	case i != r.log.last+1:
		return r.refuse(action, "entries are appended at the end", "at %d, the log is %v", i, &r.log)
	case to.Validate() != nil || len(to.Voters) == 0:
		return r.refuse(action, "the configuration is valid", "%v", to)
	}
	if err := r.ownAppend(action, raft.KindConfig, 1); err != nil {
		return err
	}
	r.staged.config = to.Clone()
	r.configs = append(r.configs, raft.ConfigEntry{Index: i, Config: r.staged.config})
	return nil
}

// leaveJoint: the joint configuration is committed, so the old voters aren't
// needed any more.
func (r *Replica) leaveJoint(i raft.Index, to *raft.Config) error {
	const action = "LeaveJoint"
	now := r.config()
	if !now.Config.Joint() {
		return r.refuse(action, "the configuration is joint", "it is %v", now.Config)
	}
	if want := (raft.Config{Voters: now.Config.Voters, Learners: now.Config.Learners}); !to.Equal(want) {
		return r.refuse(action, "the new voters stay", "%v after %v", to, now.Config)
	}
	return r.changeConfig(action, i, to)
}
