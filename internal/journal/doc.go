// Package journal keeps the Raft hard state of all groups of one broker: small
// values by key, durable when Save returns, in two mirrored copies.
package journal
