package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

func TestLineReader(t *testing.T) {
	long := strings.Repeat("x", 3*readBufferBytes)
	tests := []struct {
		name, in string
		limit    int
		want     []string
		err      string
	}{
		{"empty", "", 10, nil, ""},
		{"one newline is one empty line", "\n", 10, []string{""}, ""},
		{"last line without newline", "a\nb", 10, []string{"a", "b"}, ""},
		{"only newline splits", "a\r\nb\x00\x0b\n\n\xff\n", 10, []string{"a\r", "b\x00\x0b", "", "\xff"}, ""},
		{"longer than the buffer", long + "\nb\n", len(long), []string{long, "b"}, ""},
		{"longer than the buffer, at the end", "a\n" + long, len(long), []string{"a", long}, ""},
		{"over the limit", "a\n" + strings.Repeat("y", 11) + "\nb\n", 10, []string{"a"}, "in:2: the line is longer than a record may be (10 bytes)"},
		{"far over the limit", long + long, 10, nil, "in:1: the line is longer"},
		{"at the limit", strings.Repeat("y", 10) + "\n", 10, []string{strings.Repeat("y", 10)}, ""},
	}
	for _, tt := range tests {
		for kind, r := range map[string]io.Reader{
			"whole": strings.NewReader(tt.in), "by half": iotest.HalfReader(strings.NewReader(tt.in)), "data with EOF": iotest.DataErrReader(strings.NewReader(tt.in)),
		} {
			t.Run(tt.name+", "+kind, func(t *testing.T) {
				l := newLineReader(r, "in", tt.limit)
				var got []string
				line, err := l.next()
				for ; err == nil; line, err = l.next() {
					got = append(got, string(line))
				}
				if strings.Join(got, "|") != strings.Join(tt.want, "|") || len(got) != len(tt.want) {
					t.Errorf("got %d lines, want %d", len(got), len(tt.want))
				}
				if tt.err == "" && err != io.EOF || tt.err != "" && !strings.HasPrefix(err.Error(), tt.err) {
					t.Errorf("ended with %v, want %q", err, tt.err)
				}
			})
		}
	}
}

func TestLineReaderReportsReadErrors(t *testing.T) {
	l := newLineReader(io.MultiReader(strings.NewReader("a\nb"), iotest.ErrReader(errors.New("disk gone"))), "f", 10)
	if line, err := l.next(); string(line) != "a" || err != nil {
		t.Fatalf("%q %v", line, err)
	}
	if _, err := l.next(); err == nil || err.Error() != "reading f after line 1: disk gone" {
		t.Errorf("got %v", err)
	}
}

func TestInputs(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	for name, text := range map[string]string{a: "123", b: "4567"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if list, total, err := inputs(Env{}, []string{a, b}); err != nil || total != 7 || len(list) != 2 {
		t.Errorf("two files: %v %d %v", list, total, err)
	}
	if list, total, err := inputs(Env{}, []string{a, "-"}); err != nil || total != -1 || list[1].name != "standard input" {
		t.Errorf("a file and standard input: %v %d %v", list, total, err)
	}
	if list, total, err := inputs(Env{}, nil); err != nil || total != -1 || len(list) != 1 {
		t.Errorf("nothing: %v %d %v", list, total, err)
	}
}

// TestStoppableEndsWithItsContext proves that a read from a stream without data
// ends with the context, and that all data passes through before.
func TestStoppableEndsWithItsContext(t *testing.T) {
	r, w := io.Pipe()
	ctx, cancel := context.WithCancelCause(t.Context())
	s := newStoppable(ctx, r)
	defer s.Close()
	go func() { _, _ = w.Write([]byte("hello")) }()
	b := make([]byte, 5)
	if _, err := io.ReadFull(s, b); err != nil || string(b) != "hello" {
		t.Fatalf("%q %v", b, err)
	}
	why := errors.New("enough")
	cancel(why)
	if _, err := s.Read(b); err != why {
		t.Errorf("got %v, want the cause", err)
	}
	_ = w.Close() // frees the goroutine that reads the pipe
}

func TestStoppablePassesEverything(t *testing.T) {
	in := strings.Repeat("0123456789", 100_000)
	s := newStoppable(t.Context(), iotest.HalfReader(strings.NewReader(in)))
	defer s.Close()
	got, err := io.ReadAll(s)
	if err != nil || string(got) != in {
		t.Errorf("%d bytes of %d, %v", len(got), len(in), err)
	}
}
