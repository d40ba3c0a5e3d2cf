package etcdtest

import (
	"fmt"
	"io"
	"log"
	"syscall"
	"testing"
	"time"

	etcd "go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/logq/logq/raft"
)

// entryBytes is the payload of an entry.
const entryBytes = 100

// group is the replicas of one group, in lockstep.
type group interface {
	// propose appends n entries and runs until the leader has committed them and
	// nobody has anything to do.
	propose(b testing.TB, n int)
}

// ours is a group of raft.Core.
type ours struct {
	cores []*raft.Core
	sizes []int
	inbox []raft.Message
}

// flat is a log whose entries all have one size.
type flat struct{}

func (flat) Fit(lo, hi raft.Index, most int) (raft.Index, int) {
	n := min(hi-lo, raft.Index(max(1, most/entryBytes)))
	return lo + n, int(n) * entryBytes
}

func newOurs(b testing.TB, voters int) group {
	g := &ours{}
	var ids []raft.ReplicaID
	for i := range voters {
		ids = append(ids, raft.ReplicaID(i+1))
	}
	for _, id := range ids {
		c, err := raft.New(raft.Options{ID: id, Voters: ids, ElectionTicks: 10, HeartbeatTicks: 1, MaxInflightMessages: 256}, flat{}, raft.HardState{}, raft.LogState{})
		if err != nil {
			b.Fatal(err)
		}
		g.cores = append(g.cores, c)
	}
	g.cores[0].Campaign()
	g.settle()
	if !g.cores[0].Status().Serving {
		b.Fatal("no leader")
	}
	g.inbox = nil // it is no part of a core's memory
	return g
}

func (g *ours) propose(b testing.TB, n int) {
	for len(g.sizes) < n {
		g.sizes = append(g.sizes, entryBytes)
	}
	if _, err := g.cores[0].Propose(0, g.sizes[:n]); err != nil {
		b.Fatal(err)
	}
	g.settle()
}

// settle hands messages over and finishes disk work until nothing is left.
func (g *ours) settle() {
	for {
		for _, c := range g.cores {
			for c.Pending() {
				r := c.Ready()
				g.inbox = append(g.inbox, r.Send...)
				if r.N != 0 {
					c.Persisted(r.N)
				}
			}
		}
		if len(g.inbox) == 0 {
			return
		}
		for i := 0; i < len(g.inbox); i++ { // it grows meanwhile
			m := g.inbox[i]
			to := g.cores[m.To-1]
			_ = to.Step(&m) // what is stale is part of the game
			for to.Pending() {
				r := to.Ready()
				g.inbox = append(g.inbox, r.Send...)
				if r.N != 0 {
					to.Persisted(r.N)
				}
			}
		}
		g.inbox = g.inbox[:0]
	}
}

// theirs is a group of etcd's RawNode over its in-memory storage.
type theirs struct {
	nodes  []*etcd.RawNode
	stores []*etcd.MemoryStorage
	data   []byte
	inbox  []*raftpb.Message
	since  int
}

func newTheirs(b testing.TB, voters int) group {
	g := &theirs{data: make([]byte, entryBytes)}
	var peers []etcd.Peer
	for i := range voters {
		peers = append(peers, etcd.Peer{ID: uint64(i + 1)})
	}
	silent := &etcd.DefaultLogger{Logger: log.New(io.Discard, "", 0)}
	for _, p := range peers {
		s := etcd.NewMemoryStorage()
		n, err := etcd.NewRawNode(&etcd.Config{
			ID: p.ID, ElectionTick: 10, HeartbeatTick: 1, Storage: s, MaxSizePerMsg: 1 << 20, MaxInflightMsgs: 256,
			PreVote: true, CheckQuorum: true, Logger: silent,
		})
		if err != nil {
			b.Fatal(err)
		}
		if err := n.Bootstrap(peers); err != nil {
			b.Fatal(err)
		}
		g.nodes, g.stores = append(g.nodes, n), append(g.stores, s)
	}
	g.settle(b)
	if err := g.nodes[0].Campaign(); err != nil {
		b.Fatal(err)
	}
	g.settle(b)
	if g.nodes[0].Status().RaftState != etcd.StateLeader {
		b.Fatal("no leader")
	}
	g.inbox = nil // it is no part of a core's memory
	return g
}

