// Command soak plays many histories of package sim, for hours if need be:
//
//	go run ./internal/sim/soak -histories 1000000 -seed 1
//
// It tells how far it is every half minute, and at the end, or after the time of
// -for, or when it is interrupted, prints the report: histories and steps a minute,
// how often each fault was injected, and which transitions were seen. The first
// history that breaks an invariant ends it: the report then names the seed and
// shows the end of the smallest history that was found to fail the same way. The
// exit status is 1 then.
package main
