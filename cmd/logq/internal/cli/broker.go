package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/logq/logq/admin"
	"github.com/logq/logq/internal/protocol"
)

func brokerCommand(env Env) *cli.Command {
	return &cli.Command{
		Name: "broker", Usage: "list brokers, give them replicas, empty and remove them",
		Subcommands: []*cli.Command{brokerListCommand(env), brokerAdd(env), brokerDrain(env), brokerRemove(env)},
	}
}

func brokerListCommand(env Env) *cli.Command {
	return &cli.Command{
		Name: "list", Usage: "list the brokers with what they carry", Flags: adminFlags(),
		Description: "Example:\n  logq broker list",
		Action: func(c *cli.Context) error {
			if err := noArgs(c); err != nil {
				return err
			}
			return ask(c, env, func(ctx context.Context, a *admin.Admin) error {
				s, err := a.ClusterStatus(ctx)
				if err != nil {
					return err
				}
				if c.Bool("json") {
					return writeJSON(env.Out, map[string]any{"brokers": nonNil(s.Brokers)})
				}
				return table(env.Out, brokerRows(s))
			})
		},
	}
}

func brokerDrain(env Env) *cli.Command {
	return &cli.Command{
		Name: "drain", Usage: "move all replicas away from a broker, before it is stopped for long", ArgsUsage: "ID",
		Description: "A few partitions move at a time. The broker gets no new replicas until --undo.\n\nExamples:\n" +
			"  logq broker drain 3 --wait\n  logq broker drain 3 --undo",
		Flags: adminFlags(append(waitFlags(), &cli.BoolFlag{Name: "undo", Usage: "let the broker have new replicas again"})...),
		Action: func(c *cli.Context) error {
			id, err := brokerArg(c)
			if err != nil {
				return err
			}
			return ask(c, env, func(ctx context.Context, a *admin.Admin) error {
				if err := a.Drain(ctx, id, c.Bool("undo")); err != nil {
					return err
				}
				if c.Bool("undo") {
					return said(c, env, fmt.Sprintf("broker %d may have new replicas again", id))
				}
				return moves(c, env, a, fmt.Sprintf("broker %d is drained", id), func(ctx context.Context, a *admin.Admin) (string, bool, error) {
					s, err := a.ClusterStatus(ctx)
					for _, b := range s.Brokers {
						if b.ID == id {
							return fmt.Sprintf("%s left on broker %d", plural(int64(b.Replicas), "replica"), id), b.Replicas == 0, err
						}
					}
					return "", err == nil, err
				})
			})
		},
	}
}

// brokerArg reads the one argument of a command on a broker.
func brokerArg(c *cli.Context) (protocol.BrokerID, error) {
	text, err := oneArg(c, "the broker's id")
	if err != nil {
		return 0, err
	}
	ids, err := parseBrokers(text)
	if err != nil || len(ids) != 1 {
		return 0, usagef("%s: %q is no broker: a number from 1 to 65535", c.Command.HelpName, text)
	}
	return ids[0], nil
}

func brokerAdd(env Env) *cli.Command {
	return &cli.Command{
		Name: "add", Usage: "move a fair share of the replicas to a broker that has joined", ArgsUsage: "ID",
		Description: "Start the broker first, on an empty directory:\n" +
			"  logq server --id 4 --data ./4 --join 10.0.0.1:7001,10.0.0.2:7001 --peer-listen 10.0.0.4:7001\n" +
			"Replicas come from the brokers that carry most, and copy the data before they count. Run again, it\n" +
			"moves what is still missing.\n\nExamples:\n" +
			"  logq broker add 4 --dry-run\n  logq broker add 4 --wait",
		Flags: adminFlags(append(waitFlags(), &cli.BoolFlag{Name: "dry-run", Usage: "only say which partitions would move"})...),
		Action: func(c *cli.Context) error {
			id, err := brokerArg(c)
			if err != nil {
				return err
			}
			return ask(c, env, func(ctx context.Context, a *admin.Admin) error {
				parts, err := a.Add(ctx, id, c.Bool("dry-run"))
				if err != nil {
					return err
				}
				if c.Bool("dry-run") {
					return listed(c, env, parts, fmt.Sprintf("%s would get a replica on broker %d", plural(int64(len(parts)), "partition"), id))
				}
				text := fmt.Sprintf("broker %d: %s to come", id, plural(int64(len(parts)), "replica"))
				return moves(c, env, a, text, func(ctx context.Context, a *admin.Admin) (string, bool, error) {
					s, err := a.ClusterStatus(ctx)
					left := 0
					for _, p := range s.Moving {
						if slices.Contains(parts, p) {
							left++
						}
					}
					return fmt.Sprintf("%s on their way to broker %d", plural(int64(left), "replica"), id), left == 0, err
				})
			})
		},
	}
}

func brokerRemove(env Env) *cli.Command {
	return &cli.Command{
		Name: "remove", Usage: "take a drained broker out of the cluster, or one whose disk is lost", ArgsUsage: "ID",
		Description: "A broker that lives stops by itself when it is removed. Its data directory is never let in again; the same\n" +
			"id may come back with --join on an empty one.\n" +
			"With --data-lost its replicas are made anew from those on other brokers. What only the lost disk held is\n" +
			"lost: see \"logq recover\" for partitions that have lost the majority of their replicas.\n\nExamples:\n" +
			"  logq broker drain 3 --wait && logq broker remove 3\n  logq broker remove 3 --data-lost --wait",
		Flags: adminFlags(append(waitFlags(), &cli.BoolFlag{Name: "data-lost", Usage: "the broker is stopped, and its disk is gone for good"})...),
		Action: func(c *cli.Context) error {
			id, err := brokerArg(c)
			if err != nil {
				return err
			}
			return ask(c, env, func(ctx context.Context, a *admin.Admin) error {
				if err := a.Remove(ctx, id, c.Bool("data-lost")); err != nil {
					return err
				}
				return moves(c, env, a, fmt.Sprintf("broker %d is removed", id), func(ctx context.Context, a *admin.Admin) (string, bool, error) {
					s, err := a.ClusterStatus(ctx)
					left := plural(int64(len(s.UnderReplicated)), "partition") + " with too few replicas"
					return left, len(s.UnderReplicated)+len(s.Moving) == 0, err
				})
			})
		},
	}
}

// listed prints partitions, one a line, and what they are.
func listed(c *cli.Context, env Env, parts []protocol.PartitionRef, text string) error {
	if c.Bool("json") {
		return writeJSON(env.Out, map[string]any{"result": text, "partitions": nonNil(parts)})
	}
	for _, p := range parts {
		if _, err := fmt.Fprintf(env.Out, "%s/%d\n", p.Topic, p.Partition); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(env.Err, text)
	return err
}
