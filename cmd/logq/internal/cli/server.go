package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/logq/logq/broker"
)

// serverConfig is what the settings of a server amount to.
type serverConfig struct {
	broker broker.Config
	drain  time.Duration

	clientTLS, peerTLS tlsFiles

	level slog.Level
	json  bool
}

// serverSettings are the settings of a server, in the order in which help and
// --print-config show them.
var serverSettings = []setting{
	{name: "id", usage: "this broker's number `N`, 1 to 65535, kept for ever", value: "1", set: func(c *serverConfig, v string) (err error) {
		c.broker.ID, err = number(v)
		return err
	}},
	{name: "peers", usage: "the brokers that a cluster begins with as `ID@HOST:PORT`,…, this one included; none: a single broker", set: func(c *serverConfig, v string) (err error) {
		c.broker.Peers, err = parsePeers(v)
		return err
	}},
	{name: "join", usage: "join a running cluster: `HOST:PORT`,… of its brokers' peer ports; counts on an empty directory only", set: func(c *serverConfig, v string) error {
		for addr := range strings.SplitSeq(v, ",") {
			c.broker.Join = append(c.broker.Join, strings.TrimSpace(addr))
		}
		return nil
	}},
	{name: "peer-listen", usage: "where other brokers connect, `HOST:PORT`, if --peers doesn't say; kept once the broker has joined", set: func(c *serverConfig, v string) error {
		c.broker.PeerListen = v
		return nil
	}},
	{name: "data", usage: "directory `DIR` for everything this broker keeps; created if missing", set: func(c *serverConfig, v string) error {
		c.broker.DataDir = v
		return nil
	}},
	{name: "listen", usage: "where clients connect, `HOST:PORT`", value: "127.0.0.1:4222", set: func(c *serverConfig, v string) error {
		c.broker.Listen = v
		return nil
	}},
	{name: "http", usage: "where health and metrics are served, `HOST:PORT`; none: not served", set: func(c *serverConfig, v string) error {
		c.broker.HTTP = v
		return nil
	}},
	{name: "advertise", usage: "the `HOST:PORT` that clients are told, if not --listen", set: func(c *serverConfig, v string) error {
		c.broker.Advertise = v
		return nil
	}},
	{name: "rack", usage: "failure domain `NAME`: replicas are spread over racks", set: func(c *serverConfig, v string) error {
		c.broker.Rack = v
		return nil
	}},
	{name: "insecure", flag: true, usage: "allow addresses off loopback without TLS", set: func(c *serverConfig, v string) (err error) {
		c.broker.Insecure, err = strconv.ParseBool(v)
		return err
	}},
	{name: "client-tls-cert", usage: "`FILE` with the certificate for clients", set: func(c *serverConfig, v string) error { c.clientTLS.cert = v; return nil }},
	{name: "client-tls-key", usage: "`FILE` with its key", set: func(c *serverConfig, v string) error { c.clientTLS.key = v; return nil }},
	{name: "client-tls-ca", usage: "`FILE` with the CA that clients' certificates must come from; none: they need none", set: func(c *serverConfig, v string) error { c.clientTLS.ca = v; return nil }},
	{name: "peer-tls-cert", usage: "`FILE` with the certificate for other brokers, shown in both directions", set: func(c *serverConfig, v string) error { c.peerTLS.cert = v; return nil }},
	{name: "peer-tls-key", usage: "`FILE` with its key", set: func(c *serverConfig, v string) error { c.peerTLS.key = v; return nil }},
	{name: "peer-tls-ca", usage: "`FILE` with the CA that brokers' certificates must come from", set: func(c *serverConfig, v string) error { c.peerTLS.ca = v; return nil }},
	{name: "tail-memory", usage: "`SIZE` of the recent records of all partitions in memory", value: "256MiB", set: func(c *serverConfig, v string) (err error) {
		c.broker.TailMemory, err = byteCount(v)
		return err
	}},
	{name: "buffered-writes", flag: true, usage: "write segments through the page cache, also where they could be written directly", set: func(c *serverConfig, v string) (err error) {
		c.broker.Buffered, err = strconv.ParseBool(v)
		return err
	}},
	{name: "retention-time", usage: "`TIME` after which records may be dropped, for topics that don't say; off: never", value: "168h", set: func(c *serverConfig, v string) (err error) {
		if c.broker.RetentionTime = -1; v != "off" {
			c.broker.RetentionTime, err = positive(v)
		}
		return err
	}},
	{name: "retention-bytes", usage: "`SIZE` of a partition from which its oldest records are dropped, for topics that don't say; off: any", value: "off", set: func(c *serverConfig, v string) (err error) {
		if c.broker.RetentionBytes = -1; v != "off" {
			c.broker.RetentionBytes, err = byteCount(v)
		}
		return err
	}},
	{name: "segment-bytes", usage: "`SIZE` at which a segment file is closed, for topics that don't say", value: "128MiB", set: func(c *serverConfig, v string) (err error) {
		c.broker.SegmentBytes, err = byteCount(v)
		return err
	}},
	{name: "segment-time", usage: "`TIME` after which a segment file is closed, for topics that don't say", value: "168h", set: func(c *serverConfig, v string) (err error) {
		c.broker.SegmentTime, err = positive(v)
		return err
	}},
	{name: "recovery-rate", usage: "`SIZE` per second, at most, read for replicas that are far behind or new", value: "100MiB", set: func(c *serverConfig, v string) (err error) {
		c.broker.RecoveryBytesPerSecond, err = byteCount(v)
		return err
	}},
	{name: "scrub-rate", usage: "`SIZE` per second read in the search for damage", value: "8MiB", set: func(c *serverConfig, v string) (err error) {
		c.broker.ScrubBytesPerSecond, err = byteCount(v)
		return err
	}},
	{name: "scrub-interval", usage: "`TIME` from one search of all logs to the next; off: only where a read has met damage", value: "24h", set: func(c *serverConfig, v string) (err error) {
		if c.broker.ScrubInterval = -1; v != "off" {
			c.broker.ScrubInterval, err = positive(v)
		}
		return err
	}},
	{name: "drain-timeout", usage: "on Ctrl-C or SIGTERM, `TIME` to hand leadership over and close", value: "30s", set: func(c *serverConfig, v string) (err error) {
		c.drain, err = positive(v)
		return err
	}},
	{name: "log-level", usage: "`LEVEL`: debug, info, warn or error", value: "info", set: func(c *serverConfig, v string) error {
		if c.level.UnmarshalText([]byte(v)) != nil {
			return errors.New("want debug, info, warn or error")
		}
		return nil
	}},
	{name: "log-format", usage: "`FORMAT`: text or json, on standard error", value: "text", set: func(c *serverConfig, v string) error {
		if v != "text" && v != "json" {
			return errors.New("want text or json")
		}
		c.json = v == "json"
		return nil
	}},
}

