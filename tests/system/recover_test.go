package system

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// TestRecover: two of three brokers are lost for good. The third shows what it
// has, is made the sole voter, and goes on with all of it.
func TestRecover(t *testing.T) {
	lines := sources(t)[:2000]
	c := newCluster(t, 3)
	must(t, nil, "topic", "create", "t", "--partitions", "1", "--replicas", "3", "--server", c.servers())
	must(t, bytes.NewReader(bytes.Join(lines[:1000], nil)), "produce", "t", "--server", c.servers())
	survivor := c.nodes[0]
	r := logq(t, nil, "recover", "--data", survivor.dir)
	if r.code == 0 || !strings.Contains(r.err, "stop the broker first") {
		t.Errorf("recover beside a live broker: %s", r)
	}
	for _, n := range c.nodes {
		n.kill()
	}
	for _, n := range c.nodes[1:] {
		if err := os.RemoveAll(n.dir); err != nil {
			t.Fatal(err)
		}
	}

	var shown struct {
		Replicas []struct {
			Replica   string `json:"replica"`
			Next      int64  `json:"next"`
			SoleVoter bool   `json:"sole_voter"`
		} `json:"replicas"`
	}
	if err := json.Unmarshal([]byte(must(t, nil, "recover", "--data", survivor.dir, "--json")), &shown); err != nil {
		t.Fatal(err)
	}
	if len(shown.Replicas) != 2 {
		t.Fatalf("shown: %+v", shown)
	}
	held := int64(0)
	for _, s := range shown.Replicas {
		if strings.HasPrefix(s.Replica, "t-0-") {
			held = s.Next
		}
		if s.SoleVoter {
			t.Errorf("%s was changed without --accept-data-loss", s.Replica)
		}
	}
	if r := logq(t, nil, "recover", "--data", survivor.dir, "--replica", "x"); r.code != 2 {
		t.Errorf("an unknown replica: %s", r)
	}
	r = logq(t, nil, "recover", "--data", survivor.dir, "--accept-data-loss")
	if r.code != 0 || !strings.Contains(r.err, "are lost") || strings.Count(r.out, "is the sole voter now") != 2 {
		t.Fatalf("accept: %s", r)
	}

	survivor.start()
	eventually(t, "the survivor takes records", func() error {
		_, err := c.describe("t")
		return err
	})
	one := "nats://" + survivor.listen
	must(t, bytes.NewReader(bytes.Join(lines[held:], nil)), "produce", "t", "--server", one)
	compare(t, lines, must(t, nil, "consume", "t", "--until-end", "--server", one), 0)
}
