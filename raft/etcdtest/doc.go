// Package etcdtest holds package raft against go.etcd.io/raft/v3, which is a
// dependency of these tests only. What is etcd's is read from its module and
// replayed on ours, nothing is copied:
//
//   - the vectors for majorities;
//   - the vectors for changes of configuration, on etcd's own Changer and on a group
//     of ours;
//   - the scripted scenarios, in etcd's own environment and, command by command, on a
//     group of ours in rafttest with a network and disks that do as the script says.
//     At each point where nothing is on its way, role, term, vote, commit index, last
//     entry and configuration of the replicas are compared. What differs by design is
//     evened out in one place, which is named at script in script_test.go.
//
// Where the two don't agree, the tests have a table with the reason of each, which
// must be neither too short nor too long. Random scenarios are run likewise, and of
// them nothing is excused: campaigns and proposals by leaders that reach some of the
// others (-scenarios says how many).
//
//	go test ./raft/etcdtest
//	go test ./raft/etcdtest -run Random -v -args -scenarios 20000
//
// tells more with -v, and much less of that with DATADRIVEN_QUIET_LOG=true. The two
// are also measured on the same work:
//
//	go test ./raft/etcdtest -run xxx -bench . -benchmem
//
// BenchmarkCommit gives committed entries per second of processor time. Both cores
// run three or five replicas in one goroutine, with messages handed over in memory
// and disks that are done at once. The work is not the same inside: etcd's core
// carries the entries' bytes and their marshalled form in messages, ours knows only
// their sizes, and its driver attaches bytes elsewhere. That is what is measured.
// BenchmarkMemory gives the bytes of an idle core.
package etcdtest
