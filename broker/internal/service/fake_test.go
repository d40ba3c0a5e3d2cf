package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/record"
)

// world is a cluster of services on fake replicas and a fake network. There is one log per group, which all brokers see;
// tests say who leads, whether appends commit, and which connections work.
type world struct {
	t        testing.TB
	mu       sync.Mutex
	groups   map[[20]byte]*fakeLog
	services map[protocol.BrokerID]*Service
	cut      map[[2]protocol.BrokerID]bool // from, to: nothing gets through
	deaf     map[[2]protocol.BrokerID]bool // requests arrive, answers are lost
	opens    map[string]int                // Open calls by "broker name"
	removes  map[string]int
	openErr  func(b protocol.BrokerID, spec Spec) error
	rmErr    error
	manual   bool                         // no leader is elected when a group opens
	latency  time.Duration                // of a commit
	damage   map[protocol.BrokerID]string // of topics' replicas
	peerHost string                       // of the brokers' addresses for each other
}

// fakeLog is a Raft group.
type fakeLog struct {
	changes          uint64 // of members
	voters, learners []uint64
	spec             Spec
	open             map[protocol.BrokerID]*fakeGroup
	leader           protocol.BrokerID
	term             uint64
	silent           bool // elected, but its no-op is not committed
	held             bool // appends do not commit
	pending          []*heldAppend
	batches          []record.Batch
	hw               record.Offset
	start            record.Offset
	failed           error
	lags             map[protocol.BrokerID]bool // match stays at 0
	volatile         map[protocol.BrokerID]bool // nothing is on its disk yet
	changed          chan struct{}
	appends          int
	lie              record.Offset // the stale leader's high watermark, if not 0
}

type heldAppend struct {
	batch record.Batch
	term  uint64
	timer *time.Timer
	done  func(AppendResult)
}

func newWorld(t testing.TB) *world {
	return &world{
		t: t, groups: map[[20]byte]*fakeLog{}, services: map[protocol.BrokerID]*Service{}, cut: map[[2]protocol.BrokerID]bool{},
		deaf: map[[2]protocol.BrokerID]bool{}, opens: map[string]int{}, removes: map[string]int{}, latency: time.Millisecond,
		peerHost: "b",
	}
}

// fakeGroup is a broker's replica.
type fakeGroup struct {
	w      *world
	broker protocol.BrokerID
	log    *fakeLog
	gone   bool
}

func (w *world) Open(b protocol.BrokerID, spec Spec) (Group, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.opens[fmt.Sprintf("%d %s", b, spec.Name)]++
	if w.openErr != nil {
		if err := w.openErr(b, spec); err != nil {
			return nil, err
		}
	}
	key := protocol.GroupID(spec.Topic, spec.Partition)
	l := w.groups[key]
	if l == nil {
		l = &fakeLog{spec: spec, open: map[protocol.BrokerID]*fakeGroup{}, lags: map[protocol.BrokerID]bool{}, changed: make(chan struct{})}
		w.groups[key] = l
	}
	g := &fakeGroup{w: w, broker: b, log: l}
	l.open[b] = g
	if !w.manual && l.leader == 0 && len(l.open) > len(spec.Voters)/2 {
		for _, v := range spec.Voters {
			if l.open[protocol.BrokerOf(v)] != nil {
				l.elect(protocol.BrokerOf(v))
				break
			}
		}
	}
	return g, nil
}

func (l *fakeLog) members() []uint64 {
	if l.voters != nil {
		return l.voters
	}
	return l.spec.Voters
}

func (l *fakeLog) elect(b protocol.BrokerID) {
	l.leader = b
	l.term++
	l.wake()
}

func (l *fakeLog) wake() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// elect makes a broker the leader of a partition in a new term; 0 leaves it without one.
func (w *world) elect(topic string, p protocol.Partition, b protocol.BrokerID) {
	w.with(topic, p, func(l *fakeLog) { l.elect(b) })
}

