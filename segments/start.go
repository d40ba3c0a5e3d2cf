package segments

import (
	"errors"
	"hash/crc32"

	"github.com/logq/logq/record"
)

// ConfigAt is a config entry's payload, or the one that was in force at some
// point. The log doesn't read it. An empty payload means: none in this log.
type ConfigAt struct {
	Index   Index
	Payload []byte
}

// Start is where a log begins, and all that must be known there of what came
// before: the snapshot of a log.
type Start struct {
	PrevIndex Index // of the entry before the first, 0 if there is none
	PrevTerm  Term
	// NextOffset is the offset that the first record has or will get.
	NextOffset record.Offset
	// ConfigIndex and Config are the configuration in force, see ConfigAt.
	ConfigIndex Index
	Config      []byte
}

const (
	startVersion = 1
	startFixed   = 1 + 4*8
	startCRC     = 4 // behind it all: a Start decides about offsets and members
)

// errStart: bytes that are no Start.
var errStart = errors.New("segments: the start of a log doesn't decode: unknown version, length or checksum")

// AppendTo appends the Start as it travels to a replica that is to begin there:
// version, previous index and term, next offset, index of the configuration, all
// little-endian, then the configuration and a CRC-32C of all that.
func (s *Start) AppendTo(dst []byte) []byte {
	begin := len(dst)
	dst = append(dst, startVersion)
	dst = le.AppendUint64(dst, uint64(s.PrevIndex))
	dst = le.AppendUint64(dst, uint64(s.PrevTerm))
	dst = le.AppendUint64(dst, uint64(s.NextOffset))
	dst = le.AppendUint64(dst, uint64(s.ConfigIndex))
	dst = append(dst, s.Config...)
	return le.AppendUint32(dst, crc32.Checksum(dst[begin:], castagnoli))
}

// DecodeStart is the inverse of AppendTo. The Start aliases nothing of b.
func DecodeStart(b []byte) (Start, error) {
	n := len(b) - startCRC
	if n < startFixed || b[0] != startVersion || n-startFixed > MaxConfigBytes || crc32.Checksum(b[:n], castagnoli) != le.Uint32(b[n:]) {
		return Start{}, errStart
	}
	b = b[:n]
	s := Start{
		PrevIndex: Index(le.Uint64(b[1:])), PrevTerm: Term(le.Uint64(b[9:])), NextOffset: record.Offset(le.Uint64(b[17:])),
		ConfigIndex: Index(le.Uint64(b[25:])),
	}
	if len(b) > startFixed {
		s.Config = append(s.Config, b[startFixed:]...)
	}
	if s.NextOffset < 0 || (s.PrevIndex == 0) != (s.PrevTerm == 0) || s.ConfigIndex > s.PrevIndex {
		return Start{}, errStart
	}
	return s, nil
}

// Start returns where the log begins. Its Config is empty if none was in force
// there that this log ever knew.
func (l *Log) Start() Start {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return Start{
		PrevIndex: l.first - 1, PrevTerm: l.prevTerm, NextOffset: l.start,
		ConfigIndex: l.firstConfig.Index, Config: l.firstConfig.Payload,
	}
}

// Configs returns the config entries in the log, ascending. The payloads are
// shared and must not be changed.
func (l *Log) Configs() []ConfigAt {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return append([]ConfigAt(nil), l.configs...)
}

// Reset replaces the whole log by an empty one that begins at s: in memory at
// once, on disk with the next Flush. The old files stay until the new one is
// durable, and a crash leaves one log or the other. Committed entries are never
// given up for an earlier start: that gives an *OrderError. write is as in Local.
func (l *Log) Reset(s Start, write Term) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return ErrClosed
	case s.PrevIndex <= l.commit:
		return &OrderError{What: "start of a new log at or below the commit index", Got: uint64(s.PrevIndex), Want: uint64(l.commit + 1)}
	case write < l.write || write < s.PrevTerm:
		return &OrderError{What: "write term falls", Got: uint64(write), Want: uint64(max(l.write, s.PrevTerm))}
	case len(s.Config) > MaxConfigBytes:
		return &TooLargeError{Size: len(s.Config), Max: MaxConfigBytes}
	}
	for _, seg := range l.segs {
		l.replace(seg)
	}
	l.truncated++
	l.tail.clear()
	l.cur.Store(nil)
	l.loose = nil
	l.terms, l.configs, l.gaps = nil, nil, nil
	l.first, l.prevTerm, l.start = s.PrevIndex+1, s.PrevTerm, s.NextOffset
	l.firstConfig = ConfigAt{s.ConfigIndex, append([]byte(nil), s.Config...)}
	l.last, l.lastTerm, l.next = s.PrevIndex, s.PrevTerm, s.NextOffset
	l.taken, l.durable, l.commit = l.last, l.last, l.last
	l.write, l.mustRise = write, false
	seg := l.newSegment(l.newID(write), l.first, l.start, l.prevTerm)
	seg.starts = true
	if l.o.Now != nil {
		seg.created = l.o.Now()
	}
	l.maxID = seg.id
	l.segs = append(make([]*segment, 0, 1), seg)
	return nil
}

// TrimFront drops whole segments from the front whose entries are all below index
// i, committed and durable; never the last segment, and no gap that hides which
// configuration is in force behind it. In memory at once; a later Flush removes the
// files. Readers of what is dropped get *EntriesError or *OutOfRangeError.
func (l *Log) TrimFront(i Index) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	n := 0
	for n < len(l.segs)-1 && l.segs[n].next <= min(i, l.commit+1, l.durable+1) {
		n++
	}
	for n > 0 && l.configBefore(l.segs[n].base) > l.segs[n].config.Index {
		n--
	}
	if n == 0 {
		return nil
	}
	for _, seg := range l.segs[:n] {
		l.replace(seg)
	}
	seg := l.segs[n]
	l.segs = append([]*segment(nil), l.segs[n:]...)
	l.truncated++ // readers look again at what there is
	l.first, l.prevTerm, l.start = seg.base, seg.basePrev, seg.baseOffset
	l.firstConfig = seg.config
	seg.starts, seg.rehead = true, seg.made
	l.keepGaps(l.first, l.last)
	for len(l.configs) > 0 && l.configs[0].Index < l.first {
		l.configs = l.configs[1:]
	}
	for len(l.terms) > 1 && l.terms[1].First <= l.first {
		l.terms = l.terms[1:]
	}
	if len(l.terms) > 0 {
		l.terms = append([]TermStart(nil), l.terms...)
		l.terms[0].First = max(l.terms[0].First, l.first)
	}
	for len(l.tail.chunks) > 1 && l.tail.chunks[0].next() <= l.first {
		l.tail.evict()
	}
	return nil
}

// replace gives up a segment's file, which the next Flush removes after all else.
func (l *Log) replace(seg *segment) {
	if seg.made {
		l.replaced = append(l.replaced, seg)
	}
}
