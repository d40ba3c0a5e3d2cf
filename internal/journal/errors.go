package journal

import (
	"errors"
	"fmt"
)

// ErrCorrupt is what every [*CorruptionError] is.
var ErrCorrupt = errors.New("journal: corrupt")

// ErrClosed is returned by calls on a journal that was closed.
var ErrClosed = errors.New("journal: closed")

// CorruptionError says that state which may have been promised to others is
// damaged or missing in both copies, so that no newest state can be told.
// Nothing was changed on disk. A retry does not help.
type CorruptionError struct {
	Path       string // the file, or the directory when a whole file is missing
	Offset     int64  // byte in the file where the damage begins
	Generation uint64 // the first Save that is in neither copy
	Reason     string
}

// Error names the file, the fault and the remedy.
func (e *CorruptionError) Error() string {
	return fmt.Sprintf("journal: %s, byte %d: %s: the newest hard state cannot be told (first missing generation: %d); "+
		"nothing was changed. This broker may have voted in terms that it no longer knows, so it must not come back under its old replicas: "+
		"keep the directory for analysis and let the broker rejoin with an empty data directory and a new id",
		e.Path, e.Offset, e.Reason, e.Generation)
}

// Is makes the error match [ErrCorrupt].
func (e *CorruptionError) Is(target error) bool { return target == ErrCorrupt }

// OwnerError says that the journal was written by another broker. Nothing was
// changed on disk.
type OwnerError struct {
	Path        string
	Owner, Want uint64
}

// Error names the directory, both owners and the remedy.
func (e *OwnerError) Error() string {
	return fmt.Sprintf("journal: %s belongs to broker %d, but this is broker %d: start this broker with its own data directory or with id %d",
		e.Path, e.Owner, e.Want, e.Owner)
}

// MissingError says that a journal which must exist does not. Nothing was
// created.
type MissingError struct {
	Path string
}

// Error names the directory and the remedy.
func (e *MissingError) Error() string {
	return fmt.Sprintf("journal: %s holds no journal, but this data directory was in use before: the votes of its replicas are lost; "+
		"restore the directory, or let the broker rejoin with an empty data directory and a new id", e.Path)
}

// PoisonedError is what a journal returns from its first failed write or sync
// on, for ever: what a failed sync left on disk cannot be known, and the next
// sync would report success without having written it. The journal must be
// opened anew, by a new process, to be used again.
type PoisonedError struct {
	Err error // the first failure
}

// Error names the first failure.
func (e *PoisonedError) Error() string {
	return "journal: stopped by an earlier failure, restart the broker after checking the disk: " + e.Err.Error()
}

// Unwrap returns the first failure.
func (e *PoisonedError) Unwrap() error { return e.Err }

// TooLargeError refuses entries beyond a limit. Nothing was written and the
// journal works on.
type TooLargeError struct {
	What      string
	Size, Max int
}

// Error names what is too large, and the limit.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("journal: a %s of %d bytes is over the limit of %d", e.What, e.Size, e.Max)
}

// VersionError says that a newer logq wrote the journal. Nothing was changed on
// disk.
type VersionError struct {
	Path    string
	Version uint8
}

// Error names the file, the version and the remedy.
func (e *VersionError) Error() string {
	return fmt.Sprintf("journal: %s has format version %d, this logq reads version %d: start the newer logq that wrote it",
		e.Path, e.Version, recordVersion)
}
