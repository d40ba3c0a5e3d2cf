package broker

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/logq/logq/internal/meta"
	"github.com/logq/logq/internal/protocol"
)

// Peer is one broker of a cluster.
type Peer struct {
	ID   int
	Addr string // HOST:PORT of its peer listener
}

// Config configures a broker. ID, DataDir and Listen are needed.
type Config struct {
	// ID is the broker's number in its cluster, 1 to 65535, for ever.
	ID int
	// Peers are the brokers with which the cluster begins, this one included, the same
	// on each; empty: a cluster of this one alone, or one that is joined.
	Peers []Peer
	// Join has the broker join a cluster that is there, by asking these HOST:PORT of its
	// peer listeners. It counts on an empty data directory only; afterwards the
	// directory knows the cluster.
	Join []string
	// PeerListen is HOST:PORT for other brokers, for one that isn't in Peers; port 0
	// takes a free one. One that has joined keeps its address in the data directory.
	PeerListen string
	// DataDir holds everything that the broker keeps.
	DataDir string
	// Listen is HOST:PORT for clients (NATS); port 0 takes a free one.
	Listen string
	// HTTP is HOST:PORT for health and metrics, empty for none; port 0 takes a free
	// one. It shows no record and changes nothing, so it is plain everywhere; keep
	// it off public networks.
	HTTP string
	// Advertise is the HOST:PORT that clients are told; default: the listener's.
	// Port 0 stands for the listener's.
	Advertise string
	// PeerListener replaces listening on this broker's address in Peers, or on
	// PeerListen. The broker owns it from Start on.
	PeerListener net.Listener
	// Rack is the failure domain; replicas are spread over racks.
	Rack string
	// Insecure allows listeners for clients and peers off loopback without TLS.
	Insecure bool
	// ClientTLS and PeerTLS secure the listeners; nil is plain. PeerTLS is used in
	// both roles and should demand client certificates.
	ClientTLS, PeerTLS *tls.Config

	// Tick is the unit of the two below, default 50 ms. ElectionTicks (8) is the
	// least silence before an election, HeartbeatTicks (2) a leader's interval.
	Tick                          time.Duration
	ElectionTicks, HeartbeatTicks int
	// Shards and DiskWorkers size the Raft host, 0: its defaults.
	Shards, DiskWorkers int
	// RecoveryBytesPerSecond bounds what is read from disk for replicas elsewhere that
	// are far behind or new; default 100 MiB.
	RecoveryBytesPerSecond int64
	// ScrubBytesPerSecond is the rate at which all logs are read again in the search for
	// damage, once each ScrubInterval; defaults 8 MiB and 24 hours. A negative interval:
	// only where a read has met damage.
	ScrubBytesPerSecond int64
	ScrubInterval       time.Duration
	// TailMemory bounds the recent records of all partitions in memory; default 256 MiB.
	TailMemory int64
	// Buffered has segments written through the page cache, also where the file system
	// could write them directly.
	Buffered bool
	// What counts for topics that say nothing else; give all brokers the same.
	// RetentionTime is the age at which records may go, default 7 days, as in Kafka;
	// negative: never. RetentionBytes is the size of a partition beyond which its
	// oldest segments go; 0 or negative: any. SegmentBytes and SegmentTime are size and
	// age at which a segment file is closed; defaults 128 MiB and 7 days.
	RetentionTime  time.Duration
	RetentionBytes int64
	SegmentBytes   int64
	SegmentTime    time.Duration
	// InflightBytes bounds appends under way on the broker; default 256 MiB.
	InflightBytes int64

	Logger *slog.Logger // default: discard
}

// Those of the Raft host.
const (
	defaultTick           = 50 * time.Millisecond
	defaultElectionTicks  = 8
	defaultHeartbeatTicks = 2
)

// Validate reports everything that is wrong with the configuration.
func (c *Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.ID < 1 || c.ID > 65535 {
		bad("broker id %d: want 1 to 65535", c.ID)
	}
	if c.DataDir == "" {
		bad("the data directory is missing")
	}
	c.checkAddr(bad, "client listener", c.Listen, c.ClientTLS)
	if c.HTTP != "" {
		checkHostPort(bad, "HTTP listener", c.HTTP)
	}
	if c.Advertise != "" {
		if host, ok := checkHostPort(bad, "advertised address", c.Advertise); ok && everywhere(host) {
			bad("advertised address %q: want the one address that clients shall use", c.Advertise)
		}
	} else if host, _, err := net.SplitHostPort(c.Listen); err == nil && everywhere(host) {
		bad("client listener %q is every address of the machine: say with the advertised address which one clients shall use", c.Listen)
	}
	c.checkPeers(bad)
	c.checkJoin(bad)
	if c.Tick < 0 || c.ElectionTicks < 0 || c.HeartbeatTicks < 0 || c.Shards < 0 || c.DiskWorkers < 0 || c.InflightBytes < 0 ||
		c.TailMemory < 0 || c.RecoveryBytesPerSecond < 0 || c.ScrubBytesPerSecond < 0 {
		bad("times, ticks, sizes and counts can't be negative")
	}
	if election, heartbeat := cmp.Or(c.ElectionTicks, defaultElectionTicks), cmp.Or(c.HeartbeatTicks, defaultHeartbeatTicks); election <= heartbeat {
		bad("ElectionTicks (%d) must be more than HeartbeatTicks (%d)", election, heartbeat)
	}
	if e := c.topicDefaults().Check("defaults of topics"); e != nil {
		errs = append(errs, e)
	}
	return errors.Join(errs...)
}

