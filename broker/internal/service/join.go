package service

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/logq/logq/internal/meta"
	"github.com/logq/logq/internal/protocol"
)

// JoinReply is what a broker that joins is told.
type JoinReply struct {
	ClusterID   string                `json:"cluster_id"`
	Incarnation uint64                `json:"incarnation"`
	Brokers     []protocol.BrokerInfo `json:"brokers"` // the others that can be reached
}

// JoinRequest composes the question with which a broker asks a member of the cluster to be taken in.
func JoinRequest(b meta.Broker, deadline time.Duration) ([]byte, error) {
	body, err := json.Marshal(b)
	if err != nil {
		return nil, err
	}
	req := protocol.Request{Op: protocol.OpBrokerJoin, DeadlineMs: uint32(max(deadline.Milliseconds(), 1)), Body: body}
	return req.AppendTo(nil), nil
}

// ParseJoinReply reads the answer to a [JoinRequest]. A refusal is a *[protocol.Error].
func ParseJoinReply(answer []byte) (out JoinReply, err error) {
	var r protocol.Response
	if err := r.Decode(answer); err != nil {
		return out, err
	}
	if r.Err != nil {
		return out, r.Err
	}
	if err := json.Unmarshal(r.Body, &out); err != nil {
		return out, err
	}
	if out.ClusterID == "" || out.Incarnation == 0 {
		return out, errors.New("the answer names no cluster")
	}
	return out, nil
}

// Answer answers a question of a broker that is no peer yet. It returns when ctx ends at the latest.
func (s *Service) Answer(ctx context.Context, from protocol.BrokerID, body []byte) []byte {
	answer := make(chan []byte, 1)
	reply := func(r *protocol.Response) { answer <- r.AppendTo(nil) }
	req := new(protocol.Request)
	if err := req.Decode(body); err != nil || req.Op != protocol.OpBrokerJoin || req.Hops != 0 {
		reply(protocol.ErrorResponse(protocol.Errorf(protocol.InvalidRequest, "broker %d asks for something else than to join", from)))
		return <-answer
	}
	if !s.gate.Enter() {
		reply(protocol.ErrorResponse(s.closedError()))
		return <-answer
	}
	now := time.Now()
	c := &call{s: s, ctx: ctx, req: req, started: now, deadline: now.Add(s.allowed(req)), reply: reply}
	if d, ok := ctx.Deadline(); ok && d.Before(c.deadline) {
		c.deadline = d
	}
	s.administer(c)
	return <-answer
}

// joinBroker takes a broker into the cluster. Asked again by the same directory it answers the same.
func (s *Service) joinBroker(ctx context.Context, c *call) *protocol.Response {
	var b meta.Broker
	if e := decodeJSON(c.req, &b); e != nil {
		return &protocol.Response{Err: e}
	}
	r := s.change(ctx, c, func(snap meta.Snapshot) ([]meta.Command, *protocol.Error) {
		if e := meta.CheckJoin(snap, b); e != nil {
			return nil, e
		}
		return []meta.Command{meta.JoinBroker{Broker: b}}, nil
	})
	if r.Err != nil || c.from != 0 {
		return r
	}
	t := s.table.Load()
	in := t.snap.Broker(b.ID)
	if in == nil || in.Directory != b.Directory {
		return &protocol.Response{Err: protocol.Errorf(protocol.RequestTimedOut, "broker %d has joined, but broker %d has not heard of it yet; try again", b.ID, s.id)}
	}
	out := JoinReply{ClusterID: t.snap.ClusterID(), Incarnation: in.Incarnation}
	for _, id := range s.members(t.snap) {
		if info := s.infoOf(id); id != b.ID && info.Peer != "" {
			out.Brokers = append(out.Brokers, info)
		}
	}
	return jsonResponse(out)
}
