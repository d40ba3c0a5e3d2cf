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
	// HandleRaft takes a message and the entries of an append.
	HandleRaft(from protocol.BrokerID, m *raft.Message, frames []byte)
	// HandleRequest takes a forwarded request; reply must be called exactly once,
	// from any goroutine. ctx ends at the caller's deadline or with the connection.
	HandleRequest(ctx context.Context, from protocol.BrokerID, body []byte, reply func([]byte))
	// HandleGossip takes a message without an answer.
	HandleGossip(from protocol.BrokerID, body []byte)
}

// Options configure a Transport. Self and Handler are needed; Listener and Peers
// too, unless the broker is alone.
type Options struct {
	Self     protocol.BrokerID
	Peers    map[protocol.BrokerID]string // HOST:PORT of the others
	Listener net.Listener                 // owned by the transport from Start on
	Handler  Handler
	// ClusterID returns the cluster's id, "" until it is known. Two different ids
	// never talk to each other.
	ClusterID func() string
	// TLS, if set, is used in both roles: it needs Certificates, RootCAs, ClientCAs
	// and ClientAuth for mutual authentication.
	TLS *tls.Config

	// ControlQueueBytes and BulkQueueBytes bound what waits on one connection,
	// MaxFrameBytes what one frame may hold. Defaults 8 MiB, 64 MiB, 32 MiB.
	ControlQueueBytes, BulkQueueBytes, MaxFrameBytes int
	// HandshakeTimeout bounds a greeting (default 5 s), Ping is the interval of
	// keep-alives (1 s), Silence what a connection may be quiet or stuck (5 s).
	HandshakeTimeout, Ping, Silence time.Duration
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
	wait(&o.HandshakeTimeout, defaultHandshakeTimeout)
	wait(&o.Ping, defaultPing)
	wait(&o.Silence, defaultSilence)
	wait(&o.RequestTimeout, time.Minute)
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
	log    *slog.Logger
	links  map[protocol.BrokerID]*[2]link // by class; immutable
	stats  stats
	causes causes
	ctx    context.Context // ends with the transport
	cancel context.CancelFunc
	wg     sync.WaitGroup // every goroutine
	slots  chan struct{}  // accepted connections
	closed atomic.Bool
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
	t := &Transport{o: o, log: o.Logger, links: make(map[protocol.BrokerID]*[2]link), slots: make(chan struct{}, maxConnections)}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.causes.last = make(map[string]string)
	for id, addr := range o.Peers {
		t.links[id] = &[2]link{
			{t: t, peer: id, addr: addr, class: classControl},
			{t: t, peer: id, addr: addr, class: classBulk},
		}
	}
	return t, nil
}

// Start accepts and dials until Close.
func (t *Transport) Start() {
	if t.o.Listener != nil {
		t.wg.Go(t.accept)
	}
	for _, pair := range t.links {
		t.wg.Go(pair[0].run)
		t.wg.Go(pair[1].run)
	}
}

// Close cuts every connection and waits for all goroutines. What is queued is
// given up: requests that wait get their typed error. ctx bounds nothing yet,
// since nothing here waits for another broker.
func (t *Transport) Close(_ context.Context) error {
	if t.closed.Swap(true) {
		return nil
	}
	t.cancel()
	var err error
	if t.o.Listener != nil {
		if err = t.o.Listener.Close(); errors.Is(err, net.ErrClosed) {
			err = nil
		}
	}
	t.wg.Wait()
	return err
}

func (t *Transport) clusterID() string {
	if t.o.ClusterID == nil {
		return ""
	}
	return t.o.ClusterID()
}

// conn returns the live connection to a peer, or nil.
func (t *Transport) conn(to protocol.BrokerID, cl class) *conn {
	pair := t.links[to]
	if pair == nil {
		return nil
	}
	return pair[cl-1].live.Load()
}

// Connected reports whether both connections to a peer are up.
func (t *Transport) Connected(to protocol.BrokerID) bool {
	return t.conn(to, classControl) != nil && t.conn(to, classBulk) != nil
}

// Send queues a Raft message: appends with entries go over the bulk connection,
// all else over control. It copies m, keeps frames, and never blocks.
func (t *Transport) Send(to protocol.BrokerID, m *raft.Message, frames [][]byte) bool {
	cl := classControl
	if len(frames) > 0 {
		cl = classBulk
	}
	var head [256]byte
	return t.enqueue(to, cl, framed(frameRaft, m.AppendTo(head[:0]), frames))
}

// Gossip queues a message without an answer.
func (t *Transport) Gossip(to protocol.BrokerID, body []byte) bool {
	return t.enqueue(to, classControl, framed(frameGossip, nil, [][]byte{body}))
}

func (t *Transport) enqueue(to protocol.BrokerID, cl class, it item) bool {
	c := t.conn(to, cl)
	if c == nil || !c.out.put(it) {
		t.stats.of(cl).dropped.Add(1)
		return false
	}
	return true
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
	if len(c.last) > maxConnections {
		clear(c.last)
	}
	c.last[who] = what
	return true
}