// topicDefaults returns what counts for topics that say nothing else; 0 = the
// service's default.
func (c *Config) topicDefaults() meta.Settings {
	s := meta.Settings{
		RetentionMs: c.RetentionTime.Milliseconds(), RetentionBytes: c.RetentionBytes,
		SegmentBytes: c.SegmentBytes, SegmentMs: c.SegmentTime.Milliseconds(),
	}
	if c.RetentionTime < 0 {
		s.RetentionMs = meta.Unlimited
	}
	if c.RetentionBytes < 0 {
		s.RetentionBytes = meta.Unlimited
	}
	return s
}

// peerAddr returns this broker's address for others, "" if there is none.
func (c *Config) peerAddr() string {
	for _, p := range c.Peers {
		if p.ID == c.ID {
			return p.Addr
		}
	}
	if c.PeerListener != nil {
		return c.PeerListener.Addr().String()
	}
	return c.PeerListen
}

func (c *Config) checkJoin(bad func(string, ...any)) {
	for _, addr := range c.Join {
		checkHostPort(bad, "address to join at", addr)
	}
	switch addr := c.peerAddr(); {
	case len(c.Peers) > 0 && len(c.Join) > 0:
		bad("a broker either begins a cluster with its peers or joins one: give one of the two")
	case len(c.Peers) > 0 && c.PeerListen != "":
		bad("the peers name this broker's address for others already: %s", addr)
	case len(c.Join) > 0 && addr == "":
		bad("a broker that joins needs an address for other brokers")
	case len(c.Peers) == 0 && addr != "":
		c.checkAddr(bad, "peer listener", addr, c.PeerTLS)
		if host, _, err := net.SplitHostPort(addr); err == nil && everywhere(host) {
			bad("peer listener %q is every address of the machine: name the one at which other brokers reach this one", addr)
		}
	}
}

func (c *Config) checkPeers(bad func(string, ...any)) {
	if len(c.Peers) == 0 {
		return
	}
	ids, addrs, self := map[int]bool{}, map[string]bool{}, false
	for _, p := range c.Peers {
		switch {
		case p.ID < 1 || p.ID > 65535:
			bad("peer %d@%s: want an id from 1 to 65535", p.ID, p.Addr)
		case ids[p.ID]:
			bad("peer %d is named twice", p.ID)
		case addrs[p.Addr]:
			bad("peer address %s is named twice", p.Addr)
		}
		ids[p.ID], addrs[p.Addr] = true, true
		if p.ID == c.ID {
			self = true
			addr := p.Addr
			if c.PeerListener != nil {
				addr = c.PeerListener.Addr().String()
			}
			c.checkAddr(bad, "peer listener", addr, c.PeerTLS)
			continue
		}
		checkHostPort(bad, fmt.Sprintf("peer %d", p.ID), p.Addr)
	}
	if !self {
		bad("the peers must name this broker, %d, too", c.ID)
	}
	if len(c.Peers) > protocol.MaxReplicas {
		bad("%d peers, the limit is %d", len(c.Peers), protocol.MaxReplicas)
	}
}

func checkHostPort(bad func(string, ...any), what, addr string) (host string, ok bool) {
	host, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		bad("%s %q: want HOST:PORT", what, addr)
		return "", false
	}
	return host, true
}

// checkAddr refuses a listener that everyone can reach and listen in on.
func (c *Config) checkAddr(bad func(string, ...any), what, addr string, cfg *tls.Config) {
	host, ok := checkHostPort(bad, what, addr)
	if ok && cfg == nil && !c.Insecure && !loopback(host) {
		bad("%s %s is not on loopback and has no TLS: give it a certificate, or say that it may be insecure", what, addr)
	}
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// everywhere: an address that can be listened on but not dialled from afar.
func everywhere(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "" || err == nil && ip.IsUnspecified()
}
