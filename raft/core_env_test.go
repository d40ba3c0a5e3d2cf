package raft_test

import (
	"errors"
	"testing"

	"github.com/logq/logq/raft"
)

// bareCore is a core without a cluster: its disk is done at once unless a test says
// otherwise, and the test plays all others.
type bareCore struct {
	*raft.Core
	// hold leaves disk work undone; held are the numbers of what waits.
	hold bool
	held []uint64
	// seen collects what the Readys said, except for messages.
	commit  raft.Index
	reads   []raft.ReadResult
	lost    []raft.LostRange
	appends []raft.Entries
	jumps   []raft.EntryID
	cuts    []raft.Index
}

// newCore makes one with the ticks of newCluster.
func newCore(t *testing.T, o raft.Options, hs raft.HardState, ls raft.LogState) *bareCore {
	t.Helper()
	o.ElectionTicks, o.HeartbeatTicks = electionTicks, heartbeatTicks
	c, err := raft.New(o, flatLog{1}, hs, ls)
	if err != nil {
		t.Fatal(err)
	}
	return &bareCore{Core: c}
}

// pump carries out Readys and returns what they send.
func (b *bareCore) pump() (sent []raft.Message) {
	for b.Pending() {
		r := b.Ready()
		sent = append(sent, r.Send...)
		b.reads, b.lost = append(b.reads, r.Reads...), append(b.lost, r.Lost...)
		if r.Commit != 0 {
			b.commit = r.Commit
		}
		if r.Append.Lo < r.Append.Hi {
			b.appends = append(b.appends, r.Append)
		}
		if r.Install != nil {
			b.jumps = append(b.jumps, r.Install.Prev)
		}
		if r.Truncate != 0 {
			b.cuts = append(b.cuts, r.Truncate)
		}
		if r.N == 0 {
			continue
		}
		if b.held = append(b.held, r.N); !b.hold {
			sent = append(sent, b.flush()...)
		}
	}
	return sent
}

// flush does all disk work that waits.
func (b *bareCore) flush() []raft.Message {
	for len(b.held) > 0 {
		n := b.held[0]
		b.held = b.held[1:]
		b.Persisted(n)
	}
	return b.pump()
}

// step hands in a message to replica 1, which it must take unless it is stale.
func (b *bareCore) step(t *testing.T, m raft.Message, configs ...raft.ConfigEntry) []raft.Message {
	t.Helper()
	m.To = b.Status().ID
	if err := b.Step(&m, configs...); err != nil && !errors.Is(err, raft.ErrStale) {
		t.Errorf("%v: %v", m, err)
	}
	return b.pump()
}

// lead lets a core that votes win an election with the consent of everyone it asks.
func (b *bareCore) lead(t *testing.T) {
	t.Helper()
	b.Campaign()
	sent := b.pump()
	for len(sent) > 0 && b.Status().Role != raft.RoleLeader {
		m := sent[0]
		sent = sent[1:]
		switch m.Type {
		case raft.MsgPreVote:
			sent = append(sent, b.step(t, raft.Message{Type: raft.MsgPreVoteReply, From: m.To, Term: m.Term, Context: m.Context})...)
		case raft.MsgVote:
			sent = append(sent, b.step(t, raft.Message{Type: raft.MsgVoteReply, From: m.To, Term: m.Term})...)
		}
	}
	if b.Status().Role != raft.RoleLeader {
		t.Fatalf("it doesn't win: %+v", b.Status())
	}
}

// receivers returns to whom messages of a type go.
func receivers(sent []raft.Message, typ raft.MessageType) (to []raft.ReplicaID) {
	for _, m := range sent {
		if m.Type == typ {
			to = append(to, m.To)
		}
	}
	return to
}
