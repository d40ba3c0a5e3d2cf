package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/logq/logq/producer"
	"github.com/logq/logq/record"
)

// flushGrace bounds the wait for acks after the input ended or Ctrl-C, beyond
// the delivery timeout within which every record is decided anyway.
const flushGrace = 5 * time.Second

func produceCommand(env Env) *cli.Command {
	return &cli.Command{
		Name: "produce", Usage: "store lines: one line = one record", ArgsUsage: "TOPIC [FILE…]",
		Description: "Reads the files, or standard input, and splits at newlines only: every other byte is kept.\n" +
			"Returns when every line is acknowledged, that is on the disks of a majority.\n" +
			"At the first line that is not acknowledged it stops and says which lines are affected (exit code 3).\n\nExamples:\n" +
			"  logq produce events app.log\n" +
			"  tail -f app.log | logq produce events\n" +
			"  logq produce users --key-separator '\\t' users.tsv    key and value",
		Flags: append([]cli.Flag{
			&cli.IntFlag{Name: "partition", Usage: "store in partition `N`", Value: -1, DefaultText: "by key, else spread"},
			&cli.StringFlag{Name: "key-separator", Usage: "text `S` between key and value of a line; knows \\t, \\xHH and so on"},
			&cli.StringFlag{Name: "compression", Usage: "`CODEC`: zstd, snappy, lz4, gzip or none", Value: "zstd"},
			&cli.DurationFlag{Name: "timeout", Usage: "give a record up after this `TIME`, leader changes and retries included", Value: 2 * time.Minute},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "no progress and no summary unless something went wrong"},
			jsonFlag("print the summary as JSON on standard output"),
		}, connectFlags()...),
		Action: func(c *cli.Context) error { return produce(c, env) },
	}
}

// produceJob is what the flags of one produce say.
type produceJob struct {
	topic     string
	partition int32
	separator []byte
	codec     record.Codec
	timeout   time.Duration
	inputs    []input
	total     int64 // bytes of all inputs, -1 = unknown
}

func parseProduce(c *cli.Context, env Env) (*produceJob, error) {
	if !c.Args().Present() {
		return nil, usagef("%s: a topic is missing; usage: %s", c.Command.HelpName, usageLine(c.Command))
	}
	j := &produceJob{topic: c.Args().First(), partition: -1, timeout: c.Duration("timeout")}
	if err := checkTopic(c, j.topic); err != nil {
		return nil, err
	}
	if c.IsSet("partition") {
		if j.partition = int32(c.Int("partition")); j.partition < 0 || int(j.partition) != c.Int("partition") {
			return nil, usagef("--partition %d: partitions count from 0", c.Int("partition"))
		}
	}
	separator, err := unescapeAll(c.String("key-separator"))
	if err != nil {
		return nil, usagef("--key-separator: %w", err)
	}
	if c.IsSet("key-separator") && separator == "" {
		return nil, usagef("--key-separator is empty: give the text between key and value, or leave the flag out")
	}
	j.separator = []byte(separator)
	if j.codec, err = record.ParseCodec(c.String("compression")); err != nil {
		return nil, usagef("--compression %q: want zstd, snappy, lz4, gzip or none", c.String("compression"))
	}
	if j.timeout <= 0 {
		return nil, usagef("--timeout %s: want a time above zero", j.timeout)
	}
	j.inputs, j.total, err = inputs(env, c.Args().Tail())
	return j, err
}

func produce(c *cli.Context, env Env) error {
	job, err := parseProduce(c, env)
	if err != nil {
		return err
	}
	nc, err := connect(c, env)
	if err != nil {
		return err
	}
	defer nc.Close()
	p, err := producer.New(nc, producer.WithCodec(job.codec), producer.WithDeliveryTimeout(job.timeout))
	if err != nil {
		return err
	}
	var (
		t     tally
		read  atomic.Int64
		start = time.Now()
	)
	terminal := env
	terminal.Terminal = env.Terminal && !c.Bool("quiet")
	bar := startProgress(terminal, job.topic, job.total, true, read.Load)
	stopped, readErr := job.send(c.Context, p, &t, &read)
	flushErr := finish(c.Context, p, job.timeout)
	bar.done()

	s := t.summarize(job.topic, time.Since(start), stopped, readErr)
	return report(c, env, s, readErr, flushErr)
}

