package segments

import "github.com/logq/logq/record"

// Sizes and limits, in bytes unless said otherwise.
const (
	// MaxConfigBytes bounds the payload of a config entry, so that the header block of
	// a segment can hold it.
	MaxConfigBytes = posHeaderCRC - posFileReserved

	// FrameHeaderSize is what a frame adds to its payload.
	FrameHeaderSize = 96
	// ReplicatedSize is the first part of a frame's header, equal on all replicas.
	ReplicatedSize = 64
	// FileHeaderSize is the header block of a segment file.
	FileHeaderSize = 4096
	// MaxPayloadBytes bounds a frame's payload, and so what a damaged length can
	// make a reader allocate.
	MaxPayloadBytes = 8 << 20
	// MaxFrameBytes bounds a frame.
	MaxFrameBytes = FrameHeaderSize + MaxPayloadBytes

	// DefaultSegmentBytes is the size at which a segment rolls.
	DefaultSegmentBytes = 128 << 20
	// MaxSegmentBytes bounds Options.SegmentBytes.
	MaxSegmentBytes = 2 << 30
	// DefaultTailBytes is the budget of the recent tail in memory.
	DefaultTailBytes = 8 << 20
	// DefaultIndexInterval is the distance of sparse index entries: what a read
	// from disk may have to skip.
	DefaultIndexInterval = 32 << 10

	// chunkBytesMin and chunkBytesMax bound the pieces of the tail. They start
	// small, so that an idle partition costs little, and double.
	chunkBytesMin = 4 << 10
	chunkBytesMax = 1 << 20
	// alignedChunkBytes is the size from which chunks lie in memory as in the file, so
	// that they are written without a copy; it costs a block each.
	alignedChunkBytes = 64 << 10
	// Files are preallocated in steps that grow between these sizes. Each step makes a
	// sync change metadata; the space is given back when the log rolls.
	allocBytesMin = 64 << 10
	allocBytesMax = 64 << 20
	allocFactor   = 3
	// scanBytes is how much a scan reads at a time.
	scanBytes = 256 << 10
	// idRollBits is how far a segment ID is shifted to make room for the rolls
	// within one term.
	idRollBits = 24
	// footMarksMax bounds the sparse index in a footer: 256 KiB. Beyond that every second,
	// third … mark is left out.
	footMarksMax = 8192
	// footTermsMax and footConfigBytesMax bound the lists in a footer. A segment with
	// more gets none and is read when the log is opened.
	footTermsMax       = 4096
	footConfigBytesMax = 256 << 10
	// fileBytesMax bounds the frames of a file: one frame may exceed the limit alone.
	fileBytesMax = MaxSegmentBytes + FileHeaderSize + MaxFrameBytes
	// gapsMax bounds the damaged places of a log; one with more is beyond repair.
	gapsMax = 1024
	// readRetriesMax bounds how often a read begins again because the log was
	// truncated under it.
	readRetriesMax = 8
)

// A batch that package record accepts always fits a frame.
const _ = uint(MaxPayloadBytes - record.MaxBatchBytes)

// A chunk holds any frame's position as uint32.
const _ = uint(1<<32 - 1 - chunkBytesMax - MaxFrameBytes)
