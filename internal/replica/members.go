package replica

import (
	"fmt"

	"github.com/logq/logq/raft"
	"github.com/logq/logq/segments"
)

// ProposeConfig changes who belongs to the group; see raft.Core.ProposeConfig. It
// is done when the core's status shows the new configuration committed and not
// joint.
func (r *Replica) ProposeConfig(at raft.Index, voters, learners []raft.ReplicaID, out *Output) (raft.Index, error) {
	if r.err != nil {
		return 0, &FailedError{Cause: r.err}
	}
	i, err := r.core.ProposeConfig(at, voters, learners)
	r.pump(out)
	return i, err
}

// Trim drops whole segments of committed entries below index first, and tells
// the core how far the log start has moved.
func (r *Replica) Trim(first raft.Index, out *Output) error {
	if r.err != nil {
		return &FailedError{Cause: r.err}
	}
	// The log may know more to be durable than the core was told yet.
	first = min(first, r.commit+1, r.core.Status().Durable+1)
	if err := r.log.TrimFront(segments.Index(first)); err != nil {
		return fmt.Errorf("trim the log of replica %d before entry %d: %w", r.o.ID, first, err)
	}
	if r.log.Unflushed() {
		r.disk.order()
	}
	prev, _ := r.log.PrevOfFirst()
	r.must(r.core.Trim(raft.Index(prev) + 1))
	if len(r.mend.gaps) > 0 {
		r.tellDamage()
	}
	r.pump(out)
	return nil
}

// bootConfigs returns the configuration in force where the log begins, if it is
// not the one with which the group was made, and those in the log.
func (r *Replica) bootConfigs() (configs []raft.ConfigEntry, err error) {
	if s := r.log.Start(); len(s.Config) > 0 {
		e, err := configOf(s.ConfigIndex, s.Config)
		if err != nil {
			return nil, err
		}
		configs = append(configs, e)
	}
	for _, at := range r.log.Configs() {
		e, err := configOf(at.Index, at.Payload)
		if err != nil {
			return nil, err
		}
		configs = append(configs, e)
	}
	return configs, nil
}

func configOf(i segments.Index, payload []byte) (raft.ConfigEntry, error) {
	c, err := raft.DecodeConfig(payload)
	if err != nil {
		return raft.ConfigEntry{}, fmt.Errorf("configuration in entry %d: %w", i, err)
	}
	return raft.ConfigEntry{Index: raft.Index(i), Config: c}, nil
}

// configsIn returns the configurations in checked frames.
func configsIn(frames []byte) (configs []raft.ConfigEntry, err error) {
	for rest := frames; len(rest) > 0; {
		f, n, err := segments.ViewFrame(rest)
		if err != nil {
			return nil, err
		}
		if rest = rest[n:]; f.Kind != segments.KindConfig {
			continue
		}
		e, err := configOf(f.Index, f.Payload)
		if err != nil {
			return nil, err
		}
		configs = append(configs, e)
	}
	return configs, nil
}

// startOf decodes what travels beside a jump and holds it against the message.
func startOf(m *raft.Message, b []byte) (s segments.Start, e raft.ConfigEntry, err error) {
	if s, err = segments.DecodeStart(b); err != nil {
		return s, e, err
	}
	if raft.Index(s.PrevIndex) != m.Index || raft.Term(s.PrevTerm) != m.LogTerm {
		return s, e, fmt.Errorf("the start of the log is after %d/%d, the message says %d/%d", s.PrevTerm, s.PrevIndex, m.LogTerm, m.Index)
	}
	e, err = configOf(s.ConfigIndex, s.Config)
	return s, e, err
}

// install begins the log anew where the leader's begins. What became of batches
// appended here before that point is not known any more.
func (r *Replica) install(j *raft.Jump, out *Output) {
	r.must(r.log.Reset(r.start, segments.Term(r.term)))
	r.marks.reset()
	r.own.jump(j.Prev.Index, out)
	r.commit, r.hw = j.Prev.Index, max(r.hw, r.start.NextOffset)
	r.log.SetCommit(segments.Index(r.commit))
	out.Changed = true
}

// jumpStart returns where this log begins, for a follower that is to begin there.
// The configuration with which the group was made is in no log, so it is put in.
func (r *Replica) jumpStart() []byte {
	s := r.log.Start()
	if len(s.Config) == 0 {
		birth := raft.Config{Voters: r.o.Voters}
		s.Config = birth.AppendTo(nil)
	}
	return s.AppendTo(nil)
}

// SetClock tells the time for leases; see raft.Core.SetClock.
func (r *Replica) SetClock(now uint64) { r.core.SetClock(now) }