// with runs f on a group under the lock.
func (w *world) with(topic string, p protocol.Partition, f func(l *fakeLog)) {
	w.t.Helper()
	id := protocol.MetaTopicID
	if topic != protocol.MetaTopic {
		for _, s := range w.services {
			if t := s.table.Load().topics[topic]; t != nil {
				id = t.ID
			}
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.groups[protocol.GroupID(id, p)]
	if l == nil {
		w.t.Fatalf("no group for %s/%d", topic, p)
	}
	f(l)
}

func (g *fakeGroup) Append(b record.Batch, term uint64, deadline time.Time, done func(AppendResult)) {
	g.w.mu.Lock()
	defer g.w.mu.Unlock()
	l := g.log
	refuse := func(code protocol.Code, text string) {
		go done(AppendResult{Err: protocol.Errorf(code, "%s", text)})
	}
	switch {
	case g.gone:
		refuse(protocol.NotLeaderOrFollower, "the replica is gone")
	case l.failed != nil:
		go done(AppendResult{Err: l.failed})
	case l.leader != g.broker || term != 0 && term != l.term:
		refuse(protocol.NotLeaderOrFollower, "not the leader")
	case time.Now().After(deadline):
		go done(AppendResult{Err: protocol.Errorf(protocol.RequestTimedOut, "expired").WithOutcome(protocol.NotWritten)})
	default:
		l.appends++
		h := &heldAppend{batch: b, term: l.term, done: done}
		h.timer = time.AfterFunc(time.Until(deadline), func() { g.w.expire(l, h) })
		l.pending = append(l.pending, h)
		if !l.held {
			time.AfterFunc(g.w.latency, func() { g.w.commit(l) })
		}
	}
}

func (w *world) expire(l *fakeLog, h *heldAppend) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if i := slices.Index(l.pending, h); i >= 0 {
		l.pending[i] = &heldAppend{batch: h.batch, term: h.term} // it may still commit
		go h.done(AppendResult{Err: protocol.Errorf(protocol.RequestTimedOut, "not committed in time")})
	}
}

// commit makes all pending appends durable on a majority.
func (w *world) commit(l *fakeLog) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if l.held {
		return
	}
	for _, h := range l.pending {
		h.batch.Assign(l.hw, int32(h.term))
		l.batches = append(l.batches, slices.Clone(h.batch))
		base := l.hw
		l.hw += record.Offset(h.batch.Count())
		if h.done != nil {
			h.timer.Stop()
			go h.done(AppendResult{Base: base, Last: l.hw - 1, Term: h.term})
		}
	}
	l.pending = nil
	l.wake()
}

// lose makes a new leader overwrite what is pending.
func (w *world) lose(l *fakeLog) {
	for _, h := range l.pending {
		if h.done != nil {
			h.timer.Stop()
			go h.done(AppendResult{Err: protocol.Errorf(protocol.NotLeaderOrFollower, "replaced by a new leader")})
		}
	}
	l.pending = nil
}

// release lets pending and later appends commit.
func (w *world) release(topic string, p protocol.Partition) {
	var log *fakeLog
	w.with(topic, p, func(l *fakeLog) { l.held, log = false, l })
	w.commit(log)
}

func (g *fakeGroup) Read(dst []byte, from record.Offset, maxBytes int) (ReadResult, error) {
	g.w.mu.Lock()
	defer g.w.mu.Unlock()
	l := g.log
	if l.failed != nil {
		return ReadResult{}, l.failed
	}
	r := ReadResult{Batches: dst, Next: from, HighWatermark: l.hw, LogStart: l.start, Term: l.term}
	if l.lie != 0 {
		r.HighWatermark = l.lie
	}
	n := len(dst)
	for _, b := range l.batches {
		if b.LastOffset() < from || from < l.start {
			continue
		}
		if len(r.Batches) > n && len(r.Batches)-n+len(b) > maxBytes {
			break
		}
		r.Batches = append(r.Batches, b...)
		r.Next = b.LastOffset() + 1
	}
	return r, nil
}

