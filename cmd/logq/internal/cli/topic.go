package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/logq/logq/admin"
	"github.com/logq/logq/internal/protocol"
)

func topicCommand(env Env) *cli.Command {
	return &cli.Command{
		Name: "topic", Usage: "create, list, describe, change and delete topics",
		Subcommands: []*cli.Command{topicCreate(env), topicList(env), topicDescribe(env), topicAlter(env), topicReassign(env), topicDelete(env)},
	}
}

func adminFlags(more ...cli.Flag) []cli.Flag {
	return append(append(more, jsonFlag("print JSON")), append(connectFlags(), timeoutFlag())...)
}

func topicCreate(env Env) *cli.Command {
	return &cli.Command{
		Name: "create", Usage: "create a topic", ArgsUsage: "NAME",
		Description: "A name is 1 to 249 bytes: dot-separated words of letters, digits, \"-\" and \"_\".\n" +
			"Settings: retention.ms, retention.bytes, segment.bytes, segment.ms; see the reference.\n\nExamples:\n" +
			"  logq topic create events --partitions 8 --replicas 3\n" +
			"  logq topic create clicks --config retention.ms=86400000 --config segment.ms=3600000   keep a day\n" +
			"  logq topic create audit.eu --bind 'audit.eu.>'   store what is published there as well",
		Flags: adminFlags(
			&cli.IntFlag{Name: "partitions", Aliases: []string{"p"}, Usage: "`N` partitions: order holds within each", Value: 1},
			&cli.IntFlag{Name: "replicas", Aliases: []string{"r"}, Usage: "`N` brokers hold each partition", DefaultText: "3, or all brokers if there are fewer"},
			&cli.StringFlag{Name: "bind", Usage: "also store what is published on this NATS `SUBJECT`"},
			&cli.StringSliceFlag{Name: "config", Usage: "a setting as `KEY=VALUE`; may be repeated"},
		),
		Action: func(c *cli.Context) error {
			name, err := topicArg(c)
			if err != nil {
				return err
			}
			spec := admin.TopicSpec{Name: name, Partitions: c.Int("partitions"), Replicas: c.Int("replicas"), Bind: c.String("bind")}
			if spec.Config, err = parseConfig(c.StringSlice("config")); err != nil {
				return err
			}
			if c.IsSet("replicas") && spec.Replicas < 1 || spec.Partitions < 1 {
				return usagef("--partitions %d --replicas %d: a topic has at least one of each", spec.Partitions, c.Int("replicas"))
			}
			return ask(c, env, func(ctx context.Context, a *admin.Admin) error { return createTopic(ctx, c, env, a, spec) })
		},
	}
}

// createTopic creates a topic, with as many replicas as the cluster allows, up
// to three, when none were asked for.
func createTopic(ctx context.Context, c *cli.Context, env Env, a *admin.Admin, spec admin.TopicSpec) error {
	if spec.Replicas == 0 {
		m, err := a.Metadata(ctx)
		if err != nil {
			return err
		}
		spec.Replicas = max(1, min(3, len(m.Brokers)))
	}
	t, err := a.CreateTopic(ctx, spec)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return writeJSON(env.Out, t)
	}
	_, err = fmt.Fprintf(env.Out, "created %s: %s, %s each, id %s\n", t.Name,
		plural(int64(len(t.Partitions)), "partition"), plural(int64(spec.Replicas), "replica"), t.ID)
	return err
}

func topicArg(c *cli.Context) (string, error) {
	name, err := oneArg(c, "the topic's name")
	if err != nil {
		return "", err
	}
	if err := checkTopic(c, name); err != nil {
		return "", err
	}
	return name, nil
}

// checkTopic refuses what cannot be a topic's name before anybody is asked.
func checkTopic(c *cli.Context, name string) error {
	if err := protocol.ValidateTopic(name); err != nil {
		return usagef("%s: %s", c.Command.HelpName, protocol.AsError(err).Message)
	}
	return nil
}

func parseConfig(settings []string) (map[string]string, error) {
	if len(settings) == 0 {
		return nil, nil
	}
	config := map[string]string{}
	for _, s := range settings {
		k, v, ok := strings.Cut(s, "=")
		if !ok || k == "" {
			return nil, usagef("--config %q: want KEY=VALUE", s)
		}
		config[k] = v
	}
	return config, nil
}

