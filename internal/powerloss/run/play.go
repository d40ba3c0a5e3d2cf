//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/logq/logq/admin"
	"github.com/logq/logq/consumer"
	"github.com/logq/logq/internal/powerloss"
	"github.com/logq/logq/internal/vfs"
)

// play is one cluster and what is known of it, over its rounds.
type play struct {
	s      *settings
	rng    *rand.Rand
	all    []*broker
	nc     *nats.Conn
	admin  *admin.Admin
	ledger *powerloss.Ledger

	// What the disks lie about from the beginning of the load to the first cut. Else they are
	// honest: brokers that had lost their identity would say so, and nothing would be tested.
	lie   powerloss.Lies
	limit time.Duration // of a round

	topics  []string // whose creation was acknowledged
	deleted []string // whose deletion was acknowledged
}

func newPlay(ctx context.Context, s *settings, name string) (*play, error) {
	p := &play{s: s, limit: s.round, rng: rand.New(rand.NewPCG(s.seed, 1)), ledger: powerloss.NewLedger(s.seed)}
	var err error
	if p.all, err = newBrokers(s, name); err != nil {
		return nil, err
	}
	if err := p.begin(ctx); err != nil {
		return nil, errors.Join(err, p.close(true))
	}
	return p, nil
}

func (p *play) begin(ctx context.Context) error {
	if err := startAll(p.all); err != nil {
		return err
	}
	url := ""
	for _, b := range p.all {
		url += ",nats://" + b.listen
	}
	var err error
	p.nc, err = nats.Connect(url[1:], nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})) // connections break, that is the point
	if err != nil {
		return err
	}
	p.admin = admin.New(p.nc)
	// A cluster that never was whole is another test's matter.
	return p.until(ctx, "the brokers form a cluster", func(ctx context.Context) error {
		st, err := p.admin.ClusterStatus(ctx)
		if err == nil && len(st.Brokers) < brokers {
			err = fmt.Errorf("%d brokers of %d", len(st.Brokers), brokers)
		}
		return err
	})
}

// lies sets what all disks lie about from now on.
func (p *play) lies(about powerloss.Lies) {
	for _, b := range p.all {
		b.disk.Lie(about)
	}
}

// close ends the brokers and unmounts the disks. With show it shows the ends of the logs.
func (p *play) close(show bool) error {
	if p.nc != nil {
		p.nc.Close()
	}
	killAll(p.all)
	if show {
		for i, b := range p.all {
			fmt.Printf("the end of the log of broker %d:\n%s\n", i+1, tail(b.log, 30))
		}
	}
	return closeDisks(p.all)
}

// until tries again and again until it succeeds, a broker ends, or ctx ends.
func (p *play) until(ctx context.Context, what string, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		if gone := ended(p.all); gone != nil {
			return gone
		}
		if pause(ctx, 50*time.Millisecond) != nil {
			return fmt.Errorf("%s: not in time: %w", what, err)
		}
	}
}

// create creates a stream's topic. An unknown outcome is tried again, until it is there.
func (p *play) create(ctx context.Context, s *stream) error {
	err := p.until(ctx, "create topic "+s.topic, func(ctx context.Context) error {
		_, err := p.admin.CreateTopic(ctx, s.spec())
		if err != nil {
			if _, there := p.admin.DescribeTopic(ctx, s.topic); there == nil {
				return nil
			}
		}
		return err
	})
	if err == nil {
		p.topics = append(p.topics, s.topic)
	}
	return err
}

// remove deletes the topics that were there before; their records are forgotten.
func (p *play) remove(ctx context.Context) error {
	for _, topic := range p.topics {
		err := p.until(ctx, "delete topic "+topic, func(ctx context.Context) error {
			err := p.admin.DeleteTopic(ctx, topic)
			if err != nil {
				if list, asked := p.admin.ListTopics(ctx); asked == nil && !slices.ContainsFunc(list, func(t admin.TopicInfo) bool { return t.Name == topic }) {
					return nil
				}
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	p.deleted = append(p.deleted, p.topics...)
	p.topics = nil
	return nil
}

// check reads everything and compares it with the ledger. An error says that it
// couldn't be read; what was found is in the ledger.
func (p *play) check(ctx context.Context) (records int64, err error) {
	var names []string
	err = p.until(ctx, "list the topics", func(ctx context.Context) error {
		list, err := p.admin.ListTopics(ctx)
		names = nil
		for _, t := range list {
			names = append(names, t.Name)
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	for _, t := range p.deleted {
		if slices.Contains(names, t) {
			return 0, fmt.Errorf("topic %s is back, although its deletion was acknowledged", t)
		}
	}
	var gone error
	for _, t := range p.topics {
		if !slices.Contains(names, t) {
			p.ledger.Read(t).End() // all of its records are lost
			gone = errors.Join(gone, fmt.Errorf("topic %s is gone, although its creation was acknowledged", t))
			continue
		}
		var n int64
		err := p.until(ctx, "read topic "+t, func(ctx context.Context) (err error) {
			n, err = p.read(ctx, t)
			return err
		})
		if err != nil {
			return 0, errors.Join(gone, err)
		}
		records += n
	}
	return records, gone
}

// read reads a topic from its beginning to its end.
func (p *play) read(ctx context.Context, topic string) (records int64, err error) {
	c, err := consumer.New(p.nc, topic, consumer.WithUntilEnd())
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	r := p.ledger.Read(topic)
	for rec, err := range c.Records(ctx) {
		if err != nil {
			return 0, err
		}
		r.Add(rec.Partition, rec.Offset, rec.Value)
	}
	return r.End(), nil
}

// verify stops the brokers in order and has logq read every segment on their disks.
func (p *play) verify(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	start := time.Now()
	if err := stopAll(ctx, p.all); err != nil {
		return err
	}
	fmt.Printf("the brokers ended in order within %v\n", time.Since(start).Round(time.Millisecond))
	for i, b := range p.all {
		files, err := filepath.Glob(filepath.Join(b.disk.Dir(), "data", "partitions", "*", "*.seg"))
		if err != nil || len(files) == 0 {
			return fmt.Errorf("broker %d has %d segment files, %w", i+1, len(files), err)
		}
		cmd := exec.CommandContext(ctx, p.s.program, append([]string{"segment", "dump"}, files...)...)
		var said bytes.Buffer
		cmd.Stderr = &said // what is printed of whole segments is of no use
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("logq segment dump on the disk of broker %d: %w\n%s", i+1, err, said.Bytes())
		}
		fmt.Printf("disk %d: %d segment files without damage; asked for %v\n", i+1, len(files), b.disk.Counts())
	}
	return nil
}

// cut cuts the power of all disks.
func (p *play) cut(v variant) error {
	return cutAll(p.all, func() vfs.CrashOptions { return v.options(rand.New(rand.NewPCG(p.rng.Uint64(), 2))) })
}

// broken is breaches as an error.
func broken(found []powerloss.Breaches) error {
	var errs []error
	for _, b := range found {
		errs = append(errs, fmt.Errorf("%s %d: %q", b.Kind, b.Count, b.First))
	}
	return errors.Join(errs...)
}
