package service

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/logq/logq/internal/meta"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/internal/statefile"
	"github.com/logq/logq/internal/vfs"
)

// bigState returns a state whose image takes several pieces.
func bigState(t *testing.T) (*meta.State, []byte) {
	t.Helper()
	state := meta.NewState()
	apply := func(c meta.Command) {
		t.Helper()
		key, value, err := meta.Encode(c)
		if err != nil {
			t.Fatal(err)
		}
		if r := state.Apply(state.Snapshot().Next(), key, value); r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	apply(meta.ClusterInit{ClusterID: "c", FeatureLevel: meta.SupportedLevel})
	apply(meta.RegisterBroker{Broker: meta.Broker{ID: 1, URL: "nats://b1", FeatureLevel: meta.SupportedLevel}})
	for i := range meta.MaxTopics {
		name := fmt.Sprintf("%s-%d", strings.Repeat("x", 100), i)
		apply(meta.CreateTopic{Name: name, ID: newTopicID(), Partitions: [][]uint64{{protocol.ReplicaOf(1, 0)}}})
	}
	image, err := state.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	return state, image
}

// pieces are the Peers of a broker that fetches a state: they hand out what a real broker would, changed by a test.
type pieces struct {
	s      *Service // who hands out
	change func(n int, r *protocol.Response)
	n      int
}

func (p *pieces) Request(ctx context.Context, _ protocol.BrokerID, body []byte) ([]byte, error) {
	req := new(protocol.Request)
	if err := req.Decode(body); err != nil {
		return nil, err
	}
	r := p.s.metaStateFor(ctx, &call{s: p.s, req: req})
	if p.change != nil {
		p.change(p.n, r)
	}
	p.n++
	return r.AppendTo(nil), nil
}

func (p *pieces) Gossip(protocol.BrokerID, []byte) bool { return true }

func TestFetchState(t *testing.T) {
	state, image := bigState(t)
	next := state.Snapshot().Next()
	store, _, err := statefile.Open(vfs.NewMem(), "metadata")
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Write(statefile.State{Index: 77, Next: next, Local: []byte("mine"), Image: image}); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		next   int64
		change func(n int, r *protocol.Response)
		bad    string // "" = it is fetched
	}{
		{name: "whole", next: next},
		{name: "older is wanted", next: 1},
		{name: "a flipped bit", change: func(n int, r *protocol.Response) { r.Body = append([]byte(nil), r.Body...); r.Body[n]++ }, bad: "checksum"},
		{name: "another file in the middle", change: func(n int, r *protocol.Response) { r.Epoch += uint64(n) }, bad: "does not fit"},
		{name: "another size", change: func(n int, r *protocol.Response) { r.HighWatermark += int64(n) }, bad: "does not fit"},
		{name: "nothing", change: func(n int, r *protocol.Response) { r.Body = r.Body[:len(r.Body)*(1-n)] }, bad: "does not fit"},
		{name: "more than it says", change: func(n int, r *protocol.Response) { r.HighWatermark = 10 }, bad: "does not fit"},
		{name: "a huge one", change: func(n int, r *protocol.Response) { r.HighWatermark = 1 << 60 }, bad: "want up to"},
		{name: "an empty one", change: func(n int, r *protocol.Response) { r.HighWatermark = 0 }, bad: "want up to"},
		{name: "an older one", next: next, change: func(n int, r *protocol.Response) { r.BaseOffset-- }, bad: "want up to"},
		{name: "a wrong record", change: func(n int, r *protocol.Response) { r.BaseOffset++ }, bad: "not at"},
		{name: "replaced meanwhile", change: func(n int, r *protocol.Response) {
			if n == 1 {
				*r = protocol.Response{Err: protocol.Errorf(protocol.BrokerNotAvailable, "begin again")}
			}
		}, bad: "begin again"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			giver, err := New(Options{ID: 1, Host: fakeHost{w, 1}, States: States{Store: store}})
			if err != nil {
				t.Fatal(err)
			}
			defer giver.Close(t.Context())
			p := &pieces{s: giver, change: tt.change}
			taker, err := New(Options{ID: 2, Brokers: []protocol.BrokerID{1, 2}, Host: fakeHost{w, 2}, Peers: p})
			if err != nil {
				t.Fatal(err)
			}
			defer taker.Close(t.Context())
			got, index, err := taker.fetchState(t.Context(), 1, tt.next)
			if tt.bad != "" {
				if err == nil || !strings.Contains(err.Error(), tt.bad) {
					t.Fatalf("got %v, want %q", err, tt.bad)
				}
				return
			}
			if err != nil || index != 77 || p.n < 2 {
				t.Fatalf("index %d in %d pieces: %v", index, p.n, err)
			}
			if again, err := got.AppendTo(nil); err != nil || string(again) != string(image) {
				t.Errorf("it is another state: %v", err)
			}
		})
	}
}

// A generation that was replaced twice, or never was, is refused, so that the asker begins again.
func TestFetchStateThatIsGone(t *testing.T) {
	store, _, err := statefile.Open(vfs.NewMem(), "metadata")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	s, err := New(Options{ID: 1, Host: fakeHost{w, 1}, States: States{Store: store}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(t.Context())
	for n := range 3 {
		if err := store.Write(statefile.State{Index: uint64(n), Next: int64(n), Image: []byte("image")}); err != nil {
			t.Fatal(err)
		}
	}
	for generation, ok := range map[uint64]bool{1: false, 2: true, 3: true, 4: false} {
		body, err := json.Marshal(stateRequest{Generation: generation, Pos: 2})
		if err != nil {
			t.Fatal(err)
		}
		r := s.metaStateFor(t.Context(), &call{s: s, req: &protocol.Request{Op: protocol.OpMetaState, Body: body}})
		if (r.Err == nil) != ok || ok && (string(r.Body) != "age" || r.NextOffset != 5) {
			t.Errorf("generation %d: %+v", generation, r)
		}
	}
}
