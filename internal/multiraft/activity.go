package multiraft

import (
	"sync/atomic"

	"github.com/logq/logq/raft"
)

// Activity counts what groups and brokers do about leadership, since the start.
type Activity struct {
	// Campaigns were begun by replicas here, Elected of them won; Deposed leaders
	// here lead no more, for whatever reason.
	Campaigns, Elected, Deposed uint64
	// Transfers of leadership were asked for here and accepted.
	Transfers uint64
	// PulsesSent and PulsesHeard keep quiet groups quiet; PulsesDropped could not be
	// queued.
	PulsesSent, PulsesHeard, PulsesDropped uint64
}

type activity struct {
	campaigns, elected, deposed, transfers atomic.Uint64
	pulsesSent, pulsesDropped              atomic.Uint64
}

// turned counts a change of role.
func (a *activity) turned(was, is raft.Role) {
	candidate := func(r raft.Role) bool { return r == raft.RolePreCandidate || r == raft.RoleCandidate }
	if candidate(is) && !candidate(was) {
		a.campaigns.Add(1)
	}
	if is == raft.RoleLeader && was != raft.RoleLeader {
		a.elected.Add(1)
		if !candidate(was) {
			a.campaigns.Add(1) // it was over before anyone looked
		}
	}
	if was == raft.RoleLeader && is != raft.RoleLeader {
		a.deposed.Add(1)
	}
}

func (a *activity) pulsed(sent bool) {
	if sent {
		a.pulsesSent.Add(1)
	} else {
		a.pulsesDropped.Add(1)
	}
}

// Activity returns the counters.
func (h *Host) Activity() Activity {
	a := &h.activity
	out := Activity{
		Campaigns: a.campaigns.Load(), Elected: a.elected.Load(), Deposed: a.deposed.Load(), Transfers: a.transfers.Load(),
		PulsesSent: a.pulsesSent.Load(), PulsesDropped: a.pulsesDropped.Load(),
	}
	for _, l := range h.lanes.all() {
		out.PulsesHeard += l.pulses.Load()
	}
	return out
}