func (g *theirs) propose(b testing.TB, n int) {
	if n == 1 {
		if err := g.nodes[0].Propose(g.data); err != nil {
			b.Fatal(err)
		}
	} else {
		m := proposal(n, g.data)
		if err := g.nodes[0].Step(m); err != nil {
			b.Fatal(err)
		}
	}
	g.settle(b)
	// A log in memory is trimmed from time to time, as ours costs no memory.
	if g.since += n; g.since > 10_000 {
		g.since = 0
		for _, s := range g.stores {
			if last, err := s.LastIndex(); err == nil && last > 1000 {
				_ = s.Compact(last - 1000)
			}
		}
	}
}

func (g *theirs) settle(b testing.TB) {
	for {
		for i, n := range g.nodes {
			for n.HasReady() {
				rd := n.Ready()
				if !etcd.IsEmptyHardState(rd.HardState) {
					if err := g.stores[i].SetHardState(rd.HardState); err != nil {
						b.Fatal(err)
					}
				}
				if err := g.stores[i].Append(rd.Entries); err != nil {
					b.Fatal(err)
				}
				g.inbox = append(g.inbox, rd.Messages...)
				applyConfigs(b, n, rd)
				n.Advance(rd)
			}
		}
		if len(g.inbox) == 0 {
			return
		}
		batch := g.inbox
		g.inbox = nil
		for _, m := range batch {
			_ = g.nodes[m.GetTo()-1].Step(m)
		}
		g.inbox = append(batch[:0], g.inbox...)
	}
}

// applyConfigs applies the configurations among the committed entries, which are
// those of the bootstrap.
func applyConfigs(b testing.TB, n *etcd.RawNode, rd etcd.Ready) {
	for _, e := range rd.CommittedEntries {
		if e.GetType() != raftpb.EntryType_EntryConfChange {
			continue
		}
		var cc raftpb.ConfChange
		if err := proto.Unmarshal(e.GetData(), &cc); err != nil {
			b.Fatal(err)
		}
		n.ApplyConfChange(&cc)
	}
}

// proposal is a message with n entries, as the leader's own.
func proposal(n int, data []byte) *raftpb.Message {
	m := &raftpb.Message{Type: raftpb.MessageType_MsgProp.Enum(), From: proto.Uint64(1), To: proto.Uint64(1)}
	for range n {
		m.Entries = append(m.Entries, &raftpb.Entry{Data: data})
	}
	return m
}

// processor returns the processor time that this process has used.
func processor(b testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkCommit: entries committed for each second of processor time of all
// replicas, ours and etcd's in the same run. etcd's leader tells its followers of
// each commit at once, ours with the next message.
func BenchmarkCommit(b *testing.B) {
	for _, groups := range []int{1, 1000} {
		for _, voters := range []int{3, 5} {
			for _, batch := range []int{1, 64} {
				for _, core := range []struct {
					name string
					make func(testing.TB, int) group
				}{{"logq", newOurs}, {"etcd", newTheirs}} {
					b.Run(fmt.Sprintf("groups=%d/voters=%d/batch=%d/%s", groups, voters, batch, core.name), func(b *testing.B) {
						all := make([]group, groups)
						for i := range all {
							all[i] = core.make(b, voters)
						}
						b.ReportAllocs()
						b.ResetTimer()
						before := processor(b)
						for i := 0; i < b.N; i += batch {
							all[i/batch%groups].propose(b, batch)
						}
						b.ReportMetric(float64(b.N)/(processor(b)-before).Seconds(), "commits/cpu-s")
					})
				}
			}
		}
	}
}
