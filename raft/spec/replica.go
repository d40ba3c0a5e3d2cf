package spec

import (
	"fmt"
	"slices"

	"github.com/logq/logq/raft"
)

// Replica is the abstract state of one replica, through all its lives. Its methods
// are told what was given to the core and what came of it, and answer with a
// *Violation if no sequence of actions leads from the state before to the one
// after.
type Replica struct {
	g   *Group
	id  raft.ReplicaID
	now string // the input, for messages

	up, faulted, lease bool

	term   raft.Term
	vote   raft.ReplicaID
	role   raft.Role
	leader raft.ReplicaID
	log    log
	commit raft.Index
	// configs are the configuration in force at commit and all later ones in the log.
	configs []raft.ConfigEntry
	// verified is the end of the prefix that the leader of the term is known to have.
	verified raft.Index
	promised raft.EntryID // the end of a log that was lost
	damaged  raft.Index   // the first entry that can't be read
	// unsettled is the first of them that was not known to be committed.
	unsettled raft.Index

	disk   disk
	staged staged
	poll   poll
	lead   lead
	sends  sends

	past history
}

// staged is what the next Ready must hand out.
type staged struct {
	truncate raft.Index
	entries  raft.Entries
	config   raft.Config
	install  *raft.EntryID
}

// poll is what a candidate knows.
type poll struct {
	round    uint64           // of pre-votes, the newest that was asked
	pre      []raft.ReplicaID // who has consented in it
	votes    []raft.ReplicaID // who has voted for this replica in its term
	offer    raft.EntryID     // the end of the log when it took the candidacy
	transfer bool             // the leader has asked for it
	consents []consent        // pre-votes that may be granted
}

// consent is a pre-vote that may be granted.
type consent struct {
	to   raft.ReplicaID
	term raft.Term
}

// lead is what a leader knows.
type lead struct {
	noop  raft.Index
	peers []follower
	round uint64 // of heartbeats, the newest that was sent
	reads []read
}

// follower is what a leader knows of another replica.
type follower struct {
	id    raft.ReplicaID
	match raft.Index
	round uint64 // the newest heartbeat that it has answered
}

// read is a read that waits.
type read struct {
	id    uint64
	round uint64     // only answers to later heartbeats confirm it
	floor raft.Index // what was committed, anywhere, when it was asked
}

// sends is what the messages may say that the next Ready sends: a core gathers
// them, so what was true at any time since the last Ready counts.
type sends struct {
	now  era
	past []era // of earlier terms
}

// era is a term since the last Ready.
type era struct {
	term     raft.Term
	led      bool
	vote     raft.ReplicaID // durable
	match    raft.Index     // may be acknowledged
	verified raft.Index
	leader   raft.ReplicaID
}

// history is what a replica has told others, in all its lives.
type history struct {
	votes []ballot // ascending by term
	acks  []ack    // ascending by term
}

type ballot struct {
	term raft.Term
	to   raft.ReplicaID
}

type ack struct {
	term  raft.Term
	match raft.Index
}

// refuse makes a Violation.
func (r *Replica) refuse(action, guard, format string, args ...any) error {
	return &Violation{Replica: r.id, Input: r.now, Action: action, Guard: guard, Detail: fmt.Sprintf(format, args...)}
}

// config returns the configuration in force: the newest in the log.
func (r *Replica) config() *raft.ConfigEntry { return &r.configs[len(r.configs)-1] }

// majority says whether a majority of the configuration in force has it, in the
// joint state one of each set of voters.
func (r *Replica) majority(has func(id raft.ReplicaID) bool) bool {
	c := &r.config().Config
	return most(c.Voters, has) && (len(c.Outgoing) == 0 || most(c.Outgoing, has))
}

func most(voters []raft.ReplicaID, has func(id raft.ReplicaID) bool) bool {
	n := 0
	for _, id := range voters {
		if has(id) {
			n++
		}
	}
	return 2*n > len(voters)
}

// member says whether id is in a configuration that a truncation could bring back,
// or in the one in force.
func (r *Replica) member(id raft.ReplicaID) bool {
	for i := len(r.configs) - 1; i >= 0; i-- {
		if r.configs[i].Config.Contains(id) {
			return true
		}
	}
	return false
}

