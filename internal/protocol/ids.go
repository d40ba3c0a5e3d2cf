package protocol

import (
	"encoding/binary"
	"encoding/hex"
	"strconv"
)

// BrokerID names a broker of a cluster: 1 to 65535. Zero means none.
type BrokerID uint16

// String returns the id in decimal.
func (b BrokerID) String() string { return strconv.FormatUint(uint64(b), 10) }

// ParseBrokerID reads a decimal broker id from 1 to 65535.
func ParseBrokerID(s string) (BrokerID, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return 0, Errorf(InvalidRequest, "broker id %q: want a number from 1 to 65535", clip(s))
	}
	return BrokerID(n), nil
}

// BrokerOf returns the broker that holds a replica. A replica id is incarnation<<16 | broker id, where the incarnation
// counts the times that the broker's copy of the partition was created anew.
func BrokerOf(replica uint64) BrokerID { return BrokerID(replica & 0xffff) }

// IncarnationOf returns the incarnation part of a replica id.
func IncarnationOf(replica uint64) uint64 { return replica >> 16 }

// ReplicaOf composes a replica id; it is the inverse of [BrokerOf] and [IncarnationOf]. Incarnation must be below 1<<48.
func ReplicaOf(b BrokerID, incarnation uint64) uint64 { return incarnation<<16 | uint64(b) }

// TopicID is the UUID of a topic. A deleted and re-created topic gets another one, so that nothing that belongs to the old
// topic is ever taken for the new.
type TopicID [16]byte

// MetaTopic is the name of the internal topic that holds the cluster's metadata in its only partition, 0.
const MetaTopic = "__meta"

// MetaTopicID is the fixed id of [MetaTopic]. Brokers need it before they have any metadata.
var MetaTopicID = TopicID{'l', 'o', 'g', 'q', 0, 0, 0x40, 0, 0x80, 0, 0, 0, 'm', 'e', 't', 'a'}

// String returns the id in the usual form of a UUID: 8-4-4-4-12 lower-case hexadecimal digits.
func (t TopicID) String() string {
	var b [36]byte
	hex.Encode(b[:8], t[:4])
	b[8] = '-'
	hex.Encode(b[9:13], t[4:6])
	b[13] = '-'
	hex.Encode(b[14:18], t[6:8])
	b[18] = '-'
	hex.Encode(b[19:23], t[8:10])
	b[23] = '-'
	hex.Encode(b[24:], t[10:])
	return string(b[:])
}

// IsZero reports whether the id is all zeros, which no topic has.
func (t TopicID) IsZero() bool { return t == TopicID{} }

// ParseTopicID reads the form that [TopicID.String] writes; upper-case digits are accepted too.
func ParseTopicID(s string) (TopicID, error) {
	var t TopicID
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return TopicID{}, Errorf(InvalidRequest, "topic id %q: want a UUID of the form 8-4-4-4-12", clip(s))
	}
	digits := s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:]
	if _, err := hex.Decode(t[:], []byte(digits)); err != nil {
		return TopicID{}, Errorf(InvalidRequest, "topic id %q: %v", s, err)
	}
	return t, nil
}

// MarshalText writes the form of [TopicID.String].
func (t TopicID) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads the form of [TopicID.String].
func (t *TopicID) UnmarshalText(b []byte) error {
	id, err := ParseTopicID(string(b))
	if err != nil {
		return err
	}
	*t = id
	return nil
}

// Partition is the number of a partition in its topic, from 0. [AnyPartition] leaves the choice to the broker.
type Partition int32

// AnyPartition asks the broker to choose: by the key's hash if there is a key, else by load. Its subject token is "_".
const AnyPartition Partition = -1

// String returns the subject token: the decimal number, or "_" for [AnyPartition].
func (p Partition) String() string {
	if p == AnyPartition {
		return "_"
	}
	return strconv.FormatInt(int64(p), 10)
}

// Epoch is the term of a partition's leader as clients see it. Zero means unknown, or that any leader will do.
type Epoch int32

// GroupID composes the id of the Raft group of a partition: the topic's UUID, then the partition as a big-endian uint32.
func GroupID(t TopicID, p Partition) [20]byte {
	var g [20]byte
	copy(g[:], t[:])
	binary.BigEndian.PutUint32(g[16:], uint32(p))
	return g
}

// SplitGroupID is the inverse of [GroupID].
func SplitGroupID(g [20]byte) (TopicID, Partition) {
	return TopicID(g[:16]), Partition(binary.BigEndian.Uint32(g[16:]))
}
