package broker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"

	"github.com/logq/logq/broker/internal/httpd"
	"github.com/logq/logq/broker/internal/natsplane"
	"github.com/logq/logq/broker/internal/service"
	"github.com/logq/logq/internal/multiraft"
	"github.com/logq/logq/internal/peer"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/internal/statefile"
	"github.com/logq/logq/internal/vfs"
)

// Start opens everything, in order from the disk outwards, and returns when
// requests are answered, which is before the broker has joined its cluster: see
// Ready. A broker starts once; what was opened before an error is closed again.
// Ctx bounds the start only.
func (b *Broker) Start(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.started || b.closed {
		return fmt.Errorf("start broker %d: a broker can be started only once; make another one with New", b.c.ID)
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
		b.log.Debug("closing after a failed start", "broker", b.c.ID, "error", closing)
	}
	return fmt.Errorf("start broker %d: %w", b.c.ID, err)
}

func (b *Broker) open(ctx context.Context) error {
	if err := b.openData(); err != nil {
		if b.c.PeerListener != nil {
			err = errors.Join(err, b.c.PeerListener.Close()) // ours from Start on
		}
		return err
	}
	if err := b.openPeerListener(); err != nil {
		return err
	}
	if err := b.join(ctx); err != nil {
		return errors.Join(err, b.closePeerListener())
	}
	if err := b.openTransport(); err != nil {
		return err
	}
	if err := b.openHost(); err != nil {
		return err
	}
	if err := b.openListeners(); err != nil {
		return err
	}
	// The listeners are open, so that all addresses are final. Requests that come
	// before the service runs are told to come again.
	b.host.Start()
	b.transport.Start()
	if err := b.service.Start(ctx, b.info()); err != nil {
		return err
	}
	running, leave := context.WithCancel(context.WithoutCancel(ctx))
	b.leave = leave
	b.tasks.Go(func() { b.watch(running) })
	b.guard.Go(func() { b.stopIfFailed(running) })
	s := &serving{clientURL: b.plane.ClientURL(), ready: b.service.Ready}
	if b.http != nil {
		s.httpURL = b.http.URL()
	}
	b.serving.Store(s)
	b.log.Info("the broker is started", "broker", b.c.ID, "version", Version, "clients", s.clientURL, "http", s.httpURL,
		"data", b.c.DataDir, "cluster", b.clusterID())
	return nil
}

// openPeerListener opens the port for other brokers, if there may be any.
func (b *Broker) openPeerListener() (err error) {
	b.listener, b.peerAddr = b.c.PeerListener, b.c.peerAddr()
	if b.peerAddr == "" && b.own.joined() {
		// Where others know it. That was checked once, but TLS may have been taken away since.
		b.peerAddr = b.knownAddr(b.c.ID)
		var errs []error
		b.c.checkAddr(func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }, "peer listener", b.peerAddr, b.c.PeerTLS)
		if err := errors.Join(errs...); err != nil {
			return err
		}
	}
	if b.listener != nil || b.peerAddr == "" {
		return nil
	}
	if b.listener, err = net.Listen("tcp", b.peerAddr); err != nil {
		return listenError(fmt.Errorf("peer listener %s: %w: stop what holds the port, or give this broker another address in the peers of all", b.peerAddr, err))
	}
	b.peerAddr = withPort(b.peerAddr, b.listener.Addr().String())
	return nil
}

func (b *Broker) closePeerListener() error {
	if b.listener == nil {
		return nil
	}
	return b.listener.Close()
}

// openTransport lets other brokers in, and calls them.
func (b *Broker) openTransport() (err error) {
	b.transport, err = peer.New(peer.Options{
		Self: b.id, Peers: b.firstPeers(), Listener: b.listener, Handler: peerHandler{b},
		ClusterID: b.clusterID, TLS: b.c.PeerTLS, Logger: b.log,
		Introduce: func() peer.Introduction { return peer.Introduction(*b.intro.Load()) },
		Judge: func(from protocol.BrokerID, who peer.Introduction) string {
			return b.service.Judge(from, service.Intro(who))
		},
		OnFenced: func(by protocol.BrokerID, reason string) { b.fenced(fmt.Sprintf("broker %d says: %s", by, reason)) },
		Answer: func(ctx context.Context, from protocol.BrokerID, _ peer.Introduction, body []byte) []byte {
			return b.service.Answer(ctx, from, body)
		},
	})
	if err != nil {
		err = errors.Join(err, b.closePeerListener())
	}
	return err
}

// firstPeers are the other brokers as this one knows them before it has metadata.
func (b *Broker) firstPeers() map[protocol.BrokerID]string {
	peers := make(map[protocol.BrokerID]string)
	if b.own.joined() {
		for _, m := range b.own.Brokers {
			peers[protocol.BrokerID(m.ID)] = m.Addr
		}
	}
	for _, p := range b.c.Peers { // what is configured counts
		peers[protocol.BrokerID(p.ID)] = p.Addr
	}
	delete(peers, b.id)
	return peers
}

