package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/logq/logq/admin"
	"github.com/logq/logq/internal/protocol"
)

// waitFlags are those of commands that start moves of replicas.
func waitFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "wait", Usage: "wait until the replicas are there, and show how far they are"},
		&cli.DurationFlag{Name: "wait-timeout", Usage: "give up waiting after `TIME`; the moves go on", Value: time.Hour},
	}
}

func topicAlter(env Env) *cli.Command {
	return &cli.Command{
		Name: "alter", Usage: "change a topic's settings or number of replicas, while it is in use", ArgsUsage: "NAME",
		Description: "A setting without a value, KEY=, goes back to the brokers' default. New replicas are put on the brokers\n" +
			"that carry least, and copy the data before they count.\n\nExamples:\n" +
			"  logq topic alter events --config retention.ms=86400000 --config retention.bytes=\n" +
			"  logq topic alter events --replicas 5 --wait\n  logq topic alter events --replicas 3",
		Flags: adminFlags(append(waitFlags(),
			&cli.IntFlag{Name: "replicas", Aliases: []string{"r"}, Usage: "`N` brokers shall hold each partition"},
			&cli.StringSliceFlag{Name: "config", Usage: "a setting as `KEY=VALUE`, or KEY= for the default; may be repeated"},
		)...),
		Action: func(c *cli.Context) error {
			name, err := topicArg(c)
			if err != nil {
				return err
			}
			set, unset, err := parseChanges(c.StringSlice("config"))
			if err != nil {
				return err
			}
			changes := len(set)+len(unset) > 0
			if c.Int("replicas") < 1 && (c.IsSet("replicas") || !changes) {
				return usagef("%s: give --config KEY=VALUE, or with --replicas how many brokers shall hold each partition", c.Command.HelpName)
			}
			return ask(c, env, func(ctx context.Context, a *admin.Admin) error {
				if changes {
					if err := a.AlterConfig(ctx, name, set, unset); err != nil {
						return err
					}
				}
				if !c.IsSet("replicas") {
					return said(c, env, fmt.Sprintf("%s: %s changed", name, plural(int64(len(set)+len(unset)), "setting")))
				}
				n, err := a.SetReplicas(ctx, name, c.Int("replicas"))
				if err != nil {
					return err
				}
				return moves(c, env, a, fmt.Sprintf("%s: %s to move", name, plural(int64(n), "partition")), topicMoves(name))
			})
		},
	}
}

func topicReassign(env Env) *cli.Command {
	return &cli.Command{
		Name: "reassign", Usage: "move a partition's replicas to other brokers, while it is in use", ArgsUsage: "NAME",
		Description: "The first broker is the preferred leader. New replicas copy the data before they count; then the\n" +
			"members change in one step. Replicas that were left behind are deleted.\n\nExamples:\n" +
			"  logq topic reassign events --partition 0 --replicas 2,3,4 --wait\n  logq topic reassign events --partition 0 --cancel",
		Flags: adminFlags(append(waitFlags(),
			&cli.IntFlag{Name: "partition", Aliases: []string{"p"}, Usage: "the partition's number", Value: -1, DefaultText: "none"},
			&cli.StringFlag{Name: "replicas", Aliases: []string{"r"}, Usage: "the `BROKERS`, as 1,2,4"},
			&cli.BoolFlag{Name: "cancel", Usage: "end a move: keep the replicas from before it"},
		)...),
		Action: func(c *cli.Context) error {
			name, err := topicArg(c)
			if err != nil {
				return err
			}
			brokers, err := parseBrokers(c.String("replicas"))
			switch {
			case err != nil:
				return usagef("%s: --replicas: %v", c.Command.HelpName, err)
			case c.Int("partition") < 0:
				return usagef("%s: --partition is missing: a number from 0", c.Command.HelpName)
			case (len(brokers) == 0) != c.Bool("cancel"):
				return usagef("%s: give either --replicas or --cancel", c.Command.HelpName)
			}
			part := int32(c.Int("partition"))
			return ask(c, env, func(ctx context.Context, a *admin.Admin) error {
				text := fmt.Sprintf("%s/%d moves to brokers %s", name, part, brokerList(brokers))
				err := error(nil)
				if c.Bool("cancel") {
					text = fmt.Sprintf("the move of %s/%d is cancelled", name, part)
					err = a.CancelReassign(ctx, name, part)
				} else {
					err = a.Reassign(ctx, name, part, brokers)
				}
				if err != nil {
					return err
				}
				return moves(c, env, a, text, topicMoves(name))
			})
		},
	}
}

// parseBrokers reads a list of broker ids; "" is none.
func parseBrokers(text string) (ids []protocol.BrokerID, err error) {
	if text == "" {
		return nil, nil
	}
	for field := range strings.SplitSeq(text, ",") {
		n, err := strconv.ParseUint(strings.TrimSpace(field), 10, 16)
		if err != nil || n == 0 {
			return nil, fmt.Errorf("%q is no broker: a number from 1 to 65535", field)
		}
		ids = append(ids, protocol.BrokerID(n))
	}
	return ids, nil
}

// said prints what was decided.
func said(c *cli.Context, env Env, text string) error {
	if c.Bool("json") {
		return writeJSON(env.Out, map[string]string{"result": text})
	}
	_, err := fmt.Fprintln(env.Out, text)
	return err
}

// topicMoves tells how many partitions of a topic are moving.
func topicMoves(name string) func(context.Context, *admin.Admin) (string, bool, error) {
	return func(ctx context.Context, a *admin.Admin) (string, bool, error) {
		t, err := a.DescribeTopic(ctx, name)
		if err != nil {
			return "", false, err
		}
		left := 0
		for _, p := range t.Partitions {
			if len(p.Target) > 0 {
				left++
			}
		}
		return fmt.Sprintf("%s of %s moving", plural(int64(left), "partition"), name), left == 0, nil
	}
}

// waitPause is the time between two looks at moves.
const waitPause = 300 * time.Millisecond

// moves says what was decided and, with --wait, looks until it is done. The request's own timeout is over then: waiting has
// another.
func moves(c *cli.Context, env Env, a *admin.Admin, text string, look func(context.Context, *admin.Admin) (string, bool, error)) error {
	if !c.Bool("wait") {
		return said(c, env, text)
	}
	ctx, cancel := context.WithTimeout(c.Context, c.Duration("wait-timeout"))
	defer cancel()
	for shown := ""; ; {
		progress, done, err := look(ctx, a)
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("%s, but it is not done: %s; it goes on", text, shown)
		case err == nil && done:
			return said(c, env, text+": done")
		case err == nil && progress != shown:
			shown = progress
			fmt.Fprintln(env.Err, progress)
		}
		timer := time.NewTimer(waitPause)
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}
