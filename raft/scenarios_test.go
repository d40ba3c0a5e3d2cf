package raft_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// place is where a test is: a directory, and the names of tests or scripts there.
type place struct {
	dir   string // from the root of the module
	tests []string
}

func in(dir string, tests ...string) place { return place{dir, tests} }
func here(tests ...string) place           { return place{"raft", tests} }
func scripts(names ...string) place        { return place{"raft/testdata/scenarios", names} }
func rows(first int, rows ...[]place) (m map[string][]place) {
	m = make(map[string][]place)
	for i, r := range rows {
		m[fmt.Sprintf("S%d", first+i)] = r
	}
	return m
}

// scenarios says which tests play S1 to S36 of the design. Those about the core are
// here, those about hosts, disks or clusters where these are.
var scenarios = rows(1,
	[]place{here("TestS1_Figure8"), scripts("figure8.txt")},
	[]place{here("TestS2_VoteAndCrash"), scripts("vote_crash.txt", "vote_request_waits.txt")},
	[]place{here("TestS3_StepDownKeepsTheVote")},
	[]place{here("TestS4_PreCandidateKeepsTheVote")},
	[]place{here("TestS5_LatePreVotes")},
	[]place{here("TestS6_DisruptiveServer"), scripts("prevote_disruptive.txt")},
	[]place{here("TestS7_PartialConnectivity")},
	[]place{here("TestS8_VoterHasLostWhatItAcknowledged", "TestS8_LeaderLowersTheMatch", "TestS8_RepairingVoterComparesWithWhatItHad",
		"TestS8_RepairingCandidateDoesNotCountItself", "TestS8_RepairEnds", "TestPowerLossElectsSoon", "TestD3_TornTailsDontBarFromVoting"),
		scripts("lost_tail.txt", "lost_range.txt", "not_lost_yet.txt"), in("segments", "TestEvidence", "TestTornTail")},
	[]place{here("TestS9_StaleSuffixComesBack"), in("segments", "TestStaleSuffix")},
	[]place{here("TestS10_CompletionOfAReplacedWrite"), scripts("aba.txt")},
	[]place{here("TestS11_LeaderLosesWhatOthersHave"), scripts("parallel_write.txt")},
	[]place{here("TestS12_LeaderCountsItsDisk"), scripts("own_match.txt")},
	[]place{here("TestS13_LeaderDiesInTheJointState", "TestS13_JointStateIsLeftAfterATransfer", "TestS13_SuccessorLeavesTheJointState", "TestS13_TransferInTheJointState")},
	[]place{here("TestS14_SecondChangeIsRefused", "TestS14_ChangeBeforeAnOwnTermCommit", "TestS14_RefusedChanges")},
	[]place{here("TestS15_TruncatedConfiguration", "TestS15_ConfigurationReplacedByAnother", "TestS15_ConfigurationRolledBack")},
	[]place{here("TestS16_LearnerLags", "TestS16_LearnerVotesAsTheCandidateSays", "TestS16_PromotedReplicaCrashes", "TestS16_SlowLearnerIsNotPromoted")},
	[]place{here("TestS17_RemovedLeader", "TestS17_RemovedOneOfTwoMustLeadAgain", "TestS17_RemovedLeaderStepsDown", "TestS17_RemovedLeaderMustLeadAgain")},
	[]place{here("TestS18_RemovedReplicaCampaigns", "TestS18_RetiredReplicaAnswersLate")},
	[]place{here("TestS19_StaleReads"), scripts("read_index.txt"), in("internal/multiraft", "TestLatestIsLinearizable")},
	[]place{here("TestS20_LeaseCountsFromTheHeartbeat", "TestS20_LeaseNeedsAMajority", "TestS20_NoLeaseAfterATransfer",
		"TestS20_RestartedVoterWaits", "TestS20_LateRefusalDoesNotEndStickiness", "TestS20_PausedLeader", "TestS20_NewLeadershipHasNoLease", "TestS20_LeaseOfTheJointState"),
		in("internal/multiraft", "TestLeaseReads", "TestLeaseIsShorterThanAnElectionTimeout")},
	[]place{here("TestS21_Transfer"), scripts("transfer.txt", "transfer_fallback.txt")},
	[]place{here("TestS22_DiskFull"), in("segments", "TestFaultAnywhere"), in("broker", "TestDiskFailureOfOneReplica")},
	[]place{here("TestS23_FaultedReplicaIsSilent"), scripts("fault.txt"), in("internal/multiraft", "TestFailedSyncTakesTheReplicaOut", "TestFailedJournalEndsTheHost"),
		in("internal/journal", "TestWeakness5SyncErrorNotSticky"), in("segments", "TestLostSync")},
	[]place{here("TestS24_HungDiskLosesLeadership", "TestS24_HungFollowerDoesNotCampaign", "TestS24_SlowDisksEverywhereKeepTheLeader",
		"TestS24_SingleVoterStays", "TestHungDiskDoesNotCampaign"), in("internal/multiraft", "TestD7LeaderWithAHungDiskHandsOver", "TestHungJournalDoesNotLead")},
	[]place{here("TestS25_LeaderCannotReceive"), scripts("check_quorum.txt")},
	[]place{here("TestS26_JumpBehindTheCommitIndex", "TestS26_AppendFromBelowTheJump", "TestS26_JumpsOfTwoLeaders",
		"TestS26_CrashWhileTheLogIsReplaced", "TestS26_TrimWhileJumping", "TestS26_JumpIsLost"),
		in("segments", "TestResetCrashAnywhere", "TestTrimCrashAnywhere"), in("internal/multiraft", "TestLearnerBehindTheLogStart")},
	[]place{here("TestS27_LateAppends", "TestS27_AcknowledgeTheVerifiedPrefix"), scripts("reordered_appends.txt")},
	[]place{in("internal/multiraft", "TestS28UnreadableEntriesAreNotSent")},
	[]place{here("TestS29_AllRestart"), scripts("restart_all.txt")},
	[]place{here("TestS30_WipedDiskUnderTheSameID"), in("internal/multiraft", "TestGroupMovesToOtherBrokers", "TestOpenRefuses"), in("internal/meta", "TestDirectories")},
	[]place{here("TestS31_ProbingGoesOn"), scripts("appends_stuck.txt")},
	[]place{here("TestS32_WindowLost"), scripts("window_lost.txt")},
	[]place{here("TestS33_LongDivergentTails"), scripts("long_tail.txt", "figure7.txt")},
	[]place{in("internal/multiraft", "TestBrokerDiesAndReturns", "TestManyGroupsShareTheJournal")},
	[]place{here("TestS35_BrokenInvariantIsTyped", "TestHarmIsPrevented")}, // the host parks it: internal/multiraft, shard.go
	[]place{here("TestS36_LargeBatchOnASlowLink", "TestDiss1021_PipelineIsBounded"), in("internal/peer", "TestQueueIsBounded", "TestStuckWriter"),
		in("internal/multiraft", "TestRecoveryLetsLiveTrafficFirst", "TestQuotaOfUncommittedBytes")},
)

