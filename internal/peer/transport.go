package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/raft"
)

// Handler takes what other brokers send. Methods are called from readers of
// connections, concurrently, and must not block; buffers belong to the handler.
type Handler interface {
	// HandleRaft takes a message and the entries of an append. m is valid during the
	// call only.
	HandleRaft(from protocol.BrokerID, m *raft.Message, frames []byte)
	// HandleRequest takes a forwarded request; reply must be called exactly once,
	// from any goroutine, and owns what it is given. ctx ends at the caller's
	// deadline, with the connection, or with the reply.
	HandleRequest(ctx context.Context, from protocol.BrokerID, body []byte, reply func([]byte))
	// HandleGossip takes a message without an answer.
	HandleGossip(from protocol.BrokerID, body []byte)
}

// HostHandler is a Handler that knows of the traffic of hosts of replicas beyond
// single messages. A Handler that doesn't gets batches message by message, and no
// pulses.
type HostHandler interface {
	Handler
	// HandleBatch takes what SendAll sent as one. msgs is valid during the call only.
	HandleBatch(from protocol.BrokerID, msgs []raft.Message)
	// HandlePulse takes what SendPulse sent. body is valid during the call only.
	HandlePulse(from protocol.BrokerID, body []byte)
	// HandleLink is told when a control connection of a broker to this one begins,
	// before anything that came over it is handed over, and when it has ended, after
	// all of it was. When a connection replaces another, the begin of the new one may
	// come before the end of the old one.
	HandleLink(from protocol.BrokerID)
}

// Options configure a Transport. Self and Handler are needed; Listener and Peers
// too, unless the broker is alone.
type Options struct {
	Self     protocol.BrokerID
	Peers    map[protocol.BrokerID]string // HOST:PORT of the others; see AddPeer
	Listener net.Listener                 // owned by the transport from Start on
	Handler  Handler
	// ClusterID returns the cluster's id, "" until it is known. Two different ids
	// never talk to each other.
	ClusterID func() string
	// Introduce returns what this broker says of its data directory; nil: nothing.
	Introduce func() Introduction
	// Judge says why a broker of this cluster must not go on with the data directory
	// that it has, "" if it may; nil: all may. It runs on readers of connections, before
	// anything that the broker sends is looked at, and must not block for long.
	Judge func(from protocol.BrokerID, who Introduction) string
	// OnFenced is told that another broker has judged this one so. It must not block.
	OnFenced func(by protocol.BrokerID, reason string)
	// Answer answers a question that came by Ask, from a broker that may be no peer.
	// ctx ends with the time that the asker has. nil: questions are refused.
	Answer func(ctx context.Context, from protocol.BrokerID, who Introduction, body []byte) []byte
	// TLS, if set, is used in both roles: it needs Certificates, RootCAs, ClientCAs
	// and ClientAuth for mutual authentication.
	TLS *tls.Config

	// ControlQueueBytes and BulkQueueBytes bound what waits on one connection, each
	// frame with 256 bytes of overhead; MaxFrameBytes what one frame may hold.
	// Defaults 8 MiB, 64 MiB, 32 MiB.
	ControlQueueBytes, BulkQueueBytes, MaxFrameBytes int
	// MaxRequests and MaxRequestBytes bound the forwarded requests that wait for a
	// reply, per peer, on the asking and on the answering side. Defaults 4096, 64 MiB.
	MaxRequests, MaxRequestBytes int
	// HandshakeTimeout bounds dial and greeting (default 5 s), Ping is the interval
	// of keep-alives (1 s), Silence what a connection may be quiet or stuck (5 s).
	HandshakeTimeout, Ping, Silence time.Duration
	// BackoffMin and BackoffMax bound the pause between two tries to connect: it
	// doubles, and half of it is drawn. Defaults 20 ms, 1 s.
	BackoffMin, BackoffMax time.Duration
	// RequestTimeout bounds requests whose context has no earlier deadline; default
	// a minute.
	RequestTimeout time.Duration
	// Dial connects; default net.Dialer.
	Dial   func(ctx context.Context, addr string) (net.Conn, error)
	Logger *slog.Logger // default: discard
}

