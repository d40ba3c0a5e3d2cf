package service

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/logq/logq/internal/meta"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/internal/statefile"
)

const (
	// statePieceBytes is how much of a state one answer brings: little enough to stand in nobody's way. It counts as bytes
	// being fetched while it is read.
	statePieceBytes = 1 << 20
	// statePieceTimeout bounds the wait for one.
	statePieceTimeout = 5 * time.Second
)

// stateRequest asks another broker for its metadata.
type stateRequest struct {
	Next       int64  `json:"next"`                 // the state must be at this record, or later
	Generation uint64 `json:"generation,omitempty"` // go on with this file; 0 = the newest
	Pos        int64  `json:"pos,omitempty"`
}

// metaStateFor hands out a piece of this broker's newest state file. A file that is not far enough is written anew.
func (s *Service) metaStateFor(ctx context.Context, c *call) *protocol.Response {
	var req stateRequest
	if e := decodeJSON(c.req, &req); e != nil {
		return &protocol.Response{Err: e}
	}
	store := s.opts.States.Store
	if store == nil {
		return &protocol.Response{Err: protocol.Errorf(protocol.BrokerNotAvailable, "broker %d does not write its metadata down", s.id)}
	}
	i, e := s.stateFile(ctx, &req)
	if e != nil {
		return &protocol.Response{Err: e}
	}
	if err := s.fetchBytes.Acquire(ctx, statePieceBytes); err != nil {
		return &protocol.Response{Err: protocol.Errorf(protocol.ThrottlingQuotaExceeded, "the metadata of broker %d: too many bytes are being fetched from it", s.id)}
	}
	b, err := store.ReadImage(i, req.Pos, statePieceBytes)
	s.fetchBytes.Release(statePieceBytes)
	if err != nil {
		return &protocol.Response{Err: protocol.Errorf(protocol.StorageError, "the metadata of broker %d: %v", s.id, err).WithOutcome(protocol.NotWritten)}
	}
	return &protocol.Response{
		Epoch: i.Generation, BaseOffset: i.Next, LastOffset: int64(i.Index), HighWatermark: i.Bytes, TimestampMs: int64(i.Sum),
		NextOffset: req.Pos + int64(len(b)), Body: b,
	}
}

// stateFile finds the file that is asked for.
func (s *Service) stateFile(ctx context.Context, req *stateRequest) (statefile.Info, *protocol.Error) {
	ctx, cancel := untilMargin(ctx)
	defer cancel()
	for {
		changed := s.changes.wait()
		i, ok := s.opts.States.Store.Newest()
		if req.Generation != 0 {
			older, two := s.opts.States.Store.Floor()
			switch {
			case ok && i.Generation == req.Generation:
				return i, nil
			case two && older.Generation == req.Generation:
				return older, nil
			}
			return i, protocol.Errorf(protocol.BrokerNotAvailable, "broker %d has replaced that state by a newer one; begin again", s.id)
		}
		if ok && i.Next >= req.Next {
			return i, nil
		}
		if next := s.table.Load().snap.Next(); next < req.Next {
			return i, protocol.Errorf(protocol.BrokerNotAvailable, "broker %d has the metadata up to record %d only, not to %d", s.id, next, req.Next)
		}
		s.fold.want()
		if !s.waitChange(ctx, syncTimeout, changed) {
			return i, protocol.Errorf(protocol.BrokerNotAvailable, "broker %d has not written its metadata down in time", s.id)
		}
	}
}

// fetch gets the state from another broker, because the log here begins after what this broker has. The controller is asked
// first: its log is where the others' logs begin.
func (f *fold) fetch(ctx context.Context, start int64) error {
	s := f.s
	from := f.donors()
	if len(from) == 0 {
		return protocol.Errorf(protocol.StorageError, "the metadata's log begins at record %d, but it is known up to record %d only: %s, and there is no other broker that has it; restore the state files from a backup",
			start, f.state.Snapshot().Next(), f.lack())
	}
	var tried []string
	for _, b := range from {
		f.fail(protocol.Errorf(protocol.BrokerNotAvailable, "the metadata's log begins at record %d here, what comes before is being fetched from broker %d", start, b))
		state, index, err := s.fetchState(ctx, b, start)
		if err == nil {
			f.install(state, index)
			s.stats.statesFetched.Add(1)
			s.log.Info("the metadata's state was fetched", "from", b, "record", state.Snapshot().Next(), "log start", start)
			return nil
		}
		tried = append(tried, fmt.Sprintf("broker %d: %v", b, err))
	}
	return protocol.Errorf(protocol.BrokerNotAvailable, "the metadata's log begins at record %d, it is known up to record %d only (%s), and no broker hands out its state: %s",
		start, f.state.Snapshot().Next(), f.lack(), strings.Join(tried, "; "))
}

