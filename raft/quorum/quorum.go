package quorum

import (
	"fmt"
	"strings"
)

// Size returns the least number of voters that is more than half of n. It is 1
// for n = 0, so that no one is never a majority.
func Size(n int) int { return n/2 + 1 }

// Reached returns the highest value that a majority of the voters has reached,
// where acked holds one value for each voter: 0 for a voter that was not heard.
// It is 0 without voters. It sorts acked in place.
func Reached[I ~uint64](acked []I) I {
	n := len(acked)
	if n == 0 {
		return 0
	}
	// Insertion sort: groups have a handful of voters.
	for i := 1; i < n; i++ {
		for j := i; j > 0 && acked[j-1] > acked[j]; j-- {
			acked[j-1], acked[j] = acked[j], acked[j-1]
		}
	}
	return acked[n-Size(n)]
}

// Result is how a poll stands.
type Result uint8

// The results. Pending can still become either.
const (
	Pending Result = iota
	Won
	Lost
)

// String returns the result's name.
func (r Result) String() string {
	switch r {
	case Pending:
		return "pending"
	case Won:
		return "won"
	case Lost:
		return "lost"
	default:
		return fmt.Sprintf("result(%d)", uint8(r))
	}
}

// Count returns how a poll of n voters stands after yes and no answers: Lost as
// soon as the open ones can't win it any more.
func Count(yes, no, n int) Result {
	switch need := Size(n); {
	case yes >= need:
		return Won
	case n-no < need:
		return Lost
	default:
		return Pending
	}
}

// Both returns how a poll stands that both of two sets of voters must win: the
// joint state of a change of voters (§6 of the Raft paper).
func Both(a, b Result) Result {
	switch {
	case a == Lost || b == Lost:
		return Lost
	case a == Won && b == Won:
		return Won
	default:
		return Pending
	}
}

// Describe draws, for golden files and logs, how far each voter has got and
// which value a majority has reached. ids and acked are parallel; it changes
// neither.
func Describe[I ~uint64](ids []uint64, acked []I) string {
	const widthMax = 40
	var top I = 1
	for _, a := range acked {
		top = max(top, a)
	}
	reached := Reached(append([]I(nil), acked...))
	var b strings.Builder
	for i, id := range ids {
		bar := int(uint64(acked[i]) * widthMax / uint64(top))
		mark := ""
		if acked[i] >= reached && reached > 0 {
			mark = " *"
		}
		fmt.Fprintf(&b, "%4d |%-*s %d%s\n", id, widthMax, strings.Repeat("=", bar), acked[i], mark)
	}
	fmt.Fprintf(&b, "%d of %d needed, reached %d\n", Size(len(ids)), len(ids), reached)
	return b.String()
}
