package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/logq/logq/broker/internal/service"
	"github.com/logq/logq/internal/meta"
	"github.com/logq/logq/internal/peer"
	"github.com/logq/logq/internal/protocol"
)

const (
	// joinPatience bounds how long a broker asks to be taken in, askTimeout each question.
	joinPatience = time.Minute
	askTimeout   = 5 * time.Second
	// joinPause is the pause after everybody was asked in vain.
	joinPause = 250 * time.Millisecond
	// agePause is how long a generation of the data directory lasts while the broker runs:
	// an image of the directory that is older is told by it.
	agePause = time.Minute
)

// newRun returns what tells this run of a broker from others on copies of the same
// directory.
func newRun() uint64 { return rand.Uint64() }

// introduce lets others see the directory as it is now. What it says is durable.
func (b *Broker) introduce() {
	generation := service.Generation(b.own.Generation, b.run)
	b.intro.Store(&service.Intro{Directory: b.own.Directory, Incarnation: b.own.Incarnation, Generation: generation})
	if b.service != nil {
		b.service.SetGeneration(generation)
	}
}

// checkJoining refuses a directory that is not one to join with, or has not joined.
func (b *Broker) checkJoining(id *identity) error {
	refuse := func(why string) error {
		return &DirectoryError{Path: b.c.DataDir, Kind: ErrJoin, Reason: why}
	}
	switch {
	case id.Joining && len(b.c.Join) == 0:
		return refuse("it was made to join a cluster, which has not taken it in yet; say again which one to join, or use an empty directory")
	case !id.Joining && !id.joined() && len(b.c.Join) > 0:
		return refuse("the broker on it is one that its cluster began with; start it with the peers that it had, or use an empty directory")
	}
	return nil
}

// join asks the brokers that are there to take this one in, unless they have.
func (b *Broker) join(ctx context.Context) error {
	if !b.own.Joining {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, joinPatience)
	defer cancel()
	// The URL is a stand-in: the client's port may not be open yet. Registration follows.
	question, err := service.JoinRequest(meta.Broker{
		ID: b.id, URL: b.clientScheme() + cmp.Or(b.c.Advertise, b.c.Listen), Peer: b.peerAddr, Rack: b.c.Rack, FeatureLevel: meta.SupportedLevel, Directory: b.own.Directory,
	}, askTimeout)
	if err != nil {
		return err
	}
	for {
		reply, err := b.askAll(ctx, question)
		if err == nil {
			return b.joined(reply)
		}
		var refused *protocol.Error
		if errors.As(err, &refused) && !refused.Retriable || ctx.Err() != nil {
			return &DirectoryError{Path: b.c.DataDir, Kind: ErrJoin, Reason: err.Error()}
		}
		b.log.Info("the broker has not joined yet", "broker", b.c.ID, "error", err)
		timer := time.NewTimer(joinPause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// askAll asks one broker after the other; a refusal for good is the answer.
func (b *Broker) askAll(ctx context.Context, question []byte) (reply service.JoinReply, err error) {
	asker := peer.Asker{Self: b.id, Who: peer.Introduction(*b.intro.Load()), TLS: b.c.PeerTLS}
	var errs []error
	for _, addr := range b.c.Join {
		ctx, cancel := context.WithTimeout(ctx, askTimeout)
		answer, err := asker.Ask(ctx, addr, question)
		cancel()
		if err == nil {
			reply, err = service.ParseJoinReply(answer)
		}
		if err == nil {
			return reply, nil
		}
		var refused *protocol.Error
		if errors.As(err, &refused) && !refused.Retriable {
			return reply, err
		}
		errs = append(errs, fmt.Errorf("broker at %s: %w", addr, err))
	}
	return reply, errors.Join(errs...)
}

// joined writes down which cluster has taken the broker in.
func (b *Broker) joined(reply service.JoinReply) error {
	b.own.Cluster, b.own.Incarnation, b.own.Joining = reply.ClusterID, reply.Incarnation, false
	b.own.Brokers = []member{{ID: b.c.ID, Addr: b.peerAddr}}
	for _, info := range reply.Brokers {
		b.own.Brokers = append(b.own.Brokers, member{ID: int(info.ID), Addr: info.Peer})
	}
	if err := b.writeOwn(); err != nil {
		return err
	}
	b.introduce()
	cluster := b.own.Cluster
	b.cluster.Store(&cluster)
	b.log.Info("the broker has joined a cluster", "broker", b.c.ID, "cluster", cluster, "incarnation", b.own.Incarnation, "brokers", len(b.own.Brokers))
	return nil
}

// knownAddr returns where a broker was reached last, "" if that is not known.
func (b *Broker) knownAddr(id int) string {
	for _, p := range b.own.Brokers {
		if p.ID == id {
			return p.Addr
		}
	}
	return ""
}

// members returns the brokers of the cluster as they are known now.
func (b *Broker) members() (all []member) {
	for id, m := range b.service.Members() {
		all = append(all, member{ID: int(id), Addr: m.Peer, Directory: m.Directory, Incarnation: m.Incarnation, Generation: m.Generation})
	}
	slices.SortFunc(all, func(x, y member) int { return x.ID - y.ID })
	return all
}

// learnBrokers notes in the data directory who the brokers of the cluster are, once it
// is known or has changed. Generations alone are no reason: they come along with age.
func (b *Broker) learnBrokers() {
	now := b.members()
	if !slices.ContainsFunc(now, func(m member) bool { return m.ID == b.c.ID }) {
		return // the metadata is behind
	}
	same := func(x, y member) bool { x.Generation, y.Generation = 0, 0; return x == y }
	if !slices.EqualFunc(now, b.own.Brokers, same) {
		b.own.Brokers = now
		b.age()
	}
}

// introductions are what the directory knows of the other brokers.
func (id *identity) introductions() map[protocol.BrokerID]service.Intro {
	out := map[protocol.BrokerID]service.Intro{}
	for _, m := range id.Brokers {
		if m.Directory != "" && m.ID != id.Broker {
			out[protocol.BrokerID(m.ID)] = service.Intro{Directory: m.Directory, Incarnation: m.Incarnation, Generation: m.Generation}
		}
	}
	return out
}

// age begins a new generation of the data directory. One that can't be written, on a
// full disk, is not told to anybody.
func (b *Broker) age() {
	if now := b.members(); len(now) > 0 {
		b.own.Brokers = now
	}
	if err := b.writeOwn(); err != nil {
		b.log.Warn("the data directory's identity can't be written again", "broker", b.c.ID, "error", err)
		return
	}
	b.introduce()
}

// fenced stops the broker: the cluster doesn't let it go on with its directory.
func (b *Broker) fenced(reason string) {
	b.fail(&DirectoryError{Path: b.c.DataDir, Kind: ErrFenced, Reason: reason})
}
