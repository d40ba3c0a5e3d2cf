package raft_test

import (
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/logq/logq/raft"
)

// goldenMessages are the messages whose bytes are in testdata/messages.hex, in
// order. Bytes in that file never change: brokers of other versions send them.
func goldenMessages() []raft.Message {
	g := raft.GroupID{0: 0xa0, 15: 0xaf, 19: 7}
	return []raft.Message{
		{Type: raft.MsgPreVote, Group: g, From: 1, To: 2, Term: 8, Index: 1000, LogTerm: 7, Context: 3},
		{Type: raft.MsgPreVoteReply, Group: g, From: 2, To: 1, Term: 8, Context: 3},
		{Type: raft.MsgVote, Group: g, From: 65537, To: 2, Term: 8, Index: 1000, LogTerm: 7, Transfer: true},
		{Type: raft.MsgVoteReply, Group: g, From: 2, To: 65537, Term: 8, Reject: true},
		{Type: raft.MsgAppend, Group: g, From: 1, To: 2, Term: 8, Index: 1000, LogTerm: 7, Commit: 998, Lo: 1001, Hi: 1128, EntryTerm: 8, Context: 127},
		{Type: raft.MsgAppendReply, Group: g, From: 2, To: 1, Term: 8, Index: 1127, HintIndex: 1127, Context: 127},
		{Type: raft.MsgAppendReply, Group: g, From: 2, To: 1, Term: 8, Reject: true, Index: 1000, LogTerm: 7, HintIndex: 900, HintTerm: 5, HintFirst: 800, Context: 128},
		{Type: raft.MsgHeartbeat, Group: g, From: 1, To: 2, Term: 8, Commit: 1127, Context: 16384},
		{Type: raft.MsgHeartbeatReply, Group: g, From: 2, To: 1, Term: 8, Index: 1127, HintIndex: 1127, Context: 16384},
		{Type: raft.MsgTimeoutNow, Group: g, From: 1, To: 2, Term: 8},
		{Type: raft.MsgAppend, Group: g, From: 1 << 63, To: ^raft.ReplicaID(0), Term: 1 << 62, Index: 1<<62 - 1, LogTerm: 1 << 62, Commit: 1 << 62, Lo: 1 << 62, Hi: 1 << 62, EntryTerm: 1, HintIndex: 1, HintTerm: 2, HintFirst: 3, Context: ^uint64(0)},
	}
}

func TestMessageGoldenBytes(t *testing.T) {
	file, err := os.ReadFile("testdata/messages.hex")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(file)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	golden := goldenMessages()
	if len(lines) != len(golden) {
		t.Fatalf("%d lines for %d messages", len(lines), len(golden))
	}
	for i, m := range golden {
		got := m.AppendTo(nil)
		if hex.EncodeToString(got) != lines[i] {
			t.Errorf("message %d encodes as\n%x, want\n%s", i, got, lines[i])
		}
		raw, err := hex.DecodeString(lines[i])
		if err != nil {
			t.Fatal(err)
		}
		var back raft.Message
		n, err := back.Decode(append(raw, 1, 2, 3))
		if err != nil || n != len(raw) || back != m {
			t.Errorf("message %d decodes as %+v, %d bytes, %v", i, back, n, err)
		}
		if len(got) > raft.MaxMessageSize {
			t.Errorf("message %d has %d bytes, the limit is %d", i, len(got), raft.MaxMessageSize)
		}
	}
}

func TestMessageDecodeRefuses(t *testing.T) {
	good := goldenMessages()[4].AppendTo(nil)
	edit := func(at int, v byte) []byte {
		b := append([]byte(nil), good...)
		b[at] = v
		return b
	}
	for name, src := range map[string][]byte{
		"empty":                 nil,
		"header cut off":        good[:24],
		"field cut off":         good[:len(good)-1],
		"version":               edit(0, 2),
		"type 0":                edit(1, 0),
		"type unknown":          edit(1, 13),
		"flag unknown":          edit(2, 8),
		"field unknown":         edit(24, 0x20),
		"field present but 0":   edit(25, 0),
		"varint not shortest":   append(append([]byte(nil), good[:25]...), 0x81, 0x00),
		"varint over 64 bits":   append(append([]byte(nil), good[:25]...), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f),
		"varint without an end": append(append([]byte(nil), good[:25]...), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
	} {
		var m raft.Message
		n, err := m.Decode(src)
		var de *raft.DecodeError
		if n != 0 || !errors.As(err, &de) {
			t.Errorf("%s: %d bytes, %v, want a DecodeError", name, n, err)
		}
	}
}

// Any message that can be built comes back as it was.
func TestMessageRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var buf []byte
	for range 20_000 {
		m := randomMessage(r)
		buf = m.AppendTo(buf[:0])
		var back raft.Message
		if n, err := back.Decode(buf); err != nil || n != len(buf) || back != m {
			t.Fatalf("%+v comes back as %+v, %d of %d bytes, %v", m, back, n, len(buf), err)
		}
	}
}

func randomMessage(r *rand.Rand) raft.Message {
	num := func() uint64 { return r.Uint64() >> r.IntN(65) }
	m := raft.Message{
		Type: raft.MessageType(1 + r.IntN(9)), Reject: r.IntN(2) == 0, Transfer: r.IntN(4) == 0,
		From: raft.ReplicaID(num()), To: raft.ReplicaID(num()), Term: raft.Term(num()),
		Index: raft.Index(num()), LogTerm: raft.Term(num()), Commit: raft.Index(num()),
		Lo: raft.Index(num()), Hi: raft.Index(num()), EntryTerm: raft.Term(num()),
		HintIndex: raft.Index(num()), HintTerm: raft.Term(num()), HintFirst: raft.Index(num()), Context: num(),
	}
	for i := range m.Group {
		m.Group[i] = byte(r.Uint32())
	}
	return m
}

// FuzzMessageDecode: what decodes encodes to the same bytes, and nothing panics
// or reads beyond what it says.
func FuzzMessageDecode(f *testing.F) {
	for _, m := range goldenMessages() {
		f.Add(m.AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		var m raft.Message
		n, err := m.Decode(src)
		if err != nil {
			if n != 0 {
				t.Errorf("an error and %d bytes", n)
			}
			return
		}
		if n > len(src) || n > raft.MaxMessageSize {
			t.Fatalf("%d of %d bytes", n, len(src))
		}
		if back := m.AppendTo(nil); string(back) != string(src[:n]) {
			t.Errorf("%x decodes, and encodes as %x", src[:n], back)
		}
		_ = m.String()
	})
}

func TestMessageCodecAllocatesNothing(t *testing.T) {
	m := goldenMessages()[4]
	buf := make([]byte, 0, raft.MaxMessageSize)
	var back raft.Message
	if n := testing.AllocsPerRun(1000, func() {
		buf = m.AppendTo(buf[:0])
		if _, err := back.Decode(buf); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations for one message", n)
	}
}
