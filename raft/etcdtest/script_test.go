package etcdtest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/logq/logq/raft"
)

// step is one command of a scenario, for both cores.
type step struct {
	datadriven.TestData
	// at names the step: the line of the command, with a number behind it for the
	// steps that were put before it.
	at string
}

// script is a scenario after what is different by design has been evened out. All of
// that is here and in theirs (theirs_test.go):
//
//   - Groups begin with a log of term 1 on both sides and in term 1, in which etcd's
//     environment has a snapshot; ours begins behind a trimmed log.
//   - Pre-vote and check-quorum are always on here. If a scenario uses either, etcd
//     gets both. If it uses none, it runs twice: with both added, and without. Then
//     all consent to each campaign of ours, and the requests for votes are marked as
//     those are for which the leader has asked, which even those heed who hear it.
//   - Who hears of an earlier term answers with its own here; etcd's does so only with
//     pre-vote or check-quorum. Without them the answer is lost.
//   - A leader that is removed steps down here, so etcd's does. That it names its
//     successor is withheld.
//   - Changes of voters go through a joint state here that the leader leaves by
//     itself; so they are "implicit" with etcd. Commands to leave are left out, and so
//     is what is proposed before them, which etcd refuses.
//   - Voters must be learners first here. So they are on both sides, one after the
//     other, and the replicas exist by then.
//   - Commits alone send no message here. Where etcd sends one, ours gets a round of
//     heartbeats, by asking for a read.
//   - Forgetting a leader is here not to have heard it for an election timeout.
//   - Timeouts are those that the scenario sets, by campaigning then.
//   - Snapshots are sent here when they are needed, and nobody can ask for one.
type script struct {
	name  string
	steps []step
	start beginning
	// polite: the scenario uses pre-vote or check-quorum, or they were added.
	polite, added bool
	async         bool
	inflight      int
}

// printing are the commands that only print.
var printing = []string{"log-level", "raft-log", "raft-state", "status"}

func parseScript(t *testing.T, name, file string) *script {
	s := &script{name: name}
	var all []step
	datadriven.RunTest(t, file, func(_ *testing.T, d *datadriven.TestData) string {
		line := d.Pos[strings.LastIndexByte(d.Pos, ':')+1:]
		if !slices.Contains(printing, d.Cmd) {
			all = append(all, step{*d, line})
		}
		return d.Expected
	})
	s.begin(all)
	s.hoist(all)
	s.reform(all)
	return s
}

// values returns the values of an argument; key(1,2) and key=(1 2) are alike.
func values(d *datadriven.TestData, key string) (out []uint64) {
	for _, a := range d.CmdArgs {
		if a.Key != key {
			continue
		}
		for _, v := range a.Vals {
			if n, err := strconv.ParseUint(v, 10, 64); err == nil {
				out = append(out, n)
			}
		}
	}
	return out
}

// text returns the first value of an argument, "" without one.
func text(d *datadriven.TestData, key string) string {
	for _, a := range d.CmdArgs {
		if a.Key == key && len(a.Vals) > 0 {
			return a.Vals[0]
		}
	}
	return ""
}

// nodes returns the arguments that are numbers.
func nodes(d *datadriven.TestData) (out []raft.ReplicaID) {
	for _, a := range d.CmdArgs {
		if n, err := strconv.ParseUint(a.Key, 10, 64); err == nil && len(a.Vals) == 0 {
			out = append(out, raft.ReplicaID(n))
		}
	}
	return out
}

// begin finds out with which replicas the scenario begins.
func (s *script) begin(all []step) {
	s.start.behind = map[raft.ReplicaID]raft.Index{}
	s.start.trimmed = true
	for i := range all {
		d := &all[i].TestData
		if d.Cmd != "add-nodes" {
			continue
		}
		index := raft.Index(0)
		if at := values(d, "index"); len(at) > 0 {
			index = raft.Index(at[0])
		}
		first := s.start.nodes == 0
		if first {
			s.start.config = raft.Config{Voters: ids(values(d, "voters")...), Learners: ids(values(d, "learners")...)}
			s.start.last = index
			s.async = text(d, "async-storage-writes") == "true"
			s.polite = text(d, "prevote") == "true" || text(d, "checkquorum") == "true"
			for _, n := range values(d, "inflight") {
				s.inflight = int(n)
			}
		}
		for range nodes(d)[0] {
			s.start.nodes++
			if !first {
				s.start.behind[raft.ReplicaID(s.start.nodes)] = index
			}
		}
	}
}

// hoist moves the making of replicas before the change that adds them.
func (s *script) hoist(all []step) {
	for i := 1; i < len(all); i++ {
		if all[i].Cmd == "add-nodes" && all[i-1].Cmd == "propose-conf-change" {
			all[i-1], all[i] = all[i], all[i-1]
		}
	}
}

// reform gives changes of configuration the form that they have here.
func (s *script) reform(all []step) {
	now := s.start.config.Clone()
	explicit := false // etcd waits to be told to leave
	for _, st := range all {
		if st.Cmd != "propose-conf-change" {
			s.steps = append(s.steps, st)
			continue
		}
		changes, err := parseChanges(&st.TestData)
		leave := err == nil && len(changes) == 0
		if leave || explicit {
			explicit = explicit && !leave
			continue
		}
		voters, learners := target(now, changes)
		leader := st.CmdArgs[0]
		n := 0
		add := func(cmd, input string, args ...datadriven.CmdArg) {
			n++
			s.steps = append(s.steps, step{datadriven.TestData{Cmd: cmd, Input: input, CmdArgs: args}, fmt.Sprintf("%s.%d", st.at, n)})
		}
		for _, id := range voters {
			if !now.Contains(id) {
				add("stabilize", "")
				add("propose-conf-change", fmt.Sprintf("l%d", id), leader)
				add("stabilize", "")
			}
		}
		explicit = text(&st.TestData, "transition") == "explicit"
		if st.CmdArgs = []datadriven.CmdArg{leader}; !slices.Equal(voters, now.Voters) {
			st.CmdArgs = append(st.CmdArgs, datadriven.CmdArg{Key: "transition", Vals: []string{"implicit"}})
		}
		s.steps = append(s.steps, st)
		now = raft.Config{Voters: voters, Learners: learners}
	}
}
