package service

import (
	"context"
	"log/slog"
	"time"

	"github.com/logq/logq/internal/protocol"
)

// Options configures a [Service]. Zero values stand for the defaults named.
type Options struct {
	ID        protocol.BrokerID   // this broker, required
	Brokers   []protocol.BrokerID // every broker of the cluster, this one included: the replicas of the metadata; empty = this one alone
	ClusterID string              // id to give a new cluster; empty = random
	Host      Host                // required
	Peers     Peers               // required if there are other brokers
	Logger    *slog.Logger        // nil = none

	InflightBytes          int64         // appends under way on the broker, bytes; default 256 MiB
	PartitionInflightBytes int64         // appends under way in a partition, bytes; default 32 MiB
	FetchBytes             int64         // bytes of fetch replies being made; default 256 MiB
	MaxFetches             int           // fetches under way or waiting; default 4096
	MaxForwards            int           // requests forwarded or waiting for a leader; default 1024
	MaxAdmin               int           // metadata and admin requests under way; default 256
	GossipInterval         time.Duration // default 500 ms
	AliveTimeout           time.Duration // a broker that was not heard of for so long is not alive; default 4 gossip intervals
	DefaultDeadline        time.Duration // of requests that name none; default protocol.DefaultDeadlineMs
}

// Service carries out requests. Make one with [New].
type Service struct{ opts Options }

// New checks the options and makes a service that is not started. It has no side effects.
func New(o Options) (*Service, error) { return &Service{opts: o}, nil }

// Start opens the metadata group and starts the service's goroutines. Self is what other brokers and clients shall know of
// this one; its listeners are open, so that addresses are final. Start returns at once: use [Service.Ready] to see whether
// the broker has joined. The context bounds the start only.
func (s *Service) Start(ctx context.Context, self protocol.BrokerInfo) error { return nil }

// Close stops taking requests, waits until the ones under way have their reply, and stops all goroutines. When ctx ends
// first, what is under way is answered as unknown. The host and the peers must still run.
func (s *Service) Close(ctx context.Context) error { return nil }

// Handle carries out a request of a client. It never blocks. It owns req, Body included, from the call on. Reply is called
// exactly once, from any goroutine (maybe before Handle returns), and owns the response.
func (s *Service) Handle(ctx context.Context, req *protocol.Request, reply func(*protocol.Response)) {
	reply(protocol.ErrorResponse(protocol.Errorf(protocol.BrokerNotAvailable, "broker %d is starting", s.opts.ID)))
}

// HandleForwarded carries out a request that another broker has forwarded; it fits the peer transport's handler. It never
// blocks and owns body.
func (s *Service) HandleForwarded(ctx context.Context, from protocol.BrokerID, body []byte, reply func([]byte)) {
	reply(protocol.ErrorResponse(protocol.Errorf(protocol.BrokerNotAvailable, "broker %d is starting", s.opts.ID)).AppendTo(nil))
}

// HandleGossip takes in what another broker says of itself. It does not keep body.
func (s *Service) HandleGossip(from protocol.BrokerID, body []byte) {}

// ClusterID returns the id of the cluster, "" until it is known.
func (s *Service) ClusterID() string { return "" }

// Ready returns nil once the broker can serve: it is registered, a controller is known, and its replicas are open. The error
// says what is missing.
func (s *Service) Ready() error {
	return protocol.Errorf(protocol.BrokerNotAvailable, "broker %d is starting", s.opts.ID)
}

// Binding is a NATS subject whose messages are stored in a topic.
type Binding struct {
	Subject string // may hold wildcards
	Topic   string
}

// Bindings returns the bound subjects, ordered by subject, and a channel that is closed when they may have changed.
func (s *Service) Bindings() ([]Binding, <-chan struct{}) { return nil, nil }

// Stats is a snapshot of the service's counters and gauges.
type Stats struct{}

// Stats returns the counters and gauges; it may be called at any time and is cheap.
func (s *Service) Stats() Stats { return Stats{} }
