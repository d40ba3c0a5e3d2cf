package service

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/semaphore"

	"github.com/logq/logq/internal/gate"
	"github.com/logq/logq/internal/meta"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/record"
)

// Service carries out requests. Make one with [New].
type Service struct {
	opts Options
	id   protocol.BrokerID
	log  *slog.Logger
	self protocol.BrokerInfo // set by Start

	ctx    context.Context // ends with the service
	cancel context.CancelFunc
	drain  context.Context // ends when the service begins to close: nothing waits for better times from then on
	leave  context.CancelFunc
	tasks  tasks
	gate   *gate.Gate

	table      atomic.Pointer[table] // nil until Start
	meta       *partition            // of the metadata
	fold       *fold
	changes    broadcast // leadership, liveness, metadata or a replica has changed
	changed    changed
	neighbours *neighbours
	intros     intros
	generation atomic.Uint64 // of this broker's data directory
	sync       metaSync
	placing    chan struct{} // holds a token while a topic is being placed

	inflight   budget // bytes of appends
	fetches    budget // fetches and offset requests
	forwards   budget // requests forwarded or waiting
	admin      budget
	fetchBytes *semaphore.Weighted
	repliers   repliers

	plain, compressed sync.Pool // of *record.Builder
	decoders          sync.Pool // of *record.Decoder
	stats             counters
}

// New checks the options and makes a service that is not started. It has no side effects. The error names every fault.
func New(o Options) (*Service, error) {
	o.Brokers = slices.Clone(o.Brokers)
	if err := o.complete(); err != nil {
		return nil, fmt.Errorf("service: %w", err)
	}
	s := &Service{
		opts: o, id: o.ID, log: o.Logger.With("broker", o.ID), neighbours: newNeighbours(&o),
		placing: make(chan struct{}, 1), fetchBytes: semaphore.NewWeighted(o.FetchBytes),
		gate: gate.New(),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.drain, s.leave = context.WithCancel(s.ctx)
	s.gate.Shut()
	s.generation.Store(o.Generation)
	s.intros.by = maps.Clone(o.Known)
	s.inflight.limit, s.fetches.limit = o.InflightBytes, int64(o.MaxFetches)
	s.forwards.limit, s.admin.limit = int64(o.MaxForwards), int64(o.MaxAdmin)
	s.plain.New = func() any { return record.NewBuilder(builderOptions(record.None)) }
	s.compressed.New = func() any { return record.NewBuilder(builderOptions(record.Zstd)) }
	s.decoders.New = func() any { return record.NewDecoder(record.DecoderOptions{}) }
	s.meta = s.newMetaPartition()
	s.fold = newFold(s)
	return s, nil
}

func builderOptions(codec record.Codec) record.BuilderOptions {
	return record.BuilderOptions{Codec: codec, ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}
}

// Start opens the metadata group and starts the service's goroutines. Self is what other brokers and clients shall know of
// this one; its listeners are open, so that addresses are final. Start returns once requests are answered, which is before
// the broker has joined: see [Service.Ready]. Ctx bounds the start only. A service that failed to start must be closed too.
func (s *Service) Start(ctx context.Context, self protocol.BrokerInfo) error {
	self.ID, self.Alive = s.id, true
	s.self = self
	if err := s.fold.restore(); err != nil {
		return fmt.Errorf("service: the metadata's state: %w", err)
	}
	g, err := s.opts.Host.Open(ctx, s.meta.spec())
	if err != nil {
		return fmt.Errorf("service: open the metadata: %w", err)
	}
	s.meta.group.Store(&openGroup{g})
	s.table.Store(s.newTable(nil, meta.NewState().Snapshot()))
	s.repliers.start(s.opts.Repliers)
	r := &reconciler{s: s, retry: map[*partition]*attempt{}}
	for _, loop := range []func(context.Context){
		func(ctx context.Context) { s.fold.run(ctx, g) }, r.run, s.poll, s.initialise, s.register,
		newMover(s).run, (&balancer{s: s}).run, (&shepherd{s: s}).run,
		(&follower{s: s, began: map[protocol.BrokerID]string{}}).run,
	} {
		s.tasks.start(func() { loop(s.ctx) })
	}
	s.gate.Open()
	return nil
}

// Close stops taking requests, waits until the ones under way are answered, and ends the service's goroutines. Requests that
// wait for data or for a leader are ended at once. When ctx ends before the rest is done, it is refused where that is safe, and appends that the host still has are answered when the host closes. The host and
// the peers must run until Close returns. Further calls do nothing.
func (s *Service) Close(ctx context.Context) error {
	s.gate.Shut()
	s.leave()
	if s.table.Load() == nil {
		s.cancel()
		s.tasks.close()
		return nil
	}
	if ctx.Err() == nil && s.ctx.Err() == nil {
		s.tell()
	}
	err := s.gate.Close(ctx)
	s.cancel()
	s.tasks.close()
	s.repliers.close()
	if err != nil {
		return fmt.Errorf("service: %d requests were not answered in time: %w", s.gate.Inside(), err)
	}
	return nil
}

// ClusterID returns the id of the cluster, "" until it is known.
func (s *Service) ClusterID() string {
	if t := s.table.Load(); t != nil {
		return t.snap.ClusterID()
	}
	return ""
}

// Ready returns nil once the broker can serve: a controller is known, the broker is registered, and its replicas are open.
// The error says what is missing, all of it.
func (s *Service) Ready() error {
	t := s.table.Load()
	if t == nil || s.gate.IsShut() {
		return s.closedError()
	}
	if err := s.fold.err(); err != nil {
		return err
	}
	var missing []string
	if s.controller() == 0 {
		missing = append(missing, "no controller is known: "+s.notController().Message)
	}
	if !s.registered() {
		missing = append(missing, "the broker is not registered with the cluster yet")
	}
	closed := 0
	for _, p := range t.local {
		if p.opened() == nil {
			closed++
		}
	}
	if closed > 0 {
		missing = append(missing, fmt.Sprintf("%d of %d replicas are not open", closed, len(t.local)))
	}
	if len(missing) > 0 {
		return protocol.Errorf(protocol.BrokerNotAvailable, "broker %d: %s", s.id, strings.Join(missing, "; "))
	}
	return nil
}

// Binding is a NATS subject whose messages are stored in a topic.
type Binding struct {
	Subject string // may hold wildcards
	Topic   string
}

// Bindings returns the bound subjects, ordered by topic, and a channel that is closed when they may have changed.
func (s *Service) Bindings() ([]Binding, <-chan struct{}) {
	changed := s.changes.wait()
	t := s.table.Load()
	if t == nil {
		return nil, changed
	}
	var out []Binding
	for _, mt := range t.snap.Topics() {
		if mt.Bind != "" {
			out = append(out, Binding{Subject: mt.Bind, Topic: mt.Name})
		}
	}
	return out, changed
}