// parseChanges reads KEY=VALUE, and KEY= for a setting that goes back to its default.
func parseChanges(settings []string) (set map[string]string, unset []string, err error) {
	if set, err = parseConfig(settings); err != nil {
		return nil, nil, err
	}
	for _, k := range slices.Sorted(maps.Keys(set)) {
		if set[k] == "" {
			unset = append(unset, k)
			delete(set, k)
		}
	}
	return set, unset, nil
}

func topicList(env Env) *cli.Command {
	return &cli.Command{
		Name: "list", Usage: "list the topics", Flags: adminFlags(),
		Description: "Examples:\n  logq topic list\n  logq topic list --json | jq -r '.topics[].name'",
		Action: func(c *cli.Context) error {
			if err := noArgs(c); err != nil {
				return err
			}
			return ask(c, env, func(ctx context.Context, a *admin.Admin) error {
				topics, err := a.ListTopics(ctx)
				if err != nil {
					return err
				}
				if c.Bool("json") {
					return writeJSON(env.Out, protocol.ListTopicsReply{Topics: nonNil(topics)})
				}
				rows := [][]string{{"TOPIC", "PARTITIONS", "REPLICAS", "BIND"}}
				for _, t := range topics {
					rows = append(rows, []string{t.Name, strconv.Itoa(len(t.Partitions)), replicasOf(t), t.Bind})
				}
				return table(env.Out, rows)
			})
		},
	}
}

