package meta_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/logq/logq/internal/meta"
	"github.com/logq/logq/internal/protocol"
)

func TestPlaceProperties(t *testing.T) {
	for seed := range uint64(500) {
		rng := rand.New(rand.NewPCG(seed, 3))
		candidates := make([]meta.Candidate, 1+rng.IntN(9))
		racks := 1 + rng.IntN(4)
		for i := range candidates {
			candidates[i] = meta.Candidate{ID: protocol.BrokerID(i + 1), Rack: fmt.Sprint(rng.IntN(racks)), Alive: rng.IntN(4) > 0, Replicas: rng.IntN(3), Leaders: rng.IntN(2)}
		}
		rng.Shuffle(len(candidates), func(i, j int) { candidates[i], candidates[j] = candidates[j], candidates[i] })
		partitions, replicas := 1+rng.IntN(20), 1+rng.IntN(min(len(candidates), 5))
		got, err := meta.Place(candidates, partitions, replicas)
		if err != nil || len(got) != partitions {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for p, ids := range got {
			if text := judgePlace(candidates, ids, replicas); text != "" {
				t.Fatalf("seed %d, partition %d on %v of %+v: %s", seed, p, ids, candidates, text)
			}
		}
		slices.Reverse(candidates)
		if again, _ := meta.Place(candidates, partitions, replicas); !reflect.DeepEqual(got, again) {
			t.Fatalf("seed %d: the order of the candidates changes the answer", seed)
		}
	}
}

// judgePlace checks the rules of one partition; "" = they hold.
func judgePlace(candidates []meta.Candidate, ids []protocol.BrokerID, replicas int) string {
	alive, dead, racks, aliveRacks := 0, 0, map[string]bool{}, map[string]bool{}
	for _, c := range candidates {
		if c.Alive {
			alive++
			aliveRacks[c.Rack] = true
		}
	}
	seen := map[protocol.BrokerID]bool{}
	for i, id := range ids {
		c := candidates[slices.IndexFunc(candidates, func(c meta.Candidate) bool { return c.ID == id })]
		if seen[id] {
			return "a broker is used twice"
		}
		seen[id] = true
		racks[c.Rack] = true
		if !c.Alive {
			dead++
			if i == 0 && alive > 0 {
				return "the preferred leader is not alive"
			}
		}
	}
	switch {
	case len(ids) != replicas:
		return "wrong number of replicas"
	case dead != max(0, replicas-alive):
		return "a broker that is not alive is used without need"
	case len(racks) < min(replicas, len(aliveRacks)):
		return "fewer racks are used than there are"
	}
	return ""
}

// From an even start the spread stays even: leaders within one, replicas within one.
func TestPlaceSpreadsEvenly(t *testing.T) {
	for brokers := 1; brokers <= 7; brokers++ {
		for replicas := 1; replicas <= brokers; replicas++ {
			candidates := make([]meta.Candidate, brokers)
			for i := range candidates {
				candidates[i] = meta.Candidate{ID: protocol.BrokerID(i + 1), Alive: true}
			}
			got, err := meta.Place(candidates, 50, replicas)
			if err != nil {
				t.Fatal(err)
			}
			leaders, all := make([]int, brokers), make([]int, brokers)
			for _, ids := range got {
				leaders[ids[0]-1]++
				for _, id := range ids {
					all[id-1]++
				}
			}
			if slices.Max(leaders)-slices.Min(leaders) > 1 || slices.Max(all)-slices.Min(all) > 1 {
				t.Errorf("%d brokers, %d replicas: leaders %v, replicas %v", brokers, replicas, leaders, all)
			}
		}
	}
}

func TestCandidates(t *testing.T) {
	f := newFold(t, 3)
	f.apply(meta.CreateTopic{Name: "t", ID: topicID(1), Partitions: [][]uint64{{1, 65538}, {2, 1}, {2, 3}}})
	got := f.state.Snapshot().Candidates(func(id protocol.BrokerID) bool { return id != 3 })
	want := []meta.Candidate{
		{ID: 1, Alive: true, Replicas: 2, Leaders: 1},
		{ID: 2, Alive: true, Replicas: 3, Leaders: 2},
		{ID: 3, Alive: false, Replicas: 1},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func BenchmarkPlace(b *testing.B) {
	candidates := make([]meta.Candidate, 30)
	for i := range candidates {
		candidates[i] = meta.Candidate{ID: protocol.BrokerID(i + 1), Rack: fmt.Sprint(i % 3), Alive: true}
	}
	for b.Loop() {
		if _, err := meta.Place(candidates, 1000, 3); err != nil {
			b.Fatal(err)
		}
	}
}
