package service

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/logq/logq/internal/protocol"
)

func gossipSamples() []gossip {
	return []gossip{
		{},
		{clusterID: "c", leaving: true, self: protocol.BrokerInfo{URL: "nats://a:4222", HTTP: "http://a:8222", Peer: "a:7222", Rack: "r"}},
		{clusterID: "c", led: []led{
			{group: protocol.GroupID(protocol.MetaTopicID, 0), term: 7, highWatermark: 100, logStart: 5, insync: []protocol.BrokerID{1, 2, 65535}},
			{group: [20]byte{1}, term: 1<<63 - 1},
		}},
	}
}

func TestGossipCodec(t *testing.T) {
	for _, g := range gossipSamples() {
		raw := g.appendTo(nil)
		got, err := decodeGossip(raw)
		if err != nil || !reflect.DeepEqual(*got, g) {
			t.Errorf("got %+v, %v, want %+v", got, err, g)
		}
		for n := range raw {
			var de *DecodeError
			if _, err := decodeGossip(raw[:n]); !errors.As(err, &de) {
				t.Errorf("cut at %d of %d: %v", n, len(raw), err)
			}
		}
		if _, err := decodeGossip(append(raw, 0)); err == nil {
			t.Error("a trailing byte is accepted")
		}
	}
	for name, raw := range map[string][]byte{
		"version": {2, 0, 0, 0, 0, 0, 0, 0}, "flags": {1, 2, 0, 0, 0, 0, 0, 0}, "count": {1, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0x03},
		"number": {1, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, "text": {1, 0, 0xff, 0xff, 0x03},
	} {
		if _, err := decodeGossip(raw); err == nil {
			t.Errorf("a bad %s is accepted", name)
		}
	}
}

func FuzzDecodeGossip(f *testing.F) {
	for _, g := range gossipSamples() {
		f.Add(g.appendTo(nil))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		g, err := decodeGossip(raw)
		if err != nil {
			return
		}
		again, err := decodeGossip(g.appendTo(nil))
		if err != nil || !reflect.DeepEqual(g, again) {
			t.Fatalf("%+v does not round-trip: %+v, %v", g, again, err)
		}
	})
}

func TestLiveness(t *testing.T) {
	inWorld(t, 3, nil, func(t *testing.T, w *world) {
		s := w.services[1]
		w.mu.Lock()
		w.cut[[2]protocol.BrokerID{2, 1}] = true
		w.mu.Unlock()
		pass(time.Second)
		if !s.alive(2) {
			t.Error("broker 2 is given up after a second of silence")
		}
		pass(1500 * time.Millisecond)
		if s.alive(2) || !s.alive(3) || !s.alive(1) || s.alive(77) {
			t.Errorf("alive: 2 %v, 3 %v, 1 %v, 77 %v", s.alive(2), s.alive(3), s.alive(1), s.alive(77))
		}
		w.mu.Lock()
		clear(w.cut)
		w.mu.Unlock()
		pass(600 * time.Millisecond)
		if !s.alive(2) {
			t.Error("broker 2 is not noticed again")
		}
		if st := s.Stats(); st.BrokersAlive != 3 {
			t.Errorf("%+v", st)
		}
	})
}

// Claims: the higher term wins, a dead or silent broker's claim does not count, and one that is not repeated is over.
func TestClaims(t *testing.T) {
	inWorld(t, 3, nil, func(t *testing.T, w *world) {
		w.create("far", 1, 1)
		p := w.services[1].table.Load().topics["far"].parts[0]
		s := w.services[p.on()[0]%3+1] // it has no replica
		p = s.table.Load().topics["far"].parts[0]
		if p.self() != 0 {
			t.Fatal("the broker has a replica")
		}
		w.mu.Lock()
		for from := protocol.BrokerID(1); from <= 3; from++ {
			w.cut[[2]protocol.BrokerID{from, s.id}] = true // only what is said below
		}
		w.mu.Unlock()
		others := []protocol.BrokerID{s.id%3 + 1, (s.id+1)%3 + 1}
		say := func(from protocol.BrokerID, term uint64) {
			g := gossip{clusterID: s.ClusterID(), self: protocol.BrokerInfo{URL: "nats://new"}}
			if term > 0 {
				g.led = []led{{group: p.key(), term: term}}
			}
			s.HandleGossip(from, g.appendTo(nil))
		}
		check := func(step string, broker protocol.BrokerID, term uint64) {
			t.Helper()
			if l := s.leaderOf(p); l.broker != broker || l.term != term && broker != 0 {
				t.Errorf("%s: led by %+v, want broker %d in term %d", step, l, broker, term)
			}
		}
		say(others[0], 5)
		check("first claim", others[0], 5)
		say(others[1], 4)
		check("an older claim", others[0], 5)
		say(others[1], 6)
		check("a newer claim", others[1], 6)
		say(others[0], 0)
		check("the old one gives up", others[1], 6)
		if s.urlOf(others[1]) != "nats://new" {
			t.Errorf("URL %q", s.urlOf(others[1]))
		}
		pass(3 * time.Second)
		check("both silent", 0, 0)
		say(others[0], 5)
		check("an older claim, when the newer one is silent", others[0], 5)
		say(others[0], 0)
		check("given up", 0, 0)
		s.HandleGossip(others[0], (&gossip{clusterID: "another", led: []led{{group: p.key(), term: 99}}}).appendTo(nil))
		check("of another cluster", 0, 0)
		s.HandleGossip(others[0], []byte("garbage"))
		s.HandleGossip(77, nil)
		if st := s.Stats(); st.BadGossip != 1 {
			t.Errorf("%+v", st)
		}
	})
}

// What a neighbour has said of a topic before this broker heard of the topic counts once it has.
func TestClaimBeforeTopic(t *testing.T) {
	inWorld(t, 2, nil, func(t *testing.T, w *world) {
		w.with(protocol.MetaTopic, 0, func(l *fakeLog) {})
		s := w.services[1]
		w.mu.Lock()
		w.cut[[2]protocol.BrokerID{2, 1}] = true
		w.mu.Unlock()
		id := protocol.TopicID{1, 6: 0x40, 8: 0x80}
		s.HandleGossip(2, (&gossip{clusterID: s.ClusterID(), led: []led{{group: protocol.GroupID(id, 0), term: 3}}}).appendTo(nil))
		w.inject("create-topic", `{"level":1,"command":{"name":"t","id":"`+id.String()+`","partitions":[[2]]}}`)
		pass(100 * time.Millisecond)
		if l := s.leaderOf(s.table.Load().topics["t"].parts[0]); l.broker != 2 || l.term != 3 {
			t.Errorf("%+v", l)
		}
	})
}