func number(v string) (int, error) {
	n, err := strconv.Atoi(v)
	if err != nil {
		return 0, errors.New("want a whole number")
	}
	return n, nil
}

// byteCount reads a number of bytes.
func byteCount(v string) (int64, error) {
	number, unit := v, int64(1)
	for suffix, n := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if rest, ok := strings.CutSuffix(v, suffix); ok {
			number, unit = rest, n
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n <= 0 || n > math.MaxInt64/unit {
		return 0, errors.New("want a number of bytes above zero, such as 65536, 512KiB or 8MiB")
	}
	return n * unit, nil
}

func positive(v string) (time.Duration, error) {
	d, err := time.ParseDuration(v)
	if err != nil || d <= 0 {
		return 0, errors.New("want a time above zero, such as 500ms or 30s")
	}
	return d, nil
}

// parsePeers reads ID@HOST:PORT,…
func parsePeers(list string) ([]broker.Peer, error) {
	var peers []broker.Peer
	for p := range strings.SplitSeq(list, ",") {
		id, addr, ok := strings.Cut(strings.TrimSpace(p), "@")
		n, err := strconv.Atoi(id)
		if !ok || err != nil || addr == "" {
			return nil, fmt.Errorf("%q: want ID@HOST:PORT, as in 2@10.0.0.2:7001", p)
		}
		peers = append(peers, broker.Peer{ID: n, Addr: addr})
	}
	return peers, nil
}

func serverCommand(env Env) *cli.Command {
	flags := []cli.Flag{&cli.StringFlag{Name: "config", Usage: "YAML `FILE` with the same names as keys [$LOGQ_CONFIG]"}}
	for _, s := range serverSettings {
		flags = append(flags, s.cliFlag())
	}
	flags = append(flags, &cli.BoolFlag{Name: "print-config", Usage: "print the settings in force, with where each came from, and exit"})
	return &cli.Command{
		Name: "server", Usage: "run a broker",
		Description: "Settings come from a flag, else from its LOGQ_ variable, else from the file, else from the default.\n" +
			"Ctrl-C or SIGTERM hands leadership over and closes cleanly; a second one ends the process at once.\n\nExamples:\n" +
			"  logq server --data ./data\n" +
			"  logq server --id 1 --data ./1 --listen 127.0.0.1:4221 --http 127.0.0.1:8221 \\\n" +
			"    --peers 1@127.0.0.1:7001,2@127.0.0.1:7002,3@127.0.0.1:7003\n" +
			"  logq server --id 4 --data ./4 --listen 127.0.0.1:4224 --join 127.0.0.1:7001 --peer-listen 127.0.0.1:7004\n" +
			"  LOGQ_ID=2 logq server --config logq.yaml",
		Flags:  flags,
		Action: func(c *cli.Context) error { return serve(c, env) },
	}
}

func serve(c *cli.Context, env Env) error {
	if err := noArgs(c); err != nil {
		return err
	}
	var cfg serverConfig
	values, err := resolve(c, env, serverSettings, &cfg)
	if err != nil {
		return err
	}
	if c.Bool("print-config") {
		return printConfig(env.Out, serverSettings, values)
	}
	if cfg.broker.DataDir == "" {
		return usagef("logq server: --data is missing: name the directory in which this broker keeps everything")
	}
	if err := cfg.loadTLS(); err != nil {
		return &exitError{code: ExitUsage, err: err}
	}
	cfg.broker.Logger = newLogger(env, cfg)
	b, err := broker.New(cfg.broker)
	if err != nil {
		return &exitError{code: ExitUsage, err: err}
	}
	if err := b.Start(c.Context); err != nil {
		if stop := interruption(c.Context); stop != nil {
			return nil // stopped before it ran: as asked
		}
		return err
	}
	return wait(c.Context, b, cfg)
}

// wait serves until a signal or a failure that stops the broker.
func wait(ctx context.Context, b *broker.Broker, cfg serverConfig) error {
	log := cfg.broker.Logger
	select {
	case <-ctx.Done():
		log.Info("stopping: handing leadership over", "broker", b.ID(), "cause", context.Cause(ctx), "timeout", cfg.drain)
	case <-b.Done():
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), cfg.drain)
	defer cancel()
	err := errors.Join(b.Err(), b.Close(closing))
	if err == nil {
		log.Info("stopped", "broker", b.ID())
	}
	return err
}

func newLogger(env Env, cfg serverConfig) *slog.Logger {
	opts := &slog.HandlerOptions{Level: cfg.level}
	if cfg.json {
		return slog.New(slog.NewJSONHandler(env.Err, opts))
	}
	return slog.New(slog.NewTextHandler(env.Err, opts))
}