// lack says why the state is behind the log.
func (f *fold) lack() string {
	if f.unsure != "" {
		return f.unsure
	}
	return "the leader's log has moved on"
}

// donors are the other brokers, the controller first.
func (f *fold) donors() []protocol.BrokerID {
	all := f.s.members(f.s.table.Load().snap)
	all = slices.DeleteFunc(all, func(b protocol.BrokerID) bool { return b == f.s.id })
	if l := f.leader().broker; l != 0 && l != f.s.id {
		all = append([]protocol.BrokerID{l}, slices.DeleteFunc(all, func(b protocol.BrokerID) bool { return b == l })...)
	}
	return all
}

// fetchState gets a state at record next or later from a broker, piece by piece.
func (s *Service) fetchState(ctx context.Context, from protocol.BrokerID, next int64) (*meta.State, uint64, error) {
	var (
		image []byte
		first *protocol.Response
	)
	req := stateRequest{Next: next}
	for first == nil || int64(len(image)) < first.HighWatermark {
		r, err := s.fetchPiece(ctx, from, &req)
		if err != nil {
			return nil, 0, err
		}
		if first == nil {
			first = r
			if r.HighWatermark < 1 || r.HighWatermark > statefile.MaxImageBytes || r.BaseOffset < next {
				return nil, 0, fmt.Errorf("its state has %d bytes at record %d; want up to %d bytes, at record %d or later", r.HighWatermark, r.BaseOffset, statefile.MaxImageBytes, next)
			}
			image = make([]byte, 0, min(r.HighWatermark, 2*statePieceBytes)) // grows with what has come
		}
		if r.Epoch != first.Epoch || r.HighWatermark != first.HighWatermark || len(r.Body) == 0 || int64(len(image)+len(r.Body)) > first.HighWatermark {
			return nil, 0, fmt.Errorf("a piece of its state does not fit the others: %d bytes at %d of %d", len(r.Body), len(image), first.HighWatermark)
		}
		image = append(image, r.Body...)
		req.Generation, req.Pos = first.Epoch, int64(len(image))
	}
	if sum := statefile.Checksum(image); int64(sum) != first.TimestampMs {
		return nil, 0, fmt.Errorf("its state of %d bytes has the checksum %#x, not %#x", len(image), sum, first.TimestampMs)
	}
	state, err := meta.DecodeState(image)
	switch {
	case err != nil:
		return nil, 0, err
	case state.Snapshot().Next() != first.BaseOffset:
		return nil, 0, fmt.Errorf("its state is at record %d, not at %d", state.Snapshot().Next(), first.BaseOffset)
	}
	return state, uint64(first.LastOffset), nil
}

func (s *Service) fetchPiece(ctx context.Context, from protocol.BrokerID, req *stateRequest) (*protocol.Response, error) {
	body, err := json.Marshal(req)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, statePieceTimeout)
	defer cancel()
	r, err := s.ask(ctx, from, &protocol.Request{Op: protocol.OpMetaState, Hops: 1, DeadlineMs: uint32(statePieceTimeout.Milliseconds()), Body: body})
	switch {
	case err != nil:
		return nil, err
	case r.Err != nil:
		return nil, r.Err
	}
	return r, nil
}

// install puts a fetched state in the place of the one here, which is older. What the records between the two gave up on this
// broker is found by comparing them.
func (f *fold) install(state *meta.State, index uint64) {
	s, old, now := f.s, f.state.Snapshot(), state.Snapshot()
	f.unsure = "it was fetched from another broker" // this one may have folded more before it was restarted
	f.state, f.given, f.since.index, f.wanted = state, now.Next(), max(f.since.index, index), true
	for _, t := range old.Topics() {
		next := now.Topic(t.Name)
		same := next != nil && next.ID == t.ID
		for n := range t.Partitions {
			was := s.placementIn(t, n)
			switch {
			case !same:
				f.leave(s.newPartition(t.Name, t.ID, n, s.settingsOf(t), was))
			case s.placementIn(next, n).self != was.self:
				f.drop(s.newPartition(t.Name, t.ID, n, s.settingsOf(t), s.placementOf(nil, []uint64{was.self}, nil)))
			}
		}
	}
}
