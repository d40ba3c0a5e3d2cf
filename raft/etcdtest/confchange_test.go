package etcdtest

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"go.etcd.io/raft/v3/confchange"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
	"google.golang.org/protobuf/proto"

	"github.com/logq/logq/raft"
	"github.com/logq/logq/raft/rafttest"
)

// unlike are the vectors for which the two don't agree, by file and position among
// its vectors, from 1, each with the reason.
var unlike = map[string]string{
	"joint_safety 6": "a change to the configuration that is in force writes nothing here, so there is no joint state of equal halves",
	"joint_safety 7": "follows from 6: etcd refuses a second change in that joint state, here none is under way",
	"joint_safety 8": "follows from 6: etcd leaves that joint state, here there is nothing to leave",

	"simple_safety 4": "there is one way to change voters here and it goes through a joint state, so that several may change at once",
	"simple_safety 6": "as 4: two voters are added at once",
	"simple_safety 7": "as 4: a voter is demoted and another added at once",

	"zero 1": "replica 0 is nobody and refused with a *ConfigError; etcd passes over it, because its caller blanks out a change like that",
}

// change is one step of a vector: v, l, r or u and a replica.
type change struct {
	kind byte
	id   uint64
}

func parseChanges(d *datadriven.TestData) (out []change, err error) {
	for _, tok := range strings.Fields(d.Input) {
		id, err := strconv.ParseUint(tok[1:], 10, 64)
		if err != nil {
			return nil, err
		}
		out = append(out, change{tok[0], id})
	}
	return out, nil
}

// singles are the changes in etcd's form.
func singles(changes []change) (out []*raftpb.ConfChangeSingle) {
	for _, c := range changes {
		kind := map[byte]raftpb.ConfChangeType{
			'v': raftpb.ConfChangeAddNode, 'l': raftpb.ConfChangeAddLearnerNode,
			'r': raftpb.ConfChangeRemoveNode, 'u': raftpb.ConfChangeUpdateNode,
		}[c.kind]
		out = append(out, &raftpb.ConfChangeSingle{Type: kind.Enum(), NodeId: proto.Uint64(c.id)})
	}
	return out
}

// target is the configuration to which the changes lead from now: here a caller
// names that, not the way to it.
func target(now raft.Config, changes []change) (voters, learners []raft.ReplicaID) {
	voters, learners = slices.Clone(now.Voters), slices.Clone(now.Learners)
	for _, c := range changes {
		id := raft.ReplicaID(c.id)
		other := func(o raft.ReplicaID) bool { return o == id }
		switch c.kind {
		case 'v':
			voters, learners = append(slices.DeleteFunc(voters, other), id), slices.DeleteFunc(learners, other)
		case 'l':
			voters, learners = slices.DeleteFunc(voters, other), append(slices.DeleteFunc(learners, other), id)
		case 'r':
			voters, learners = slices.DeleteFunc(voters, other), slices.DeleteFunc(learners, other)
		}
	}
	return ids(voters...), ids(learners...)
}

// configOf is etcd's configuration in our form, in which a voter that is going to
// be a learner is one already, beside being an outgoing voter.
func configOf(c tracker.Config) raft.Config {
	set := func(sets ...map[uint64]struct{}) (out []raft.ReplicaID) {
		for _, s := range sets {
			out = append(out, ids(slices.Collect(maps.Keys(s))...)...)
		}
		return ids(out...)
	}
	return raft.Config{Voters: set(c.Voters[0]), Outgoing: set(c.Voters[1]), Learners: set(c.Learners, c.LearnersNext)}
}

// changer is a group of ours through the vectors of one file.
type changer struct {
	c *rafttest.Cluster // nil: nobody yet
}

const changerNodes = 15

// begin makes a group in a configuration, which is not joint.
func (g *changer) begin(config raft.Config) (err error) {
	last := raft.Index(1)
	if len(config.Learners) > 0 {
		last = 2
	}
	g.c, err = newGroup(raft.Options{}, beginning{nodes: changerNodes, config: config, last: last})
	if err == nil {
		g.c.Campaign(config.Voters[0])
		g.c.Stabilize()
	}
	return err
}

// config returns the leader's configuration.
func (g *changer) config() raft.Config {
	if g.c == nil || g.c.Leader() == 0 {
		return raft.Config{}
	}
	return g.c.Node(g.c.Leader()).Core.Status().Config.Clone()
}

// catchUp makes the replicas that are to vote learners that keep pace.
func (g *changer) catchUp(voters []raft.ReplicaID) error {
	const ticks = 10 * raft.DefaultElectionTicks
	leader, now := g.c.Leader(), g.config()
	learners := slices.Clone(now.Learners)
	for _, id := range voters {
		if !now.Contains(id) {
			learners = append(learners, id)
		}
	}
	if _, err := g.c.ProposeConfig(leader, now.Voters, ids(learners...)); err != nil {
		return err
	}
	for range ticks {
		g.c.TickAll()
		s := g.c.Node(leader).Core.Status()
		if !slices.ContainsFunc(s.Peers, func(p raft.PeerStatus) bool { return slices.Contains(voters, p.ID) && !p.CaughtUp }) {
			return nil
		}
	}
	return errors.New("a learner does not catch up")
}

