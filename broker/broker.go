package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"

	"github.com/logq/logq/broker/internal/httpd"
	"github.com/logq/logq/broker/internal/natsplane"
	"github.com/logq/logq/broker/internal/service"
	"github.com/logq/logq/internal/journal"
	"github.com/logq/logq/internal/multiraft"
	"github.com/logq/logq/internal/peer"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/internal/vfs"
)

// Version is the release, shown by service discovery.
const Version = "0.1.0"

// Broker is one broker. Make it with New. Its methods may be called from any
// goroutine.
type Broker struct {
	c   Config
	id  protocol.BrokerID
	log *slog.Logger
	fs  vfs.FS
	// wrapJournal is for tests, which break it; nil otherwise.
	wrapJournal func(journal.Journal) journal.Journal

	// Set by Start, in this order; read by what Start starts, and by shut.
	lock      io.Closer
	listener  net.Listener // for other brokers; nil = none. The transport's, once that is made.
	peerAddr  string       // where others reach it
	journal   journal.Journal
	transport *peer.Transport
	host      *multiraft.Host
	direct    bool // segments are written past the page cache
	service   *service.Service
	plane     *natsplane.Plane
	http      *httpd.Server

	own     identity                      // as in the identity file; Start's, then watch's
	run     uint64                        // see newRun
	intro   atomic.Pointer[service.Intro] // what this broker says of own
	cluster atomic.Pointer[string]        // as in own; nil before Start
	serving atomic.Pointer[serving]
	leave   context.CancelFunc // ends tasks and guard
	tasks   sync.WaitGroup     // what uses the parts above
	guard   sync.WaitGroup     // what stops a broker that can't go on

	mu      sync.Mutex
	started bool // guarded by mu
	closed  bool // guarded by mu

	failed sync.Once
	done   chan struct{}
	err    error // set before done is closed
}

// serving is what callers may see of a started broker.
type serving struct {
	clientURL, httpURL string
	ready              func() error
}

// New checks the configuration; the error names every fault. It does nothing
// else.
func New(c Config) (*Broker, error) { return newBroker(c, vfs.OS()) }

func newBroker(c Config, fsys vfs.FS) (*Broker, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("broker configuration: %w", err)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &Broker{c: c, id: protocol.BrokerID(c.ID), log: c.Logger, fs: fsys, done: make(chan struct{})}, nil
}

// ID returns the broker's number.
func (b *Broker) ID() int { return b.c.ID }

// ClientURL returns the URL that clients on this machine connect to, "" before
// Start.
func (b *Broker) ClientURL() string {
	if s := b.serving.Load(); s != nil {
		return s.clientURL
	}
	return ""
}

// HTTPURL returns the URL of the HTTP side, "" when there is none.
func (b *Broker) HTTPURL() string {
	if s := b.serving.Load(); s != nil {
		return s.httpURL
	}
	return ""
}

// Ready returns nil when the broker can serve: it has joined the cluster, a
// controller is known, and its replicas are open. The error says what is missing.
func (b *Broker) Ready() error {
	if err := b.Err(); err != nil {
		return err
	}
	s := b.serving.Load()
	if s == nil {
		return errors.New("the broker is not started")
	}
	return s.ready()
}

// Done is closed when the broker can't go on. Err then says why; the broker stops
// serving by itself. Close it all the same.
func (b *Broker) Done() <-chan struct{} { return b.done }

// Err returns why the broker can't go on, nil while it can.
func (b *Broker) Err() error {
	select {
	case <-b.done:
		return b.err
	default:
		return nil
	}
}

func (b *Broker) fail(err error) {
	b.failed.Do(func() {
		b.err = fmt.Errorf("broker %d can't go on: %w", b.c.ID, err)
		b.log.Error("the broker can't go on and stops", "broker", b.c.ID, "error", err)
		close(b.done)
	})
}
