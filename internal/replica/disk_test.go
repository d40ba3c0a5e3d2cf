package replica

import (
	"testing"

	"github.com/logq/logq/raft"
)

// TestDiskQueueOrder: a Ready is persisted only when all that it asked of both
// files is durable, and everything before it too (docs/internals/raft.md, D1 and D4).
func TestDiskQueueOrder(t *testing.T) {
	var q diskQueue
	q.push(1, true, false) // a vote
	q.push(2, false, true) // entries
	q.push(3, true, true)  // term and entries
	q.push(4, false, true) // entries

	w := q.take(false)
	if !w.Save || !w.Flush || w.SaveN != 3 || w.FlushN != 4 {
		t.Fatalf("first work is %+v", w)
	}
	if w := q.take(false); w.Save || w.Flush {
		t.Fatalf("work handed out twice: %+v", w)
	}
	q.flushDone(4)
	if n := q.next(); n != 0 {
		t.Fatalf("Ready %d persisted before the hard state of Ready 1", n)
	}
	q.saved(3)
	if n := q.next(); n != 4 {
		t.Fatalf("persisted up to %d, want 4", n)
	}
	if n := q.next(); n != 0 {
		t.Fatalf("Ready %d persisted twice", n)
	}
}

func TestDiskQueueGathersWhileSyncing(t *testing.T) {
	var q diskQueue
	q.push(1, false, true)
	if w := q.take(false); !w.Flush || w.FlushN != 1 {
		t.Fatalf("work is %+v", w)
	}
	q.push(2, false, true)
	q.push(3, false, true)
	if w := q.take(false); w.Flush {
		t.Fatal("a second flush while one is under way")
	}
	q.flushDone(1)
	if n := q.next(); n != 1 {
		t.Fatalf("persisted up to %d, want 1", n)
	}
	if w := q.take(false); !w.Flush || w.FlushN != 3 {
		t.Fatalf("the next group commit is %+v, want all up to 3", w)
	}
}

// The mark of a closed log is deleted before anything is cut off, with the next save or
// with one of its own, and stays while the log doesn't hold what it proves.
func TestDiskQueueMark(t *testing.T) {
	q := diskQueue{marked: true}
	q.push(1, false, true)
	if w := q.take(true); w.Save || !w.Flush {
		t.Fatalf("an append is %+v", w)
	}
	q.flushDone(1)
	q.push(2, false, true)
	q.cuts = true
	if w := q.take(false); !w.Flush || w.Unmark {
		t.Fatalf("a cut of a log that must keep its mark is %+v", w)
	}
	q.flushDone(2)
	q.push(3, false, true)
	w := q.take(true)
	if !w.Save || !w.Unmark || w.Flush {
		t.Fatalf("a cut is %+v", w)
	}
	if w := q.take(true); w.Save || w.Flush {
		t.Fatalf("handed out again: %+v", w)
	}
	q.saved(w.SaveN)
	if n := q.next(); n != 2 {
		t.Fatalf("persisted up to %d, want 2", n)
	}
	if w := q.take(true); w.Save || !w.Flush || w.FlushN != 3 {
		t.Fatalf("after the mark is gone: %+v", w)
	}

	q = diskQueue{marked: true}
	q.push(1, true, false)
	w = q.take(true)
	if !w.Save || !w.Unmark {
		t.Fatalf("a vote doesn't take the mark along: %+v", w)
	}
	q.push(2, false, true)
	q.cuts = true
	if w := q.take(true); w.Flush {
		t.Fatal("a cut before the mark is gone")
	}
	q.saved(w.SaveN)
	if w := q.take(true); !w.Flush {
		t.Fatal("the cut is forgotten")
	}
}

func TestMarkRoundTrip(t *testing.T) {
	want := raft.EntryID{Term: 1 << 40, Index: 7}
	id, got, err := DecodeMark(EncodeMark(9, want))
	if err != nil || id != 9 || got != want {
		t.Errorf("got %d %v, %v", id, got, err)
	}
	for name, b := range map[string][]byte{"empty": {}, "long": make([]byte, stateBytes+1), "version": append([]byte{9}, make([]byte, stateBytes-1)...)} {
		if _, _, err := DecodeMark(b); err == nil {
			t.Errorf("%s value decodes", name)
		}
	}
}

func FuzzDecodeMark(f *testing.F) {
	f.Add(EncodeMark(5, raft.EntryID{Term: 2, Index: 3}))
	f.Fuzz(func(t *testing.T, b []byte) {
		id, e, err := DecodeMark(b)
		if err == nil && string(EncodeMark(id, e)) != string(b) {
			t.Errorf("%x decodes to something else", b)
		}
	})
}
