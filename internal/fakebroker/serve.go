package fakebroker

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/record"
)

// receive takes a request off the subscription. What a hook holds up, and a fetch that waits for data, goes on beside it.
func (b *Broker) receive(m *nats.Msg, quit <-chan struct{}, wg *sync.WaitGroup) {
	r, err := parse(m)
	if err != nil {
		b.reply(m, failure(err))
		return
	}
	r.Broker = b.id
	a := b.c.intercept(r)
	if a == nil {
		if answer, wait := b.carryOut(r); wait == nil {
			b.reply(m, answer)
			return
		}
		a = &Action{}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.wg == wg && b.nc != nil { // else the broker has stopped, and nobody waits for the goroutine
		wg.Go(func() { b.act(m, r, a, quit) })
	}
}

func parse(m *nats.Msg) (*Request, error) {
	op, p, topic, err := protocol.ParseSubject(m.Subject)
	if err != nil {
		return nil, err
	}
	r := &Request{Op: op, Topic: topic, Partition: p, Body: m.Data}
	if v := m.Header.Get(protocol.HeaderEpoch); v != "" {
		if r.Epoch, err = strconv.ParseUint(v, 10, 64); err != nil {
			return nil, protocol.Errorf(protocol.InvalidRequest, "epoch %q", v)
		}
	}
	if v := m.Header.Get(protocol.HeaderDeadlineMs); v != "" {
		ms, err := strconv.ParseUint(v, 10, 32)
		if err != nil {
			return nil, protocol.Errorf(protocol.InvalidRequest, "deadline %q", v)
		}
		r.Deadline = time.Duration(ms) * time.Millisecond
	}
	return r, nil
}

// act carries a request out as an action says.
func (b *Broker) act(m *nats.Msg, r *Request, a *Action, quit <-chan struct{}) {
	if !waitFor(a.Hold, quit) || a.Drop {
		return
	}
	var answer *nats.Msg
	if a.Err != nil {
		answer = failure(a.Err)
	} else {
		answer = b.carryOutWaiting(r, quit)
	}
	if a.LoseReply || answer == nil || !waitFor(a.HoldReply, quit) {
		return
	}
	if a.Edit != nil {
		a.Edit(answer)
	}
	b.reply(m, answer)
}

// waitFor waits for a channel, if there is one; it reports false when the broker stops first.
func waitFor(ch, quit <-chan struct{}) bool {
	if ch == nil {
		return true
	}
	select {
	case <-ch:
		return true
	case <-quit:
		return false
	}
}

// carryOutWaiting carries a request out, waiting for data as long as a fetch says; nil means that the broker stopped.
func (b *Broker) carryOutWaiting(r *Request, quit <-chan struct{}) *nats.Msg {
	answer, wait := b.carryOut(r)
	if wait == nil {
		return answer
	}
	timer := time.NewTimer(wait.time)
	defer timer.Stop()
	for {
		select {
		case <-wait.changed:
		case <-timer.C:
			return answer
		case <-quit:
			return nil
		}
		if answer, wait = b.carryOut(r); wait == nil {
			return answer
		}
	}
}

// wait is what a fetch without data waits for.
type wait struct {
	changed <-chan struct{}
	time    time.Duration
}

func (b *Broker) carryOut(r *Request) (*nats.Msg, *wait) {
	switch {
	case r.Op.Partitioned():
		return b.c.atLeader(b.id, r)
	case r.Op == protocol.OpMeta:
		return b.meta(r), nil
	default:
		return b.c.administer(r), nil
	}
}

// atLeader carries a partition's request out, forwarding it if need be.
func (c *Cluster) atLeader(at protocol.BrokerID, r *Request) (*nats.Msg, *wait) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.topics[r.Topic]
	if t == nil || int(r.Partition) >= len(t.parts) {
		return failure(protocol.Errorf(protocol.UnknownTopicOrPartition, "%s/%s does not exist", r.Topic, r.Partition)), nil
	}
	p := t.parts[r.Partition]
	switch {
	case p.leader == 0:
		return failure(protocol.Errorf(protocol.LeaderNotAvailable, "%s/%s has no leader", r.Topic, r.Partition)), nil
	case p.leader != at && c.o.Alone:
		return failure(protocol.Errorf(protocol.NotLeaderOrFollower, "%s/%s is led by %d", r.Topic, r.Partition, p.leader).
			WithLeader(p.leader, c.brokers[p.leader-1].url())), nil
	case p.leader != at && !c.brokers[p.leader-1].alive():
		return failure(protocol.Errorf(protocol.BrokerNotAvailable, "broker %d cannot be reached", p.leader).
			WithLeader(p.leader, c.brokers[p.leader-1].url())), nil
	case p.leader != at:
		c.forwarded++
	}
	switch r.Op {
	case protocol.OpProduce:
		return c.produce(p, r), nil
	case protocol.OpFetch:
		return c.fetch(p, r)
	case protocol.OpOffsets:
		return c.offsets(p, r), nil
	default:
		return failure(protocol.Errorf(protocol.InvalidRequest, "the fake has no %s", r.Op)), nil
	}
}