// traps says the same of D1 to D7, and which mutant each of them is.
var traps = map[string]struct {
	places  []place
	mutants []string
}{
	"D1": {[]place{here("TestD1_OldWriteVouchesForItsPrefixOnly", "TestS10_CompletionOfAReplacedWrite"), scripts("aba.txt")},
		[]string{"durable index without its write's number", "writes to the old log vouch for the new one"}},
	"D2": {[]place{here("TestS9_StaleSuffixComesBack"), in("segments", "TestStaleSuffix")}, []string{"stale suffix kept (D2)"}},
	"D3": {[]place{here("TestD3_TornTailsDontBarFromVoting", "TestPowerLossElectsSoon"), in("segments", "TestEvidence", "TestTornTail")},
		[]string{"replica that lost its tail votes as if it hadn't"}},
	"D4": {[]place{here("TestD4_AcknowledgementWaitsForBothFiles", "TestD4_OwnVoteWaitsForTheLog", "TestS12_LeaderCountsItsDisk"), scripts("own_match.txt")},
		[]string{"leader counts itself before its disk has it", "own vote counted before it is durable", "journal not waited for", "segments not waited for"}},
	"D5": {[]place{in("segments", "TestGoldenFrames"), in("broker", "TestReplicasHoldTheSame")}, nil},
	"D6": {[]place{in("segments", "TestSealable")}, nil},
	"D7": {[]place{here("TestD7_LeadershipDependsOnTheDisk", "TestD7_NoPreVoteWithoutADisk", "TestS24_HungDiskLosesLeadership"),
		in("internal/multiraft", "TestD7LeaderWithAHungDiskHandsOver")},
		[]string{"leader whose disk hangs leads on (D7)", "replica whose disk hangs campaigns"}},
}

// Every scenario and every trap has tests, and they exist; what bears the name of one
// is in the table.
func TestScenariosHaveTests(t *testing.T) {
	known := make(map[string]map[string]bool)
	exists := func(label string, places []place) {
		if len(places) == 0 {
			t.Errorf("%s has no test", label)
		}
		for _, p := range places {
			if known[p.dir] == nil {
				known[p.dir] = namesIn(t, filepath.Join("..", filepath.FromSlash(p.dir)))
			}
			for _, name := range p.tests {
				if !known[p.dir][name] {
					t.Errorf("%s: there is no %s in %s", label, name, p.dir)
				}
			}
		}
	}
	listed := make(map[string]bool)
	for i := range 36 {
		label := "S" + strconv.Itoa(i+1)
		exists(label, scenarios[label])
		for _, p := range scenarios[label] {
			for _, name := range p.tests {
				listed[label+" "+name] = true
			}
		}
	}
	mutants := mutantNames(t)
	for i := range 7 {
		label := "D" + strconv.Itoa(i+1)
		exists(label, traps[label].places)
		for _, p := range traps[label].places {
			for _, name := range p.tests {
				listed[label+" "+name] = true
			}
		}
		for _, name := range traps[label].mutants {
			if !mutants[name] {
				t.Errorf("%s: there is no mutant %q", label, name)
			}
		}
	}
	for name := range known["raft"] {
		label, _, ok := strings.Cut(strings.TrimPrefix(name, "Test"), "_")
		if _, number := strconv.Atoi(label[1:]); ok && number == nil && (label[0] == 'S' || label[0] == 'D') && !listed[label+" "+name] {
			t.Errorf("%s is not in the table of %s", name, label)
		}
	}
}

// namesIn returns the tests that the files of a directory declare, or its scripts.
func namesIn(t *testing.T, dir string) map[string]bool {
	t.Helper()
	names := make(map[string]bool)
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if filepath.Ext(f.Name()) == ".txt" {
			names[f.Name()] = true
		}
		if !strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, f.Name()), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Test") {
				names[fn.Name.Name] = true
			}
		}
	}
	return names
}

// mutantNames returns the names in the list of mutants.
func mutantNames(t *testing.T) map[string]bool {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "internal", "sim", "mutants", "list.go"), nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	ast.Inspect(parsed, func(n ast.Node) bool {
		if kv, ok := n.(*ast.KeyValueExpr); ok {
			if key, ok := kv.Key.(*ast.Ident); ok && key.Name == "name" {
				if lit, ok := kv.Value.(*ast.BasicLit); ok {
					if name, err := strconv.Unquote(lit.Value); err == nil {
						names[name] = true
					}
				}
			}
		}
		return true
	})
	return names
}
