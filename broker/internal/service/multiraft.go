package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/logq/logq/internal/multiraft"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/internal/replica"
	"github.com/logq/logq/raft"
	"github.com/logq/logq/record"
	"github.com/logq/logq/segments"
)

// NewHost adapts the production host: its types, and its errors to protocol errors with the right outcome.
func NewHost(h *multiraft.Host) Host { return hostAdapter{h} }

type hostAdapter struct{ h *multiraft.Host }

// Open opens or creates a replica.
func (a hostAdapter) Open(ctx context.Context, spec Spec) (Group, error) {
	voters := make([]raft.ReplicaID, len(spec.Voters))
	for i, v := range spec.Voters {
		voters[i] = raft.ReplicaID(v)
	}
	g, err := a.h.Open(ctx, multiraft.Spec{
		Group: protocol.GroupID(spec.Topic, spec.Partition), Topic: spec.Topic, Partition: uint32(spec.Partition), Name: spec.Name,
		Self: raft.ReplicaID(spec.Self), Voters: voters, SegmentBytes: spec.SegmentBytes,
	})
	if err != nil {
		return nil, openError(err)
	}
	return groupAdapter{g}, nil
}

// Remove stops a replica and deletes its data.
func (a hostAdapter) Remove(ctx context.Context, spec Spec) error {
	return a.h.Remove(ctx, protocol.GroupID(spec.Topic, spec.Partition), spec.Name, raft.ReplicaID(spec.Self))
}

// Dirs lists the replicas on the disk.
func (a hostAdapter) Dirs() ([]string, error) { return a.h.Dirs() }

type groupAdapter struct{ g *multiraft.Group }

// Append appends a batch.
func (a groupAdapter) Append(batch record.Batch, term uint64, deadline time.Time, done func(AppendResult)) {
	a.g.Append(batch, raft.Term(term), deadline, func(r multiraft.AppendResult) {
		out := AppendResult{Base: r.Base, Last: r.Last, Term: uint64(r.Term)}
		if r.Err != nil {
			out.Err = groupError(r.Err)
		}
		done(out)
	})
}

// Read reads committed batches.
func (a groupAdapter) Read(dst []byte, from record.Offset, maxBytes int) (ReadResult, error) {
	r, err := a.g.Read(dst, from, maxBytes)
	out := ReadResult{Batches: r.Batches, Next: r.Next, HighWatermark: r.HighWatermark, LogStart: r.LogStart, Term: uint64(r.Term)}
	var outside *segments.OutOfRangeError
	if errors.As(err, &outside) {
		out.Batches, out.Next = dst, from
		out.LogStart, out.HighWatermark = outside.Start, outside.Next
		return out, nil
	}
	if err != nil {
		return out, groupError(err)
	}
	return out, nil
}

// WaitFor waits for records at an offset.
func (a groupAdapter) WaitFor(from record.Offset) <-chan struct{} { return a.g.WaitFor(from) }

// Latest asks a majority for the high watermark.
func (a groupAdapter) Latest(done func(record.Offset, error)) {
	a.g.Latest(func(at record.Offset, err error) {
		if err != nil {
			done(0, groupError(err))
			return
		}
		done(at, nil)
	})
}

// OffsetForTime looks a time up.
func (a groupAdapter) OffsetForTime(timestampMs int64) (record.Offset, int64, bool, error) {
	at, ms, ok, err := a.g.OffsetForTime(timestampMs)
	if err != nil {
		return 0, 0, false, groupError(err)
	}
	return at, ms, ok, nil
}

// Leader tells who leads.
func (a groupAdapter) Leader() LeaderStatus { return leaderStatus(a.g.Leadership()) }

func leaderStatus(st multiraft.Leadership) LeaderStatus {
	out := LeaderStatus{Leader: protocol.BrokerOf(uint64(st.Leader)), Term: uint64(st.Term), Serving: st.Serving}
	if st.Err != nil {
		out.Err = groupError(st.Err)
	}
	return out
}

