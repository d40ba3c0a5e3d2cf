package etcdtest

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/logq/logq/raft"
)

var randomScenarios = flag.Int("scenarios", 200, "random scenarios to compare with etcd")

// generator makes up a scenario as it goes, after the model of etcd's
// probe_and_replicate: leaders that reach some of the others, with proposals, until
// what is on its way is lost and another one campaigns. So logs come about that
// differ in many ways, and the next leaders mend them.
type generator struct {
	rng   *rand.Rand
	b     *both
	trace strings.Builder
	n     int // commands so far
}

func (g *generator) do(t *testing.T, cmd string, args ...datadriven.CmdArg) {
	g.n++
	st := step{datadriven.TestData{Cmd: cmd, CmdArgs: args}, fmt.Sprint(g.n)}
	fmt.Fprintf(&g.trace, "%d: %s %v\n", g.n, cmd, args)
	if err := g.b.step(t, &st); err != nil {
		t.Fatalf("%v, after\n%s", err, &g.trace)
	}
}

// keys are arguments without values.
func keys[T any](values ...T) (out []datadriven.CmdArg) {
	for _, v := range values {
		out = append(out, datadriven.CmdArg{Key: fmt.Sprint(v)})
	}
	return out
}

// some returns id and some others, in order.
func (g *generator) some(id raft.ReplicaID) []raft.ReplicaID {
	all := g.b.ours.all()
	g.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	if all = all[:1+g.rng.IntN(len(all))]; !slices.Contains(all, id) {
		all[0] = id
	}
	return ids(all...)
}

// challenger is someone who doesn't lead.
func (g *generator) challenger(t *testing.T) raft.ReplicaID {
	all := slices.DeleteFunc(g.b.ours.all(), func(id raft.ReplicaID) bool { return g.b.theirs.view(t, id).Role == raft.RoleLeader })
	return all[g.rng.IntN(len(all))]
}

// reign lets someone campaign and, if it wins, propose, while it reaches some of
// the others. The rest of what was sent is lost.
func (g *generator) reign(t *testing.T) {
	all := g.b.ours.all()
	id := g.challenger(t)
	reach := g.some(id)
	g.do(t, "campaign", keys(id)...)
	g.do(t, "stabilize", keys(reach...)...)
	if g.b.theirs.view(t, id).Role == raft.RoleLeader {
		for range g.rng.IntN(4) {
			g.do(t, "propose", keys(fmt.Sprint(id), fmt.Sprintf("p%d", g.n))...)
		}
		if g.rng.IntN(4) == 0 {
			reach = []raft.ReplicaID{id} // or nobody gets that
		}
		g.do(t, "stabilize", keys(reach...)...)
	}
	drop := datadriven.CmdArg{Key: "drop"}
	for _, id := range all {
		drop.Vals = append(drop.Vals, fmt.Sprint(id))
	}
	g.do(t, "deliver-msgs", drop)
}

// unite lets others campaign while all reach each other until everyone is in the
// term of a leader.
func (g *generator) unite(t *testing.T) {
	all := g.b.ours.all()
	for range 100 {
		term, lead := raft.Term(0), raft.Term(0)
		for _, id := range all {
			v := g.b.theirs.view(t, id)
			if term = max(term, v.Term); v.Role == raft.RoleLeader {
				lead = max(lead, v.Term)
			}
		}
		if lead == term {
			return
		}
		g.do(t, "campaign", keys(g.challenger(t))...)
		g.do(t, "stabilize")
	}
	t.Fatalf("nobody leads after\n%s", &g.trace)
}

// TestRandomScenarios compares the two on scenarios that nobody has written.
func TestRandomScenarios(t *testing.T) {
	points := 0
	for seed := range uint64(*randomScenarios) {
		g := &generator{rng: rand.New(rand.NewPCG(seed, 3))}
		n := 3 + 2*g.rng.IntN(3)
		s := &script{name: "random", start: beginning{nodes: n, last: 10, trimmed: true}}
		add := datadriven.CmdArg{Key: "voters"}
		for id := range n {
			s.start.config.Voters = append(s.start.config.Voters, raft.ReplicaID(id+1))
			add.Vals = append(add.Vals, fmt.Sprint(id+1))
		}
		b, err := newBoth(s)
		if err != nil {
			t.Fatal(err)
		}
		g.b = b
		g.do(t, "add-nodes", append(keys(n), add, datadriven.CmdArg{Key: "index", Vals: []string{"10"}})...)
		for range 2 + g.rng.IntN(12) {
			g.reign(t)
		}
		g.unite(t)
		if err := b.settle(t); err != nil {
			t.Fatal(err)
		}
		points += b.points
		for at, what := range b.differ {
			t.Fatalf("seed %d: they differ at %s: %s\n%s", seed, at, what, &g.trace)
		}
	}
	t.Logf("%d points of %d scenarios", points, *randomScenarios)
}
