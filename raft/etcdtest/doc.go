// Package etcdtest holds package raft against go.etcd.io/raft/v3, which is a
// dependency of these tests only. What is etcd's is read from its module and
// replayed on ours, nothing is copied:
//
//   - the vectors for majorities;
//   - the vectors for changes of configuration, on etcd's own Changer and on a group
//     of ours. Where the two don't agree, the test has a table with the reason of
//     each, which may be neither too short nor too long;
//
// and the two are measured on the same work:
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
