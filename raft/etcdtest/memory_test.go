package etcdtest

import (
	"runtime"
	"testing"
)

// idleBytes is what one core of an idle group may take.
const idleBytes = 4 << 10

// perCore returns the bytes of heap for each core of idle groups of three voters,
// all three of which are here and have a leader. With etcd's cores, that includes
// what its in-memory storage holds of the election and of how the group was made;
// ours has the entries elsewhere.
func perCore(tb testing.TB, groups int, make func(testing.TB, int) group) float64 {
	const voters = 3
	before := heap()
	all := []group{}
	for range groups {
		all = append(all, make(tb, voters))
	}
	bytes := float64(heap()-before) / float64(groups) / voters
	runtime.KeepAlive(all)
	return bytes
}

// heap returns the bytes of all that is reachable.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what the first one's finalizers let go
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestIdleMemory: an idle group's core is small.
func TestIdleMemory(t *testing.T) {
	if got := perCore(t, 1000, newOurs); got > idleBytes {
		t.Errorf("%.0f bytes for a core, at most %d", got, idleBytes)
	}
}

// BenchmarkMemory gives the bytes for each core of 10,000 groups.
func BenchmarkMemory(b *testing.B) {
	for _, core := range []struct {
		name string
		make func(testing.TB, int) group
	}{{"logq", newOurs}, {"etcd", newTheirs}} {
		b.Run(core.name, func(b *testing.B) {
			bytes := 0.0
			for range b.N {
				bytes = perCore(b, 10_000, core.make)
			}
			b.ReportMetric(bytes, "B/core")
			b.ReportMetric(0, "ns/op") // making them is not what is measured
		})
	}
}
