//go:build !race

package sim_test

// defaultHistories is how many histories every run of the tests plays.
const defaultHistories = 2000
