// Package meta is the cluster's metadata as a pure fold: brokers, topics and the placement of their partitions, built by
// applying the committed records of the metadata group in order.
//
// Start with a [State]. Every broker feeds it the same committed records and so gets the same state:
//
//	state := meta.NewState()
//	for each committed record r of the metadata group, in order {
//		result := state.Apply(int64(r.Offset), r.Key, r.Value)
//		…
//	}
//	snapshot := state.Snapshot() // for readers on other goroutines
//
// The controller makes records with [Encode], after deciding everything that is not deterministic (ids, placement): a
// command says what is so, never what should be chosen.
//
// # Contract
//
// The caller's duties: apply each committed record once, in offset order, and nothing that is not committed. A [State]
// belongs to one goroutine. A [Snapshot] is immutable and may be read by any number of goroutines for ever; the topics and
// brokers that it returns are shared and must not be changed. Apply keeps nothing of the key and value that it is given.
//
// # Errors
//
// A committed record cannot be refused by one broker alone, so Apply never fails: a record that breaks a rule (a topic that
// exists, a name that is not valid), that is malformed, or whose command is not known changes nothing, on every broker
// alike, and the [Result] says why with a typed error. The controller hands that error to who asked.
//
// Commands are idempotent by id: create-topic and delete-topic repeat without effect and without error, so that a broker
// that does not know the outcome of its request can ask again.
//
// # Versions
//
// Each record carries the feature level that it needs. A record above [SupportedLevel] freezes the state: from there on
// this build would fold differently from newer ones, so it stops instead ([Snapshot.Unsupported]). Levels are raised only when every
// registered broker supports them ([Snapshot.MinFeatureLevel]).
//
// # Limits
//
// All limits are named in limits.go. They are part of the fold: a change of one needs a new feature level, or brokers would
// disagree on what was accepted.
package meta