// enter changes the configuration and leaves what that sends on its way, so that a
// joint state stays.
func (g *changer) enter(changes []change) error {
	voters, learners := target(g.config(), changes)
	if slices.Contains(voters, 0) || slices.Contains(learners, 0) {
		return errors.New("replica 0")
	}
	leader := g.c.Leader()
	if len(voters) > 0 && !slices.Equal(voters, g.config().Voters) && !g.config().Joint() {
		if err := g.catchUp(voters); err != nil {
			return err
		}
	}
	_, err := g.c.ProposeConfig(leader, voters, learners)
	return err
}

// run is one vector. The error is a refusal.
func (g *changer) run(cmd string, changes []change) (raft.Config, error) {
	switch {
	case cmd == "leave-joint" && !g.config().Joint():
		return raft.Config{}, errNoLeave
	case cmd == "leave-joint":
		g.c.Stabilize()
		return g.config(), g.c.Err()
	case g.c == nil && cmd == "simple":
		// A group is made with its voters.
		voters, learners := target(raft.Config{}, changes)
		config := raft.Config{Voters: voters, Learners: learners}
		if err := config.Validate(); err != nil || len(voters) == 0 {
			return raft.Config{}, errors.Join(err, errNobody)
		}
		err := g.begin(config)
		return g.config(), err
	case g.c == nil:
		return raft.Config{}, errNobody
	}
	if err := g.enter(changes); err != nil {
		return raft.Config{}, err
	}
	if cmd == "simple" {
		g.c.Stabilize()
	}
	return g.config(), g.c.Err()
}

// errNobody: a group of nobody has no leader.
var errNobody = errors.New("nobody")

// errNoLeave: the leader leaves the joint state by itself, so nobody can ask for it
// at a wrong time.
var errNoLeave = errors.New("nothing to leave")

// TestConfChangeVectors replays all of etcd's vectors for changes of configuration,
// on etcd's own Changer and on a group of ours. A simple change of etcd's, which is
// one step, is compared with ours when the joint state is left; new voters are made
// learners first.
func TestConfChangeVectors(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(moduleDir(t), "confchange", "testdata", "*.txt"))
	if err != nil || len(files) < 9 {
		t.Fatalf("etcd's vectors: %v, %v", files, err)
	}
	vectors, agree := 0, 0
	used := map[string]bool{}
	var wrong []string // datadriven ends a file at the first failure
	failf := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".txt")
		theirs := confchange.Changer{Tracker: tracker.MakeProgressTracker(10, 0)}
		ours := &changer{}
		n := 0
		datadriven.RunTest(t, f, func(t *testing.T, d *datadriven.TestData) string {
			n++
			vectors++
			id := fmt.Sprintf("%s %d", name, n)
			changes, err := parseChanges(d)
			if err != nil {
				t.Fatalf("%s: %v", d.Pos, err)
			}
			before := configOf(theirs.Tracker.Config)
			theirErr := applyTheirs(&theirs, d, changes)
			after := configOf(theirs.Tracker.Config)
			if want, _, _ := strings.Cut(d.Expected, "\n"); theirErr == nil && theirs.Tracker.Config.String() != want || theirErr != nil && theirErr.Error() != want {
				failf("%s: etcd's Changer: %v, %v; its vector says %s", d.Pos, theirs.Tracker.Config, theirErr, want)
			}
			if now := ours.config(); !now.Equal(before) {
				if ours.c = nil; len(before.Voters) > 0 {
					if err := ours.begin(raft.Config{Voters: before.Voters, Learners: before.Learners}); err != nil {
						failf("%s: %v", d.Pos, err)
					}
				}
			}
			got, ourErr := ours.run(d.Cmd, changes)
			same := (theirErr == nil) == (ourErr == nil) && (ourErr != nil || got.Equal(after))
			reason, listed := unlike[id]
			used[id] = true
			switch {
			case same && listed:
				failf("%s, vector %q: both agree on %v, but it is listed: %s", d.Pos, id, got, reason)
			case !same && !listed:
				failf("%s, vector %q: etcd has %v, %v; ours %v, %v", d.Pos, id, after, theirErr, got, ourErr)
			case same:
				agree++
			}
			return d.Expected
		})
	}
	for _, w := range wrong {
		t.Error(w)
	}
	for id := range unlike {
		if !used[id] {
			t.Errorf("there is no vector %q", id)
		}
	}
	if vectors < 58 {
		t.Errorf("%d vectors, there were 58", vectors)
	}
	t.Logf("%d vectors, %d agree, %d are explained", vectors, agree, len(unlike))
}

// applyTheirs carries out a vector on etcd's Changer.
func applyTheirs(c *confchange.Changer, d *datadriven.TestData, changes []change) (err error) {
	defer func() { c.LastIndex++ }()
	cfg, trk := c.Tracker.Config, c.Tracker.Progress
	switch d.Cmd {
	case "simple":
		cfg, trk, err = c.Simple(singles(changes)...)
	case "enter-joint":
		auto := slices.ContainsFunc(d.CmdArgs, func(a datadriven.CmdArg) bool { return a.Key == "autoleave" && a.Vals[0] == "true" })
		cfg, trk, err = c.EnterJoint(auto, singles(changes)...)
	case "leave-joint":
		cfg, trk, err = c.LeaveJoint()
	default:
		err = fmt.Errorf("unknown command %s", d.Cmd)
	}
	if err == nil {
		c.Tracker.Config, c.Tracker.Progress = cfg, trk
	}
	return err
}
