package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/logq/logq/admin"
	"github.com/logq/logq/broker"
	"github.com/logq/logq/internal/protocol"
)

const (
	// demoPatience bounds each single step: a start, a stop, a question.
	demoPatience = 30 * time.Second
	// pollEvery is the pause between two looks at a state.
	pollEvery = 50 * time.Millisecond
)

// demoCluster is three brokers in this process.
type demoCluster struct {
	dir     string
	peers   []broker.Peer
	brokers [demoBrokers]*broker.Broker // nil: stopped
	urls    [demoBrokers]string
	logs    [demoBrokers]io.Closer
}

func startDemoCluster(ctx context.Context, dir string) (c *demoCluster, err error) {
	c = &demoCluster{dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.stop())
		}
	}()
	var listeners [demoBrokers]net.Listener
	for i := range listeners {
		if listeners[i], err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return c, err
		}
		c.peers = append(c.peers, broker.Peer{ID: i + 1, Addr: listeners[i].Addr().String()})
	}
	for i, l := range listeners {
		if err = c.start(ctx, i, l, "127.0.0.1:0"); err != nil {
			return c, err
		}
	}
	return c, nil
}

// start runs broker i on a listener for its peers and an address for clients.
func (c *demoCluster) start(ctx context.Context, i int, l net.Listener, listen string) error {
	dir := filepath.Join(c.dir, fmt.Sprint(i+1))
	log, err := os.OpenFile(dir+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	c.logs[i] = log
	b, err := broker.New(broker.Config{
		ID: i + 1, Peers: c.peers, DataDir: dir, Listen: listen, PeerListener: l,
		Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	if err != nil {
		return errors.Join(err, l.Close())
	}
	ctx, cancel := context.WithTimeout(ctx, demoPatience)
	defer cancel()
	if err := b.Start(ctx); err != nil {
		return fmt.Errorf("starting broker %d: %w", i+1, err)
	}
	c.brokers[i], c.urls[i] = b, b.ClientURL()
	return nil
}

// kill stops broker i as a crash would: nothing is handed over, connections are cut.
func (c *demoCluster) kill(i int) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = c.brokers[i].Close(ctx) // it says that the stop was abrupt, which was asked for
	c.brokers[i] = nil
	_ = c.logs[i].Close()
}

// restart starts broker i again where it was.
func (c *demoCluster) restart(ctx context.Context, i int) error {
	l, err := net.Listen("tcp", c.peers[i].Addr)
	if err != nil {
		return fmt.Errorf("starting broker %d again: %w", i+1, err)
	}
	return c.start(ctx, i, l, strings.TrimPrefix(c.urls[i], "nats://"))
}

// stop closes what runs, in an orderly way.
func (c *demoCluster) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), demoPatience)
	defer cancel()
	errs := make(chan error, demoBrokers)
	running := 0
	for i, b := range c.brokers {
		if b == nil {
			continue
		}
		running++
		go func() {
			err := b.Close(ctx)
			_ = c.logs[i].Close()
			errs <- err
		}()
	}
	var all error
	for range running {
		all = errors.Join(all, <-errs)
	}
	return all
}

func (c *demoCluster) connect() (*nats.Conn, error) {
	return nats.Connect(strings.Join(c.urls[:], ","), nats.Name("logq demo"), nats.MaxReconnects(-1), nats.ReconnectWait(pollEvery))
}

// createTopics creates the topics as soon as all brokers have joined.
func (c *demoCluster) createTopics(ctx context.Context, nc *nats.Conn, partitions int) error {
	a := admin.New(nc)
	return poll(ctx, demoPatience, "the brokers did not form a cluster", func(ctx context.Context) error {
		m, err := a.Metadata(ctx)
		if err != nil {
			return err
		}
		alive := 0
		for _, b := range m.Brokers {
			if b.Alive {
				alive++
			}
		}
		if alive < demoBrokers {
			return fmt.Errorf("%d of %d brokers are there", alive, demoBrokers)
		}
		for name, n := range map[string]int{latencyTopic: 1, demoTopic: partitions} {
			_, err = a.CreateTopic(ctx, admin.TopicSpec{Name: name, Partitions: n, Replicas: demoReplicas})
			if err != nil && protocol.CodeOf(err) != protocol.TopicAlreadyExists { // it may, from an earlier try
				return err
			}
		}
		return nil
	})
}

// leader returns which broker leads partition 0, by position.
func (c *demoCluster) leader(ctx context.Context, nc *nats.Conn) (int, error) {
	leader := -1
	err := poll(ctx, demoPatience, "the topic has no leader", func(ctx context.Context) error {
		t, err := admin.New(nc).DescribeTopic(ctx, demoTopic)
		if err != nil {
			return err
		}
		if leader = int(t.Partitions[0].Leader) - 1; leader < 0 || leader >= demoBrokers || c.brokers[leader] == nil {
			return errors.New("an election is on")
		}
		return nil
	})
	return leader, err
}

// poll tries until it succeeds, ctx ends or the patience does.
func poll(ctx context.Context, patience time.Duration, failure string, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s within %s: %w", failure, patience, err)
		}
	}
}
