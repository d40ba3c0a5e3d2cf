package raft_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/logq/logq/raft"
	"github.com/logq/logq/raft/rafttest"
)

// bytesChooser takes its choices from data, and 0 when that is used up.
type bytesChooser struct{ data []byte }

func (b *bytesChooser) pick(n int) int {
	v := 0
	for size := n - 1; size > 0 && len(b.data) > 0; size >>= 8 {
		v = v<<8 | int(b.data[0])
		b.data = b.data[1:]
	}
	return v % n
}

// FuzzHistory lets the fuzzer write the script of a small cluster's history: what
// is delivered, lost, duplicated, crashed and when. All properties hold at every
// step, and the cluster recovers at the end.
func FuzzHistory(f *testing.F) {
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 9))
		script := make([]byte, 600)
		for i := range script {
			script[i] = byte(r.Uint32())
		}
		f.Add(script)
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		const scriptMax = 4 << 10
		if len(script) > scriptMax {
			script = script[:scriptMax]
		}
		steps := len(script) / 2
		if _, err := rafttest.RunHistory((&bytesChooser{script}).pick, steps, nil); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzStep hands a core messages that nobody has sent, mixed with time, disk work,
// proposals and restarts. Whatever they say, the core keeps its invariants and its
// contract with the driver; what is impossible comes back as an error.
func FuzzStep(f *testing.F) {
	f.Add([]byte{0, 5, 1, 2, 0, 0, 0, 1, 2, 2, 0, 0, 0, 0})
	for seed := range uint64(4) {
		f.Add(randomScript(seed))
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		if err := hostile(script); err != nil {
			t.Fatal(err)
		}
	})
}

// TestStepSurvivesAnything is FuzzStep with seeds, in every test run.
func TestStepSurvivesAnything(t *testing.T) {
	for seed := range uint64(3000) {
		if err := hostile(randomScript(seed)); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

func randomScript(seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 5))
	script := make([]byte, 1200)
	for i := range script {
		script[i] = byte(r.Uint32())
	}
	return script
}

// hostile plays a script against node 1 of three; the others are the script.
func hostile(script []byte) error {
	b := &bytesChooser{script}
	c := rafttest.New(rafttest.Options{Nodes: 3, Unchecked: true, Raft: raft.Options{
		ElectionTicks: 3, HeartbeatTicks: 1, MaxMessageBytes: 4, MaxInflightMessages: 2, MaxInflightBytes: 8, MaxUncommittedBytes: 50,
	}})
	n := c.Node(1)
	n.AutoDisk = b.pick(2) == 0
	for len(b.data) > 0 && c.Err() == nil {
		switch b.pick(16) {
		case 0, 1:
			c.Tick(1, 1)
		case 2:
			n.Journal()
		case 3:
			n.Write()
		case 4:
			_, _ = c.Propose(1, "x", "y")
		case 5:
			_, _ = c.Read(1)
		case 6:
			_ = c.Transfer(1, raft.ReplicaID(b.pick(5)))
		case 7:
			c.Campaign(1)
		case 8:
			if b.pick(8) == 0 {
				n.Crash(b.pick(3))
				n.Start()
			}
		default:
			m, entries := forged(b)
			if err := n.Step(rafttest.Envelope{Message: m, Entries: entries}); err != nil && !knownError(err) {
				return err
			}
		}
		c.Take(nil)
	}
	return c.Err()
}

func knownError(err error) bool {
	var pe *raft.ProtocolError
	return errors.As(err, &pe) || slices.ContainsFunc([]error{
		raft.ErrStale, raft.ErrSticky, raft.ErrUnknownPeer, raft.ErrWrongGroup, raft.ErrReadyFirst, raft.ErrDamaged,
	}, func(e error) bool { return errors.Is(err, e) })
}

// forged makes a message of small numbers, sometimes well-formed.
func forged(b *bytesChooser) (raft.Message, []rafttest.Entry) {
	m := raft.Message{
		Type: raft.MessageType(b.pick(11)), Reject: b.pick(4) == 0, Transfer: b.pick(8) == 0,
		From: raft.ReplicaID(b.pick(16)%4 + 1), To: raft.ReplicaID(1 + b.pick(64)/63), Term: raft.Term(b.pick(7)),
		Index: raft.Index(b.pick(8)), LogTerm: raft.Term(b.pick(5)), Commit: raft.Index(b.pick(9)),
		HintIndex: raft.Index(b.pick(9)), HintTerm: raft.Term(b.pick(5)), HintFirst: raft.Index(b.pick(6)), Context: uint64(b.pick(9)),
		EntryTerm: raft.Term(b.pick(6)),
	}
	m.Lo, m.Hi = m.Index+1, m.Index+1+raft.Index(b.pick(4))
	switch b.pick(16) {
	case 0:
		m.Lo += raft.Index(b.pick(3))
	case 1:
		m.Index = ^raft.Index(0)
	case 2:
		m.Term = ^raft.Term(0)
	case 3:
		m.Hi = ^raft.Index(0)
	}
	var entries []rafttest.Entry
	for i := m.Lo; i < m.Hi && len(entries) < 8; i++ {
		entries = append(entries, rafttest.Entry{Term: m.EntryTerm, Kind: raft.KindData, Data: "f"})
	}
	return m, entries
}
