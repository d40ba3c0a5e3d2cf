package rafttest

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/datadriven"

	"github.com/logq/logq/raft"
)

// inputs are the commands that stand for what a driver does.
func (e *Env) inputs() map[string]func(*args) error {
	return map[string]func(*args) error{
		"campaign": func(a *args) error { n := a.node(); e.c.Campaign(n.ID); return a.err },
		"tick": func(a *args) error {
			n := a.node()
			e.c.Tick(n.ID, a.num("n", 1))
			return a.err
		},
		"tick-all": func(a *args) error {
			for range a.num("n", 1) {
				e.c.TickAll()
			}
			return a.err
		},
		"propose": e.propose,
		"read": func(a *args) error {
			id, err := e.c.Read(a.node().ID)
			if err == nil {
				fmt.Fprintf(&e.out, "read %d\n", id)
			}
			return errors.Join(a.err, err)
		},
		"transfer": func(a *args) error {
			return errors.Join(e.c.Transfer(a.node().ID, raft.ReplicaID(a.num("to", 0))), a.err)
		},
		"config": func(a *args) error {
			i, err := e.c.ProposeConfig(a.node().ID, a.ids("voters"), a.ids("learners"))
			if err == nil {
				fmt.Fprintf(&e.out, "configuration %d\n", i)
			}
			return errors.Join(a.err, err)
		},
		"sent": func(a *args) error {
			n, to := a.node(), raft.ReplicaID(a.num("to", 0))
			ok := slices.ContainsFunc(a.d.CmdArgs, func(c datadriven.CmdArg) bool { return c.Key == "ok" && c.Vals[0] == "true" })
			e.c.Sent(n.ID, to, ok)
			return a.err
		},
		"fault": func(a *args) error {
			n := a.node()
			n.Fault(errors.New("injected"))
			return a.err
		},
	}
}

func (e *Env) propose(a *args) error {
	n, words := a.node(), a.words()
	if a.err != nil {
		return a.err
	}
	first, err := e.c.ProposeAt(n.ID, raft.Term(a.num("term", 0)), words[1:]...)
	if err == nil {
		fmt.Fprintf(&e.out, "proposed from %d on\n", first)
	}
	return errors.Join(a.err, err)
}

// network are the commands that decide on messages.
func (e *Env) network() map[string]func(*args) error {
	return map[string]func(*args) error{
		"deliver": func(a *args) error {
			for _, m := range e.take(a) {
				e.c.Hand(m)
			}
			return a.err
		},
		"drop": func(a *args) error {
			for _, m := range e.take(a) {
				fmt.Fprintf(&e.out, "dropped %v\n", m.Message)
			}
			return a.err
		},
		"dup": func(a *args) error {
			for _, m := range e.take(a) {
				e.c.Net = append(e.c.Net, m, m)
				fmt.Fprintf(&e.out, "twice %v\n", m.Message)
			}
			return a.err
		},
		"delay": func(a *args) error {
			e.c.Net = append(e.c.Net, e.take(a)...)
			return a.err
		},
		"stabilize": func(a *args) error { e.c.Stabilize(); return a.err },
		"cut": func(a *args) error {
			for _, w := range a.words() {
				from, to, _ := strings.Cut(w, ">")
				f, err1 := strconv.Atoi(from)
				t, err2 := strconv.Atoi(to)
				if err1 != nil || err2 != nil {
					return fmt.Errorf("%q is no link FROM>TO", w)
				}
				e.c.CutLink(raft.ReplicaID(f), raft.ReplicaID(t))
			}
			return a.err
		},
		"isolate": func(a *args) error { n := a.node(); e.c.Isolate(n.ID); return a.err },
		"heal":    func(a *args) error { e.c.Heal(); return a.err },
	}
}

// take removes the messages that the arguments name from the network.
func (e *Env) take(a *args) []Envelope {
	from, to, left := a.num("from", 0), a.num("to", 0), a.num("n", 1<<30)
	typ := ""
	for _, arg := range a.d.CmdArgs {
		if arg.Key == "type" && len(arg.Vals) == 1 {
			typ = arg.Vals[0]
		}
	}
	return e.c.Take(func(m *Envelope) bool {
		ok := left > 0 && (from == 0 || m.From == raft.ReplicaID(from)) && (to == 0 || m.To == raft.ReplicaID(to)) &&
			(typ == "" || m.Type.String() == typ)
		if ok {
			left--
		}
		return ok
	})
}

// disks are the commands that decide on disk work.
func (e *Env) disks() map[string]func(*args) error {
	return map[string]func(*args) error{
		"journal": func(a *args) error { return e.work(a, (*Node).Journal, (*Node).JournalSilently) },
		"log":     func(a *args) error { return e.work(a, (*Node).Write, (*Node).WriteSilently) },
		"flush": func(a *args) error {
			for _, n := range a.nodes() {
				n.Flush()
			}
			return a.err
		},
		"disk": func(a *args) error {
			for _, n := range a.nodes() {
				n.AutoDisk = slices.Contains(a.words(), "auto")
			}
			return a.err
		},
		"crash": func(a *args) error { n := a.node(); n.Crash(a.num("torn", 0)); return a.err },
		"start": func(a *args) error {
			n := a.node()
			if slices.Contains(a.words(), "forgetful") {
				n.StartForgetful()
			} else {
				n.Start()
			}
			return a.err
		},
		"wipe": func(a *args) error { n := a.node(); n.Wipe(a.num("keep", 0)); return a.err },
	}
}

func (e *Env) work(a *args, loud, silent func(*Node) bool) error {
	n, f := a.node(), loud
	if slices.Contains(a.words(), "silent") {
		f = silent
	}
	for range a.num("n", 1) {
		if !f(n) {
			return fmt.Errorf("no work waits there")
		}
	}
	return a.err
}

// views are the commands that only look.
func (e *Env) views() map[string]func(*args) error {
	return map[string]func(*args) error{
		"status": func(a *args) error {
			for _, n := range a.nodes() {
				fmt.Fprintln(&e.out, n)
				if n.Core == nil {
					continue
				}
				s := n.Core.Status()
				for _, p := range s.Peers {
					if s.Role == raft.RoleLeader {
						fmt.Fprintf(&e.out, "  %d: match=%d next=%d replicating=%v inflight=%d/%dB\n", p.ID, p.Match, p.Next, p.Replicating, p.InflightMessages, p.InflightBytes)
					}
				}
			}
			return a.err
		},
		"show": func(a *args) error {
			n := a.node()
			on, hard := n.Durable()
			fmt.Fprintf(&e.out, "memory: %v\ndisk:   %v term=%d vote=%d, %d writes waiting\n", n.Log, on, hard.Term, hard.Vote, n.Writes())
			return a.err
		},
		"net": func(a *args) error {
			for _, m := range e.c.Net {
				fmt.Fprintln(&e.out, m.Message)
			}
			return a.err
		},
	}
}
