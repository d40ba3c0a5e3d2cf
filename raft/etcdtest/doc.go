// Package etcdtest holds package raft against go.etcd.io/raft/v3, which is a
// dependency of these tests only: the speed of the two cores on the same work, and
// etcd's vectors for majorities, read from the module and replayed on ours.
//
//	go test ./raft/etcdtest -run xxx -bench . -benchmem
//
// The benchmarks give committed entries per second of processor time. Both cores
// run three or five replicas in one goroutine, with messages handed over in memory
// and disks that are done at once. The work is not the same inside: etcd's core
// carries the entries' bytes and their marshalled form in messages, ours knows only
// their sizes, and its driver attaches bytes elsewhere. That is what is measured.
package etcdtest
