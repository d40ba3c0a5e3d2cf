// Package spec is the specification of Raft as code: the state and the actions of
// raft.tla (Ongaro's dissertation, appendix B), with what package raft adds to them:
// writes that become durable later, pre-votes, joint configurations, log starts that
// move, damage, quiet groups and reads. Tests hand every input of every core, and
// what came of it, to a [Replica]; it answers with a *[Violation] if no sequence of
// actions leads from the state before to the one after, or if a message says what is
// not true. That is trace validation: the histories are those of the tests, and each
// of their steps is held against the specification, not only the outcome.
//
// It shares no code with the core but the types of its inputs and outputs, so that an
// error in one is no error in the other. A [Group] knows all replicas and checks what
// only an observer of the whole can: one leader in a term, Log Matching, Leader
// Completeness, State Machine Safety, a vote that was told is never told otherwise in
// any later life, a read that misses nothing.
//
//	g := spec.New(spec.Options{})
//	r := g.Replica(1)
//	err := r.Start(&options, hard, &logState, &status) // after raft.New
//	err = r.Stepped(&m, nil, core.Step(&m), &status)   // status is taken after it
//	err = r.Ready(&ready, &status)
//
// The caller tells of every input in order, none left out, and of a crash. A Group is
// not safe for use by several goroutines. What is not here: time. Any input may let
// time pass, so a pre-vote, a step-down and the loss of a leader are always allowed;
// that they happen when they should is for other tests.
package spec