// nonNil makes an empty list print as [] and not as null.
func nonNil[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

func replicasOf(t protocol.TopicInfo) string {
	if len(t.Partitions) == 0 {
		return "0"
	}
	return strconv.Itoa(len(t.Partitions[0].Replicas))
}

// describeJSON is the document of topic describe --json, which scripts rely on.
type describeJSON struct {
	Name       string            `json:"name"`
	ID         protocol.TopicID  `json:"id"`
	Bind       string            `json:"bind,omitempty"`
	Config     map[string]string `json:"config,omitempty"`
	Defaults   map[string]string `json:"defaults,omitempty"`
	Partitions []partitionJSON   `json:"partitions"`
}

type partitionJSON struct {
	ID            protocol.Partition  `json:"id"`
	Leader        protocol.BrokerID   `json:"leader"`
	Term          uint64              `json:"term"`
	Replicas      []protocol.BrokerID `json:"replicas"`
	InSync        []protocol.BrokerID `json:"in_sync"`
	Target        []protocol.BrokerID `json:"target,omitempty"`
	LogStart      int64               `json:"log_start"`
	HighWatermark int64               `json:"high_watermark"`

	ReplicaStates []protocol.ReplicaInfo `json:"replica_states,omitempty"`
}

func topicDescribe(env Env) *cli.Command {
	return &cli.Command{
		Name: "describe", Usage: "show a topic's partitions, leaders and offsets", ArgsUsage: "NAME", Flags: adminFlags(),
		Description: "LAG is how many entries of the leader's log each replica lacks, in the order of REPLICAS.\n" +
			"HIGH is the high watermark: the offset after the last committed record.\nConfig are the topic's own settings, default those of the broker asked.\n\nExamples:\n" +
			"  logq topic describe events\n  logq topic describe events --json | jq '.partitions[] | {id, leader, high_watermark}'",
		Action: func(c *cli.Context) error {
			name, err := topicArg(c)
			if err != nil {
				return err
			}
			return ask(c, env, func(ctx context.Context, a *admin.Admin) error {
				t, err := a.DescribeTopic(ctx, name)
				if err != nil {
					return err
				}
				if c.Bool("json") {
					return writeJSON(env.Out, describe(t))
				}
				return printTopic(env, t)
			})
		},
	}
}

func describe(t protocol.TopicInfo) describeJSON {
	d := describeJSON{Name: t.Name, ID: t.ID, Bind: t.Bind, Config: t.Config, Defaults: t.Defaults, Partitions: []partitionJSON{}}
	for _, p := range t.Partitions {
		d.Partitions = append(d.Partitions, partitionJSON{
			ID: p.ID, Leader: p.Leader, Term: p.Term, Replicas: nonNil(p.Replicas), InSync: nonNil(p.InSync), Target: p.Target,
			LogStart: p.LogStart, HighWatermark: p.HighWatermark, ReplicaStates: p.ReplicaStates,
		})
	}
	return d
}

func printTopic(env Env, t protocol.TopicInfo) error {
	fmt.Fprintf(env.Out, "topic     %s\nid        %s\n", t.Name, t.ID)
	if t.Bind != "" {
		fmt.Fprintf(env.Out, "bind      %s\n", t.Bind)
	}
	for _, k := range slices.Sorted(maps.Keys(t.Config)) {
		fmt.Fprintf(env.Out, "config    %s=%s\n", k, t.Config[k])
	}
	for _, k := range slices.Sorted(maps.Keys(t.Defaults)) {
		fmt.Fprintf(env.Out, "default   %s=%s\n", k, t.Defaults[k])
	}
	fmt.Fprintln(env.Out)
	rows := [][]string{{"PARTITION", "LEADER", "TERM", "REPLICAS", "IN SYNC", "LAG", "START", "HIGH", ""}}
	for _, p := range t.Partitions {
		rows = append(rows, []string{
			fmt.Sprint(p.ID), leaderText(p.Leader), fmt.Sprint(p.Term), brokerList(p.Replicas), brokerList(p.InSync), lags(&p),
			strconv.FormatInt(p.LogStart, 10), strconv.FormatInt(p.HighWatermark, 10), remarks(&p),
		})
	}
	return table(env.Out, rows)
}

// lags is how far each replica is behind, in their order.
func lags(p *protocol.PartitionInfo) string {
	var out []string
	for _, b := range p.Replicas {
		lag := "?" // not known, or only from the replica itself
		for _, r := range p.ReplicaStates {
			itself := r.State == protocol.ReplicaFailed || r.State == protocol.ReplicaRepairing
			if r.Broker == b && (r.Lag > 0 || !itself) {
				lag = strconv.FormatUint(r.Lag, 10)
			}
		}
		out = append(out, lag)
	}
	return strings.Join(out, ",")
}

// remarks is what is not as it should be.
func remarks(p *protocol.PartitionInfo) string {
	var out []string
	for _, r := range p.ReplicaStates {
		text := strings.ReplaceAll(r.State, "_", " ")
		switch {
		case r.State == protocol.ReplicaInSync && !r.Learner, r.State == protocol.ReplicaBehind:
			continue
		case r.Reason != "":
			text += ": " + r.Reason
		case r.Learner:
			text = fmt.Sprintf("learner, %s, lacks %d", text, r.Lag)
		}
		out = append(out, fmt.Sprintf("%d %s", r.Broker, text))
	}
	if len(p.Target) > 0 {
		out = append(out, "moving to "+brokerList(p.Target))
	}
	return strings.Join(out, "; ")
}

func leaderText(id protocol.BrokerID) string {
	if id == 0 {
		return "none"
	}
	return strconv.Itoa(int(id))
}

func brokerList(ids []protocol.BrokerID) string {
	if len(ids) == 0 {
		return "-"
	}
	var b []string
	for _, id := range ids {
		b = append(b, strconv.Itoa(int(id)))
	}
	return strings.Join(b, ",")
}

func topicDelete(env Env) *cli.Command {
	return &cli.Command{
		Name: "delete", Usage: "delete a topic and its records on all brokers", ArgsUsage: "NAME", Flags: adminFlags(),
		Description: "There is no way back.\n\nExample:\n  logq topic delete events",
		Action: func(c *cli.Context) error {
			name, err := topicArg(c)
			if err != nil {
				return err
			}
			return ask(c, env, func(ctx context.Context, a *admin.Admin) error {
				if err := a.DeleteTopic(ctx, name); err != nil {
					return err
				}
				if c.Bool("json") {
					return writeJSON(env.Out, map[string]string{"deleted": name})
				}
				_, err := fmt.Fprintf(env.Out, "deleted %s\n", name)
				return err
			})
		},
	}
}
