package multiraft

import (
	"errors"
	"fmt"
)

// ErrClosed is returned once the host is closed or its journal has failed.
var ErrClosed = errors.New("the host of replicas is closed")

// ErrDeadline is the cause of a replica.UnknownError when the deadline of an
// append passed before it was committed.
var ErrDeadline = errors.New("the deadline passed before a majority had the batch on disk")

// ErrNotServing is returned by Latest on a replica that doesn't lead.
var ErrNotServing = errors.New("the replica is not the serving leader")

// GroupExistsError says that a group is open already.
type GroupExistsError struct{ Name string }

// Error names the group.
func (e *GroupExistsError) Error() string {
	return fmt.Sprintf("group %s is open already", e.Name)
}

// UnknownGroupError says that no such group is open here.
type UnknownGroupError struct{ ID [20]byte }

// Error names the group.
func (e *UnknownGroupError) Error() string {
	return fmt.Sprintf("group %x is not open on this broker", e.ID)
}

// IdentityError says that the hard state in the journal belongs to another
// replica id than the one that the group is to be opened as: the data directory
// is that of another incarnation, and its votes must not be mixed.
type IdentityError struct {
	Name            string
	Stored, Opening uint64
}

// Error names both ids and the remedy.
func (e *IdentityError) Error() string {
	return fmt.Sprintf("group %s: the journal holds the hard state of replica %d, but replica %d is being opened; remove the old replica's data or open it under its own id", e.Name, e.Stored, e.Opening)
}

// ExpiredError says that an append was past its deadline before it was tried:
// it is not written.
type ExpiredError struct{}

// Error says so.
func (*ExpiredError) Error() string {
	return "the append was past its deadline before it could be tried; it is not written"
}
