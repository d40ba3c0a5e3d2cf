package replica

import "testing"

// TestDiskQueueOrder: a Ready is persisted only when all that it asked of both
// files is durable, and everything before it too (docs/internals/raft.md, D1 and D4).
func TestDiskQueueOrder(t *testing.T) {
	var q diskQueue
	q.push(1, true, false) // a vote
	q.push(2, false, true) // entries
	q.push(3, true, true)  // term and entries
	q.push(4, false, true) // entries

	w := q.take()
	if !w.Save || !w.Flush || w.SaveN != 3 || w.FlushN != 4 {
		t.Fatalf("first work is %+v", w)
	}
	if w := q.take(); w.Save || w.Flush {
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
	if w := q.take(); !w.Flush || w.FlushN != 1 {
		t.Fatalf("work is %+v", w)
	}
	q.push(2, false, true)
	q.push(3, false, true)
	if w := q.take(); w.Flush {
		t.Fatal("a second flush while one is under way")
	}
	q.flushDone(1)
	if n := q.next(); n != 1 {
		t.Fatalf("persisted up to %d, want 1", n)
	}
	if w := q.take(); !w.Flush || w.FlushN != 3 {
		t.Fatalf("the next group commit is %+v, want all up to 3", w)
	}
}
