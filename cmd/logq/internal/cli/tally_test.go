package cli

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/producer"
)

func TestSummary(t *testing.T) {
	at := func(n int64) position { return position{"a.log", n} }
	refused := &producer.Error{Outcome: protocol.NotWritten, Err: errors.New("no majority")}
	unclear := &producer.Error{Outcome: protocol.Unknown, Err: errors.New("connection lost")}
	tests := []struct {
		name    string
		fill    func(*tally)
		stopped position
		err     error
	}{
		{"everything", func(c *tally) {
			for i := range int64(2000) {
				c.ack(at(i), 50, producer.Ack{}, nil)
			}
		}, position{}, nil},
		{"one, perhaps twice", func(c *tally) { c.ack(at(1), 10, producer.Ack{MaybeDuplicate: true}, nil) }, position{}, nil},
		{"refused", func(c *tally) {
			c.ack(at(1), 10, producer.Ack{}, nil)
			c.ack(at(2), 10, producer.Ack{}, refused)
			c.ack(at(3), 10, producer.Ack{}, refused)
		}, at(9), errStopped},
		{"unclear", func(c *tally) { c.ack(at(4), 10, producer.Ack{}, unclear) }, position{}, nil},
		{"too long", func(*tally) {}, at(7), &lineTooLongError{at(7), 1 << 20}},
	}
	var b strings.Builder
	for _, tt := range tests {
		var c tally
		tt.fill(&c)
		s := c.summarize("events", 2*time.Second, tt.stopped, tt.err)
		b.WriteString("# " + tt.name + "\n" + s.text())
		if err := writeJSON(&b, s); err != nil {
			t.Fatal(err)
		}
		if want := tt.stopped.line > 0 || c.failed.Load(); s.notAcked() != want {
			t.Errorf("%s: notAcked %v, want %v", tt.name, s.notAcked(), want)
		}
		b.WriteByte('\n')
	}
	golden(t, "summary.txt", b.String())
}

// TestOutcomeOfAnUntypedError holds what is not typed to be unknown: never to
// claim that something was not written without proof.
func TestOutcomeOfAnUntypedError(t *testing.T) {
	if got := outcomeOf(errors.New("odd")); got != protocol.Unknown {
		t.Errorf("got %v", got)
	}
}