// send reads every line and hands it to the producer. It returns the first line
// that was not handed over, and why; both zero when the input was read to its end.
func (j *produceJob) send(ctx context.Context, p *producer.Producer, t *tally, read *atomic.Int64) (position, error) {
	for _, in := range j.inputs {
		r, err := in.open(ctx)
		if err != nil {
			return position{in.name, 1}, err
		}
		// Closing ends a read that waits for the other end of a named pipe.
		stop := context.AfterFunc(ctx, func() { _ = r.Close() })
		at, err := j.sendInput(ctx, newLineReader(r, in.name, record.MaxRecordBytes), p, t, read)
		stop()
		_ = r.Close() // read only: nothing can be lost by a failing close
		if err != nil {
			return at, err
		}
	}
	return position{}, nil
}

// errStopped ends the reading after a line failed; the tally holds the reason.
var errStopped = errors.New("an earlier line was not acknowledged")

func (j *produceJob) sendInput(ctx context.Context, lines *lineReader, p *producer.Producer, t *tally, read *atomic.Int64) (position, error) {
	before := read.Load()
	for {
		line, err := lines.next()
		read.Store(before + lines.bytes)
		next := position{lines.at.input, lines.at.line + 1}
		var long *lineTooLongError
		switch {
		case err == io.EOF:
			return position{}, nil
		case errors.As(err, &long):
			return long.at, err
		case ctx.Err() != nil:
			return next, context.Cause(ctx)
		case err != nil:
			return next, err
		case t.failed.Load():
			return lines.at, errStopped
		}
		if err := j.sendLine(ctx, line, lines.at, p, t); err != nil {
			return lines.at, err
		}
	}
}

func (j *produceJob) sendLine(ctx context.Context, line []byte, at position, p *producer.Producer, t *tally) error {
	r := producer.Record{Topic: j.topic, Partition: j.partition, Value: line}
	if len(j.separator) > 0 {
		key, value, ok := bytes.Cut(line, j.separator)
		if !ok {
			return fmt.Errorf("%s: no key: the line does not contain the separator %q", at, j.separator)
		}
		r.Key, r.Value = key, value
	}
	n := len(r.Key) + len(r.Value)
	err := p.ProduceAsync(ctx, r, func(ack producer.Ack, err error) { t.ack(at, n, ack, err) })
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	if err != nil {
		return context.Cause(ctx)
	}
	return nil
}

// finish waits until every record that was handed over is decided, also after
// Ctrl-C: what is on its way is better known than guessed. A second Ctrl-C ends
// the process.
func finish(ctx context.Context, p *producer.Producer, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout+flushGrace)
	defer cancel()
	err := p.Flush(ctx)
	return errors.Join(err, p.Close(ctx))
}

func report(c *cli.Context, env Env, s summary, readErr, flushErr error) error {
	if c.Bool("json") {
		if err := writeJSON(env.Out, s); err != nil {
			return err
		}
	}
	if s.notAcked() || !c.Bool("quiet") && !c.Bool("json") {
		fmt.Fprint(env.Err, s.text())
	}
	stop := interruption(c.Context)
	switch {
	case s.NotWritten != nil || s.Unknown != nil:
		return quiet(ExitNotAcked)
	case stop != nil:
		return stop
	case readErr != nil:
		return quiet(ExitNotAcked)
	case flushErr != nil:
		return fmt.Errorf("closing the producer: %w", flushErr)
	}
	return nil
}
