package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/logq/logq/admin"
	"github.com/logq/logq/internal/protocol"
)

func clusterCommand(env Env) *cli.Command {
	return &cli.Command{
		Name: "cluster", Usage: "look at the cluster",
		Subcommands: []*cli.Command{clusterStatus(env)},
	}
}

func clusterStatus(env Env) *cli.Command {
	return &cli.Command{
		Name: "status", Usage: "brokers, who is alive, partitions led, partitions in trouble",
		Description: "With --check the exit code is 1 unless every broker is alive and every partition has a leader\nand all its replicas in sync.\n\nExamples:\n" +
			"  logq cluster status\n  logq cluster status --check && echo healthy",
		Flags: adminFlags(&cli.BoolFlag{Name: "check", Usage: "exit with 1 if anything is not as it should be"}),
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
					s.Brokers, s.UnderReplicated, s.Leaderless, s.Moving = nonNil(s.Brokers), nonNil(s.UnderReplicated), nonNil(s.Leaderless), nonNil(s.Moving)
					err = writeJSON(env.Out, s)
				} else {
					err = printStatus(env, s)
				}
				if err == nil && c.Bool("check") {
					err = healthy(s)
				}
				return err
			})
		},
	}
}

func printStatus(env Env, s protocol.ClusterStatusReply) error {
	fmt.Fprintf(env.Out, "cluster           %s\ncontroller        %s\npartitions        %d\nunder-replicated  %s\nleaderless        %s\nmoving            %s\n\n",
		s.ClusterID, leaderText(s.Controller), s.Partitions, refs(s.UnderReplicated), refs(s.Leaderless), refs(s.Moving))
	return table(env.Out, brokerRows(s))
}

func brokerRows(s protocol.ClusterStatusReply) [][]string {
	rows := [][]string{{"BROKER", "ALIVE", "LEADS", "REPLICAS", "CLIENTS", "PEERS", "RACK"}}
	for _, b := range s.Brokers {
		alive := "yes"
		if !b.Alive {
			alive = "no"
		}
		if b.Draining {
			alive += ", draining"
		}
		rows = append(rows, []string{strconv.Itoa(int(b.ID)), alive, strconv.Itoa(b.PartitionsLed), strconv.Itoa(b.Replicas), b.URL, b.Peer, b.Rack})
	}
	return rows
}

// refsShown bounds the partitions named in the human form; --json has them all.
const refsShown = 8

func refs(list []protocol.PartitionRef) string {
	var names []string
	for _, r := range list[:min(len(list), refsShown)] {
		names = append(names, fmt.Sprintf("%s/%d", r.Topic, r.Partition))
	}
	if len(list) > refsShown {
		names = append(names, "…")
	}
	if len(names) == 0 {
		return "0"
	}
	return fmt.Sprintf("%d (%s)", len(list), strings.Join(names, ", "))
}

func healthy(s protocol.ClusterStatusReply) error {
	var wrong []string
	for _, b := range s.Brokers {
		if !b.Alive {
			wrong = append(wrong, fmt.Sprintf("broker %d is not alive", b.ID))
		}
	}
	if n := len(s.Leaderless); n > 0 {
		wrong = append(wrong, plural(int64(n), "partition")+" without a leader")
	}
	if n := len(s.UnderReplicated); n > 0 {
		wrong = append(wrong, plural(int64(n), "partition")+" under-replicated")
	}
	if len(wrong) == 0 {
		return nil
	}
	return fmt.Errorf("the cluster is not healthy: %s", strings.Join(wrong, ", "))
}