func (g *fakeGroup) WaitFor(from record.Offset) <-chan struct{} {
	g.w.mu.Lock()
	defer g.w.mu.Unlock()
	if g.log.hw > from || g.log.failed != nil || g.gone {
		c := make(chan struct{})
		close(c)
		return c
	}
	return g.log.changed
}

func (g *fakeGroup) Latest(done func(record.Offset, error)) {
	g.w.mu.Lock()
	defer g.w.mu.Unlock()
	l := g.log
	switch {
	case l.leader != g.broker:
		go done(0, protocol.Errorf(protocol.NotLeaderOrFollower, "not the leader"))
	case l.held: // no majority: never answered, as long as it leads
	case l.lie != 0:
		l.leader, l.lie = 0, 0
		go done(0, protocol.Errorf(protocol.NotLeaderOrFollower, "replaced"))
	default:
		go done(l.hw, nil)
	}
}

func (g *fakeGroup) OffsetForTime(ts int64) (record.Offset, int64, bool, error) {
	g.w.mu.Lock()
	defer g.w.mu.Unlock()
	if g.log.failed != nil {
		return 0, 0, false, g.log.failed
	}
	for _, b := range g.log.batches {
		if b.MaxTimestamp() >= ts {
			return b.BaseOffset(), b.MaxTimestamp(), true, nil
		}
	}
	return 0, 0, false, nil
}

func (g *fakeGroup) Leader() LeaderStatus {
	g.w.mu.Lock()
	defer g.w.mu.Unlock()
	l := g.log
	if g.gone {
		return LeaderStatus{Err: protocol.Errorf(protocol.NotLeaderOrFollower, "the replica is gone")}
	}
	return LeaderStatus{Leader: l.leader, Term: l.term, Serving: l.leader == g.broker && !l.silent && l.failed == nil, Err: l.failed}
}

func (g *fakeGroup) Status() GroupStatus {
	st := GroupStatus{LeaderStatus: g.Leader()}
	g.w.mu.Lock()
	defer g.w.mu.Unlock()
	l := g.log
	st.HighWatermark, st.LogStart, st.Commit = l.hw, l.start, uint64(l.hw)+1
	st.Last, st.Durable = st.Commit, st.Commit
	if l.volatile[g.broker] {
		st.Durable = 0
	}
	if l.spec.Topic != protocol.MetaTopicID {
		st.Damage = g.w.damage[g.broker]
	}
	if l.leader == g.broker {
		st.Members = Members{At: l.changes, Voters: l.members(), Learners: l.learners, Settled: true}
		for _, v := range slices.Concat(l.members(), l.learners) {
			match := st.Commit
			if b := protocol.BrokerOf(v); l.lags[b] || l.open[b] == nil {
				match = 0
			}
			st.Peers = append(st.Peers, PeerProgress{
				Broker: protocol.BrokerOf(v), Replica: v, Match: match, Learner: slices.Contains(l.learners, v), CaughtUp: match > 0,
			})
		}
	}
	return st
}

// Change puts members in force at once.
func (g *fakeGroup) Change(_ context.Context, at uint64, voters, learners []uint64) error {
	g.w.mu.Lock()
	defer g.w.mu.Unlock()
	l := g.log
	if l.leader != g.broker || at != l.changes {
		return protocol.Errorf(protocol.NotLeaderOrFollower, "not the leader, or changed meanwhile")
	}
	l.changes++
	l.voters, l.learners = voters, learners
	return nil
}

func (g *fakeGroup) Transfer(to uint64) error {
	g.w.mu.Lock()
	defer g.w.mu.Unlock()
	if g.log.leader == g.broker {
		g.log.elect(protocol.BrokerOf(to))
	}
	return nil
}

// Trim drops records: entry n is the record n-1.
func (g *fakeGroup) Trim(first uint64) error {
	g.w.mu.Lock()
	defer g.w.mu.Unlock()
	g.log.start = max(g.log.start, min(record.Offset(first)-1, g.log.hw))
	return nil
}

// fakeHost is a broker's host.
type fakeHost struct {
	w *world
	b protocol.BrokerID
}

