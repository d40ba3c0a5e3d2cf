package segments

import (
	"fmt"

	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/record"
)

// Index is a position in a partition's Raft log; the first entry has 1.
type Index uint64

// Term is a Raft term.
type Term uint64

// ID names a segment within its partition and is never used twice there.
type ID uint64

// String returns the ID as it stands in file names.
func (id ID) String() string { return fmt.Sprintf("%016x", uint64(id)) }

// Kind says what an entry is.
type Kind uint8

// The kinds of entries. Zero is never valid: unwritten bytes are no frame.
const (
	KindData   Kind = 1 // one record batch
	KindNoOp   Kind = 2 // nothing; takes an index and no offset
	KindConfig Kind = 3 // bytes that the log doesn't read; takes no offset
)

// String returns the kind's name.
func (k Kind) String() string {
	switch k {
	case KindData:
		return "data"
	case KindNoOp:
		return "no-op"
	case KindConfig:
		return "config"
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Identity names the partition a log belongs to; it salts every checksum.
type Identity struct {
	Topic     [16]byte
	Partition uint32
}

// Frame is the decoded replicated part of a frame.
type Frame struct {
	Kind     Kind
	Index    Index
	Term     Term
	PrevTerm Term // of the entry before, 0 if there is none
	// BaseOffset is the offset of the first record. A no-op or config entry
	// carries the offset that the next record will get.
	BaseOffset record.Offset
	// Records counts the batch's records: at least 1 in a data frame, else 0.
	Records uint32
	// MaxTimestamp is the highest in the batch, in milliseconds since the epoch.
	MaxTimestamp int64
	// Payload is the batch. In a decoded frame it aliases the input.
	Payload []byte
}

// Size returns the bytes that the frame takes on disk and on the wire.
func (f *Frame) Size() int { return FrameHeaderSize + len(f.Payload) }

// Next returns the offset after the frame's last record.
func (f *Frame) Next() record.Offset { return f.BaseOffset + record.Offset(f.Records) }

// Local is what a replica notes in each frame for itself.
type Local struct {
	// WriteTerm is the leader term under which this replica writes the frame. It
	// never falls along the log, and after a Truncate it must rise.
	WriteTerm Term
	// DurableThrough is what the caller knows to be durable. The log knows better
	// and writes its own, exact mark; one above that is refused.
	DurableThrough Index
	// Commit is the commit index the caller knows; it lies below the frame's index.
	Commit Index
	// Config is the index of the configuration that is in force behind the entry, 0 if
	// it is in no entry. The log writes its own.
	Config Index
}

// TermStart says where a term's entries begin.
type TermStart struct {
	Term  Term
	First Index
}

// Options configure a log. FS, Dir and Identity are required; zero sizes take
// the defaults of limits.go.
type Options struct {
	FS       vfs.FS
	Dir      string
	Identity Identity
	// SegmentBytes is the file size at which a segment rolls, header included.
	SegmentBytes int64
	// TailBytes is the budget of the recent tail in memory. What is not yet
	// durable stays in memory beyond it.
	TailBytes int
	// Memory is the budget that the tails of many logs share; nil: one for this log
	// alone, of TailBytes.
	Memory *Memory
	// IndexInterval is the distance of sparse index entries in bytes.
	IndexInterval int
	// DurableMark is an index that the caller knows to have been durable here. A
	// log that ends below it is damaged.
	DurableMark Index
	// Direct has files written past the page cache, where the file system of Dir can
	// do that; see [vfs.ProbeDirect]. It costs less and disturbs no other's cache.
	Direct bool
	// Now returns the time in milliseconds since the epoch, for the header of new
	// files. Nil leaves it out.
	Now func() int64
}

// Recovery says what Open found.
type Recovery struct {
	// Truncated counts the bytes of a torn tail that were cut off: an unfinished
	// group commit, never acknowledged.
	Truncated int64
	// StaleSuffix counts the bytes of an overwritten log's remains that were cut off.
	StaleSuffix int64
	// Evidence is the highest index that some frame, or footer, proves to have been durable.
	// It never lies above the last index: then Open fails.
	Evidence Index
	// Commit is the highest commit mark in the log. After a Finish it is the commit index
	// that the log knew.
	Commit Index
	// WriteTerm is the highest write term in the log. Who appends must have a term
	// that is not below, also if its hard state on disk is older.
	WriteTerm Term
	// Warnings are texts for the operator.
	Warnings []string
}

// Stats is a snapshot of a log's size and work.
type Stats struct {
	Segments       int   // files, and those that the next Flush makes
	Bytes          int64 // of frames and headers in them
	TailBytes      int   // in memory
	UnflushedBytes int64 // not durable yet
	First, Last    Index
	Durable        Index
	Flushes        uint64 // that had something to do
	Writes         uint64 // write calls
	Syncs          uint64 // of files
	WrittenBytes   uint64
	Truncations    uint64
	Seals          uint64 // footers written
	Direct         bool   // files are written past the page cache
}
