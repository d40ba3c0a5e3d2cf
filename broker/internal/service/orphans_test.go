package service

import (
	"strings"
	"testing"

	"github.com/logq/logq/internal/meta"
	"github.com/logq/logq/internal/protocol"
)

func TestPartitionIn(t *testing.T) {
	w := newWorld(t)
	s, err := New(Options{ID: 7, Host: fakeHost{w, 7}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(t.Context())
	for _, topic := range []string{"t", "orders.eu-west", "a-1-r2", "x-r", strings.Repeat("long", 60)} {
		for _, incarnation := range []uint64{0, 1, 1<<48 - 1} {
			id := newTopicID()
			want := s.newPartition(topic, id, 41, &meta.Settings{}, s.placementOf(nil, []uint64{protocol.ReplicaOf(7, incarnation)}, nil)).spec()
			p := s.partitionIn(want.Name)
			if p == nil {
				t.Errorf("%s is not taken for a replica", want.Name)
				continue
			}
			if got := p.spec(); got.Name != want.Name || got.Topic != id || got.Partition != 41 || got.Self != want.Self {
				t.Errorf("%s: %+v, want %+v", want.Name, got, want)
			}
		}
	}
	id := newTopicID().String()
	for _, name := range []string{
		"", "-", "t", id, "-" + id, "0-" + id, "-0-" + id, "t-x-" + id, "t-01-" + id, "t-99999999-" + id, "t-0-" + id[1:],
		"t-0-" + strings.ToUpper(id), "t-0-" + id + "-r0", "t-0-" + id + "-r", "t-0-" + id + "-r01", "t-0-" + id + "-rx", "t-0-" + id + ".removed",
		"t-0-" + id + "-r999999999999999999", "lost+found", s.meta.spec().Name,
	} {
		if p := s.partitionIn(name); p != nil {
			t.Errorf("%q is taken for replica %d of %v", name, p.self(), p)
		}
	}
}