func (h fakeHost) Open(_ context.Context, spec Spec) (Group, error) { return h.w.Open(h.b, spec) }

func (h fakeHost) Dirs() ([]string, error) { return nil, nil }

func (h fakeHost) Remove(_ context.Context, spec Spec) error {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	h.w.removes[fmt.Sprintf("%d %s", h.b, spec.Name)]++
	if h.w.rmErr != nil {
		return h.w.rmErr
	}
	if l := h.w.groups[protocol.GroupID(spec.Topic, spec.Partition)]; l != nil && l.open[h.b] != nil {
		l.open[h.b].gone = true
		delete(l.open, h.b)
		l.wake()
	}
	return nil
}

// fakePeers is a broker's connections.
type fakePeers struct {
	w *world
	b protocol.BrokerID
}

type unsentFake struct{}

func (unsentFake) Error() string { return "not connected" }
func (unsentFake) Unsent() bool  { return true }

var errLost = errors.New("the connection broke")

func (p fakePeers) state(to protocol.BrokerID) (s *Service, cut, deaf bool) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	link := [2]protocol.BrokerID{p.b, to}
	s = p.w.services[to]
	return s, s == nil || p.w.cut[link], p.w.deaf[link]
}

func (p fakePeers) Request(ctx context.Context, to protocol.BrokerID, body []byte) ([]byte, error) {
	s, cut, deaf := p.state(to)
	if cut {
		return nil, fmt.Errorf("to broker %d: %w", to, unsentFake{})
	}
	reply := make(chan []byte, 1)
	s.HandleForwarded(context.Background(), p.b, slices.Clone(body), func(b []byte) { reply <- b })
	select {
	case b := <-reply:
		if deaf {
			return nil, errLost
		}
		return b, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p fakePeers) Gossip(to protocol.BrokerID, body []byte) bool {
	s, cut, _ := p.state(to)
	if !cut {
		s.HandleGossip(p.b, body)
	}
	return !cut
}

// start makes and starts the services of brokers 1 to n (all of them configured), or only those given.
func (w *world) start(n int, tune func(*Options), only ...protocol.BrokerID) {
	w.t.Helper()
	ids := make([]protocol.BrokerID, n)
	for i := range ids {
		ids[i] = protocol.BrokerID(i + 1)
	}
	if len(only) == 0 {
		only = ids
	}
	for _, id := range only {
		o := Options{ID: id, Brokers: ids, Host: fakeHost{w, id}, Peers: fakePeers{w, id}}
		if tune != nil {
			tune(&o)
		}
		s, err := New(o)
		if err != nil {
			w.t.Fatal(err)
		}
		if err := s.Start(w.t.Context(), protocol.BrokerInfo{URL: fmt.Sprintf("nats://b%d:4222", id), Peer: fmt.Sprintf("%s%d:7001", w.peerHost, id)}); err != nil {
			w.t.Fatal(err)
		}
		w.mu.Lock()
		w.services[id] = s
		w.mu.Unlock()
	}
}

// stop closes a service at once and takes its replicas away, as a crash does.
func (w *world) stop(id protocol.BrokerID) {
	w.mu.Lock()
	s := w.services[id]
	delete(w.services, id)
	for _, l := range w.groups {
		if g := l.open[id]; g != nil {
			g.gone = true
			delete(l.open, id)
		}
		if l.leader == id {
			l.leader = 0
			l.wake()
		}
	}
	w.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = s.Close(ctx)
}

// closeAll ends the world. Appends that hang are let go first.
func (w *world) closeAll() {
	w.mu.Lock()
	var logs []*fakeLog
	for _, l := range w.groups {
		l.held = false
		logs = append(logs, l)
	}
	var all []*Service
	for _, s := range w.services {
		all = append(all, s)
	}
	w.mu.Unlock()
	for _, l := range logs {
		w.commit(l)
	}
	for _, s := range all {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		if err := s.Close(ctx); err != nil {
			w.t.Errorf("close: %v", err)
		}
		cancel()
	}
}
