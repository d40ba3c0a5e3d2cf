package raft_test

import (
	"fmt"

	"github.com/logq/logq/raft"
)

// memory is a log of sizes.
type memory []int

// Fit implements raft.Log.
func (m *memory) Fit(lo, hi raft.Index, maxBytes int) (end raft.Index, bytes int) {
	for end = lo; end < hi; end++ {
		size := (*m)[end-1]
		if end > lo && bytes+size > maxBytes {
			break
		}
		bytes += size
	}
	return end, bytes
}

// A group of one replica: the driver's loop, with a disk that is a variable.
func ExampleCore() {
	var log memory
	c, err := raft.New(raft.Options{ID: 1, Voters: []raft.ReplicaID{1}}, &log, raft.HardState{}, raft.LogState{})
	if err != nil {
		fmt.Println(err)
		return
	}
	carryOut := func(size int) {
		for c.Pending() {
			r := c.Ready()
			for range r.Append.Hi - r.Append.Lo { // write the entries, and r.Hard
				log = append(log, size)
			}
			if r.Commit != 0 {
				fmt.Println("committed", r.Commit)
			}
			if r.Role != nil {
				fmt.Printf("%v of term %d, serving: %v\n", r.Role.Role, r.Role.Term, r.Role.Serving)
			}
			if r.N != 0 { // synced
				c.Persisted(r.N)
			}
		}
	}
	c.Campaign() // or call Tick until the election timeout
	carryOut(0)
	if _, err := c.Propose(0, []int{100, 250}); err != nil {
		fmt.Println(err)
	}
	carryOut(100)
	// Output:
	// candidate of term 1, serving: false
	// leader of term 1, serving: false
	// committed 1
	// leader of term 1, serving: true
	// committed 3
}
