package service

import (
	"strings"
	"testing"
	"time"

	"github.com/logq/logq/internal/protocol"
)

// TestWiped: a broker of the first hour that comes with another directory is not registered, and stops.
func TestWiped(t *testing.T) {
	inClub(t, func(t *testing.T, c *club) {
		c.crash(2)
		c.start(3, func(o *Options) { c.tune(o, Intro{Directory: "wiped"}) }, 2)
		c.fencedAs(2, "logq broker remove 2 --data-lost")
		if b := c.services[1].table.Load().snap.Broker(2); b.Directory != "d2" {
			t.Errorf("registered is %+v", b)
		}
	})
}

func TestJudge(t *testing.T) {
	inClub(t, func(t *testing.T, c *club) {
		s := c.services[1]
		at := func(count, run uint64) Intro { return Intro{Directory: "d2", Generation: Generation(count, run)} }
		for i, tt := range []struct {
			who  Intro
			says string // "" = let in
		}{
			{at(5, 1), ""},
			{at(7, 1), ""},
			{at(6, 1), ""}, // overtaken
			{at(7, 2), "old copy"},
			{at(3, 2), "old copy"},
			{at(8, 2), ""},
			{at(7, 1), "old copy"}, // the run before
			{Intro{Directory: "x", Generation: Generation(9, 3)}, "another data directory"},
			{Intro{Directory: "x", Incarnation: 99, Generation: Generation(1, 3)}, ""}, // newer than the metadata here
		} {
			if why := s.Judge(2, tt.who); (why == "") != (tt.says == "") || !strings.Contains(why, tt.says) {
				t.Errorf("%d: %+v: %q", i, tt.who, why)
			}
		}
	})
}

// TestJudgeHearsGossip: a generation that rises while the broker runs counts too.
func TestJudgeHearsGossip(t *testing.T) {
	inClub(t, func(t *testing.T, c *club) {
		if why := c.services[1].Judge(2, Intro{Directory: "d2", Generation: Generation(5, 1)}); why != "" {
			t.Fatal(why)
		}
		c.services[2].SetGeneration(Generation(9, 1))
		pass(time.Second)
		if why := c.services[1].Judge(2, Intro{Directory: "d2", Generation: Generation(6, 2)}); !strings.Contains(why, "logq broker remove 2 --data-lost") {
			t.Errorf("an old image is let in: %q", why)
		}
	})
}

// TestJudgeFromMemory: before it knows the metadata, a broker goes by what it knew when it stopped.
func TestJudgeFromMemory(t *testing.T) {
	s, err := New(Options{ID: 1, Host: fakeHost{newWorld(t), 1}, Known: map[protocol.BrokerID]Intro{
		2: {Directory: "d2", Incarnation: 4, Generation: Generation(7, 1)}, 3: {Directory: "d3"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for i, tt := range []struct {
		from protocol.BrokerID
		who  Intro
		says string // "" = let in
	}{
		{2, Intro{Directory: "x", Incarnation: 4}, "another data directory"},
		{2, Intro{Directory: "d2", Incarnation: 3}, "another data directory"},
		{2, Intro{Directory: "d2", Incarnation: 4, Generation: Generation(7, 2)}, "old copy"},
		{2, Intro{Directory: "d2", Incarnation: 4, Generation: Generation(8, 2)}, ""},
		{2, Intro{Directory: "x", Incarnation: 5}, ""},
		{3, Intro{Directory: "x"}, "another data directory"},
		{3, Intro{Directory: "d3", Generation: Generation(1, 1)}, ""},
		{4, Intro{Directory: "x"}, ""},
	} {
		if why := s.Judge(tt.from, tt.who); (why == "") != (tt.says == "") || !strings.Contains(why, tt.says) {
			t.Errorf("%d: %d with %+v: %q", i, tt.from, tt.who, why)
		}
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
