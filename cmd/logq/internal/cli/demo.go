package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/logq/logq/record"
)

const (
	demoTopic    = "demo"
	latencyTopic = "demo-latency"
	demoBrokers  = 3
	demoReplicas = 3
	// demoMinSize leaves room for the record's number.
	demoMinSize = 16
	// demoBufferBytes bounds what waits in the producer: enough to keep the
	// brokers busy, and no more, since at full load waiting is the latency.
	demoBufferBytes = 8 << 20
	// Records of the measurement one at a time, and the most time it may take.
	latencyWarmup  = 20
	latencyRecords = 500
	latencyTime    = 5 * time.Second
)

func demoCommand(env Env) *cli.Command {
	return &cli.Command{
		Name: "demo", Usage: "three brokers in this process, the leader killed in the middle, everything verified",
		Description: "Starts three brokers on free loopback ports, creates a topic with three replicas, produces records,\n" +
			"stops the leader's broker without warning after half of them and starts it again, consumes everything and\n" +
			"checks count, order and content. Exit code 0 means that nothing was lost, reordered or changed.\n\nExamples:\n" +
			"  logq demo\n  logq demo --partitions 8 --size 1024 --records 200000 --json",
		Flags: []cli.Flag{
			&cli.Int64Flag{Name: "records", Usage: "`N` records", Value: 1_000_000},
			&cli.IntFlag{Name: "size", Usage: "`BYTES` of each", Value: 100},
			&cli.IntFlag{Name: "partitions", Usage: "`N` partitions of the topic", Value: 1},
			&cli.StringFlag{Name: "compression", Usage: "`CODEC`: zstd, snappy, lz4, gzip or none", Value: "zstd"},
			&cli.StringFlag{Name: "dir", Usage: "keep the data below `DIR` instead of the system's directory for temporary files"},
			&cli.BoolFlag{Name: "keep", Usage: "do not remove the data and the brokers' logs at the end"},
			&cli.DurationFlag{Name: "timeout", Usage: "give up after this `TIME`", Value: 5 * time.Minute},
			jsonFlag("print the report as JSON"),
		},
		Action: func(c *cli.Context) error { return demo(c, env) },
	}
}

// demoOptions are the flags of a demo.
type demoOptions struct {
	records    int64
	size       int
	partitions int
	codec      record.Codec
	dir        string
}

func parseDemo(c *cli.Context) (demoOptions, error) {
	o := demoOptions{records: c.Int64("records"), size: c.Int("size"), partitions: c.Int("partitions")}
	var err error
	if o.codec, err = record.ParseCodec(c.String("compression")); err != nil {
		return o, usagef("--compression %q: want zstd, snappy, lz4, gzip or none", c.String("compression"))
	}
	switch {
	case o.records < 100:
		return o, usagef("--records %d: want at least 100, so that there is a middle", o.records)
	case o.size < demoMinSize || o.size > record.MaxBatchBytes/2:
		return o, usagef("--size %d: want %d to %d bytes", o.size, demoMinSize, record.MaxBatchBytes/2)
	case o.partitions < 1 || o.partitions > 1000:
		return o, usagef("--partitions %d: want 1 to 1000", o.partitions)
	}
	return o, noArgs(c)
}

func demo(c *cli.Context, env Env) (err error) {
	o, err := parseDemo(c)
	if err != nil {
		return err
	}
	if o.dir, err = os.MkdirTemp(c.String("dir"), "logq-demo-"); err != nil {
		return fmt.Errorf("making a directory for the brokers: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(c.Context, c.Duration("timeout"), fmt.Errorf("not done after %s: give more with --timeout", c.Duration("timeout")))
	defer cancel()
	rep, err := runDemo(ctx, env, o)
	stop := interruption(c.Context)
	if c.Bool("keep") || err != nil && stop == nil {
		fmt.Fprintf(env.Err, "the brokers' data and logs are kept in %s\n", o.dir)
	} else if rmErr := os.RemoveAll(o.dir); rmErr != nil && err == nil {
		err = fmt.Errorf("removing %s: %w", o.dir, rmErr)
	}
	switch {
	case stop != nil:
		return stop
	case err != nil && ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return err
	}
	if c.Bool("json") {
		err = writeJSON(env.Out, rep)
	} else {
		err = rep.print(env.Out)
	}
	return errors.Join(err, rep.verdict())
}

// runDemo runs the whole demonstration. Whatever happens, the brokers are
// stopped when it returns.
func runDemo(ctx context.Context, env Env, o demoOptions) (rep *demoReport, err error) {
	say := func(format string, args ...any) { fmt.Fprintf(env.Err, format+"\n", args...) }
	say("starting %d brokers on free loopback ports, data in %s", demoBrokers, o.dir)
	cluster, err := startDemoCluster(ctx, o.dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, cluster.stop()) }()
	nc, err := cluster.connect()
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	if err := cluster.createTopics(ctx, nc, o.partitions); err != nil {
		return nil, err
	}
	run := newDemoRun(o)
	say("measuring the latency of single records")
	if err := run.measureLatency(ctx, nc); err != nil {
		return nil, err
	}
	say("producing %s of %d bytes into %s with %d replicas; the leader is killed after half of them",
		plural(o.records, "record"), o.size, plural(int64(o.partitions), "partition"), demoReplicas)
	if err := run.produce(ctx, env, cluster, nc, say); err != nil {
		return nil, err
	}
	say("waiting until all replicas have everything")
	if err := run.waitInSync(ctx, nc); err != nil {
		return nil, err
	}
	say("consuming and comparing everything")
	if err := run.consume(ctx, env, nc); err != nil {
		return nil, err
	}
	return run.report(), nil
}