// alone says that this replica is the only voter.
func (r *Replica) alone() bool {
	c := &r.config().Config
	other := func(id raft.ReplicaID) bool { return id != r.id }
	return c.Votes(r.id) && !slices.ContainsFunc(c.Voters, other) && !slices.ContainsFunc(c.Outgoing, other)
}

// follower returns what this leader knows of id, nil if nothing.
func (r *Replica) follower(id raft.ReplicaID) *follower {
	for i := range r.lead.peers {
		if r.lead.peers[i].id == id {
			return &r.lead.peers[i]
		}
	}
	return nil
}

func (r *Replica) followerOf(id raft.ReplicaID) *follower {
	if f := r.follower(id); f != nil {
		return f
	}
	r.lead.peers = append(r.lead.peers, follower{id: id})
	return &r.lead.peers[len(r.lead.peers)-1]
}

// abstains: the log has gaps, so the replica's own vote counts for nothing.
func (r *Replica) abstains() bool { return r.promised.Index != 0 || r.unsettled != 0 }

// sound is the end of the prefix that is on disk and can be read.
func (r *Replica) sound() raft.Index {
	d := r.disk.durable
	if r.unsettled != 0 {
		d = min(d, r.unsettled-1)
	}
	return d
}

// offer is what a candidate has: its last entry before any damage.
func (r *Replica) offer() raft.EntryID {
	if r.unsettled == 0 {
		return r.log.lastID()
	}
	t, _ := r.log.term(r.unsettled - 1)
	return raft.EntryID{Term: t, Index: r.unsettled - 1}
}

// ackable is the end of the prefix that may be acknowledged: verified, and both its
// entries and the term on disk.
func (r *Replica) ackable() raft.Index {
	if r.disk.hard.Term != r.term || r.installing() {
		return 0
	}
	return min(r.verified, r.sound())
}

// expect compares the state with what the core says.
func (r *Replica) expect(s *raft.Status) error {
	c := r.config()
	switch {
	case s.Term != r.term || s.Vote != r.vote:
		return r.effect("term %d vote %d", "term %d vote %d", s.Term, s.Vote, r.term, r.vote)
	case s.Role != r.role || s.Leader != r.leader:
		return r.effect("%v, leader %d", "%v, leader %d", s.Role, s.Leader, r.role, r.leader)
	case s.Last != r.log.last || s.LastTerm != r.log.lastID().Term || s.First != r.log.prev.Index+1:
		return r.effect("log [%d, %d] ending in term %d", "log %v", s.First, s.Last, s.LastTerm, &r.log)
	case s.Commit != r.commit:
		return r.effect("commit %d", "commit %d", s.Commit, r.commit)
	case s.Durable != r.disk.durable:
		return r.effect("durable %d", "durable %d", s.Durable, r.disk.durable)
	case s.ConfigIndex != c.Index || !s.Config.Equal(c.Config):
		return r.effect("configuration %v of entry %d", "configuration %v of entry %d", s.Config, s.ConfigIndex, c.Config, c.Index)
	case s.Repairing != (r.promised.Index != 0) || s.Damaged != r.damaged || s.Unsettled != r.unsettled:
		return r.effect("repairing %v, damaged %d and %d", "promised %v, damaged %d and %d", s.Repairing, s.Damaged, s.Unsettled, r.promised, r.damaged, r.unsettled)
	case s.Serving != (r.role == raft.RoleLeader && r.commit >= r.lead.noop):
		return r.effect("serving %v", "commit %d, no-op %d", s.Serving, r.commit, r.lead.noop)
	case s.Quiet && (r.commit != r.log.last || r.leader == 0):
		return r.refuse("Quiet", "all entries are committed and there is a leader", "commit %d, last %d, leader %d", r.commit, r.log.last, r.leader)
	}
	return nil
}

// effect refuses a state that no action leads to. args are those of got, then
// those of want.
func (r *Replica) effect(got, want string, args ...any) error {
	return r.refuse("no action", "the state after is that of the actions", "it is "+got+", should be "+want, args...)
}
