package peer_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"github.com/logq/logq/internal/peer"
	"github.com/logq/logq/raft"
)

func heartbeat(from, to uint64) []byte {
	m := raft.Message{Type: raft.MsgHeartbeat, From: raft.ReplicaID(from), To: raft.ReplicaID(to), Term: 3}
	return m.AppendTo(nil)
}

func TestFrameRoundTrip(t *testing.T) {
	var wire []byte
	want := []struct {
		typ        uint8
		head, body []byte
	}{
		{peer.FrameRaft, heartbeat(1, 2), nil},
		{peer.FrameRaft, heartbeat(1, 2), bytes.Repeat([]byte("e"), 100_000)},
		{peer.FrameGossip, bytes.Repeat([]byte("g"), 70_000), nil},
		{peer.FrameGossip, nil, nil},
		{peer.FrameBatch, bytes.Repeat(heartbeat(1, 2), 300), nil},
		{peer.FramePulse, []byte("pulse"), nil},
		{peer.FramePing, []byte("cluster"), nil},
		{peer.FrameRequest, make([]byte, peer.RequestHead+5), nil},
	}
	for _, w := range want {
		wire = peer.AppendFrame(wire, w.typ, w.head, w.body)
	}
	fr := peer.NewFrameReader(bytes.NewReader(wire), 1<<20)
	for i, w := range want {
		typ, head, body, err := fr.Next()
		if err != nil || typ != w.typ || !bytes.Equal(head, w.head) || !bytes.Equal(body, w.body) {
			t.Fatalf("frame %d: type %d, %d and %d bytes, %v", i, typ, len(head), len(body), err)
		}
		if w.typ == peer.FrameRaft && cap(body) != len(w.body) && len(w.body) >= 32<<10 {
			t.Errorf("frame %d: a body of %d bytes in %d", i, len(body), cap(body))
		}
	}
	if _, _, _, err := fr.Next(); err != io.EOF {
		t.Fatalf("after the last: %v", err)
	}
}

// TestFrameFlips flips every bit of the covered part: none is taken for good.
func TestFrameFlips(t *testing.T) {
	good := peer.AppendFrame(nil, peer.FrameRaft, heartbeat(1, 2), []byte("entries have checksums of their own"))
	covered := peer.FrameHeader + len(heartbeat(1, 2))
	for i := range covered {
		for bit := range 8 {
			bad := bytes.Clone(good)
			bad[i] ^= 1 << bit
			_, _, _, err := peer.NewFrameReader(bytes.NewReader(bad), 1<<20).Next()
			var fe *peer.FrameError
			if !errors.As(err, &fe) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("byte %d, bit %d: %v", i, bit, err)
			}
		}
	}
	for i := range good {
		_, _, _, err := peer.NewFrameReader(bytes.NewReader(good[:i]), 1<<20).Next()
		if want := io.ErrUnexpectedEOF; i > 0 && err != want || i == 0 && err != io.EOF {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
}

// TestFrameLimit: a length over the limit is refused before memory is taken.
func TestFrameLimit(t *testing.T) {
	head := make([]byte, peer.FrameHeader)
	head[8] = peer.FrameGossip
	for _, n := range []uint32{1001, 1 << 20, 1 << 31, 1<<32 - 1} {
		binary.LittleEndian.PutUint32(head, n)
		binary.LittleEndian.PutUint32(head[4:], n)
		var fe *peer.FrameError
		allocs := testing.AllocsPerRun(1, func() {
			if _, _, _, err := peer.NewFrameReader(bytes.NewReader(head), 1000).Next(); !errors.As(err, &fe) {
				t.Errorf("%d bytes: %v", n, err)
			}
		})
		if allocs > 20 {
			t.Errorf("%d bytes: %v allocations", n, allocs)
		}
	}
}

func FuzzReadFrames(f *testing.F) {
	f.Add(peer.AppendFrame(nil, peer.FrameRaft, heartbeat(1, 2), []byte("entries")))
	f.Add(peer.AppendFrame(peer.AppendFrame(nil, peer.FramePing, []byte("c"), nil), peer.FrameGossip, []byte("gossip"), nil))
	f.Add(peer.AppendFrame(nil, peer.FrameRequest, make([]byte, 20), nil))
	f.Fuzz(func(t *testing.T, src []byte) {
		fr := peer.NewFrameReader(bytes.NewReader(src), 1<<16)
		var again []byte
		for {
			typ, head, body, err := fr.Next()
			if err != nil {
				break
			}
			again = peer.AppendFrame(again, typ, head, body)
		}
		if !bytes.HasPrefix(src, again) {
			t.Fatalf("%x is read as %x", src, again)
		}
	})
}
