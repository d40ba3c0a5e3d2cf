package cli

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/producer"
)

// tally counts what became of the lines. Acks arrive from the producer's
// goroutines while lines are still read.
type tally struct {
	acked, ackedBytes atomic.Int64
	duplicates        atomic.Int64 // acked records that may be stored twice
	failed            atomic.Bool  // at least one line was not acked: send no more

	mu         sync.Mutex
	notWritten lost
	unknown    lost
}

// lost are the lines of one bad outcome.
type lost struct {
	count       int64
	first, last position
	err         error // of the first
}

func (l *lost) add(at position, err error) {
	if l.count == 0 {
		l.first, l.err = at, err
	}
	l.last = at
	l.count++
}

func (t *tally) ack(at position, bytes int, ack producer.Ack, err error) {
	if err == nil {
		t.acked.Add(1)
		t.ackedBytes.Add(int64(bytes))
		if ack.MaybeDuplicate {
			t.duplicates.Add(1)
		}
		return
	}
	t.failed.Store(true)
	t.mu.Lock()
	defer t.mu.Unlock()
	if outcomeOf(err) == protocol.NotWritten {
		t.notWritten.add(at, err)
	} else {
		t.unknown.add(at, err)
	}
}

// outcomeOf asks an error of the libraries for its outcome; without one it is unknown.
func outcomeOf(err error) protocol.Outcome {
	var p *producer.Error
	if errors.As(err, &p) {
		return p.Outcome
	}
	return protocol.OutcomeOf(err)
}

// summary is the end of a produce: printed for people on standard error, and
// with --json as a document on standard output.
type summary struct {
	Topic          string    `json:"topic"`
	Records        int64     `json:"records"` // acknowledged
	Bytes          int64     `json:"bytes"`   // of keys and values
	Seconds        float64   `json:"seconds"`
	RecordsPerSec  float64   `json:"records_per_second"`
	BytesPerSec    float64   `json:"bytes_per_second"`
	MaybeDuplicate int64     `json:"maybe_duplicate"`
	NotWritten     *lostJSON `json:"not_written,omitempty"`
	Unknown        *lostJSON `json:"unknown,omitempty"`
	StoppedAt      string    `json:"stopped_at,omitempty"` // the first line that was not sent
	Error          string    `json:"error,omitempty"`      // why
}

type lostJSON struct {
	Lines int64  `json:"lines"`
	First string `json:"first"`
	Last  string `json:"last"`
	Error string `json:"error"`
}

func (l *lost) json() *lostJSON {
	if l.count == 0 {
		return nil
	}
	return &lostJSON{Lines: l.count, First: l.first.String(), Last: l.last.String(), Error: l.err.Error()}
}

// summarize ends the count. stopped is the first line that was not sent, or zero.
func (t *tally) summarize(topic string, took time.Duration, stopped position, err error) summary {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := summary{
		Topic: topic, Records: t.acked.Load(), Bytes: t.ackedBytes.Load(), Seconds: took.Seconds(),
		MaybeDuplicate: t.duplicates.Load(), NotWritten: t.notWritten.json(), Unknown: t.unknown.json(),
	}
	s.RecordsPerSec, s.BytesPerSec = perSecond(s.Records, took), perSecond(s.Bytes, took)
	if stopped.line > 0 {
		s.StoppedAt = stopped.String()
	}
	if err != nil {
		s.Error = err.Error()
	}
	return s
}

// notAcked says that lines of the input did not make it.
func (s summary) notAcked() bool {
	return s.NotWritten != nil || s.Unknown != nil || s.StoppedAt != ""
}

// text is the summary for a person.
func (s summary) text() string {
	var b strings.Builder
	took := time.Duration(s.Seconds * float64(time.Second))
	fmt.Fprintf(&b, "produced %s (%s) to %s in %s: %s records/s, %s/s\n", plural(s.Records, "record"), size(s.Bytes), s.Topic,
		seconds(took), rate(s.RecordsPerSec), size(int64(s.BytesPerSec)))
	if s.MaybeDuplicate > 0 {
		fmt.Fprintf(&b, "%s may be stored twice: an earlier try ended with an unknown outcome\n", plural(s.MaybeDuplicate, "record"))
	}
	if l := s.NotWritten; l != nil {
		fmt.Fprintf(&b, "NOT WRITTEN: %s, %s: %s\n", plural(l.Lines, "line"), l.span(), l.Error)
	}
	if l := s.Unknown; l != nil {
		fmt.Fprintf(&b, "UNKNOWN whether written: %s, %s: %s\n", plural(l.Lines, "line"), l.span(), l.Error)
	}
	if s.StoppedAt != "" {
		fmt.Fprintf(&b, "NOT SENT: %s and everything after it", s.StoppedAt)
		if s.Error != "" {
			fmt.Fprintf(&b, ": %s", s.Error)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func (l *lostJSON) span() string {
	if l.Lines == 1 {
		return l.First
	}
	return l.First + " to " + l.Last
}
