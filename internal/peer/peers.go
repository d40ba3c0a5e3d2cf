package peer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/logq/logq/internal/protocol"
)

// Who the peers are may change while the transport runs. The map of them is
// replaced as a whole, so that whoever sends takes no lock.

// links are the two connections that this broker dials to a peer.
type links struct {
	addr   atomic.Pointer[string]
	cancel context.CancelCauseFunc
	by     [2]link // by class
}

func (t *Transport) newLinks(id protocol.BrokerID, addr string) *links {
	l := &links{}
	l.addr.Store(&addr)
	ctx, cancel := context.WithCancelCause(t.ctx)
	l.cancel = cancel
	for i, cl := range []class{classControl, classBulk} {
		l.by[i] = link{t: t, ctx: ctx, peer: id, addr: &l.addr, class: cl, kick: make(chan struct{}, 1)}
	}
	return l
}

func (l *links) start(t *Transport) {
	for i := range l.by {
		t.wg.Go(l.by[i].run)
	}
}

// wake lets the links dial at once.
func (l *links) wake() {
	for i := range l.by {
		select {
		case l.by[i].kick <- struct{}{}:
		default:
		}
	}
}

// linksOf returns the links to a peer, nil if it is none.
func (t *Transport) linksOf(id protocol.BrokerID) *links { return (*t.links.Load())[id] }

// Peers returns the ids of the other brokers, ascending.
func (t *Transport) Peers() []protocol.BrokerID {
	return slices.Sorted(maps.Keys(*t.links.Load()))
}

// AddPeer adds a broker at HOST:PORT: it is dialled, and its connections are
// accepted. A peer that is known already gets the address.
func (t *Transport) AddPeer(id protocol.BrokerID, addr string) error {
	switch {
	case id == 0 || id == t.o.Self:
		return fmt.Errorf("add peer %d: a peer is another broker", id)
	case t.o.Listener == nil:
		return fmt.Errorf("add peer %d: this broker was started without a port for other brokers", id)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.conns == nil {
		return fmt.Errorf("add peer %d: %w", id, ErrClosed)
	}
	if l := t.linksOf(id); l != nil {
		t.readdress(l, id, addr)
		return nil
	}
	l := t.newLinks(id, addr)
	all := maps.Clone(*t.links.Load())
	all[id] = l
	t.links.Store(&all)
	if t.started {
		l.start(t)
	}
	t.log.Info("a broker is a peer from now on", "peer", id, "address", addr)
	return nil
}

// RemovePeer ends all connections with a broker and refuses new ones. What was
// queued for it is lost; requests that wait for its reply are unknown.
func (t *Transport) RemovePeer(id protocol.BrokerID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.linksOf(id)
	if l == nil {
		return
	}
	all := maps.Clone(*t.links.Load())
	delete(all, id)
	t.links.Store(&all)
	l.cancel(errRemoved)
	for k, c := range t.accepted {
		if k.peer == id {
			c.cancel(errRemoved)
		}
	}
	t.log.Info("a broker is no peer any more", "peer", id)
}

// SetAddress changes the address at which a peer is dialled. Connections that live
// stay until they end.
func (t *Transport) SetAddress(id protocol.BrokerID, addr string) error {
	l := t.linksOf(id)
	if l == nil {
		return fmt.Errorf("set the address of peer %d: %w", id, errNoSuchPeer)
	}
	t.readdress(l, id, addr)
	return nil
}

func (t *Transport) readdress(l *links, id protocol.BrokerID, addr string) {
	if old := l.addr.Swap(&addr); *old != addr {
		t.log.Info("a peer has another address", "peer", id, "address", addr, "before", *old)
		l.wake()
	}
}

// errRemoved is why the connections of a removed peer end.
var errRemoved = errors.New("the broker was removed from the peers")
