package segments

import (
	"errors"
	"fmt"

	"github.com/logq/logq/record"
)

// Errors to compare with errors.Is.
var (
	// ErrCorrupt is what every *CorruptionError is: bytes on disk are not what was
	// written there. Don't retry; the replica needs repair from its peers.
	ErrCorrupt = errors.New("segments: the log is damaged")
	// ErrNotOurs says that a file is no segment, or one of another partition.
	// Nothing was changed; look whether the data directory is the right one.
	ErrNotOurs = errors.New("segments: not a segment of this partition")
	// ErrClosed is returned by every call after Close.
	ErrClosed = errors.New("segments: the log is closed")
	// ErrTruncated says that entries went away while they were read. Look where
	// the log ends now, and ask again.
	ErrTruncated = errors.New("segments: the log was truncated during the read")
)

// CorruptionError says where the log on disk is damaged.
type CorruptionError struct {
	Path      string
	SegmentID ID
	Offset    int64 // in the file, bytes
	Index     Index // the entry that should be there
	Err       error // what is wrong with it
}

// Error names file, place and remedy.
func (e *CorruptionError) Error() string {
	return fmt.Sprintf("segments: %s is damaged at byte %d (entry %d): %v; keep the file, the replica must be repaired from its peers",
		e.Path, e.Offset, e.Index, e.Err)
}

// Unwrap returns the finding.
func (e *CorruptionError) Unwrap() error { return e.Err }

// Is makes every CorruptionError an ErrCorrupt.
func (e *CorruptionError) Is(target error) bool { return target == ErrCorrupt }

// FrameError says why bytes are not the frame they should be.
type FrameError struct {
	Index  Index // expected, or the header's if nothing was; 0 if unknown
	Pos    int   // of the frame in the input, bytes
	Reason string
}

// Error gives the reason.
func (e *FrameError) Error() string {
	return fmt.Sprintf("segments: frame of entry %d at byte %d: %s", e.Index, e.Pos, e.Reason)
}

// VersionError says that another logq wrote a file, mostly a newer one.
type VersionError struct {
	Path          string
	Version, Know uint32
}

// Error names the remedy.
func (e *VersionError) Error() string {
	if e.Version < e.Know {
		return fmt.Sprintf("segments: %s has format version %d, of before the first release; this logq reads %d only: start with an empty data directory", e.Path, e.Version, e.Know)
	}
	return fmt.Sprintf("segments: %s has format version %d, this logq knows up to %d: start the newer logq again", e.Path, e.Version, e.Know)
}

// IdentityError says that a file belongs to another partition; it is an ErrNotOurs.
type IdentityError struct {
	Path      string
	Got, Want Identity
}

// Error names both partitions.
func (e *IdentityError) Error() string {
	return fmt.Sprintf("segments: %s belongs to partition %d of topic %x, not to partition %d of topic %x: is this the right data directory?",
		e.Path, e.Got.Partition, e.Got.Topic, e.Want.Partition, e.Want.Topic)
}

// Is makes every IdentityError an ErrNotOurs.
func (e *IdentityError) Is(target error) bool { return target == ErrNotOurs }

// OrderError refuses an append or a truncation that doesn't continue the log.
// The log is unchanged. It is a mistake of the caller.
type OrderError struct {
	What      string // the field
	Got, Want uint64 // Want is the value, or the bound that What names
}

// Error gives both values.
func (e *OrderError) Error() string {
	return fmt.Sprintf("segments: entry doesn't continue the log: %s is %d, want %d", e.What, e.Got, e.Want)
}

// TooLargeError refuses a payload above the format's limit.
type TooLargeError struct{ Size, Max int }

// Error gives size and limit.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("segments: payload of %d bytes, at most %d fit a frame", e.Size, e.Max)
}

// PoisonedError is returned by Flush after the first failed write or sync, for
// ever. What was not durable then is unknown: it may be on disk or not. Reopen
// the log to go on.
type PoisonedError struct {
	Dir   string
	Cause error
}

// Error names the directory and the cause; FATAL tells that the surroundings
// are at fault, not the program.
func (e *PoisonedError) Error() string {
	return fmt.Sprintf("FATAL: segments: writing in %s failed, the log takes no more writes until it is opened again: %v", e.Dir, e.Cause)
}

// Unwrap returns the first error.
func (e *PoisonedError) Unwrap() error { return e.Cause }

// OutOfRangeError says that an offset lies outside the log.
type OutOfRangeError struct {
	Start, Next record.Offset // the log is [Start, Next)
}

// Error gives the range.
func (e *OutOfRangeError) Error() string {
	return fmt.Sprintf("segments: offset outside of the log [%d,%d)", e.Start, e.Next)
}

// EntriesError says that entries are not, or not all, in the log.
type EntriesError struct {
	Lo, Hi      Index // asked for, [Lo, Hi)
	First, Last Index // the log; First > Last if it is empty
}

// Error gives both ranges.
func (e *EntriesError) Error() string {
	return fmt.Sprintf("segments: entries [%d,%d) are not in the log, which holds %d to %d", e.Lo, e.Hi, e.First, e.Last)
}