// openHost makes the host of replicas and the service on it.
func (b *Broker) openHost() (err error) {
	if b.direct, err = b.probeDirect(); err != nil {
		return err
	}
	b.host, err = multiraft.New(multiraft.Options{
		Broker: b.id, FS: b.fs, Dir: b.dir(partitionsDir), Journal: b.journal, Transport: b.transport,
		RecoveryBytesPerSecond: b.c.RecoveryBytesPerSecond, ScrubBytesPerSecond: b.c.ScrubBytesPerSecond, ScrubInterval: b.c.ScrubInterval,
		Shards: b.c.Shards, DiskWorkers: b.c.DiskWorkers, Tick: b.c.Tick, ElectionTicks: b.c.ElectionTicks,
		HeartbeatTicks: b.c.HeartbeatTicks, Seed: uint64(b.id) * 0x9e3779b97f4a7c15, Logger: b.log,
		OnChange: b.groupsChanged, Direct: b.direct, TailMemory: b.c.TailMemory,
	})
	if err != nil {
		return err
	}
	brokers := append(slices.Collect(maps.Keys(b.firstPeers())), b.id)
	var states service.States
	if states.Store, states.Found, err = statefile.Open(b.fs, b.dir(metadataDir)); err != nil {
		return err
	}
	b.service, err = service.New(service.Options{
		ID: b.id, Brokers: brokers, Host: service.NewHost(b.host), Peers: b.transport, Logger: b.log, States: states,
		Intro: *b.intro.Load(), Known: b.own.introductions(), Network: b.network(), OnFenced: func(err error) { b.fenced(err.Error()) },
		Defaults:      b.c.topicDefaults(),
		InflightBytes: b.c.InflightBytes, MaxFetchBytes: natsplane.MaxFetchBytes,
	})
	return err
}

// probeDirect says whether segments are to be written past the page cache.
func (b *Broker) probeDirect() (bool, error) {
	if b.c.Buffered {
		return false, nil
	}
	direct, err := vfs.ProbeDirect(b.fs, b.c.DataDir)
	if err != nil {
		return false, fmt.Errorf("find out how %s can be written: %w", b.c.DataDir, err)
	}
	if !direct {
		b.log.Warn("the file system can't write past the page cache: appends cost more", "broker", b.c.ID, "data", b.c.DataDir)
	}
	return direct, nil
}

// network is what follows the metadata: nothing, if this broker is without a port for others.
func (b *Broker) network() service.Network {
	if b.listener == nil {
		return nil
	}
	return b.transport
}

// groupsChanged passes on whose leadership has changed. The host calls it only once
// it is started, which is after the service was made.
func (b *Broker) groupsChanged(groups []*multiraft.Group) {
	ids := make([][20]byte, len(groups))
	for i, g := range groups {
		ids[i] = g.ID()
	}
	b.service.GroupsChanged(ids...)
}

// openListeners lets clients in.
func (b *Broker) openListeners() (err error) {
	b.plane, err = natsplane.Start(natsplane.Options{
		Listen: b.c.Listen, Name: "logq-" + strconv.Itoa(b.c.ID), Version: Version, Handler: b.service, TLS: b.c.ClientTLS,
		Metadata: map[string]string{"broker": strconv.Itoa(b.c.ID)}, Logger: b.log,
	})
	if err != nil || b.c.HTTP == "" {
		return listenError(err)
	}
	b.http, err = httpd.Start(httpd.Options{Listen: b.c.HTTP, Ready: b.Ready, Samples: b.samples, Logger: b.log})
	return listenError(err)
}

// info is what others shall know of this broker.
func (b *Broker) info() protocol.BrokerInfo {
	info := protocol.BrokerInfo{ID: b.id, URL: b.plane.ClientURL(), Peer: b.peerAddr, Rack: b.c.Rack}
	if b.c.Advertise != "" {
		info.URL = b.clientScheme() + withPort(b.c.Advertise, b.plane.Addr())
	}
	if b.http == nil {
		return info
	}
	info.HTTP = b.http.URL()
	if host, _, err := net.SplitHostPort(b.c.HTTP); err == nil && everywhere(host) {
		// Known by the name that clients use, if that is given.
		if host, _, err = net.SplitHostPort(b.c.Advertise); err == nil {
			info.HTTP = "http://" + withPort(net.JoinHostPort(host, "0"), b.http.Addr())
		}
	}
	return info
}

func (b *Broker) clientScheme() string {
	if b.c.ClientTLS != nil {
		return "tls://"
	}
	return "nats://"
}

// withPort puts the port of a listener in the place of port 0.
func withPort(addr, listener string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || port != "0" {
		return addr
	}
	if _, port, err = net.SplitHostPort(listener); err != nil {
		return addr
	}
	return net.JoinHostPort(host, port)
}
