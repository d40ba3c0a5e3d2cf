// Package cli is the program logq: its commands, one file per noun, and the
// contract that scripts rely on. Main is what cmd/logq calls; Run is the same
// with everything of the process (streams, environment, terminal) as values, so
// that tests run whole commands in-process:
//
//	code := cli.Run(ctx, cli.Env{Out: &out, Err: &errs}, []string{"logq", "topic", "list"})
//
// # Contract
//
//   - What a program reads goes to standard output and nothing else does: values,
//     tables, and with --json one JSON document or one object a line. Progress,
//     summaries and errors go to standard error.
//   - An error is one line: what was wrong, with its name, and the remedy.
//   - Flags may stand anywhere after the command, before or after arguments.
//     "--" ends them.
//   - Exit codes are the constants Exit…; docs/reference/cli.md lists them for users.
//   - The first interrupt (Ctrl-C, SIGTERM) ends a command in an orderly way, the
//     second one at once.
//   - A closed standard output (consume | head) ends a command quietly.
//
// # Concurrency and ownership
//
// Run may be called by several goroutines at once, each with an Env of its own;
// it keeps no package state. It starts goroutines only while a command runs and
// has waited for all of them when it returns. Writers in Env are written to by
// one goroutine at a time.
//
// # Departures
//
// urfave/cli stops reading flags at the first argument, prints usage errors to
// standard output and completes commands from os.Args. The arguments are
// therefore read by this package (args.go) and handed over in an order which
// urfave/cli understands; help, flag values and the command tree are its own.
package cli