// Status is a full snapshot.
func (a groupAdapter) Status() GroupStatus {
	st := a.g.Status()
	lead := multiraft.Leadership{Leader: st.Leader, Term: st.Term, Serving: st.Serving, Err: st.Err}
	out := GroupStatus{LeaderStatus: leaderStatus(lead), HighWatermark: st.HighWatermark, LogStart: st.LogStart, Commit: uint64(st.Commit), Last: uint64(st.Last), Durable: uint64(st.Durable)}
	for _, p := range st.Peers {
		out.Peers = append(out.Peers, PeerProgress{
			Broker: protocol.BrokerOf(uint64(p.ID)), Replica: uint64(p.ID), Match: uint64(p.Match), Learner: p.Learner, CaughtUp: p.CaughtUp,
			Jumping: p.Jumping,
		})
	}
	switch {
	case len(st.Damage) > 0:
		g := st.Damage[0]
		out.Damage = fmt.Sprintf("%d places, the first are the entries %d to %d: %s", len(st.Damage), g.Lo, g.Hi-1, g.Reason)
	case st.Repairing:
		out.Damage = "the end of its log is missing"
	}
	out.Members = Members{
		At: uint64(st.ConfigIndex), Voters: replicaIDs(st.Config.Voters), Learners: replicaIDs(st.Config.Learners),
		Settled: !st.Config.Joint() && st.ConfigIndex <= st.Commit,
	}
	return out
}

func replicaIDs(ids []raft.ReplicaID) []uint64 {
	out := make([]uint64, len(ids))
	for i, id := range ids {
		out[i] = uint64(id)
	}
	return out
}

// Change asks the group for other members and waits until they are in force for good.
func (a groupAdapter) Change(ctx context.Context, at uint64, voters, learners []uint64) error {
	ids := func(in []uint64) []raft.ReplicaID {
		out := make([]raft.ReplicaID, len(in))
		for i, id := range in {
			out[i] = raft.ReplicaID(id)
		}
		return out
	}
	return a.g.ProposeConfig(ctx, raft.Index(at), ids(voters), ids(learners))
}

// Transfer hands leadership to a replica.
func (a groupAdapter) Transfer(to uint64) error { return a.g.Transfer(raft.ReplicaID(to)) }

// Trim drops old entries of this replica's log.
func (a groupAdapter) Trim(first uint64) error {
	if err := a.g.Trim(raft.Index(first)); err != nil {
		return groupError(err)
	}
	return nil
}

// groupError gives an error of a replica its code and outcome. What is not known here means that nothing is known.
func groupError(err error) *protocol.Error {
	var (
		notLeader *raft.NotLeaderError
		lost      *replica.LostError
		unknown   *replica.UnknownError
		expired   *multiraft.ExpiredError
		gone      *multiraft.UnknownGroupError
		failed    *replica.FailedError
	)
	switch {
	case errors.As(err, &unknown):
		return unknownOutcome(err)
	case errors.As(err, &expired):
		return protocol.Errorf(protocol.RequestTimedOut, "%v", err).WithOutcome(protocol.NotWritten)
	case errors.As(err, &notLeader):
		return protocol.Errorf(protocol.NotLeaderOrFollower, "%v", err).WithLeader(protocol.BrokerOf(uint64(notLeader.Leader)), "")
	case errors.As(err, &lost), errors.As(err, &gone), errors.Is(err, multiraft.ErrNotServing), errors.Is(err, raft.ErrTransferring):
		return protocol.Errorf(protocol.NotLeaderOrFollower, "%v", err)
	case errors.Is(err, raft.ErrBusy):
		return protocol.Errorf(protocol.ThrottlingQuotaExceeded, "%v", err)
	case errors.Is(err, multiraft.ErrClosed), errors.Is(err, segments.ErrClosed):
		return protocol.Errorf(protocol.BrokerNotAvailable, "the replica is stopped: %v", err)
	case errors.As(err, &failed), errors.Is(err, raft.ErrFaulted):
		return storageError(err)
	default:
		return storageError(err).WithOutcome(protocol.Unknown)
	}
}

// unknownOutcome tells apart why nobody can say whether a batch will be committed.
func unknownOutcome(err error) *protocol.Error {
	code := protocol.StorageError
	switch {
	case errors.Is(err, multiraft.ErrDeadline):
		code = protocol.RequestTimedOut
	case errors.Is(err, multiraft.ErrClosed):
		code = protocol.BrokerNotAvailable
	}
	return protocol.Errorf(code, "%v", err).WithOutcome(protocol.Unknown)
}

// storageError is retriable unless the log is damaged, which does not go away by itself.
func storageError(err error) *protocol.Error {
	e := protocol.Errorf(protocol.StorageError, "%v", err)
	e.Retriable = !errors.Is(err, segments.ErrCorrupt)
	return e
}

// openError is that of a replica that could not be opened: nothing was written, of course.
func openError(err error) *protocol.Error {
	var identity *multiraft.IdentityError
	e := storageError(err)
	if errors.As(err, &identity) || errors.Is(err, segments.ErrNotOurs) {
		e.Retriable = false
	}
	return e
}
