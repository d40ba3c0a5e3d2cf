package etcdtest

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/logq/logq/raft/quorum"
)

// moduleDir is where etcd's module lies.
func moduleDir(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "go.etcd.io/raft/v3").Output()
	if err != nil {
		t.Fatalf("find etcd's module: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// poll is one vector: two sets of voters and what each voter has acknowledged or
// answered, in the order in which the ids appear.
type poll struct {
	cfg, cfgj []int
	joint     bool
	values    []string
}

func parsePoll(d *datadriven.TestData) (p poll, err error) {
	for _, arg := range d.CmdArgs {
		switch arg.Key {
		case "cfg", "cfgj":
			if arg.Key == "cfgj" {
				p.joint = true
			}
			for _, v := range arg.Vals {
				if v == "zero" || v == "" {
					continue
				}
				n, err := strconv.Atoi(v)
				if err != nil {
					return p, err
				}
				if arg.Key == "cfg" {
					p.cfg = append(p.cfg, n)
				} else {
					p.cfgj = append(p.cfgj, n)
				}
			}
		case "idx", "votes":
			p.values = arg.Vals
		default:
			return p, fmt.Errorf("unknown argument %s", arg.Key)
		}
	}
	return p, nil
}

// byID gives each id its value; "_" is one that was not heard.
func (p *poll) byID() map[int]string {
	out := map[int]string{}
	next := 0
	for _, id := range append(append([]int(nil), p.cfg...), p.cfgj...) {
		if _, known := out[id]; known {
			continue
		}
		if out[id] = "_"; next < len(p.values) {
			out[id] = p.values[next]
			next++
		}
	}
	return out
}

func (p *poll) reached(ids []int) (uint64, error) {
	values := p.byID()
	var acked []uint64
	for _, id := range ids {
		n := uint64(0)
		if v := values[id]; v != "_" {
			var err error
			if n, err = strconv.ParseUint(v, 10, 64); err != nil {
				return 0, err
			}
		}
		acked = append(acked, n)
	}
	return quorum.Reached(acked), nil
}

func (p *poll) committed() (string, error) {
	if len(p.cfg) == 0 && len(p.cfgj) == 0 {
		// etcd lets nobody commit everything, as the neutral element of joint majorities.
		// Ours are joined only if there is an outgoing set, and nobody is no majority.
		return "∞", nil
	}
	sets := [][]int{p.cfg}
	if len(p.cfgj) > 0 {
		sets = append(sets, p.cfgj)
	}
	if len(p.cfg) == 0 {
		sets = sets[1:] // a joint state without new voters doesn't exist here
	}
	least := ^uint64(0)
	for _, ids := range sets {
		n, err := p.reached(ids)
		if err != nil {
			return "", err
		}
		least = min(least, n)
	}
	return strconv.FormatUint(least, 10), nil
}

func (p *poll) vote() string {
	values := p.byID()
	count := func(ids []int) quorum.Result {
		yes, no := 0, 0
		for _, id := range ids {
			switch values[id] {
			case "y":
				yes++
			case "n":
				no++
			}
		}
		return quorum.Count(yes, no, len(ids))
	}
	var r quorum.Result
	switch {
	case len(p.cfg) == 0 && len(p.cfgj) == 0:
		r = quorum.Won // as above
	case len(p.cfg) == 0:
		r = count(p.cfgj)
	case len(p.cfgj) == 0:
		r = count(p.cfg)
	default:
		r = quorum.Both(count(p.cfg), count(p.cfgj))
	}
	return map[quorum.Result]string{quorum.Won: "VoteWon", quorum.Lost: "VoteLost", quorum.Pending: "VotePending"}[r]
}

// TestQuorumVectors replays all of etcd's vectors for single and joint majorities.
// Of their output only the last line counts: the rest is a drawing.
func TestQuorumVectors(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(moduleDir(t), "quorum", "testdata", "*.txt"))
	if err != nil || len(files) < 4 {
		t.Fatalf("etcd's vectors: %v, %v", files, err)
	}
	vectors := 0
	for _, f := range files {
		datadriven.RunTest(t, f, func(t *testing.T, d *datadriven.TestData) string {
			p, err := parsePoll(d)
			got := ""
			switch {
			case err != nil:
			case d.Cmd == "committed":
				got, err = p.committed()
			case d.Cmd == "vote":
				got = p.vote()
			default:
				err = fmt.Errorf("unknown command %s", d.Cmd)
			}
			if err != nil {
				t.Errorf("%s: %v", d.Pos, err)
			}
			vectors++
			lines := strings.Split(strings.TrimSpace(d.Expected), "\n")
			if want := strings.TrimPrefix(lines[len(lines)-1], "<empty majority quorum>"); got != want {
				return got + "\n"
			}
			return d.Expected
		})
	}
	if vectors < 127 {
		t.Errorf("%d vectors, there were 127", vectors)
	}
	t.Logf("%d vectors", vectors)
}