func (c *Cluster) produce(p *partition, r *Request) *nats.Msg {
	if r.Epoch != 0 && r.Epoch != p.term {
		return failure(protocol.Errorf(protocol.FencedLeaderEpoch, "the term is %d, not %d", p.term, r.Epoch).
			WithLeader(p.leader, c.brokers[p.leader-1].url()))
	}
	first, last := record.Offset(-1), record.Offset(-1)
	for rest := r.Body; len(rest) > 0 || first < 0; {
		b, after, err := record.Next(rest)
		if err != nil {
			return failure(protocol.Errorf(protocol.CorruptMessage, "%v", err))
		}
		lo, hi := p.append(b, !c.o.Forget)
		if first < 0 {
			first = lo
		}
		last, rest = hi, after
	}
	return answer(protocol.ProduceReply{Topic: r.Topic, Partition: r.Partition, BaseOffset: int64(first), LastOffset: int64(last), Epoch: protocol.Epoch(p.term)})
}

func (c *Cluster) fetch(p *partition, r *Request) (*nats.Msg, *wait) {
	var req protocol.FetchRequest
	if err := json.Unmarshal(r.Body, &req); err != nil {
		return failure(protocol.Errorf(protocol.InvalidRequest, "%v", err)), nil
	}
	from := record.Offset(req.Offset)
	if from < p.start || from > p.next {
		return failure(protocol.Errorf(protocol.OffsetOutOfRange, "%s/%s has offsets %d to %d; %d is not there", r.Topic, r.Partition, p.start, p.next, from)), nil
	}
	if req.MaxBytes <= 0 {
		req.MaxBytes = protocol.DefaultFetchBytes
	}
	body, next := p.read(from, req.MaxBytes)
	m := &nats.Msg{Data: body, Header: nats.Header{
		protocol.HeaderHighWatermark: {strconv.FormatInt(int64(p.next), 10)},
		protocol.HeaderLogStart:      {strconv.FormatInt(int64(p.start), 10)},
		protocol.HeaderNextOffset:    {strconv.FormatInt(int64(next), 10)},
		protocol.HeaderEpoch:         {strconv.FormatUint(p.term, 10)},
	}}
	if len(body) == 0 && req.MaxWaitMs > 0 {
		return m, &wait{changed: p.changed, time: time.Duration(req.MaxWaitMs) * time.Millisecond}
	}
	return m, nil
}

func (c *Cluster) offsets(p *partition, r *Request) *nats.Msg {
	var req protocol.OffsetsRequest
	if err := json.Unmarshal(r.Body, &req); err != nil {
		return failure(protocol.Errorf(protocol.InvalidRequest, "%v", err))
	}
	reply := protocol.OffsetsReply{TimestampMs: -1, Epoch: protocol.Epoch(p.term)}
	switch req.At {
	case protocol.AtEarliest:
		reply.Offset = int64(p.start)
	case protocol.AtLatest:
		reply.Offset = int64(p.next)
	case protocol.AtTime:
		at, ms, _ := p.at(req.TimestampMs)
		reply.Offset, reply.TimestampMs = int64(at), ms
	default:
		return failure(protocol.Errorf(protocol.InvalidRequest, "at %q", req.At))
	}
	return answer(reply)
}

func (b *Broker) meta(r *Request) *nats.Msg {
	var req protocol.MetaRequest
	if err := json.Unmarshal(r.Body, &req); err != nil {
		return failure(protocol.Errorf(protocol.InvalidRequest, "%v", err))
	}
	b.mu.Lock()
	lag := b.lag
	b.mu.Unlock()
	if lag != nil {
		return answer(*lag)
	}
	return answer(b.c.metadata(req.Topics))
}