func (o *Options) setDefaults() {
	set := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	wait := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	set(&o.ControlQueueBytes, defaultControlQueueBytes)
	set(&o.BulkQueueBytes, defaultBulkQueueBytes)
	set(&o.MaxFrameBytes, defaultMaxFrameBytes)
	set(&o.MaxRequests, defaultMaxRequests)
	set(&o.MaxRequestBytes, defaultMaxRequestBytes)
	wait(&o.HandshakeTimeout, defaultHandshakeTimeout)
	wait(&o.Ping, defaultPing)
	wait(&o.Silence, defaultSilence)
	wait(&o.RequestTimeout, defaultRequestTimeout)
	wait(&o.BackoffMin, defaultBackoffMin)
	wait(&o.BackoffMax, defaultBackoffMax)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Dial == nil {
		o.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		}
	}
}

// Transport is a broker's side of all its connections to the others.
type Transport struct {
	o      Options
	hosts  HostHandler // o.Handler if it is one, else nil
	log    *slog.Logger
	links  atomic.Pointer[map[protocol.BrokerID]*links] // replaced under mu
	stats  stats
	causes causes
	ctx    context.Context // ends with the transport
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup // every goroutine
	slots  chan struct{}  // accepted connections that have not greeted
	closed atomic.Bool

	mu       sync.Mutex
	started  bool               // guarded by mu
	conns    map[*conn]struct{} // greeted; guarded by mu; nil once closed
	accepted map[caller]*conn   // the newest of each; guarded by mu
}

// caller is whose an accepted connection is.
type caller struct {
	peer  protocol.BrokerID
	class class
}

// New checks the options; nothing is started or dialled.
func New(o Options) (*Transport, error) {
	var errs []error
	if o.Self == 0 {
		errs = append(errs, errors.New("option Self must be at least 1"))
	}
	if o.Handler == nil {
		errs = append(errs, errors.New("option Handler is missing"))
	}
	if len(o.Peers) > 0 && o.Listener == nil {
		errs = append(errs, errors.New("option Listener is missing"))
	}
	if _, self := o.Peers[o.Self]; self {
		errs = append(errs, fmt.Errorf("option Peers names broker %d itself", o.Self))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("peer transport options: %w", err)
	}
	o.setDefaults()
	t := &Transport{o: o, log: o.Logger, slots: make(chan struct{}, maxGreetings)}
	t.hosts, _ = o.Handler.(HostHandler)
	t.ctx, t.cancel = context.WithCancelCause(context.Background())
	t.causes.last = make(map[string]string)
	t.conns, t.accepted = make(map[*conn]struct{}), make(map[caller]*conn)
	all := make(map[protocol.BrokerID]*links, len(o.Peers))
	for id, addr := range o.Peers {
		all[id] = t.newLinks(id, addr)
	}
	t.links.Store(&all)
	return t, nil
}

// Start accepts and dials until Close.
func (t *Transport) Start() {
	if t.o.Listener != nil {
		t.wg.Go(t.accept)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.started = true
	for _, pair := range *t.links.Load() {
		pair.start(t)
	}
}

// Close accepts nothing more to send, waits until what is queued is written or
// ctx ends, then cuts every connection and waits for all goroutines. With a ctx
// that is done already it is an abrupt stop. Requests that still wait get their
// typed error, and no handler is called after it returns.
func (t *Transport) Close(ctx context.Context) error {
	if t.closed.Swap(true) {
		return nil
	}
	var err error
	if t.o.Listener != nil {
		if err = t.o.Listener.Close(); errors.Is(err, net.ErrClosed) {
			err = nil
		}
	}
	t.mu.Lock()
	conns := t.conns
	t.conns = nil
	t.mu.Unlock()
	for c := range conns {
		c.out.drain(ctx, c.ctx)
	}
	t.cancel(ErrClosed)
	t.wg.Wait()
	return err
}

// enroll makes c known to Close, and lets an accepted connection replace the one
// that the same caller had: that one is dead, though nothing has said so. False:
// the transport is closing, or the peer was removed.
func (t *Transport) enroll(c *conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.conns == nil || t.linksOf(c.peer) == nil {
		return false
	}
	t.conns[c] = struct{}{}
	if !c.dialed {
		k := caller{c.peer, c.class}
		if old := t.accepted[k]; old != nil {
			old.cancel(errReplaced) // its goroutines do the rest
		}
		t.accepted[k] = c
	}
	return true
}

func (t *Transport) discharge(c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.conns, c)
	if k := (caller{c.peer, c.class}); t.accepted[k] == c {
		delete(t.accepted, k)
	}
}

