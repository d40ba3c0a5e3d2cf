package multiraft

import (
	"sync"
	"sync/atomic"

	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/raft"
)

// Links is a Transport with what many groups share. With one, what a round of a
// shard has for a broker leaves as one batch, and idle groups fall quiet: the hosts
// vouch for them with pulses. See the section on quiet groups in the package's
// documentation for what it owes.
type Links interface {
	Transport
	// SendAll queues msgs, which have no frames, for broker to, all or none, and
	// never blocks; false means dropped. msgs is copied.
	SendAll(to protocol.BrokerID, msgs []raft.Message) bool
	// SendPulse queues body, of at most 64 KiB, in order with Send and SendAll. body
	// must not change afterwards. False means dropped.
	SendPulse(to protocol.BrokerID, body []byte) bool
	// Peers returns the other brokers, in any order.
	Peers() []protocol.BrokerID
	// Backlog returns how many bytes of messages with frames wait to be written to
	// broker to.
	Backlog(to protocol.BrokerID) int
}

// A pulse: version, then the ids of groups for which the sender's earlier word, that
// they may be quiet, doesn't hold any more.
const (
	pulseVersion = 1
	// pulseNotices is how many ids one pulse carries; the others wait for the next.
	pulseNotices = 3000
)

// plainPulse is that without a notice.
var plainPulse = []byte{pulseVersion}

// beat sends pulses to all other brokers. A pulse leaves when every shard has
// turned since the last one: a shard that is stuck silences the broker.
type beat struct {
	links    Links
	lanes    *lanes
	activity *activity

	mu      sync.Mutex
	turned  []bool                               // by shard; guarded by mu
	missing int                                  // shards that have not; guarded by mu
	owed    map[protocol.BrokerID][]raft.GroupID // notices; guarded by mu
}

func newBeat(links Links, l *lanes, shards int, a *activity) *beat {
	return &beat{
		links: links, lanes: l, activity: a, turned: make([]bool, shards), missing: shards,
		owed: make(map[protocol.BrokerID][]raft.GroupID),
	}
}

// turn notes that a shard lives, and sends the pulses when all do.
func (b *beat) turn(shard int) {
	if b.links == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.turned[shard] {
		b.turned[shard] = true
		b.missing--
	}
	if b.missing > 0 {
		return
	}
	clear(b.turned)
	b.missing = len(b.turned)
	for _, to := range b.links.Peers() {
		b.lanes.of(to)
		b.send(to)
	}
}

// send sends one pulse; b.mu is held. Notices stay owed until they are queued: a
// connection that breaks afterwards takes all trust with it.
func (b *beat) send(to protocol.BrokerID) {
	body, owed := plainPulse, b.owed[to]
	n := min(len(owed), pulseNotices)
	if n > 0 {
		body = append(make([]byte, 0, 1+n*len(raft.GroupID{})), pulseVersion)
		for i := range owed[:n] {
			body = append(body, owed[i][:]...)
		}
	}
	sent := b.links.SendPulse(to, body)
	b.activity.pulsed(sent)
	switch {
	case !sent:
	case n == len(owed):
		delete(b.owed, to)
	default:
		b.owed[to] = owed[n:]
	}
}

// owe promises a notice about a group to a broker, with its next pulse.
func (b *beat) owe(to protocol.BrokerID, id raft.GroupID) {
	b.mu.Lock()
	b.owed[to] = append(b.owed[to], id)
	b.mu.Unlock()
}

// lanes are what is heard of other brokers, one for each. They are never removed.
type lanes struct {
	mu   sync.Mutex
	list atomic.Pointer[[]*lane] // replaced under mu
}

type lane struct {
	broker protocol.BrokerID
	pulses atomic.Uint64
}

func newLanes() *lanes {
	l := &lanes{}
	l.list.Store(&[]*lane{})
	return l
}

// all returns the lanes; a lane's place never changes.
func (l *lanes) all() []*lane { return *l.list.Load() }

func (l *lanes) of(id protocol.BrokerID) *lane {
	for _, x := range l.all() {
		if x.broker == id {
			return x
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.all()
	for _, x := range all {
		if x.broker == id {
			return x
		}
	}
	x := &lane{broker: id}
	more := append(all[:len(all):len(all)], x)
	l.list.Store(&more)
	return x
}

// Pulse takes what another broker's host sent with SendPulse. It must be called in
// order with Deliver, DeliverAll and Link for that broker. It never blocks.
func (h *Host) Pulse(from protocol.BrokerID, body []byte) {
	const size = len(raft.GroupID{})
	if len(body) == 0 || body[0] != pulseVersion || (len(body)-1)%size != 0 {
		h.stats.badFrames.Add(1)
		return
	}
	for body = body[1:]; len(body) > 0; body = body[size:] {
		if g := h.Group(raft.GroupID(body[:size])); g != nil {
			g.shard.in.put(event{kind: evNotice, g: g, broker: from}, false)
		}
	}
	h.lanes.of(from).pulses.Add(1) // behind the notices
}

// Link tells that a connection on which a broker sends begins, before anything of
// it is delivered, or has ended, after all of it was: what that broker said of its
// groups before holds no more.
func (h *Host) Link(from protocol.BrokerID) {
	h.lanes.of(from)
	for _, s := range h.shards {
		s.in.put(event{kind: evLink, broker: from}, false)
	}
}
