package etcdtest

import (
	"fmt"
	"reflect"
	"testing"
	"unsafe"

	etcd "go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	etcdenv "go.etcd.io/raft/v3/rafttest"
	"google.golang.org/protobuf/proto"

	"github.com/logq/logq/raft"
)

// view is what is compared of a replica.
type view struct {
	Role   raft.Role
	Term   raft.Term
	Vote   raft.ReplicaID
	Commit raft.Index
	Last   raft.EntryID
	Config string
}

func (v view) String() string {
	return fmt.Sprintf("%v term=%d vote=%d commit=%d last=%v %s", v.Role, v.Term, v.Vote, v.Commit, v.Last, v.Config)
}

// etcdGroup runs a script in etcd's own environment.
type etcdGroup struct {
	env *etcdenv.InteractionEnv
}

// newEtcdGroup takes from ours with which hard state each replica begins.
func newEtcdGroup(s *script, ours *mirror) *etcdGroup {
	g := &etcdGroup{}
	g.env = etcdenv.NewInteractionEnv(&etcdenv.InteractionOpts{
		OnConfig: func(c *etcd.Config) {
			c.PreVote, c.CheckQuorum = s.polite, s.polite
			c.StepDownOnRemoval = true
			if v := ours.view(raft.ReplicaID(c.ID)); v.Term > 0 {
				hard := &raftpb.HardState{
					Term: proto.Uint64(uint64(v.Term)), Vote: proto.Uint64(uint64(v.Vote)), Commit: proto.Uint64(uint64(v.Commit)),
				}
				if err := c.Storage.(etcdenv.Storage).SetHardState(hard); err != nil {
					panic(err)
				}
			}
		},
		SetRandomizedElectionTimeout: setTimeout,
	})
	return g
}

// setTimeout sets what only etcd's own tests can set.
func setTimeout(n *etcd.RawNode, timeout int) {
	f := reflect.ValueOf(n).Elem().FieldByName("raft").Elem().FieldByName("randomizedElectionTimeout")
	reflect.NewAt(f.Type(), unsafe.Pointer(f.UnsafeAddr())).Elem().SetInt(int64(timeout))
}

func (g *etcdGroup) run(t *testing.T, st *step) string { return g.env.Handle(t, st.TestData) }

// quiescent says that nothing is on its way.
func (g *etcdGroup) quiescent() bool {
	for i := range g.env.Nodes {
		if n := &g.env.Nodes[i]; n.HasReady() || len(n.AppendWork)+len(n.ApplyWork) > 0 {
			return false
		}
	}
	return len(g.env.Messages) == 0
}

func (g *etcdGroup) view(t *testing.T, id raft.ReplicaID) view {
	n := &g.env.Nodes[id-1]
	s := n.Status()
	last, err := n.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	term, err := n.Storage.Term(last)
	if err != nil {
		t.Fatal(err)
	}
	return view{
		Role: map[etcd.StateType]raft.Role{
			etcd.StateFollower: raft.RoleFollower, etcd.StatePreCandidate: raft.RolePreCandidate,
			etcd.StateCandidate: raft.RoleCandidate, etcd.StateLeader: raft.RoleLeader,
		}[s.RaftState],
		Term: raft.Term(s.GetTerm()), Vote: raft.ReplicaID(s.GetVote()), Commit: raft.Index(s.GetCommit()),
		Last: raft.EntryID{Term: raft.Term(term), Index: raft.Index(last)}, Config: configOf(s.Config).String(),
	}
}

// leader returns who leads the highest term, 0 if nobody does.
func (g *etcdGroup) leader(t *testing.T) (id raft.ReplicaID) {
	term := raft.Term(0)
	for i := range g.env.Nodes {
		if v := g.view(t, raft.ReplicaID(i+1)); v.Role == raft.RoleLeader && v.Term > term {
			id, term = raft.ReplicaID(i+1), v.Term
		}
	}
	return id
}

// voter returns the first voter by its own configuration.
func (g *etcdGroup) voter() raft.ReplicaID {
	for i := range g.env.Nodes {
		if id := raft.ReplicaID(i + 1); configOf(g.env.Nodes[i].Status().Config).Votes(id) {
			return id
		}
	}
	return 0
}

// members are the replicas that belong to the group by the configuration of id.
func (g *etcdGroup) members(id raft.ReplicaID) (out []raft.ReplicaID) {
	c := configOf(g.env.Nodes[id-1].Status().Config)
	for i := range g.env.Nodes {
		if m := raft.ReplicaID(i + 1); c.Contains(m) {
			out = append(out, m)
		}
	}
	return out
}
