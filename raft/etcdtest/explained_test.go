package etcdtest

import "strings"

// exception is why the two differ at some points of a scenario: the lines of its
// commands, or "end". A + marks those that do only when pre-vote and check-quorum
// were added.
type exception struct{ at, why string }

// The reasons that more than one scenario has.
const (
	adopted = "a configuration is in force here as soon as it is appended (§6), with etcd when it is applied: " +
		"in between they count other majorities, and the joint state begins and ends earlier here"
	stepsDown = "a leader that is removed steps down here when that is committed, and tells nobody; " +
		"the others learn of the commit from the next leader, after which they agree"
	removed = "who is removed gets no more entries here once the configuration without it is appended, " +
		"with etcd until that is applied; it needs neither"
	secondBeat = "what is lost is looked for here when a second heartbeat finds it missing, as it may be late at the first; " +
		"with etcd the answer to any heartbeat sends it again"
)

// explained are the points at which the two differ, by scenario.
var explained = map[string][]exception{
	"confchange_disable_validation": {
		{"59 end", "the check that no change is under way can't be disabled here, so the second change is refused instead of appended"},
	},
	"confchange_v1_remove_leader": {
		{"62 85 117 138", adopted},
		{"146 210 214 221", stepsDown},
	},
	"confchange_v1_remove_leader_stepdown": {
		{"63 84 120 141", adopted},
		{"149 182 188", stepsDown},
	},
	"confchange_v2_add_double_auto": {
		{"65 211 222 254", adopted},
		{"288 334", removed},
	},
	"confchange_v2_replace_leader":          {{"50 149 163 324 417", stepsDown}},
	"confchange_v2_replace_leader_stepdown": {{"51 69 171 +183", stepsDown}},
	"replicate_pause":                       {{"177", secondBeat}},
	"slow_follower_after_compaction":        {{"108", secondBeat}},
	"snapshot_succeed_via_app_resp":         {{"107 138", secondBeat}},
	"snapshot_succeed_via_app_resp_behind": {
		{"142", "etcd is told to send a snapshot; here a leader sends the start of its log when a follower's answer shows that it needs that"},
	},
}

// reasons returns those of a scenario by point.
func reasons(s *script) map[string]string {
	out := map[string]string{}
	for _, e := range explained[s.name] {
		for _, at := range strings.Fields(e.at) {
			if line, polite := strings.CutPrefix(at, "+"); s.added || !polite {
				out[line] = e.why
			}
		}
	}
	return out
}
