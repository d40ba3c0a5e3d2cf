package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/logq/logq/internal/protocol"
)

// metadata is what is known of topics and brokers.
type metadata struct {
	mu      sync.Mutex
	topics  map[string]*topicState       // guarded by mu
	brokers map[protocol.BrokerID]string // guarded by mu; client URLs
	flights map[string]*flight           // guarded by mu; refreshes under way, by topic
	rounds  int                          // guarded by mu; refreshes for doubtful leaders, to ask somebody else each time
}

// topicState is a topic. Guarded by metadata.mu.
type topicState struct {
	id    protocol.TopicID
	parts []partitionState
	at    time.Time // when it was last confirmed
	hint  string    // URL of a broker that is said to lead one of the partitions
}

// partitionState is who leads a partition. Invariant: for one topic id, term never falls.
type partitionState struct {
	leader   protocol.BrokerID
	term     uint64
	doubtful bool // a try at this leader in this term has failed
}

// flight is one refresh that several may wait for.
type flight struct {
	done chan struct{}
	err  *Error // set before done is closed
}

func (m *metadata) init() {
	m.topics, m.brokers, m.flights = map[string]*topicState{}, map[protocol.BrokerID]string{}, map[string]*flight{}
}

// route is where a partition's requests go.
type route struct {
	url  string // "" = the broker has none that is known
	term uint64
}

// routeTo returns the route to a partition's leader from what is known. Fresh is false when somebody should be asked first;
// old says that it may be used, but is to be confirmed some time.
func (m *metadata) routeTo(r *Request, age time.Duration) (to route, fresh, old bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.topics[r.Topic]
	if t == nil || r.Partition < 0 || int(r.Partition) >= len(t.parts) {
		return route{}, false, false
	}
	p := t.parts[r.Partition]
	return route{url: m.brokers[p.leader], term: p.term}, p.leader != 0 && !p.doubtful, time.Since(t.at) > age
}

// doubt marks a partition's leader after a failed try in a term, so that the next try asks first.
func (m *metadata) doubt(e *Error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.topics[e.Topic]
	if t == nil || int(e.Partition) >= len(t.parts) || e.Partition < 0 {
		return
	}
	if p := &t.parts[e.Partition]; p.term <= e.term || e.term == 0 {
		p.doubtful = true
	}
	if e.leaderURL != "" {
		t.hint = e.leaderURL
	}
}

// passed reports whether a later term than the one a request counts on is known.
func (m *metadata) passed(r *Request, term uint64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.topics[r.Topic]
	return t != nil && int(r.Partition) < len(t.parts) && t.parts[r.Partition].term > term
}

// count returns the number of a topic's partitions, 0 if it is not known.
func (m *metadata) count(topic string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t := m.topics[topic]; t != nil {
		return len(t.parts)
	}
	return 0
}

// forget drops what is known of a topic.
func (m *metadata) forget(topic string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.topics, topic)
}

// urls returns the client URLs of all brokers known.
func (m *metadata) urls() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := make([]string, 0, len(m.brokers))
	for _, u := range m.brokers {
		list = append(list, u)
	}
	return list
}

// learn takes in an answer. Per partition of a topic it only moves on to later terms: the answer may come from a broker
// that lags. Within a term a known leader is not unlearned.
func (m *metadata) learn(reply *protocol.MetaReply) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, b := range reply.Brokers {
		if b.URL != "" {
			m.brokers[b.ID] = b.URL
		}
	}
	for i := range reply.Topics {
		m.learnTopic(&reply.Topics[i])
	}
}

