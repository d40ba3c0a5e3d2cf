package raft_test

import (
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/logq/logq/raft/rafttest"
)

// TestScenarios runs the scripts in testdata and compares their full traces.
// After a change that is meant: go test ./raft -run TestScenarios -rewrite, and
// read the difference.
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata/scenarios", func(t *testing.T, path string) {
		env := rafttest.NewEnv()
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			return env.Handle(d)
		})
		if env.Cluster() == nil {
			t.Fatal("the script makes no cluster")
		}
		if err := env.Cluster().Err(); err != nil {
			t.Error(err)
		}
	})
}
