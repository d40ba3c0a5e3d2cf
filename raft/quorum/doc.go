// Package quorum is the arithmetic of majorities: what index a majority has
// reached, and how a poll stands. It imports nothing and knows nothing of Raft.
//
//	reached := quorum.Reached(acked)          // of a scratch slice of indexes
//	switch quorum.Count(yes, no, voters) { … }
//
// All functions are pure; Reached reorders the slice that it is given. Any two
// majorities of the same voters have a voter in common, which is all that the
// safety of elections and commits rests on.
package quorum
