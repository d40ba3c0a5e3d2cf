package rafttest

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/cockroachdb/datadriven"

	"github.com/logq/logq/raft"
)

// Env runs scripts: each command changes a cluster, and its output is the full
// trace of what that caused. The commands:
//
//	cluster nodes=N [seed=N] [election=N] [heartbeat=N] [message-bytes=N]
//	        [inflight=N] [inflight-bytes=N] [uncommitted=N] [disk=manual]
//	                      the first command; input lines "ID term=N log=(T T T)"
//	                      say what a node's disk holds
//	campaign ID           start an election
//	tick ID [n=N]         let time pass
//	tick-all [n=N]        on all nodes, delivering messages after each
//	propose ID [term=N] DATA…
//	read ID · transfer ID [to=ID] · sent ID to=ID ok=BOOL · fault ID
//	deliver, drop, dup, delay [from=ID] [to=ID] [type=T] [n=N]: of the waiting
//	                      messages; delay and dup put them last
//	stabilize             deliver until there is nothing to deliver
//	journal ID [n=N], log ID [n=N]: do disk work; with silent the core isn't told
//	flush ID…             do all disk work
//	disk ID… auto|manual
//	crash ID [torn=N] · start ID [forgetful] · wipe ID keep=N
//	cut FROM>TO… · isolate ID · heal
//	status [ID…] · show ID (the log) · net (the waiting messages)
type Env struct {
	out strings.Builder
	c   *Cluster
}

// NewEnv returns an environment without a cluster.
func NewEnv() *Env { return &Env{} }

// Cluster returns the cluster that the script made, nil before.
func (e *Env) Cluster() *Cluster { return e.c }

// Handle runs one command and returns its trace.
func (e *Env) Handle(d *datadriven.TestData) string {
	e.out.Reset()
	if err := e.run(d); err != nil {
		fmt.Fprintf(&e.out, "error: %v\n", err)
	}
	if e.c != nil && e.c.Err() != nil {
		return e.out.String() + "the cluster is broken: " + e.c.Err().Error() + "\n"
	}
	if e.out.Len() == 0 {
		return "ok\n"
	}
	return e.out.String()
}

func (e *Env) run(d *datadriven.TestData) error {
	if d.Cmd == "cluster" {
		return e.cluster(d)
	}
	if e.c == nil {
		return fmt.Errorf("the first command is cluster")
	}
	for _, group := range []map[string]func(*args) error{e.inputs(), e.network(), e.disks(), e.views()} {
		if f, ok := group[d.Cmd]; ok {
			return f(&args{d: d, e: e})
		}
	}
	return fmt.Errorf("unknown command %q", d.Cmd)
}

// args reads a command's arguments.
type args struct {
	d   *datadriven.TestData
	e   *Env
	err error
}

// num returns the argument key=N, or def.
func (a *args) num(key string, def int) int {
	for _, arg := range a.d.CmdArgs {
		if arg.Key == key && len(arg.Vals) == 1 {
			v, err := strconv.Atoi(arg.Vals[0])
			if err != nil && a.err == nil {
				a.err = fmt.Errorf("%s=%s is no number", key, arg.Vals[0])
			}
			return v
		}
	}
	return def
}

// words returns the arguments without a value.
func (a *args) words() (out []string) {
	for _, arg := range a.d.CmdArgs {
		if len(arg.Vals) == 0 {
			out = append(out, arg.Key)
		}
	}
	return out
}

// nodes returns the nodes that are named, all if none is.
func (a *args) nodes() (out []*Node) {
	for _, w := range a.words() {
		if id, err := strconv.Atoi(w); err == nil && id >= 1 && id <= len(a.e.c.Nodes) {
			out = append(out, a.e.c.Node(raft.ReplicaID(id)))
		}
	}
	if len(out) == 0 {
		return a.e.c.Nodes
	}
	return out
}

// node returns the node that the first word names.
func (a *args) node() *Node {
	w := a.words()
	if len(w) > 0 {
		if id, err := strconv.Atoi(w[0]); err == nil && id >= 1 && id <= len(a.e.c.Nodes) {
			return a.e.c.Node(raft.ReplicaID(id))
		}
	}
	if a.err == nil {
		a.err = fmt.Errorf("%s needs a node", a.d.Cmd)
	}
	return a.e.c.Nodes[0]
}

// ids returns the replicas of a list argument such as voters=(1,2,3).
func (a *args) ids(key string) (ids []raft.ReplicaID) {
	for _, arg := range a.d.CmdArgs {
		if arg.Key != key {
			continue
		}
		for _, v := range arg.Vals {
			id, err := strconv.Atoi(v)
			if err != nil {
				a.err = err
			}
			ids = append(ids, raft.ReplicaID(id))
		}
	}
	return ids
}

func (e *Env) cluster(d *datadriven.TestData) error {
	a := &args{d: d, e: e}
	logs, err := parseDisks(d.Input)
	if err != nil {
		return err
	}
	manual := false
	for _, arg := range d.CmdArgs {
		manual = manual || arg.Key == "disk" && len(arg.Vals) == 1 && arg.Vals[0] == "manual"
	}
	o := Options{
		Nodes: a.num("nodes", 3), Voters: a.num("voters", 0), Seed: uint64(a.num("seed", 1)), Trace: &e.out,
		Raft: raft.Options{
			ElectionTicks: a.num("election", 10), HeartbeatTicks: a.num("heartbeat", 2),
			MaxMessageBytes: a.num("message-bytes", 1000), MaxInflightMessages: a.num("inflight", 4),
			MaxInflightBytes: a.num("inflight-bytes", 10_000), MaxUncommittedBytes: a.num("uncommitted", 10_000),
		},
		Prepare: func(n *Node) {
			n.AutoDisk = !manual
			if l, ok := logs[n.ID]; ok {
				n.Fill(l.term, l.terms...)
			}
		},
	}
	if a.err != nil {
		return a.err
	}
	e.c = New(o)
	return nil
}

type diskLine struct {
	term  raft.Term
	terms []raft.Term
}

// parseDisks reads lines "ID term=N log=(T T T)".
func parseDisks(input string) (map[raft.ReplicaID]diskLine, error) {
	out := make(map[raft.ReplicaID]diskLine)
	for line := range strings.Lines(input) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		var id, term uint64
		if _, err := fmt.Sscanf(line, "%d term=%d", &id, &term); err != nil {
			return nil, fmt.Errorf("line %q: %w", line, err)
		}
		l := diskLine{term: raft.Term(term)}
		if _, list, ok := strings.Cut(line, "log=("); ok {
			list, _, _ = strings.Cut(list, ")")
			for _, f := range strings.Fields(list) {
				t, err := strconv.Atoi(f)
				if err != nil {
					return nil, fmt.Errorf("line %q: %w", line, err)
				}
				l.terms = append(l.terms, raft.Term(t))
			}
		}
		out[raft.ReplicaID(id)] = l
	}
	return out, nil
}
