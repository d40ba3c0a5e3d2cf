package raft_test

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/logq/logq/raft"
)

// The payload of a config entry, byte for byte: it is on disks and must be read by
// every later version.
func TestConfigGoldenBytes(t *testing.T) {
	for want, c := range map[string]raft.Config{
		"01000000":                       {},
		"01010100" + "00":                {Voters: ids(1)},
		"0103010101" + "0000":            {Voters: ids(1, 2, 3)},
		"010201030301" + "0101" + "0105": {Voters: ids(1, 4), Outgoing: ids(1, 2, 3), Learners: ids(5)},
		"01018080808010" + "0000":        {Voters: ids(1 << 32)},
	} {
		got := hex.EncodeToString(c.AppendTo(nil))
		if got != want {
			t.Errorf("%v is encoded as %s, want %s", c, got, want)
		}
		b, err := hex.DecodeString(want)
		if err != nil {
			t.Fatal(err)
		}
		back, err := raft.DecodeConfig(b)
		if err != nil || !back.Equal(c) {
			t.Errorf("%s is decoded as %v, %v, want %v", want, back, err, c)
		}
	}
}

func TestDecodeConfigRefuses(t *testing.T) {
	long := "01" + "21" + strings.Repeat("01", 33) + "0000"
	for name, in := range map[string]string{
		"nothing":                    "",
		"another version":            "02000000",
		"cut off before a list":      "0100",
		"cut off in a list":          "01020100",
		"cut off in a number":        "010180",
		"a number too large":         "0101ffffffffffffffffff7f0000",
		"not in the shortest form":   "0101810000" + "00",
		"too many":                   long,
		"the same twice":             "0102010000" + "00",
		"replica 0":                  "01010000" + "00",
		"beyond the last replica":    "0102ffffffffffffffffff01020000",
		"something behind it":        "0100000000",
		"length cut off":             "01",
		"a length too large to read": "01ffffffffffffffffff7f",
	} {
		b, err := hex.DecodeString(in)
		if err != nil {
			t.Fatal(err)
		}
		var de *raft.DecodeError
		if c, err := raft.DecodeConfig(b); !errors.As(err, &de) {
			t.Errorf("%s gives %v, %v, want a DecodeError", name, c, err)
		}
	}
	for name, c := range map[string]raft.Config{
		"learners alone":      {Learners: ids(1)},
		"outgoing ones alone": {Outgoing: ids(1)},
		"voter and learner":   {Voters: ids(1, 2), Learners: ids(2)},
	} {
		var ce *raft.ConfigError
		if _, err := raft.DecodeConfig(c.AppendTo(nil)); !errors.As(err, &ce) {
			t.Errorf("%s gives %v, want a ConfigError", name, err)
		}
	}
}

// A voter on its way out may be a learner already: it becomes one.
func TestConfigValidates(t *testing.T) {
	for _, c := range []raft.Config{
		{}, {Voters: ids(1)}, {Voters: ids(1, 2), Outgoing: ids(2, 3), Learners: ids(3, 4)},
	} {
		if err := c.Validate(); err != nil {
			t.Errorf("%v: %v", c, err)
		}
	}
}

