// Package invariants states what must hold and stops the one part that broke it.
//
// Assertf is always compiled in: the checks it guards are cheap, and a
// production build is where a broken invariant does harm. A false condition
// panics with a *Violation. The owner of the state machine that panicked (the
// shard loop in internal/multiraft) recovers it, parks that one partition and
// goes on serving the others, so a violation never crosses a package border as
// a panic and never takes the broker with it.
//
// Checks that cost more than a comparison (scans of a list, whole-log walks)
// belong behind Enabled, which is a constant set by the build tag
// "invariants":
//
//	if invariants.Enabled {
//		invariants.Assertf(sorted(terms), "term starts out of order: %v", terms)
//	}
//
// Without the tag the block compiles to nothing.
package invariants
