// Command mutants puts deliberate bugs into the production code, one at a time,
// and checks that the simulation catches each of them:
//
//	go run ./internal/sim/mutants
//
// It prints a table of what was broken, where, after how many histories it was
// caught and by which invariant, and fails if any mutant survives. The tree is
// not touched: a mutant is laid over its file with go build's -overlay.
package main
