package cli

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/logq/logq/broker"
	"github.com/logq/logq/internal/quorumloss"
)

func recoverCommand(env Env) *cli.Command {
	return &cli.Command{
		Name: "recover", Usage: "when a majority is lost for good: show what a stopped broker holds, and make it the sole voter",
		Description: "Works on the data directory of a stopped broker. Without --accept-data-loss it changes nothing.\n" +
			"Run it on every survivor, and accept on the one whose last entry is latest (by term, then index): it loses least.\n" +
			"From then on the other brokers must never run again on their old data: wipe them and let them join anew.\n" +
			"Partitions that still have a majority need no recovery: don't name them.\n\nExamples:\n" +
			"  logq recover --data data/1\n" +
			"  logq recover --data data/1 --accept-data-loss --replica orders-0-5b0c… --replica __meta-0-6c6f…",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "data", Usage: "data directory of the stopped broker"},
			&cli.StringSliceFlag{Name: "replica", Usage: "only this replica (its directory's name); may be given more than once"},
			&cli.BoolFlag{Name: "accept-data-loss", Usage: "make the named replicas, or all, the sole voters of their partitions"},
			jsonFlag("print one document"),
		},
		Action: func(c *cli.Context) error {
			if err := noArgs(c); err != nil {
				return err
			}
			if c.String("data") == "" {
				return usagef("%s: --data is missing: the data directory of a stopped broker", c.Command.HelpName)
			}
			return recoverData(env, c.String("data"), c.StringSlice("replica"), c.Bool("accept-data-loss"), c.Bool("json"))
		},
	}
}

// survivor is one line of what recover prints.
type survivor struct {
	Replica   string `json:"replica"`
	Partition int    `json:"partition"`
	LastTerm  uint64 `json:"last_term"`
	LastIndex uint64 `json:"last_index"`
	// Offsets: of the first record, after the last one known to be committed, and
	// after the last one.
	LogStart  int64  `json:"log_start"`
	Committed int64  `json:"committed"`
	Next      int64  `json:"next"`
	Voters    string `json:"configuration"` // "" if it is the one that the metadata holds
	Damage    string `json:"damage,omitempty"`
	SoleVoter bool   `json:"sole_voter"` // made one just now
}

func recoverData(env Env, dir string, only []string, accept, asJSON bool) (err error) {
	s, err := broker.OpenSurvivor(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	replicas, err := s.Survey()
	if err != nil {
		return err
	}
	for _, name := range only {
		if !slices.ContainsFunc(replicas, func(r quorumloss.Replica) bool { return r.Name == name }) {
			return usagef("recover: there is no replica %q in %s; without --replica all are shown", name, dir)
		}
	}
	out := []survivor{} // an empty list in JSON, not null
	for _, r := range replicas {
		if len(only) > 0 && !slices.Contains(only, r.Name) {
			continue
		}
		line := survivor{
			Replica: r.Name, Partition: int(r.Partition), LastTerm: uint64(r.Last.Term), LastIndex: uint64(r.Last.Index),
			LogStart: int64(r.Start), Committed: int64(r.Committed), Next: int64(r.Next),
		}
		if r.HasConfig {
			line.Voters = r.Config.String()
		}
		if r.Damage != nil {
			line.Damage = r.Damage.Error()
		}
		if accept {
			if err := s.AcceptDataLoss(r); err != nil {
				return errors.Join(err, printSurvivors(env.Out, out, asJSON))
			}
			line.SoleVoter = true
		}
		out = append(out, line)
	}
	if err := printSurvivors(env.Out, out, asJSON); err != nil {
		return err
	}
	explainLoss(env.Err, s, out, accept)
	return nil
}

func printSurvivors(w io.Writer, all []survivor, asJSON bool) error {
	if asJSON {
		return writeJSON(w, map[string]any{"replicas": all})
	}
	rows := [][]string{{"REPLICA", "LAST ENTRY", "LOG START", "COMMITTED", "NEXT", "CONFIGURATION", ""}}
	for _, r := range all {
		voters, note := r.Voters, r.Damage
		if voters == "" {
			voters = "as in the metadata"
		}
		if r.SoleVoter {
			note = "is the sole voter now"
		}
		rows = append(rows, []string{
			r.Replica, fmt.Sprintf("%d/%d", r.LastTerm, r.LastIndex), fmt.Sprint(r.LogStart), fmt.Sprint(r.Committed), fmt.Sprint(r.Next), voters, note,
		})
	}
	return table(w, rows)
}

// explainLoss says what may be lost, in offsets of the records.
func explainLoss(w io.Writer, s *broker.Survivor, all []survivor, accepted bool) {
	verb := "would be"
	if accepted {
		verb = "are"
	}
	for _, r := range all {
		if r.Damage != "" {
			continue
		}
		fmt.Fprintf(w, "%s: records from offset %d on, if any were acknowledged without broker %d, %s lost", r.Replica, r.Next, s.Broker, verb)
		if n := r.Next - r.Committed; n > 0 {
			fmt.Fprintf(w, "; %s from offset %d on may not have been acknowledged and %s kept", plural(n, "record"), r.Committed, verb)
		}
		fmt.Fprintln(w)
	}
	if !accepted {
		fmt.Fprintln(w, "Nothing was changed. With --accept-data-loss the replicas above become the sole voters of their partitions.")
		return
	}
	fmt.Fprintf(w, "Start broker %d. The other brokers must never run again on their old data: wipe them and let them join anew.\n", s.Broker)
}
