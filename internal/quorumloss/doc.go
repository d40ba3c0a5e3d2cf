// Package quorumloss is the last resort for a group that has lost the majority of
// its voters for good: it shows what a survivor holds and, if that is accepted,
// makes the survivor the sole voter.
//
//	replicas, err := quorumloss.Survey(fs, dir, journal) // reads only
//	err = quorumloss.Accept(fs, dir, journal, replicas[0])
//
// It works on the data directory of a stopped broker, whose lock the caller holds.
//
// # What may be lost
//
// A survivor can't know what the others had. What lies behind its last entry may
// have been acknowledged by a majority without it, and is lost. What lies between
// the commit index that it knows and its last entry may have been acknowledged or
// not; it is kept, and counts as committed from then on. The survivor with the
// latest last entry (by term, then index) loses least.
//
// # How
//
// Accept raises the term in the journal, with a vote for the replica itself, and
// appends an entry with the configuration of one voter in that term. So the replica
// starts as the only voter of its newest configuration, elects itself and commits
// all that it has. The other replicas of the group must never run again: with the
// old configuration they could elect a leader of their own.
package quorumloss