func (m *metadata) learnTopic(info *protocol.TopicInfo) {
	if info.Error != nil {
		return
	}
	t := m.topics[info.Name]
	if t == nil || t.id != info.ID {
		t = &topicState{id: info.ID}
		m.topics[info.Name] = t
	}
	t.at, t.hint = time.Now(), ""
	for _, p := range info.Partitions {
		if p.ID < 0 || int(p.ID) >= protocol.MaxPartitions {
			continue
		}
		for int(p.ID) >= len(t.parts) {
			t.parts = append(t.parts, partitionState{})
		}
		s := &t.parts[p.ID]
		switch {
		case p.Term > s.term:
			*s = partitionState{leader: p.Leader, term: p.Term}
		case p.Term == s.term:
			s.doubtful = false
			if p.Leader != 0 {
				s.leader = p.Leader
			}
		}
	}
}

// refresh starts asking for a topic's metadata, or joins who does already. For says that a leader is in doubt, so that
// another broker than last time is asked.
func (c *Client) refresh(topic string, doubt bool) *flight {
	m := &c.topics
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.flights[topic]; f != nil {
		return f
	}
	f := &flight{done: make(chan struct{})}
	prefer, turn := "", 0
	if doubt {
		m.rounds++
		turn = m.rounds
		if t := m.topics[topic]; t != nil {
			prefer, t.hint = t.hint, ""
		}
	}
	run := func() {
		err := c.fetchTopic(topic, prefer, turn)
		m.mu.Lock()
		f.err = err
		delete(m.flights, topic)
		m.mu.Unlock()
		close(f.done)
	}
	if !c.start(run) {
		f.err = (&Request{Op: protocol.OpMeta}).unsent(errClosed)
		close(f.done)
		return f
	}
	m.flights[topic] = f
	return f
}

func (c *Client) fetchTopic(topic, prefer string, turn int) *Error {
	ctx, cancel := context.WithTimeout(c.ctx, refreshTimeout)
	defer cancel()
	reply, err := c.meta(ctx, []string{topic}, prefer, turn)
	if err != nil {
		return err
	}
	for _, t := range reply.Topics {
		if t.Name == topic {
			if t.Error != nil {
				if t.Error.Code == protocol.UnknownTopicOrPartition {
					c.topics.forget(topic)
				}
				return (&Request{Op: protocol.OpMeta, Topic: topic}).refused(t.Error)
			}
			return nil
		}
	}
	return (&Request{Op: protocol.OpMeta, Topic: topic}).fail(protocol.UnknownServerError, errors.New("the broker's answer lacks the topic"))
}

// meta asks any broker for metadata and takes it in.
func (c *Client) meta(ctx context.Context, topics []string, prefer string, turn int) (*protocol.MetaReply, *Error) {
	r := &Request{Op: protocol.OpMeta, Timeout: askTimeout}
	body, err := json.Marshal(protocol.MetaRequest{Topics: topics})
	if err != nil {
		return nil, r.fail(protocol.InvalidRequest, err)
	}
	r.Body = body
	m, e := c.ask(ctx, r, protocol.MetaSubject, c.sources(prefer, turn), true)
	if e != nil {
		return nil, e
	}
	reply := new(protocol.MetaReply)
	if err := json.Unmarshal(m.Data, reply); err != nil {
		return nil, r.fail(protocol.UnknownServerError, fmt.Errorf("the broker's answer is not the JSON expected: %w", err))
	}
	c.topics.learn(reply)
	return reply, nil
}

// Partitions returns the number of a topic's partitions. Fresh asks even if it is known. The error is an *[Error].
func (c *Client) Partitions(ctx context.Context, topic string, fresh bool) (int, error) {
	if n := c.topics.count(topic); n > 0 && !fresh {
		return n, nil
	}
	r := &Request{Op: protocol.OpMeta, Topic: topic}
	if err := protocol.ValidateTopic(topic); err != nil {
		return 0, r.refused(protocol.AsError(err))
	}
	f := c.refresh(topic, false)
	select {
	case <-f.done:
		if f.err != nil {
			return 0, f.err
		}
		return c.topics.count(topic), nil
	case <-ctx.Done():
		return 0, r.unsent(context.Cause(ctx))
	}
}

// Forget drops what is known of a topic's leaders, so that the next request asks.
func (c *Client) Forget(topic string) { c.topics.forget(topic) }
