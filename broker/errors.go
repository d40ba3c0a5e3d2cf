package broker

import (
	"errors"
	"fmt"
)

// What errors.Is finds in the error of Start, or of a broker that can't go on.
var (
	// ErrDirectoryInUse: a live broker holds the data directory.
	ErrDirectoryInUse = errors.New("the directory is in use by a running broker")
	// ErrWrongBroker: the data directory is another broker's.
	ErrWrongBroker = errors.New("the directory belongs to another broker")
	// ErrWrongCluster: the data directory is that of another cluster.
	ErrWrongCluster = errors.New("the directory belongs to another cluster")
	// ErrNewerFormat: a newer release wrote the data directory.
	ErrNewerFormat = errors.New("a newer release wrote the directory")
	// ErrDamagedDirectory: it can't be told whose the data directory is.
	ErrDamagedDirectory = errors.New("the directory is damaged")
	// ErrFenced: the cluster doesn't let the broker go on with its data directory. It was
	// removed, is registered with another directory, or the directory is an old copy.
	ErrFenced = errors.New("the cluster does not accept the directory")
	// ErrJoin: the broker could not join a cluster, or its directory is none to join with.
	ErrJoin = errors.New("the broker has not joined the cluster")
	// ErrListen: a listener could not be opened, mostly because its port is in use.
	ErrListen = errors.New("a listener could not be opened")
)

// DirectoryError says why a data directory can't be used. Nothing in it was
// changed.
type DirectoryError struct {
	Path   string
	Kind   error  // one of the errors above
	Reason string // what was found, and what to do
	Err    error  // the cause below, if there is one
}

// Error names the directory, the fault and the remedy.
func (e *DirectoryError) Error() string {
	s := fmt.Sprintf("data directory %s: %v: %s", e.Path, e.Kind, e.Reason)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the kind and the cause.
func (e *DirectoryError) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Err}
}

// listenError joins what a listener says with ErrListen.
func listenError(err error) error {
	if err == nil {
		return nil
	}
	return &markedError{err, ErrListen}
}

// markedError is an error that also matches a mark, without showing it.
type markedError struct{ err, mark error }

// Error is that of the error.
func (e *markedError) Error() string { return e.err.Error() }

// Unwrap returns the error and the mark.
func (e *markedError) Unwrap() []error { return []error{e.err, e.mark} }
