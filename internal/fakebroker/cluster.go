package fakebroker

import (
	"bytes"
	"fmt"
	"strings"
	"sync"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/record"
)

// Options shape a cluster.
type Options struct {
	Brokers int // default 1
	// Forget drops what is produced, so that benchmarks measure the client; offsets still count on.
	Forget bool
	// Alone makes brokers refuse what another leads, with the leader's URL, in place of forwarding it.
	Alone bool
	// Configure changes the options of each NATS server, for users and permissions.
	Configure func(*server.Options)
	// Login are the options with which brokers enter their own server.
	Login []nats.Option
}

// Cluster is a cluster of fake brokers.
type Cluster struct {
	o       Options
	tb      TB
	brokers []*Broker // immutable

	mu        sync.Mutex
	topics    map[string]*topic   // guarded by mu
	hooks     []*hook             // guarded by mu; replaced, never changed
	seen      map[protocol.Op]int // guarded by mu
	forwarded int                 // guarded by mu
	made      uint64              // guarded by mu; topics so far
}

// topic is a topic. Guarded by Cluster.mu.
type topic struct {
	info  protocol.TopicInfo // name, id, binding, configuration
	parts []*partition
}

// Start starts a cluster that ends with the test.
func Start(tb TB, o Options) *Cluster {
	tb.Helper()
	c := &Cluster{o: o, tb: tb, topics: map[string]*topic{}, seen: map[protocol.Op]int{}}
	for i := range max(o.Brokers, 1) {
		c.brokers = append(c.brokers, &Broker{c: c, id: protocol.BrokerID(i + 1)})
	}
	tb.Cleanup(func() {
		for _, b := range c.brokers {
			b.stop()
		}
	})
	for _, b := range c.brokers {
		if err := b.start(); err != nil {
			tb.Fatalf("fakebroker %d: %v", b.id, err)
		}
	}
	return c
}

// URL returns a broker's client URL. It stays the same over restarts.
func (c *Cluster) URL(id protocol.BrokerID) string { return c.brokers[id-1].url() }

// URLs returns the client URLs of all brokers, separated by commas.
func (c *Cluster) URLs() string {
	var all []string
	for _, b := range c.brokers {
		all = append(all, b.url())
	}
	return strings.Join(all, ",")
}

// Connect returns a connection to the first broker that reconnects fast, to any broker, for ever. It ends with the test.
func (c *Cluster) Connect(tb TB, opts ...nats.Option) *nats.Conn {
	tb.Helper()
	nc, err := nats.Connect(c.URLs(), append([]nats.Option{
		nats.DontRandomize(), nats.MaxReconnects(-1), nats.ReconnectWait(reconnectWait), nats.ReconnectJitter(0, 0),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}),
	}, opts...)...)
	if err != nil {
		tb.Fatalf("connect to the fake cluster: %v", err)
	}
	tb.Cleanup(nc.Close)
	return nc
}

// CreateTopic makes a topic; its partitions are led by the brokers in turn, in term 1. One of the same name is replaced,
// under another id.
func (c *Cluster) CreateTopic(name string, partitions int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.create(protocol.CreateTopicRequest{Name: name, Partitions: partitions})
}

func (c *Cluster) create(r protocol.CreateTopicRequest) *topic {
	c.made++
	t := &topic{info: protocol.TopicInfo{Name: r.Name, ID: protocol.TopicID{15: byte(c.made), 14: byte(c.made >> 8)}, Bind: r.Bind, Config: r.Config}}
	for i := range r.Partitions {
		t.parts = append(t.parts, newPartition(c.brokers[i%len(c.brokers)].id))
	}
	if old := c.topics[r.Name]; old != nil {
		old.end()
	}
	c.topics[r.Name] = t
	return t
}

// end leaves those who wait for a topic's data without it.
func (t *topic) end() {
	for _, p := range t.parts {
		p.leader = 0
		p.wake()
	}
}

// DeleteTopic removes a topic.
func (c *Cluster) DeleteTopic(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := c.topics[name]; t != nil {
		t.end()
		delete(c.topics, name)
	}
}

// Elect makes a broker the leader of a partition in the next term; 0 leaves it without one.
func (c *Cluster) Elect(topic string, p protocol.Partition, id protocol.BrokerID) {
	c.with(topic, p, func(p *partition) {
		p.leader = id
		p.term++
		p.wake()
	})
}

// Leader returns who leads a partition, in which term.
func (c *Cluster) Leader(topic string, p protocol.Partition) (id protocol.BrokerID, term uint64) {
	c.with(topic, p, func(p *partition) { id, term = p.leader, p.term })
	return id, term
}

// Append puts a batch into a log, as some other producer would.
func (c *Cluster) Append(topic string, p protocol.Partition, b record.Batch) {
	c.with(topic, p, func(p *partition) { p.append(bytes.Clone(b), true) })
}

// Trim moves a partition's log start.
func (c *Cluster) Trim(topic string, p protocol.Partition, start record.Offset) {
	c.with(topic, p, func(p *partition) {
		p.start, p.next = start, max(start, p.next)
		p.batches = p.batches[p.find(start):]
		p.wake()
	})
}

// Cutoff drops what a log holds from an offset on, which no broker ever may. The offset must be the first of a batch.
func (c *Cluster) Cutoff(topic string, p protocol.Partition, from record.Offset) {
	c.with(topic, p, func(p *partition) {
		p.batches, p.next = p.batches[:p.find(from)], from
		p.wake()
	})
}

// End returns a partition's next offset.
func (c *Cluster) End(topic string, p protocol.Partition) (next record.Offset) {
	c.with(topic, p, func(p *partition) { next = p.next })
	return next
}

// Values returns the values of all records in a log, in order.
func (c *Cluster) Values(topic string, p protocol.Partition) []string {
	var batches []record.Batch
	c.with(topic, p, func(p *partition) { batches = append(batches, p.batches...) })
	var values []string
	d := record.NewDecoder(record.DecoderOptions{})
	for _, b := range batches {
		if err := d.Reset(b); err != nil {
			c.tb.Errorf("%s/%d: %v", topic, p, err)
			return values
		}
		for d.Next() {
			values = append(values, string(d.Record().Value))
		}
		if err := d.Err(); err != nil {
			c.tb.Errorf("%s/%d: %v", topic, p, err)
		}
	}
	return values
}

// Forwarded returns how many requests reached a partition's leader through another broker.
func (c *Cluster) Forwarded() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.forwarded
}

// with runs f on a partition under the lock.
func (c *Cluster) with(topic string, p protocol.Partition, f func(*partition)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.topics[topic]
	if t == nil || int(p) >= len(t.parts) {
		c.tb.Errorf("fakebroker: no partition %s/%d", topic, p)
		return
	}
	f(t.parts[p])
}

// Batch makes an uncompressed batch of values for Append.
func Batch(values ...string) record.Batch {
	b := record.NewBuilder(record.BuilderOptions{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1})
	for i, v := range values {
		if err := b.Append(record.Record{Timestamp: int64(i + 1), Value: []byte(v)}); err != nil {
			return nil
		}
	}
	out, err := b.Seal(nil)
	if err != nil {
		return nil
	}
	return out
}

func (c *Cluster) errorf(format string, args ...any) {
	c.tb.Errorf("fakebroker: %s", fmt.Sprintf(format, args...))
}
