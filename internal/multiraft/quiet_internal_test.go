package multiraft

import "testing"

// TestSilenceIsNotLongerThanSinceTheLastHeartbeat: a follower that heard its leader
// after the last pulse must stick to it for a whole election timeout from then on.
func TestSilenceIsNotLongerThanSinceTheLastHeartbeat(t *testing.T) {
	s := &shard{ticks: 100}
	for _, c := range []struct {
		quietAt uint64
		missed  int
		want    int
	}{{50, 8, 8}, {97, 8, 3}, {100, 8, 0}, {99, 0, 0}} {
		if got := s.silence(&Group{quietAt: c.quietAt}, c.missed); got != c.want {
			t.Errorf("quiet since tick %d, pulses missed for %d: %d, want %d", c.quietAt, c.missed, got, c.want)
		}
	}
}
