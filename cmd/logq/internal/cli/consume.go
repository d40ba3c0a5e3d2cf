package cli

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/logq/logq/consumer"
)

const (
	// writeBufferBytes gathers output into large writes.
	writeBufferBytes = 256 << 10
	// flushEvery bounds how long a record waits in that buffer when few come.
	flushEvery = 50 * time.Millisecond
)

func consumeCommand(env Env) *cli.Command {
	return &cli.Command{
		Name: "consume", Usage: "print records, committed ones only", ArgsUsage: "TOPIC",
		Description: "Runs until Ctrl-C, or until --max or --until-end is reached. Order holds within a partition.\n" +
			"--from takes earliest, latest, an offset, a time (2006-01-02T15:04:05Z or 2006-01-02) or a time ago (90s, 1h30m).\n" +
			"--format takes json, or text with %v value, %k key, %o offset, %p partition, %t time, %h headers, %%, \\n, \\t, \\xHH.\n\nExamples:\n" +
			"  logq consume events --until-end > lines.txt\n" +
			"  logq consume events --from latest --format '%t %p/%o %k: %v\\n'\n" +
			"  logq consume events --from 1h --json | jq -r .value",
		Flags: append([]cli.Flag{
			&cli.IntSliceFlag{Name: "partition", Usage: "only partition `N`; may be repeated", DefaultText: "all"},
			&cli.StringFlag{Name: "from", Usage: "where to start: earliest, latest, an offset or a time, `START` as above", Value: "earliest"},
			&cli.Int64Flag{Name: "max", Usage: "stop after `N` records", DefaultText: "no limit"},
			&cli.BoolFlag{Name: "until-end", Usage: "stop at the high watermarks seen at the start"},
			&cli.BoolFlag{Name: "nearby", Usage: "read from the broker connected to, if it has a replica, to spare the leader"},
			&cli.StringFlag{Name: "format", Usage: "how to print a record, `FORMAT` as above", Value: "%v\\n"},
			jsonFlag("print one JSON object a line (the same as --format json)"),
		}, connectFlags()...),
		Action: func(c *cli.Context) error { return consume(c, env) },
	}
}

// consumeJob is what the flags of one consume say.
type consumeJob struct {
	topic  string
	max    int64 // 0 = no limit
	format formatter
	opts   []consumer.Option
}

func parseConsume(c *cli.Context, now time.Time) (*consumeJob, error) {
	topic, err := oneArg(c, "a topic")
	if err != nil {
		return nil, err
	}
	if err := checkTopic(c, topic); err != nil {
		return nil, err
	}
	j := &consumeJob{topic: topic, max: c.Int64("max")}
	if c.IsSet("max") && j.max < 1 {
		return nil, usagef("--max %d: want at least 1", j.max)
	}
	format := c.String("format")
	if c.Bool("json") {
		if c.IsSet("format") && format != "json" {
			return nil, usagef("--json and --format %q contradict each other: give one", format)
		}
		format = "json"
	}
	if j.format, err = parseFormat(format); err != nil {
		return nil, err
	}
	start, err := parseStart(c.String("from"), now)
	if err != nil {
		return nil, err
	}
	j.opts = append(j.opts, consumer.WithStart(start))
	if c.Bool("until-end") {
		j.opts = append(j.opts, consumer.WithUntilEnd())
	}
	if c.Bool("nearby") {
		j.opts = append(j.opts, consumer.WithNearbyReplica())
	}
	if c.IsSet("partition") {
		var list []int32
		for _, p := range c.IntSlice("partition") {
			if p < 0 || p != int(int32(p)) {
				return nil, usagef("--partition %d: partitions count from 0", p)
			}
			list = append(list, int32(p))
		}
		j.opts = append(j.opts, consumer.WithPartitions(list...))
	}
	return j, nil
}

// parseStart reads --from.
func parseStart(s string, now time.Time) (consumer.Start, error) {
	switch s {
	case "earliest":
		return consumer.Earliest(), nil
	case "latest":
		return consumer.Latest(), nil
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		if n < 0 {
			return consumer.Start{}, usagef("--from %d: offsets count from 0", n)
		}
		return consumer.AtOffset(n), nil
	}
	if t, ok := parseTime(s, now); ok {
		return consumer.AtTime(t), nil
	}
	return consumer.Start{}, usagef("--from %q: want earliest, latest, an offset, a time such as 2006-01-02T15:04:05Z, or a time ago such as 90s or 1h30m", s)
}

func consume(c *cli.Context, env Env) error {
	job, err := parseConsume(c, time.Now())
	if err != nil {
		return err
	}
	nc, err := connect(c, env)
	if err != nil {
		return err
	}
	defer nc.Close()
	cons, err := consumer.New(nc, job.topic, job.opts...)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(c.Context)
	defer cancel(nil)
	out := newIdleWriter(env.Out, cancel)
	err = job.print(ctx, cons, out)
	err = errors.Join(out.Close(), err, cons.Close())
	if stop := interruption(c.Context); stop != nil && !isClosedPipe(err) {
		return stop
	}
	return err
}

func (j *consumeJob) print(ctx context.Context, cons *consumer.Consumer, out io.Writer) error {
	var line []byte
	n := int64(0)
	for r, err := range cons.Records(ctx) {
		if err != nil {
			return err
		}
		line = j.format(line[:0], &r)
		if _, err := out.Write(line); err != nil {
			return err
		}
		if n++; n == j.max {
			return nil
		}
	}
	return nil
}

// idleWriter buffers output and writes it when the buffer is full, and at the
// latest flushEvery after the first byte in it: cheap when records pour in,
// prompt when they trickle.
type idleWriter struct {
	mu   sync.Mutex
	b    *bufio.Writer
	err  error         // of a flush in the background: the next Write returns it
	fail func(error)   // told of it at once: perhaps no Write comes any more
	wake chan struct{} // something is in the buffer
	quit chan struct{}
	done chan struct{}
}

func newIdleWriter(w io.Writer, fail func(error)) *idleWriter {
	i := &idleWriter{
		fail: fail, b: bufio.NewWriterSize(w, writeBufferBytes),
		wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{}),
	}
	go i.flushWhenIdle()
	return i
}

func (i *idleWriter) Write(p []byte) (int, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.err != nil {
		return 0, i.err
	}
	if i.b.Buffered() == 0 {
		select {
		case i.wake <- struct{}{}:
		default: // the flusher is awake
		}
	}
	return i.b.Write(p)
}

func (i *idleWriter) flushWhenIdle() {
	defer close(i.done)
	timer := time.NewTimer(flushEvery)
	defer timer.Stop()
	for {
		select {
		case <-i.wake:
		case <-i.quit:
			return
		}
		timer.Reset(flushEvery)
		select {
		case <-timer.C:
		case <-i.quit:
			return
		}
		i.mu.Lock()
		if err := i.b.Flush(); err != nil && i.err == nil {
			i.err = err
			i.fail(err)
		}
		i.mu.Unlock()
	}
}

// Close writes what is left and waits for the flusher.
func (i *idleWriter) Close() error {
	close(i.quit)
	<-i.done
	if i.err != nil {
		return i.err
	}
	return i.b.Flush()
}
