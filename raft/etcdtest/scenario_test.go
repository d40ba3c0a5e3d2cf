package etcdtest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/logq/logq/raft"
)

// outcome is what came of a scenario.
type outcome struct {
	points int
	// differ are the points that do, by the step.
	differ map[string]string
}

// both is one scenario on both sides.
type both struct {
	s      *script
	theirs *etcdGroup
	ours   *mirror
	outcome
}

// run carries out one step on both sides.
func (b *both) run(t *testing.T, st *step) error {
	b.theirs.run(t, st)
	if err := b.ours.run(st); err != nil {
		return fmt.Errorf("line %s, %s: %w", st.at, st.Cmd, err)
	}
	return nil
}

// compare holds replicas against each other, all if none are named.
func (b *both) compare(t *testing.T, at string, of []raft.ReplicaID) {
	if len(of) == 0 {
		of = b.ours.all()
	}
	b.points++
	for _, id := range of {
		if theirs, ours := b.theirs.view(t, id), b.ours.view(id); theirs != ours {
			b.differ[at] += fmt.Sprintf("\n  replica %d, etcd: %v\n  replica %d, ours: %v", id, theirs, id, ours)
		}
	}
}

func newBoth(s *script) (*both, error) {
	ours, err := newMirror(s)
	if err != nil {
		return nil, err
	}
	return &both{s: s, ours: ours, theirs: newEtcdGroup(s, ours), outcome: outcome{differ: map[string]string{}}}, nil
}

// step carries out one step and compares the two if nothing is on its way then: the
// replicas that were told to go on until then, or all.
func (b *both) step(t *testing.T, st *step) error {
	if err := b.run(t, st); err != nil {
		return err
	}
	if st.Cmd == "stabilize" {
		b.compare(t, st.at, nodes(&st.TestData))
	} else if b.theirs.quiescent() && b.ours.quiescent() {
		b.compare(t, st.at, nil)
	}
	return nil
}

// settle ends a scenario with two heartbeats of the leader, or of the first voter if
// nobody leads: what differs only in when it is told is the same by then, except of
// replicas that don't belong to the group any more.
func (b *both) settle(t *testing.T) error {
	steps := []step{command("stabilize")}
	leader := b.theirs.leader(t)
	if leader == 0 {
		leader = b.theirs.voter()
		for _, id := range b.ours.all() {
			steps = append(steps, command("forget-leader", id)) // or a vote is refused for its sake
		}
		steps = append(steps, command("campaign", leader), command("stabilize"))
	}
	for range 2 {
		steps = append(steps, command("tick-heartbeat", leader), command("stabilize"))
	}
	for i := range steps {
		if err := b.run(t, &steps[i]); err != nil {
			return err
		}
	}
	b.compare(t, "end", b.theirs.members(leader))
	return nil
}

// play runs a scenario on both and compares them wherever nothing is on its way.
func play(t *testing.T, s *script) (*both, error) {
	b, err := newBoth(s)
	if err != nil {
		return nil, err
	}
	for i := range s.steps {
		if err := b.step(t, &s.steps[i]); err != nil {
			return nil, err
		}
	}
	return b, b.settle(t)
}

// command makes a step that no script has.
func command(cmd string, on ...raft.ReplicaID) step {
	st := step{datadriven.TestData{Cmd: cmd}, "end"}
	for _, id := range on {
		st.CmdArgs = append(st.CmdArgs, datadriven.CmdArg{Key: fmt.Sprint(id)})
	}
	return st
}

// TestScenarios runs etcd's scripted scenarios in its own environment and on a group
// of ours and compares role, term, vote, commit index, last entry and configuration
// at every point at which nothing is on its way. Those without pre-vote and
// check-quorum run once more with them. What differs by design and can be
// evened out is named at script; what remains is in explained, which must be neither
// too long nor too short.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(moduleDir(t), "testdata", "*.txt"))
	if err != nil || len(files) < 28 {
		t.Fatalf("etcd's scenarios: %v, %v", files, err)
	}
	runs, points, differ, agree := 0, 0, 0, 0
	run := func(t *testing.T, s *script) {
		b, err := play(t, s)
		if err != nil {
			t.Fatal(err)
		}
		why := reasons(s)
		for at, what := range b.differ {
			if why[at] == "" {
				t.Errorf("line %s:%s", at, what)
			}
		}
		for at, reason := range why {
			if b.differ[at] == "" {
				t.Errorf("line %s is no point, or both agree there, but it is listed: %s", at, reason)
			}
		}
		runs++
		points += b.points
		differ += len(b.differ)
		if len(b.differ) == 0 {
			agree++
		}
	}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".txt")
		var s *script
		t.Run(name, func(t *testing.T) {
			s = parseScript(t, name, f)
			run(t, s)
		})
		if s != nil && !s.polite {
			t.Run(name+"/polite", func(t *testing.T) {
				polite := *s
				polite.polite, polite.added = true, true
				run(t, &polite)
			})
		}
	}
	if points < 447 {
		t.Errorf("%d points were compared, there were 447", points)
	}
	t.Logf("%d scenarios in %d runs, %d of which agree at every point; %d points, %d differ and are explained", len(files), runs, agree, points, differ)
}

// TestExplainedScenariosExist: every scenario that is listed is there.
func TestExplainedScenariosExist(t *testing.T) {
	for name := range explained {
		if _, err := os.Stat(filepath.Join(moduleDir(t), "testdata", name+".txt")); err != nil {
			t.Errorf("%s is listed: %v", name, err)
		}
	}
}
