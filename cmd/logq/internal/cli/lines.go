package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// readBufferBytes is the unit of reading input.
const readBufferBytes = 256 << 10

// position is a line of the input: which input, and which line from 1.
type position struct {
	input string
	line  int64
}

func (p position) String() string { return fmt.Sprintf("%s:%d", p.input, p.line) }

// lineReader splits inputs into lines at '\n' and at nothing else, so that any
// other byte passes through unchanged. The last line of an input counts whether
// or not a '\n' ends it; an input that ends in '\n' has no empty line behind it.
type lineReader struct {
	r     *bufio.Reader
	at    position
	limit int    // bytes of a line without its '\n'
	long  []byte // a line that did not fit the read buffer
	bytes int64  // read so far
}

func newLineReader(r io.Reader, name string, limit int) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(r, readBufferBytes), at: position{input: name}, limit: limit}
}

// next returns the next line without its '\n', valid until the next call, or
// io.EOF. A line over the limit is an error that names it; it is not read to its end.
func (l *lineReader) next() ([]byte, error) {
	line, err := l.r.ReadSlice('\n')
	l.bytes += int64(len(line))
	if err == bufio.ErrBufferFull {
		line, err = l.readLong(line)
	}
	var long *lineTooLongError
	switch {
	case err == io.EOF && len(line) == 0:
		return nil, io.EOF
	case errors.As(err, &long):
		return nil, err
	case err != nil && err != io.EOF:
		return nil, fmt.Errorf("reading %s after line %d: %w", l.at.input, l.at.line, err)
	}
	l.at.line++
	if line = bytes.TrimSuffix(line, []byte{'\n'}); len(line) > l.limit {
		return nil, l.tooLong()
	}
	return line, nil
}

func (l *lineReader) readLong(start []byte) ([]byte, error) {
	l.long = append(l.long[:0], start...)
	for {
		more, err := l.r.ReadSlice('\n')
		l.bytes += int64(len(more))
		l.long = append(l.long, more...)
		if err != bufio.ErrBufferFull {
			return l.long, err
		}
		if len(l.long) > l.limit {
			l.at.line++
			return nil, l.tooLong()
		}
	}
}

func (l *lineReader) tooLong() error {
	return &lineTooLongError{at: l.at, limit: l.limit}
}

// lineTooLongError is a line that cannot be one record.
type lineTooLongError struct {
	at    position
	limit int
}

func (e *lineTooLongError) Error() string {
	return fmt.Sprintf("%s: the line is longer than a record may be (%s bytes): split it", e.at, count(int64(e.limit)))
}

// input is one source of lines.
type input struct {
	name string // as errors name it
	open func(ctx context.Context) (io.ReadCloser, error)
}

// inputs are the files of a command line, standard input for "-" or for none.
// Their total size is known (not -1) when all are regular files. Files are
// looked at before anything is sent, so that a misspelt last name sends nothing.
func inputs(env Env, files []string) ([]input, int64, error) {
	if len(files) == 0 {
		files = []string{"-"}
	}
	var list []input
	total := int64(0)
	for _, f := range files {
		if f == "-" {
			list = append(list, input{"standard input", func(ctx context.Context) (io.ReadCloser, error) { return newStoppable(ctx, env.In), nil }})
			total = -1
			continue
		}
		info, err := os.Stat(f)
		switch {
		case err != nil:
			return nil, 0, usagef("cannot read %s: %w", f, err)
		case info.IsDir():
			return nil, 0, usagef("%s is a directory: name the files in it", f)
		case !info.Mode().IsRegular():
			total = -1
		case total >= 0:
			total += info.Size()
		}
		list = append(list, input{f, func(context.Context) (io.ReadCloser, error) { return os.Open(f) }})
	}
	return list, total, nil
}

// stoppable reads a stream that cannot be interrupted, such as a terminal, so
// that the end of a context ends the reading. The goroutine that sits in the
// stream's Read is then left behind: only the stream's next byte, or the end of
// the process, can free it.
type stoppable struct {
	ctx    context.Context
	cancel context.CancelFunc
	chunks chan chunk
	rest   []byte
	err    error
}

type chunk struct {
	b   []byte
	err error
}

func newStoppable(ctx context.Context, r io.Reader) *stoppable {
	s := &stoppable{chunks: make(chan chunk)}
	s.ctx, s.cancel = context.WithCancel(ctx)
	ctx = s.ctx
	go func() {
		// Two buffers: one is read into while the other is consumed. A chunk is
		// taken only when the one before it is used up.
		buffers := [2][]byte{make([]byte, readBufferBytes), make([]byte, readBufferBytes)}
		for i := 0; ; i = 1 - i {
			n, err := r.Read(buffers[i])
			select {
			case s.chunks <- chunk{buffers[i][:n], err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return s
}

func (s *stoppable) Read(p []byte) (int, error) {
	for len(s.rest) == 0 {
		if s.err != nil {
			return 0, s.err
		}
		select {
		case c := <-s.chunks:
			s.rest, s.err = c.b, c.err
		case <-s.ctx.Done():
			s.err = context.Cause(s.ctx)
		}
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// Close ends the reading; the stream itself belongs to the process.
func (s *stoppable) Close() error {
	s.cancel()
	return nil
}