func (t *Transport) clusterID() string {
	if t.o.ClusterID == nil {
		return ""
	}
	return t.o.ClusterID()
}

// conn returns the live connection to a peer, or nil.
func (t *Transport) conn(to protocol.BrokerID, cl class) *conn {
	pair := t.linksOf(to)
	if pair == nil || t.closed.Load() {
		return nil
	}
	return pair.by[cl-1].live.Load()
}

// Connected reports whether both connections to a peer are up.
func (t *Transport) Connected(to protocol.BrokerID) bool {
	return t.conn(to, classControl) != nil && t.conn(to, classBulk) != nil
}

// Send queues a Raft message: appends with entries go over the bulk connection,
// all else over control. It copies m and the list of frames, keeps the frames
// themselves, and never blocks. False: there is no connection, its queue is full,
// or the message is larger than a frame may be.
func (t *Transport) Send(to protocol.BrokerID, m *raft.Message, frames [][]byte) bool {
	cl := classControl
	if len(frames) > 0 {
		cl = classBulk
	}
	c := t.conn(to, cl)
	return t.count(cl, c != nil && c.putRaft(m, frames))
}

// SendAll queues Raft messages without entries, at most MaxBatch, over control as
// one frame, all or none. It copies them and never blocks. False as with Send.
func (t *Transport) SendAll(to protocol.BrokerID, msgs []raft.Message) bool {
	c := t.conn(to, classControl)
	return t.count(classControl, c != nil && len(msgs) <= MaxBatch && c.putBatch(msgs))
}

// SendPulse queues what a host of replicas says about itself, at most MaxPulse
// bytes, over control, in order with Send and SendAll. body must not change
// afterwards. False as with Send.
func (t *Transport) SendPulse(to protocol.BrokerID, body []byte) bool {
	c := t.conn(to, classControl)
	return t.count(classControl, c != nil && len(body) <= MaxPulse && c.putCovered(framePulse, nil, body, nil))
}

// Backlog returns how many bytes wait on the bulk connection to a broker, those
// that are being written among them; 0 without a connection.
func (t *Transport) Backlog(to protocol.BrokerID) int {
	c := t.conn(to, classBulk)
	if c == nil {
		return 0
	}
	return c.out.backlog()
}

// Gossip queues a message without an answer. body must not change afterwards.
// False as with Send.
func (t *Transport) Gossip(to protocol.BrokerID, body []byte) bool {
	c := t.conn(to, classControl)
	return t.count(classControl, c != nil && len(body) <= t.o.MaxFrameBytes && c.putCovered(frameGossip, nil, body, nil))
}

func (t *Transport) count(cl class, queued bool) bool {
	if !queued {
		t.stats.of(cl).dropped.Add(1)
	}
	return queued
}

// causes keeps the log readable: one cause per peer is logged once, until it
// changes or goes away.
type causes struct {
	mu   sync.Mutex
	last map[string]string // guarded by mu
}

func (c *causes) changed(who, what string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last[who] == what {
		return false
	}
	if len(c.last) > maxCauses {
		clear(c.last)
	}
	c.last[who] = what
	return true
}