// metadata returns the present state of some topics, or of all.
func (c *Cluster) metadata(names []string) protocol.MetaReply {
	reply := protocol.MetaReply{ClusterID: "fake", Controller: 1, Brokers: []protocol.BrokerInfo{}, Topics: []protocol.TopicInfo{}}
	for _, b := range c.brokers {
		reply.Brokers = append(reply.Brokers, protocol.BrokerInfo{ID: b.id, URL: b.url(), Alive: b.alive()})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(names) == 0 {
		for name := range c.topics {
			names = append(names, name)
		}
		slices.Sort(names)
	}
	for _, name := range names {
		t := c.topics[name]
		if t == nil {
			reply.Topics = append(reply.Topics, protocol.TopicInfo{Name: name, Partitions: []protocol.PartitionInfo{},
				Error: protocol.Errorf(protocol.UnknownTopicOrPartition, "topic %q does not exist", name)})
			continue
		}
		reply.Topics = append(reply.Topics, t.describe())
	}
	return reply
}

func (t *topic) describe() protocol.TopicInfo {
	info := t.info
	info.Partitions = []protocol.PartitionInfo{}
	for i, p := range t.parts {
		info.Partitions = append(info.Partitions, protocol.PartitionInfo{
			ID: protocol.Partition(i), Leader: p.leader, Term: p.term, Replicas: []protocol.BrokerID{p.leader},
			LogStart: int64(p.start), HighWatermark: int64(p.next),
		})
	}
	return info
}

// administer carries out what concerns topics and the cluster.
func (c *Cluster) administer(r *Request) *nats.Msg {
	switch r.Op {
	case protocol.OpTopicList:
		return answer(protocol.ListTopicsReply{Topics: c.metadata(nil).Topics})
	case protocol.OpClusterStatus:
		return answer(c.status())
	case protocol.OpTopicCreate:
		var req protocol.CreateTopicRequest
		if err := json.Unmarshal(r.Body, &req); err != nil {
			return failure(protocol.Errorf(protocol.InvalidRequest, "%v", err))
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.topics[req.Name] != nil {
			return failure(protocol.Errorf(protocol.TopicAlreadyExists, "topic %q exists", req.Name))
		}
		return answer(c.create(req).describe())
	}
	var req protocol.DescribeTopicRequest // the same shape as that of delete
	if err := json.Unmarshal(r.Body, &req); err != nil {
		return failure(protocol.Errorf(protocol.InvalidRequest, "%v", err))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.topics[req.Name]
	switch {
	case t == nil:
		return failure(protocol.Errorf(protocol.UnknownTopicOrPartition, "topic %q does not exist", req.Name))
	case r.Op == protocol.OpTopicDescribe:
		return answer(t.describe())
	case r.Op == protocol.OpTopicDelete:
		t.end()
		delete(c.topics, req.Name)
		return answer(protocol.DeleteTopicReply{Name: req.Name, ID: t.info.ID})
	default:
		return failure(protocol.Errorf(protocol.InvalidRequest, "the fake has no %s", r.Op))
	}
}

func (c *Cluster) status() protocol.ClusterStatusReply {
	m := c.metadata(nil)
	reply := protocol.ClusterStatusReply{ClusterID: m.ClusterID, Controller: m.Controller}
	for _, b := range m.Brokers {
		reply.Brokers = append(reply.Brokers, protocol.BrokerStatus{BrokerInfo: b})
	}
	for _, t := range m.Topics {
		reply.Partitions += len(t.Partitions)
		for _, p := range t.Partitions {
			if p.Leader == 0 {
				reply.Leaderless = append(reply.Leaderless, protocol.PartitionRef{Topic: t.Name, Partition: p.ID})
			} else {
				reply.Brokers[p.Leader-1].PartitionsLed++
			}
		}
	}
	return reply
}

// answer is a reply with a JSON body.
func answer(v any) *nats.Msg {
	body, err := json.Marshal(v)
	if err != nil {
		return failure(err)
	}
	return &nats.Msg{Data: body}
}

// failure is a reply with an error.
func failure(err error) *nats.Msg {
	e := protocol.AsError(err)
	m := answer(protocol.ErrorReply{Error: e})
	m.Header = nats.Header{protocol.HeaderError: {strconv.Itoa(int(e.Code))}}
	return m
}

func (b *Broker) reply(m, answer *nats.Msg) {
	b.mu.Lock()
	nc := b.nc
	b.mu.Unlock()
	if nc == nil || m.Reply == "" {
		return
	}
	answer.Subject = m.Reply
	if err := nc.PublishMsg(answer); err != nil && !strings.Contains(err.Error(), "closed") {
		b.c.errorf("broker %d: reply: %v", b.id, err)
	}
}
