//go:build race

package sim_test

// defaultHistories is small with the race detector: histories have no threads, so
// it has little to find.
const defaultHistories = 60
