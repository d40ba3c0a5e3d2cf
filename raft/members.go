package raft

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// MembersMax bounds the replicas in each list of a Config.
const MembersMax = 32

// Config says who belongs to a group. It is a value: the core never changes the
// lists of one, and neither may others.
//
// While Outgoing is not empty, the group is in the joint state of a change from
// Outgoing to Voters (§6 of the paper): every decision needs a majority of each.
// A replica that is in Outgoing and in Learners becomes a learner when the joint
// state is left.
type Config struct {
	// Voters elect leaders and are counted for commits.
	Voters []ReplicaID
	// Outgoing are the voters before the change that is under way.
	Outgoing []ReplicaID
	// Learners get the log and are counted for nothing.
	Learners []ReplicaID
}

// Joint says that a change of voters is under way.
func (c Config) Joint() bool { return len(c.Outgoing) > 0 }

// Votes says whether id votes, in the new set or in the old one.
func (c Config) Votes(id ReplicaID) bool {
	return slices.Contains(c.Voters, id) || slices.Contains(c.Outgoing, id)
}

// Contains says whether id belongs to the group.
func (c Config) Contains(id ReplicaID) bool { return c.Votes(id) || slices.Contains(c.Learners, id) }

// Equal compares, in the order of the lists.
func (c Config) Equal(o Config) bool {
	return slices.Equal(c.Voters, o.Voters) && slices.Equal(c.Outgoing, o.Outgoing) && slices.Equal(c.Learners, o.Learners)
}

// Clone returns a copy that shares nothing.
func (c Config) Clone() Config {
	return Config{Voters: slices.Clone(c.Voters), Outgoing: slices.Clone(c.Outgoing), Learners: slices.Clone(c.Learners)}
}

// left returns the configuration after the joint state.
func (c Config) left() Config { return Config{Voters: c.Voters, Learners: c.Learners} }

// String returns the lists that are not empty: voters(1,2,3) learners(4).
func (c Config) String() string {
	var parts []string
	list := func(name string, ids []ReplicaID) {
		if len(ids) == 0 {
			return
		}
		text := strings.Trim(strings.Join(strings.Fields(fmt.Sprint(ids)), ","), "[]")
		parts = append(parts, name+"("+text+")")
	}
	list("voters", c.Voters)
	list("outgoing", c.Outgoing)
	list("learners", c.Learners)
	if len(parts) == 0 {
		return "nobody"
	}
	return strings.Join(parts, " ")
}

// ConfigEntry is a configuration and the entry in which it stands. Index 0 is the
// configuration with which the group was made, which stands in no entry.
type ConfigEntry struct {
	Index  Index
	Config Config
}

// ConfigError says what is wrong with a configuration. It will be refused again.
type ConfigError struct {
	Config Config
	What   string
}

// Error names the configuration and the fault.
func (e *ConfigError) Error() string {
	return fmt.Sprintf("raft: configuration %v: %s", e.Config, e.What)
}

// Validate reports the first fault as a *ConfigError: no voter, a list that does
// not ascend, is longer than MembersMax or holds 0, a voter that is a learner.
// The configuration of nobody is valid: a replica that joins knows no other.
func (c Config) Validate() error {
	what := ""
	for _, ids := range [][]ReplicaID{c.Voters, c.Outgoing, c.Learners} {
		for i, id := range ids {
			if id == 0 {
				what = "replica 0 is nobody"
			} else if i > 0 && ids[i-1] >= id {
				what = fmt.Sprintf("replica %d after %d: lists ascend, without duplicates", id, ids[i-1])
			}
		}
		if len(ids) > MembersMax {
			what = fmt.Sprintf("%d replicas in a list, at most %d", len(ids), MembersMax)
		}
	}
	for _, id := range c.Learners {
		if slices.Contains(c.Voters, id) {
			what = fmt.Sprintf("replica %d is voter and learner", id)
		}
	}
	if len(c.Voters) == 0 && len(c.Outgoing)+len(c.Learners) > 0 {
		what = "there is no voter"
	}
	if what != "" {
		return &ConfigError{Config: c, What: what}
	}
	return nil
}

// The payload of a config entry: version, then for each list its length and the
// ids ascending, as uvarints, each after the first as the difference.
const configVersion = 1

// AppendTo appends the payload of a config entry to dst.
func (c Config) AppendTo(dst []byte) []byte {
	dst = append(dst, configVersion)
	for _, ids := range [][]ReplicaID{c.Voters, c.Outgoing, c.Learners} {
		dst = binary.AppendUvarint(dst, uint64(len(ids)))
		before := ReplicaID(0)
		for _, id := range ids {
			dst = binary.AppendUvarint(dst, uint64(id-before))
			before = id
		}
	}
	return dst
}

// DecodeConfig is the inverse of AppendTo. Its errors are *DecodeError, or what
// Validate says.
func DecodeConfig(b []byte) (c Config, err error) {
	if len(b) == 0 || b[0] != configVersion {
		return Config{}, &DecodeError{"config: unknown version, or empty"}
	}
	b = b[1:]
	next := func() uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 || n > 1 && b[n-1] == 0 {
			err = &DecodeError{"config: a number is cut off or not in its shortest form"}
			return 0
		}
		b = b[n:]
		return v
	}
	for _, ids := range []*[]ReplicaID{&c.Voters, &c.Outgoing, &c.Learners} {
		n := next()
		if n > MembersMax {
			return Config{}, &DecodeError{fmt.Sprintf("config: a list of %d replicas", n)}
		}
		id := ReplicaID(0)
		for range n {
			d := next()
			if err != nil {
				return Config{}, err
			}
			if d == 0 || uint64(id)+d < d {
				return Config{}, &DecodeError{"config: a list doesn't ascend"}
			}
			id += ReplicaID(d)
			*ids = append(*ids, id)
		}
	}
	switch {
	case err != nil:
		return Config{}, err
	case len(b) > 0:
		return Config{}, &DecodeError{fmt.Sprintf("config: %d bytes behind it", len(b))}
	}
	return c, c.Validate()
}
