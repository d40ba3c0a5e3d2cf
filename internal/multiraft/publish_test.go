package multiraft_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/logq/logq/internal/journal"
	"github.com/logq/logq/internal/multiraft"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/raft"
)

// nowhere is a Transport without anybody.
type nowhere struct{}

func (nowhere) Send(protocol.BrokerID, *raft.Message, [][]byte) bool { return false }

// TestServingKnowsWhatIsCommitted: whoever sees that a replica serves, reads everything that was acknowledged before. The
// time in which that could fail is short, so it is looked for with real threads, often.
func TestServingKnowsWhatIsCommitted(t *testing.T) {
	disk, logs := vfs.NewMem(), journal.NewMem()
	for n := range 40 {
		h, err := multiraft.New(multiraft.Options{Broker: 1, FS: disk, Dir: "data", Journal: logs, Transport: nowhere{}, Shards: 1, Tick: time.Millisecond, Seed: uint64(n)})
		if err != nil {
			t.Fatal(err)
		}
		h.Start()
		self := raft.ReplicaID(protocol.ReplicaOf(1, 0))
		g, err := h.Open(t.Context(), multiraft.Spec{Group: raft.GroupID{1}, Name: "g", Self: self, Voters: []raft.ReplicaID{self}})
		if err != nil {
			t.Fatal(err)
		}
		for !g.Leadership().Serving {
			runtime.Gosched()
		}
		r, err := g.Read(nil, 0, 1<<20)
		if err != nil || int(r.HighWatermark) != n {
			t.Fatalf("it serves with the high watermark %d, acknowledged were %d: %v", r.HighWatermark, n, err)
		}
		if r := appendTo(g, batchOf(t, fmt.Sprint(n)), time.Minute); r.Err != nil {
			t.Fatal(r.Err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if err := h.Close(ctx); err != nil {
			t.Fatal(err)
		}
		cancel()
	}
}
