package raft

import "fmt"

// Role is what a replica is in its term.
type Role uint8

// The roles. A pre-candidate asks whether an election would succeed, without
// disturbing the term (dissertation §9.6).
const (
	RoleFollower Role = iota
	RolePreCandidate
	RoleCandidate
	RoleLeader
)

// String returns the role's name.
func (r Role) String() string {
	switch r {
	case RoleFollower:
		return "follower"
	case RolePreCandidate:
		return "pre-candidate"
	case RoleCandidate:
		return "candidate"
	case RoleLeader:
		return "leader"
	default:
		return fmt.Sprintf("role(%d)", uint8(r))
	}
}

// Status is the state of a Core at one moment.
type Status struct {
	ID   ReplicaID
	Term Term
	Vote ReplicaID
	Role Role
	// Leader is the leader of Term, 0 while unknown.
	Leader ReplicaID
	// Serving is set on a leader whose no-op is committed: only then does it know
	// all that is committed.
	Serving bool
	// Transferring is the replica that leadership is being handed to, or 0.
	Transferring ReplicaID
	// Commit <= Last; Durable <= Last is the end of what is on this replica's disk.
	Commit, Last, Durable Index
	// First is the index of the log's first entry, or the one it will have.
	First Index
	// Damaged is the first entry that can't be read, 0 if all can, and Unsettled the
	// first that may not be committed, as Core.SetDamaged was told.
	Damaged, Unsettled Index
	// Quiet: see Core.Quiet. Repairing: the log has lost what was promised, and the
	// replica abstains until it has it again. Stalled: a write is on its way for
	// longer than an election timeout.
	Quiet, Repairing, Stalled bool
	// LastTerm is the term of entry Last.
	LastTerm Term
	// UncommittedBytes counts the own proposals that are not committed.
	UncommittedBytes int
	// Config is the configuration in force, valid until the next input; ConfigIndex
	// is its entry, 0 for the one with which the group was made. It is committed if
	// ConfigIndex <= Commit.
	Config      Config
	ConfigIndex Index
	// Faulted is why the replica is out of service, or nil.
	Faulted error
	// Peers are the other members in ascending order; what is known of their logs is
	// filled in on a leader only. Valid until the next call of Status.
	Peers []PeerStatus
}

// PeerStatus is what a leader knows of another replica.
type PeerStatus struct {
	ID ReplicaID
	// Voter is set for voters, old or new; the others are learners.
	Voter bool
	// CaughtUp is set on a leader for a replica that keeps pace with the log: a
	// learner may become a voter.
	CaughtUp bool
	// Jumping is set while it needs what is before the first entry here.
	Jumping bool
	// Match is the end of the prefix that is known to be durable there.
	Match Index
	// Next is the index of the next entry to send.
	Next Index
	// Replicating is set once the end of the common prefix is known; before, the
	// leader probes for it.
	Replicating bool
	// InflightBytes and InflightMessages are sent and not acknowledged.
	InflightBytes, InflightMessages int
	// Active is set when the peer was heard since the last check of the quorum.
	Active bool
}

// Match returns the end of the prefix that is known to be durable on replica
// id, 0 if id is no voter or, except for the replica itself, this is no leader.
func (s *Status) Match(id ReplicaID) Index {
	if id == s.ID {
		return s.Durable
	}
	for i := range s.Peers {
		if s.Peers[i].ID == id {
			return s.Peers[i].Match
		}
	}
	return 0
}
