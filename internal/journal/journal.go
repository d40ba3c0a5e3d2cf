package journal

// Key names one piece of state: a group and what of it.
type Key struct {
	// Group is the id of the Raft group: the topic's UUID, then the partition.
	Group [20]byte
	// Kind tells apart what one group keeps here; 1 is its Raft hard state.
	Kind uint8
}

// Entry is a key with its value. A nil Value deletes the key; an empty value
// that is not nil is a value.
type Entry struct {
	Key   Key
	Value []byte
}

// Journal keeps the newest value of every key across crashes. One goroutine
// calls its methods at a time.
type Journal interface {
	// Save makes all entries durable, in order, as one unit: after a crash either
	// all of them are there or none. Nil means that they are on stable storage.
	// The values are copied. An error other than a [*TooLargeError] means that
	// the outcome is unknown, and the journal is poisoned: every later Save
	// returns a [*PoisonedError] with the first cause.
	Save(entries []Entry) error
	// Load calls f for every key that has a value, in the order of the keys, and
	// returns the first error of f. Everything passed to f is durable. f may keep
	// the values, and must not change them. A poisoned journal loads nothing.
	Load(f func(Entry) error) error
	// Close frees what the journal holds. Saves are durable without it. It fails
	// with a [*PoisonedError] if the journal is poisoned, and closes it anyway.
	Close() error
}

// Limits. A Save or a state beyond them is refused before anything is written.
const (
	// MaxValueBytes is the longest value of one key.
	MaxValueBytes = 1 << 20
	// MaxStateBytes is the most that all live keys and values take together, and
	// what one Save may carry. A million hard states fit.
	MaxStateBytes = 64 << 20
)

// checkSize refuses entries that no record may carry, and those that would let
// the state outgrow one.
func checkSize(s *state, entries []Entry) error {
	total := 0
	for i := range entries {
		n := len(entries[i].Value)
		if n > MaxValueBytes {
			return &TooLargeError{What: "value", Size: n, Max: MaxValueBytes}
		}
		total += n + entryOverhead
	}
	if total > MaxStateBytes {
		return &TooLargeError{What: "save", Size: total, Max: MaxStateBytes}
	}
	if size := s.sizeWith(entries); size > MaxStateBytes {
		return &TooLargeError{What: "state", Size: size, Max: MaxStateBytes}
	}
	return nil
}
