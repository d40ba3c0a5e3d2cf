// Package raft is the Raft consensus algorithm as a pure step function over a
// log whose bytes it never sees.
package raft
