package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
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

// Broker is one broker. Make it with New.
type Broker struct {
	c   Config
	id  protocol.BrokerID
	log *slog.Logger
	fs  vfs.FS

	// Set by Start, in this order; nil until then.
	lock      io.Closer
	journal   journal.Journal
	host      *multiraft.Host
	transport *peer.Transport
	service   *service.Service
	plane     *natsplane.Plane
	http      *httpd.Server

	cluster atomic.Pointer[string] // as in the identity file; never nil after Start
	tasks   sync.WaitGroup
	stop    context.CancelFunc

	mu      sync.Mutex
	started bool // guarded by mu
	closed  bool // guarded by mu

	failed sync.Once
	done   chan struct{}
	err    error // set before done is closed
}

// New checks the configuration; the error names every fault. It does nothing
// else.
func New(c Config) (*Broker, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("broker configuration: %w", err)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &Broker{c: c, id: protocol.BrokerID(c.ID), log: c.Logger, fs: vfs.OS(), done: make(chan struct{})}, nil
}

// ID returns the broker's number.
func (b *Broker) ID() int { return b.c.ID }

// ClientURL returns the URL that clients connect to, "" before Start.
func (b *Broker) ClientURL() string {
	if b.plane == nil {
		return ""
	}
	return b.plane.ClientURL()
}

// HTTPURL returns the URL of the HTTP side, "" when there is none.
func (b *Broker) HTTPURL() string {
	if b.http == nil {
		return ""
	}
	return b.http.URL()
}

// Ready returns nil when the broker can serve, else what is missing.
func (b *Broker) Ready() error {
	if b.service == nil {
		return errors.New("the broker is not started")
	}
	if err := b.Err(); err != nil {
		return err
	}
	return b.service.Ready()
}

// Done is closed when the broker can't go on; Err then says why. Close it all
// the same.
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
		b.log.Error("the broker can't go on", "broker", b.c.ID, "error", err)
		close(b.done)
	})
}

// Start opens everything and returns when requests are answered. A broker starts
// once; what was opened before an error is closed again.
func (b *Broker) Start(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.started || b.closed {
		return errors.New("a broker can be started only once")
	}
	b.started = true
	err := b.open(ctx)
	if err == nil {
		return nil
	}
	b.closed = true
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if closing := b.shut(gone); closing != nil {
		b.log.Debug("closing after a failed start", "error", closing)
	}
	return fmt.Errorf("start broker %d: %w", b.c.ID, err)
}

func (b *Broker) open(ctx context.Context) error {
	fresh, err := b.openData()
	if err != nil {
		if b.c.PeerListener != nil {
			_ = b.c.PeerListener.Close() // ours from here on
		}
		return err
	}
	if err := b.openHost(fresh); err != nil {
		return err
	}
	if err := b.openListeners(); err != nil {
		return err
	}
	b.host.Start()
	b.transport.Start()
	if err := b.service.Start(ctx, b.info()); err != nil {
		return err
	}
	watch, stop := context.WithCancel(context.WithoutCancel(ctx))
	b.stop = stop
	b.tasks.Go(func() { b.watch(watch) })
	return nil
}

// info is what others shall know of this broker.
func (b *Broker) info() protocol.BrokerInfo {
	url := b.plane.ClientURL()
	if b.c.Advertise != "" {
		url = "nats://" + b.c.Advertise
	}
	info := protocol.BrokerInfo{ID: b.id, URL: url, HTTP: b.HTTPURL(), Rack: b.c.Rack}
	for _, p := range b.c.Peers {
		if p.ID == b.c.ID {
			info.Peer = p.Addr
		}
	}
	return info
}

// openData takes the data directory and says whether it is new.
func (b *Broker) openData() (fresh bool, err error) {
	if err := b.fs.MkdirAll(b.c.DataDir); err != nil {
		return false, fmt.Errorf("data directory: %w", err)
	}
	// Whose directory it is comes first: what belongs to another is not touched.
	if _, _, err := b.identify(); err != nil {
		return false, err
	}
	lock, err := b.fs.Lock(filepath.Join(b.c.DataDir, "LOCK"))
	if err != nil {
		var locked *vfs.LockedError
		if errors.As(err, &locked) {
			return false, fmt.Errorf("data directory %s is in use by a running broker; stop it, or use another directory: %w", b.c.DataDir, err)
		}
		return false, fmt.Errorf("lock the data directory: %w", err)
	}
	b.lock = lock
	id, known, err := b.identify() // again: it may have changed before the lock was ours
	if err != nil {
		return false, err
	}
	b.cluster.Store(&id.Cluster)
	return !known, nil
}