func TestConfigIsAValue(t *testing.T) {
	c := raft.Config{Voters: ids(1, 2), Outgoing: ids(2, 3), Learners: ids(4)}
	d := c.Clone()
	want(t, "equal", c.Equal(d), true)
	d.Voters[0], d.Outgoing[0], d.Learners[0] = 7, 8, 9
	want(t, "the original", c.String(), "voters(1,2) outgoing(2,3) learners(4)")
	want(t, "equal", c.Equal(d), false)
	for id, in := range map[raft.ReplicaID][2]bool{1: {true, true}, 3: {true, true}, 4: {true, false}, 5: {false, false}} {
		want(t, "contains", c.Contains(id), in[0])
		want(t, "votes", c.Votes(id), in[1])
	}
	want(t, "joint", c.Joint(), true)
	want(t, "nobody", raft.Config{}.String(), "nobody")

	// What a core is given it doesn't keep, nor does it give away its own.
	voters := ids(1, 2, 3)
	core := newCore(t, raft.Options{ID: 1, Voters: voters}, raft.HardState{}, raft.LogState{})
	voters[1] = 9
	core.lead(t)
	core.step(t, raft.Message{Type: raft.MsgAppendReply, From: 3, Term: 1, Index: 1, HintIndex: 1, Context: 1})
	learners := ids(4)
	if _, err := core.ProposeConfig(0, ids(1, 2, 3), learners); err != nil {
		t.Fatal(err)
	}
	learners[0] = 9
	want(t, "configuration", core.Status().Config.String(), "voters(1,2,3) learners(4)")
	follower := newCore(t, raft.Options{ID: 1}, raft.HardState{}, raft.LogState{})
	heard := raft.Config{Voters: ids(2, 3)}
	follower.step(t, raft.Message{Type: raft.MsgAppend, From: 2, Term: 1, Lo: 1, Hi: 2, EntryTerm: 1}, raft.ConfigEntry{Index: 1, Config: heard})
	heard.Voters[0] = 9
	want(t, "configuration", follower.Status().Config.String(), "voters(2,3)")
}

// A log state that contradicts itself is refused, with all faults at once.
func TestLogStateReportsAllFaults(t *testing.T) {
	for name, ls := range map[string]raft.LogState{
		"term start behind the end":     {Last: 2, Terms: []raft.TermStart{{Term: 1, First: 1}, {Term: 2, First: 3}}},
		"term starts descend":           {Last: 9, Terms: []raft.TermStart{{Term: 1, First: 1}, {Term: 1, First: 3}}},
		"entry of no term":              {Last: 9, Terms: []raft.TermStart{{First: 1}}},
		"gap behind the start":          {Prev: raft.EntryID{Term: 1, Index: 4}, Last: 9, Terms: []raft.TermStart{{Term: 1, First: 6}}},
		"term falls behind the start":   {Prev: raft.EntryID{Term: 3, Index: 4}, Last: 9, Terms: []raft.TermStart{{Term: 1, First: 5}}},
		"start without a term":          {Prev: raft.EntryID{Index: 4}, Last: 4},
		"end before the start":          {Prev: raft.EntryID{Term: 1, Index: 4}, Last: 3},
		"entries without a term":        {Last: 3},
		"commit behind the end":         {Commit: 1},
		"commit before the start":       {Prev: raft.EntryID{Term: 1, Index: 4}, Last: 4, Commit: 3},
		"damage outside":                {Damaged: 1, Unsettled: 1},
		"promised without a term":       {Promised: raft.EntryID{Index: 4}},
		"configuration behind the end":  {Configs: []raft.ConfigEntry{{Index: 1, Config: raft.Config{Voters: ids(1)}}}},
		"configurations not in order":   {Last: 9, Terms: []raft.TermStart{{Term: 1, First: 1}}, Configs: []raft.ConfigEntry{{Index: 2}, {Index: 2}}},
		"two configurations before it":  {Prev: raft.EntryID{Term: 1, Index: 4}, Last: 4, Configs: []raft.ConfigEntry{{Index: 2}, {Index: 3}}},
		"configuration that is invalid": {Last: 9, Terms: []raft.TermStart{{Term: 1, First: 1}}, Configs: []raft.ConfigEntry{{Index: 2, Config: raft.Config{Voters: ids(2, 1)}}}},
	} {
		if _, err := raft.New(raft.Options{ID: 1, Voters: ids(1)}, flatLog{1}, raft.HardState{}, ls); err == nil {
			t.Errorf("%s is accepted: %+v", name, ls)
		}
	}
	_, err := raft.New(raft.Options{ID: 1, Voters: ids(1, 1)}, nil, raft.HardState{}, raft.LogState{Damaged: 7, Unsettled: 7, Promised: raft.EntryID{Term: 1}})
	for _, part := range []string{"appears twice", "damaged", "promised", "log is nil"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v doesn't say %q", err, part)
		}
	}
}
