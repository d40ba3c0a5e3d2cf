package service

import (
	"strings"
	"testing"
	"time"
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
