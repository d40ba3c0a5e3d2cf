package powerloss

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
)

// Ledger holds what was sent, what became of it and what consumers have seen, and
// finds what contradicts that. It is safe for concurrent use. Use NewLedger.
type Ledger struct {
	seed uint64

	mu       sync.Mutex
	fates    []fate            // guarded by mu; of record id at id-1
	places   map[lane][]uint64 // guarded by mu; the id that is known to be at an offset, 0: none
	breaches [kinds]Breaches   // guarded by mu
	acked    int64             // guarded by mu
}

// lane is a partition.
type lane struct {
	topic     string
	partition int32
}

// fate is what is known of a record.
type fate struct {
	lane
	bytes   int // of the value
	outcome outcome
	twice   bool // it may be stored more than once
	acked   int64
}

type outcome uint8

const (
	pending outcome = iota
	acknowledged
	unknown
	notWritten
)

// Kind is a promise that was broken.
type Kind uint8

// What can be found.
const (
	Lost     Kind = iota // an acknowledged record is not at its offset
	Unseen               // a record that a consumer has seen is not at its offset any more
	Invented             // what was read was never sent, or not to there, or not so
	Returned             // a record that was reported as not written, and never to be, is there
	Twice                // a record is there twice, and nobody said that it might be
	Gap                  // an offset was left out or came out of order
	kinds
)

func (k Kind) String() string {
	return [...]string{"lost", "unseen", "invented", "returned", "twice", "gap"}[k]
}

// Breaches are the findings of a kind: how many, and the first few in words.
type Breaches struct {
	Kind  Kind
	Count int64
	First []string
}

// shownMax bounds the findings that are kept in words.
const shownMax = 5

// header is what a value begins with: the record's id.
const header = 8

// NewLedger returns an empty ledger, whose records are made from the seed.
func NewLedger(seed uint64) *Ledger { return &Ledger{seed: seed, places: make(map[lane][]uint64)} }

// Send enters a record that is about to be sent and returns its id and value, of so
// many bytes or the 8 that the id takes.
func (l *Ledger) Send(topic string, partition int32, valueBytes int) (id uint64, value []byte) {
	valueBytes = max(valueBytes, header)
	l.mu.Lock()
	l.fates = append(l.fates, fate{lane: lane{topic, partition}, bytes: valueBytes})
	id = uint64(len(l.fates))
	l.mu.Unlock()
	return id, l.value(id, valueBytes)
}

// value is the same for the same id, and looks like nothing else: it does not compress.
func (l *Ledger) value(id uint64, n int) []byte {
	v := make([]byte, n+header)
	binary.BigEndian.PutUint64(v, id)
	rng := rand.NewPCG(l.seed, id)
	for i := header; i < n; i += header {
		binary.LittleEndian.PutUint64(v[i:], rng.Uint64())
	}
	return v[:n:n]
}

// Acked enters that a record was acknowledged at an offset.
func (l *Ledger) Acked(id uint64, offset int64, maybeDuplicate bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := &l.fates[id-1]
	f.outcome, f.acked, f.twice = acknowledged, offset, f.twice || maybeDuplicate
	l.acked++
	l.place(f.lane, offset, id)
}

// Failed enters that a record was not acknowledged: nothing is known of it, or it is
// not stored and never will be.
func (l *Ledger) Failed(id uint64, isUnknown bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := &l.fates[id-1]
	f.outcome = notWritten
	if isUnknown {
		f.outcome = unknown
	}
}

// AckedCount returns how many records were acknowledged.
func (l *Ledger) AckedCount() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acked
}

// Saw enters what a consumer was given.
func (l *Ledger) Saw(topic string, partition int32, offset int64, value []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if id := l.known(lane{topic, partition}, offset, value); id != 0 {
		l.place(lane{topic, partition}, offset, id)
	}
}

// known returns the id of a record that was sent to there just so, else 0 and a
// breach. It is called with l.mu held.
func (l *Ledger) known(at lane, offset int64, value []byte) uint64 {
	if len(value) < header {
		l.breach(Invented, "%s/%d offset %d: a value of %d bytes", at.topic, at.partition, offset, len(value))
		return 0
	}
	id := binary.BigEndian.Uint64(value)
	if id == 0 || id > uint64(len(l.fates)) {
		l.breach(Invented, "%s/%d offset %d: record %d was never sent", at.topic, at.partition, offset, id)
		return 0
	}
	f := &l.fates[id-1]
	if f.lane != at {
		l.breach(Invented, "%s/%d offset %d: record %d was sent to %s/%d", at.topic, at.partition, offset, id, f.topic, f.partition)
		return 0
	}
	if !bytes.Equal(value, l.value(id, f.bytes)) {
		l.breach(Invented, "%s/%d offset %d: record %d has other bytes than were sent", at.topic, at.partition, offset, id)
		return 0
	}
	if f.outcome == notWritten {
		l.breach(Returned, "%s/%d offset %d: record %d was reported as not written", at.topic, at.partition, offset, id)
	}
	return id
}

// place enters that id is at offset; what was known to be there before is gone then.
// It is called with l.mu held.
func (l *Ledger) place(at lane, offset int64, id uint64) {
	ids := l.places[at]
	for int64(len(ids)) <= offset {
		ids = append(ids, 0)
	}
	if old := ids[offset]; old != 0 && old != id {
		l.gone(at, offset, old, fmt.Sprintf("record %d is there", id))
	}
	ids[offset] = id
	l.places[at] = ids
}

// gone is called with l.mu held.
func (l *Ledger) gone(at lane, offset int64, id uint64, instead string) {
	kind, what := Unseen, "was seen"
	if f := &l.fates[id-1]; f.outcome == acknowledged && f.acked == offset {
		kind, what = Lost, "was acknowledged"
	}
	l.breach(kind, "%s/%d offset %d: record %d %s there, but %s", at.topic, at.partition, offset, id, what, instead)
}

// breach is called with l.mu held.
func (l *Ledger) breach(k Kind, format string, args ...any) {
	b := &l.breaches[k]
	b.Kind = k
	if b.Count++; len(b.First) < shownMax {
		b.First = append(b.First, fmt.Sprintf(format, args...))
	}
}

// Breaches returns all that was found so far, by kind; none: all promises were kept.
func (l *Ledger) Breaches() []Breaches {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []Breaches
	for _, b := range l.breaches {
		if b.Count > 0 {
			found = append(found, b)
		}
	}
	return found
}