// identify reads whose data directory it is; ok is false for a new one.
func (b *Broker) identify() (id identity, ok bool, err error) {
	id, ok, err = readIdentity(b.fs, b.c.DataDir)
	if err == nil && ok && id.Broker != b.c.ID {
		err = fmt.Errorf("data directory %s belongs to broker %d, not %d; use the broker's own directory, or an empty one", b.c.DataDir, id.Broker, b.c.ID)
	}
	return id, ok, err
}

// openHost opens the journal and makes the Raft host, its transport and the
// service.
func (b *Broker) openHost(fresh bool) error {
	listener, err := b.listenPeers()
	if err != nil {
		return err
	}
	peers, brokers := make(map[protocol.BrokerID]string), []protocol.BrokerID{b.id}
	for _, p := range b.c.Peers {
		if p.ID != b.c.ID {
			peers[protocol.BrokerID(p.ID)] = p.Addr
			brokers = append(brokers, protocol.BrokerID(p.ID))
		}
	}
	b.transport, err = peer.New(peer.Options{
		Self: b.id, Peers: peers, Listener: listener, Handler: peerHandler{b},
		ClusterID: b.clusterID, TLS: b.c.PeerTLS, Logger: b.log,
	})
	if err != nil {
		if listener != nil {
			err = errors.Join(err, listener.Close())
		}
		return err
	}
	if err := b.openJournal(fresh); err != nil {
		return err
	}
	b.host, err = multiraft.New(multiraft.Options{
		Broker: b.id, FS: b.fs, Dir: filepath.Join(b.c.DataDir, "partitions"), Journal: b.journal, Transport: b.transport,
		Shards: b.c.Shards, DiskWorkers: b.c.DiskWorkers, Tick: b.c.Tick, ElectionTicks: b.c.ElectionTicks,
		HeartbeatTicks: b.c.HeartbeatTicks, Seed: uint64(b.id) * 0x9e3779b97f4a7c15, Logger: b.log,
	})
	if err != nil {
		return err
	}
	b.service, err = service.New(service.Options{
		ID: b.id, Brokers: brokers, Host: service.NewHost(b.host), Peers: b.transport, Logger: b.log,
		InflightBytes: b.c.InflightBytes, MaxFetchBytes: natsplane.MaxFetchBytes,
	})
	return err
}

func (b *Broker) openJournal(fresh bool) error {
	dir := filepath.Join(b.c.DataDir, "journal")
	// The identity is written after the journal: a directory that has one without
	// the other has lost its votes.
	j, report, err := journal.Open(journal.Options{Dir: dir, Owner: uint64(b.id), MustExist: !fresh})
	if err != nil {
		return err
	}
	b.journal = j
	for _, w := range report.Warnings {
		b.log.Warn("journal", "broker", b.c.ID, "warning", w)
	}
	if err := vfs.MkdirAllSync(b.fs, filepath.Join(b.c.DataDir, "partitions")); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	if fresh {
		return writeIdentity(b.fs, b.c.DataDir, identity{Broker: b.c.ID})
	}
	return nil
}

func (b *Broker) listenPeers() (net.Listener, error) {
	if b.c.PeerListener != nil {
		return b.c.PeerListener, nil
	}
	for _, p := range b.c.Peers {
		if p.ID != b.c.ID || len(b.c.Peers) == 1 {
			continue
		}
		l, err := net.Listen("tcp", p.Addr)
		if err != nil {
			return nil, fmt.Errorf("peer listener %s: %w; is the port in use?", p.Addr, err)
		}
		return l, nil
	}
	return nil, nil
}

// openListeners lets clients in; they are told to wait until the service runs.
func (b *Broker) openListeners() (err error) {
	b.plane, err = natsplane.Start(natsplane.Options{
		Listen: b.c.Listen, Name: fmt.Sprintf("logq-%d", b.c.ID), Version: Version, Handler: b.service, TLS: b.c.ClientTLS,
		Metadata: map[string]string{"broker": fmt.Sprint(b.c.ID)}, Logger: b.log,
	})
	if err != nil || b.c.HTTP == "" {
		return err
	}
	b.http, err = httpd.Start(httpd.Options{Listen: b.c.HTTP, Ready: b.Ready, Samples: b.samples, Logger: b.log})
	return err
}
