package main

import "regexp"

// judge says which tests must catch a mutant.
type judge int

const (
	// simulation: whole replicas with disks, network and clients.
	simulation judge = iota
	// raftHistories: random histories of the core alone, with changes of membership,
	// jumps and lost tails.
	raftHistories
	// raftTests: the tests of the core, for rules that only liveness or a precise
	// moment shows.
	raftTests
)

// judges are the commands. caught finds a number for after, and what was broken.
var judges = []struct {
	name           string // as in the flag -by
	pkg, run, tags string
	skip           string // tests that are another judge's, and may go on for long
	histories      bool
	timeout        string
	after          string
	caught         *regexp.Regexp
}{
	simulation: {
		name: "simulation", pkg: "internal/sim", run: "^TestSim$", histories: true, after: "%s histories",
		caught: regexp.MustCompile(`after (\d+) histories: seed \d+, step \d+: (?:at [0-9.]+ ms, \w+: )?(.*?)(?: \(again|\n)`),
	},
	raftHistories: {
		name: "histories", pkg: "raft", run: "^TestRandomHistories$", histories: true, after: "%s histories of the core",
		caught: regexp.MustCompile(`seed (\d+): (.*?)\n`),
	},
	raftTests: {
		name: "tests", pkg: "raft", run: "^Test", tags: "invariants", skip: "^TestRandomHistories$", after: "%s",
		// Some never end: messages may go on for ever.
		timeout: "60s", caught: regexp.MustCompile(`(?:--- FAIL: |running tests:\n\s*)(\w+).*\n\s*(.*?)\n`),
	},
}
