package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"
)

// Env is what a command has of the process it runs in.
type Env struct {
	In  io.Reader // nil: empty
	Out io.Writer // what a program reads; nil: discarded
	Err io.Writer // what a person reads; nil: discarded
	// Getenv looks a variable up; nil: there are none.
	Getenv func(string) string
	// Terminal says that Err is a terminal, where progress may be drawn.
	Terminal bool
}

func (e Env) withDefaults() Env {
	if e.In == nil {
		e.In = strings.NewReader("")
	}
	if e.Out == nil {
		e.Out = io.Discard
	}
	if e.Err == nil {
		e.Err = io.Discard
	}
	if e.Getenv == nil {
		e.Getenv = func(string) string { return "" }
	}
	return e
}

// Main runs the program with the process's own streams, environment and signals
// and returns its exit code.
func Main(args []string) int {
	ctx, stop := onSignals(context.Background())
	defer stop()
	return Run(ctx, Env{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv,
		Terminal: term.IsTerminal(int(os.Stderr.Fd())),
	}, args)
}

// onSignals returns a context that the first SIGINT or SIGTERM ends, with the
// signal as its cause. From then on signals have their default effect again, so
// that a second one ends the process at once. SIGPIPE becomes an error of the
// write: a reader that has had enough is no failure.
func onSignals(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	signal.Ignore(syscall.SIGPIPE)
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case s := <-signals:
			signal.Stop(signals)
			sig, _ := s.(syscall.Signal)
			cancel(interrupted{sig})
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel(context.Canceled)
		<-done
	}
}

// Run runs one command line, args[0] being the program's name, and returns its
// exit code. A context that ends stops the command in an orderly way.
func Run(ctx context.Context, env Env, args []string) int {
	env = env.withDefaults()
	line, code := outcome(run(ctx, env, args))
	if line != "" {
		line = strings.ReplaceAll(strings.TrimSpace(line), "\n", "; ")
		if !strings.HasPrefix(line, "logq ") {
			line = "logq: " + line
		}
		fmt.Fprintln(env.Err, line)
	}
	return code
}

func run(ctx context.Context, env Env, args []string) error {
	if len(args) == 0 {
		args = []string{"logq"}
	}
	app := newApp(env)
	if len(args) > 1 && args[1] == completeCommand {
		return complete(ctx, env, app, args[2:])
	}
	ordered, err := arrange(app, args)
	if err != nil {
		return err
	}
	return app.RunContext(ctx, ordered)
}

// newApp builds the command tree. A tree belongs to one run: urfave/cli changes
// it while it runs.
func newApp(env Env) *cli.App {
	app := &cli.App{
		Name:     "logq",
		HelpName: "logq",
		Usage:    "a replicated append-only log: acknowledged means on the disks of a majority",
		Description: "Start here:\n" +
			"  logq demo                                 three brokers, a million records, the leader killed in the middle\n" +
			"  logq server --data ./data                 one broker on nats://127.0.0.1:4222\n" +
			"  logq topic create events --partitions 4   a topic\n" +
			"  logq produce events < lines.txt           one line = one record\n" +
			"  logq consume events --until-end           and back again",
		HideHelp:       true,
		HideVersion:    true,
		Flags:          []cli.Flag{helpFlag()},
		Reader:         env.In,
		Writer:         env.Out,
		ErrWriter:      env.Err,
		ExitErrHandler: func(*cli.Context, error) {},
		Commands: []*cli.Command{
			serverCommand(env), topicCommand(env), produceCommand(env), consumeCommand(env),
			clusterCommand(env), brokerCommand(env), segmentCommand(env), recoverCommand(env), demoCommand(env), completionCommand(env), versionCommand(env),
		},
	}
	each(app.Commands, func(c *cli.Command) {
		// A topic may be called "help": only the flag asks for help. The library's
		// own flag is one for the whole process, which two runs would race for.
		c.HideHelp = true
		c.Flags = append(c.Flags, helpFlag())
		for _, f := range c.Flags {
			if b, ok := f.(*cli.BoolFlag); ok {
				b.DisableDefaultText = true
			}
		}
		c.OnUsageError = func(cc *cli.Context, err error, _ bool) error { return badValue(cc.Command, err) }
	})
	return app
}

func helpFlag() cli.Flag {
	return &cli.BoolFlag{Name: "help", Aliases: []string{"h"}, Usage: "show help", DisableDefaultText: true}
}

func each(commands []*cli.Command, do func(*cli.Command)) {
	for _, c := range commands {
		do(c)
		each(c.Subcommands, do)
	}
}

func versionCommand(env Env) *cli.Command {
	return &cli.Command{
		Name: "version", Usage: "print the version",
		Action: func(c *cli.Context) error {
			if err := noArgs(c); err != nil {
				return err
			}
			_, err := fmt.Fprintf(env.Out, "logq %s\n", version())
			return err
		},
	}
}

// version is what the build knows of itself: the module's version when
// installed by version, else the commit.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "devel-" + s.Value[:12]
		}
	}
	return "devel"
}
