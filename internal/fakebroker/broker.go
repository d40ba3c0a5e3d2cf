package fakebroker

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/logq/logq/internal/protocol"
)

const (
	reconnectWait = 10 * time.Millisecond
	readyTimeout  = 10 * time.Second
	maxPayload    = 8 << 20
)

// Broker is one broker of a cluster: a NATS server and a subscription behind it.
type Broker struct {
	c  *Cluster
	id protocol.BrokerID

	mu     sync.Mutex
	port   int                 // guarded by mu; 0 before the first start
	server *server.Server      // guarded by mu; nil while down
	nc     *nats.Conn          // guarded by mu; of the broker itself
	sub    *nats.Subscription  // guarded by mu; nil while muted
	lag    *protocol.MetaReply // guarded by mu; what it answers instead of the present
	quit   chan struct{}       // guarded by mu; closed when it stops
	wg     *sync.WaitGroup     // requests that are held up
}

func (b *Broker) url() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return fmt.Sprintf("nats://127.0.0.1:%d", b.port)
}

func (b *Broker) start() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	o := &server.Options{
		ServerName: fmt.Sprintf("fake-%d", b.id), Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true,
		MaxPayload: maxPayload, MaxPending: 64 << 20,
	}
	if b.port != 0 {
		o.Port = b.port
	}
	if b.c.o.Configure != nil {
		b.c.o.Configure(o)
	}
	s, err := server.NewServer(o)
	if err != nil {
		return err
	}
	s.Start()
	if !s.ReadyForConnections(readyTimeout) {
		s.Shutdown()
		return errors.New("the NATS server does not start")
	}
	nc, err := nats.Connect("", append([]nats.Option{nats.InProcessServer(s), nats.NoReconnect()}, b.c.o.Login...)...)
	if err != nil {
		s.Shutdown()
		return err
	}
	b.server, b.nc, b.quit, b.wg = s, nc, make(chan struct{}), new(sync.WaitGroup)
	if addr, ok := s.Addr().(*net.TCPAddr); ok {
		b.port = addr.Port
	}
	return b.listen()
}

// listen subscribes to requests. The caller holds mu.
func (b *Broker) listen() (err error) {
	quit, wg := b.quit, b.wg
	b.sub, err = b.nc.Subscribe(protocol.SubjectAll, func(m *nats.Msg) { b.receive(m, quit, wg) })
	if err != nil {
		return err
	}
	return b.nc.Flush()
}

func (b *Broker) stop() {
	b.mu.Lock()
	s, nc, quit, wg := b.server, b.nc, b.quit, b.wg
	b.server, b.nc, b.sub = nil, nil, nil
	b.mu.Unlock()
	if s == nil {
		return
	}
	close(quit)
	s.Shutdown()
	s.WaitForShutdown()
	nc.Close()
	wg.Wait()
}

func (b *Broker) alive() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.server != nil
}

// Kill stops a broker as a crash would: connections are cut, what is held up is never carried out. Leaderships stay with
// it until Elect moves them.
func (c *Cluster) Kill(id protocol.BrokerID) {
	c.brokers[id-1].stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.topics {
		for _, p := range t.parts {
			p.wake()
		}
	}
}

// Restart starts a broker again where it was.
func (c *Cluster) Restart(id protocol.BrokerID) {
	if err := c.brokers[id-1].start(); err != nil {
		c.errorf("restart broker %d: %v", id, err)
	}
}

// Cut cuts all client connections of a broker, which goes on.
func (c *Cluster) Cut(id protocol.BrokerID) {
	b := c.brokers[id-1]
	b.mu.Lock()
	s, own := b.server, b.nc
	b.mu.Unlock()
	if s == nil {
		return
	}
	self, err := own.GetClientID()
	if err != nil {
		return
	}
	conns, err := s.Connz(&server.ConnzOptions{Limit: 1 << 16})
	if err != nil {
		c.errorf("list the connections of broker %d: %v", id, err)
		return
	}
	for _, conn := range conns.Conns {
		if conn.Cid != self {
			// It may be gone already.
			_ = s.DisconnectClientByID(conn.Cid)
		}
	}
}

// Connections returns how many clients are connected to a broker.
func (c *Cluster) Connections(id protocol.BrokerID) int {
	b := c.brokers[id-1]
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.server == nil {
		return 0
	}
	return b.server.NumClients() - 1
}

// Mute takes the broker from behind its NATS server, so that requests find no responders, or puts it back.
func (c *Cluster) Mute(id protocol.BrokerID, mute bool) {
	b := c.brokers[id-1]
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.nc == nil || mute == (b.sub == nil) {
		return
	}
	var err error
	if mute {
		err = errors.Join(b.sub.Unsubscribe(), b.nc.Flush())
		b.sub = nil
	} else {
		err = b.listen()
	}
	if err != nil {
		c.errorf("mute broker %d: %v", id, err)
	}
}

// Lag has a broker answer metadata as it is now, for good or until it is lifted.
func (c *Cluster) Lag(id protocol.BrokerID, lag bool) {
	var reply *protocol.MetaReply
	if lag {
		r := c.metadata(nil)
		reply = &r
	}
	b := c.brokers[id-1]
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lag = reply
}
