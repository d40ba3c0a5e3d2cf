package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/logq/logq/internal/client"
	"github.com/logq/logq/internal/protocol"
)

// defaultTimeout bounds a call whose context has no deadline.
const defaultTimeout = 10 * time.Second

// The answers, as brokers give them. Their JSON forms are documented in
// docs/nats-api.md.
type (
	// TopicInfo describes a topic and, if asked for, its partitions.
	TopicInfo = protocol.TopicInfo
	// PartitionInfo describes a partition: leader, replicas, offsets.
	PartitionInfo = protocol.PartitionInfo
	// ClusterStatus says who is alive and which partitions lack a leader or replicas.
	ClusterStatus = protocol.ClusterStatusReply
	// Metadata lists brokers, topics and leaders.
	Metadata = protocol.MetaReply
	// Offset is an offset with its record's time and the leader's term.
	Offset = protocol.OffsetsReply
)

// Outcome says what is known about a request that failed.
type Outcome = protocol.Outcome

// The outcomes.
const (
	NotWritten = protocol.NotWritten // nothing was changed
	Unknown    = protocol.Unknown    // it may have been
)

// Error is a request that failed.
type Error struct {
	Op      string // what was tried, in words
	Outcome Outcome
	Code    protocol.Code
	Err     error
}

// Error names what was tried and the cause.
func (e *Error) Error() string { return e.Op + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Option configures an Admin.
type Option interface{ apply(*Admin) }

type option func(*Admin)

func (f option) apply(a *Admin) { f(a) }

// WithLogger sets where retries are logged; default nowhere.
func WithLogger(l *slog.Logger) Option { return option(func(a *Admin) { a.log = l }) }

// Admin administers a cluster.
type Admin struct {
	nc  *nats.Conn
	log *slog.Logger
}

// New returns an Admin over the caller's connection.
func New(nc *nats.Conn, opts ...Option) *Admin {
	a := &Admin{nc: nc, log: slog.New(slog.DiscardHandler)}
	for _, o := range opts {
		o.apply(a)
	}
	return a
}

// TopicSpec says what a new topic shall be.
type TopicSpec struct {
	// Name: dot-separated tokens of letters, digits, '_' and '-', 249 bytes at most.
	Name string
	// Partitions and Replicas are at least 1; Replicas at most the brokers there are.
	Partitions, Replicas int
	// Bind, if set, is a NATS subject, perhaps with wildcards, whose messages are
	// stored in the topic.
	Bind string
	// Config holds the topic's settings, such as "retention.ms"; the broker refuses unknown ones.
	Config map[string]string
}

// CreateTopic creates a topic and waits until its partitions have leaders.
func (a *Admin) CreateTopic(ctx context.Context, s TopicSpec) (TopicInfo, error) {
	return ask[TopicInfo](ctx, a, "create topic "+s.Name, protocol.OpTopicCreate, protocol.TopicCreateSubject,
		protocol.CreateTopicRequest{Name: s.Name, Partitions: s.Partitions, Replicas: s.Replicas, Bind: s.Bind, Config: s.Config}, false)
}

// DeleteTopic deletes a topic with all its records.
func (a *Admin) DeleteTopic(ctx context.Context, name string) error {
	_, err := ask[json.RawMessage](ctx, a, "delete topic "+name, protocol.OpTopicDelete, protocol.TopicDeleteSubject,
		protocol.DeleteTopicRequest{Name: name}, false)
	return err
}

// ListTopics returns all topics, ordered by name, without offsets.
func (a *Admin) ListTopics(ctx context.Context) ([]TopicInfo, error) {
	r, err := ask[protocol.ListTopicsReply](ctx, a, "list topics", protocol.OpTopicList, protocol.TopicListSubject, struct{}{}, true)
	return r.Topics, err
}

// DescribeTopic returns a topic with its partitions' leaders, replicas and
// offsets.
func (a *Admin) DescribeTopic(ctx context.Context, name string) (TopicInfo, error) {
	return ask[TopicInfo](ctx, a, "describe topic "+name, protocol.OpTopicDescribe, protocol.TopicDescribeSubject,
		protocol.DescribeTopicRequest{Name: name}, true)
}

// Reassign moves a partition's replicas to other brokers, the preferred leader
// first. It returns when that is decided; it is done when the partition's Target in
// DescribeTopic is empty. Records are taken and read meanwhile.
func (a *Admin) Reassign(ctx context.Context, topic string, partition int32, brokers []protocol.BrokerID) error {
	_, err := ask[protocol.MoveReply](ctx, a, fmt.Sprintf("reassign %s/%d", topic, partition), protocol.OpTopicReassign, protocol.TopicReassignSubject,
		protocol.ReassignRequest{Name: topic, Partition: protocol.Partition(partition), Replicas: brokers}, true)
	return err
}

// CancelReassign ends a move: the partition keeps, or gets back, the replicas that
// it had.
func (a *Admin) CancelReassign(ctx context.Context, topic string, partition int32) error {
	_, err := ask[protocol.MoveReply](ctx, a, fmt.Sprintf("cancel the move of %s/%d", topic, partition), protocol.OpTopicReassign, protocol.TopicReassignSubject,
		protocol.ReassignRequest{Name: topic, Partition: protocol.Partition(partition), Cancel: true}, true)
	return err
}

// SetReplicas changes the number of replicas of every partition of a topic. It
// returns how many partitions will move when that is decided; see Reassign.
func (a *Admin) SetReplicas(ctx context.Context, topic string, replicas int) (moves int, err error) {
	r, err := ask[protocol.MoveReply](ctx, a, "alter topic "+topic, protocol.OpTopicAlter, protocol.TopicAlterSubject,
		protocol.AlterTopicRequest{Name: topic, Replicas: replicas}, true)
	return len(r.Moves), err
}

// AlterConfig changes settings of a topic: those in set get these values, those in
// unset go back to the brokers' defaults, the others stay.
func (a *Admin) AlterConfig(ctx context.Context, topic string, set map[string]string, unset []string) error {
	_, err := ask[protocol.MoveReply](ctx, a, "alter topic "+topic, protocol.OpTopicAlter, protocol.TopicAlterSubject,
		protocol.AlterTopicRequest{Name: topic, Config: set, Unset: unset}, true)
	return err
}

// Drain has all replicas of a broker moved to others and keeps new ones away from
// it; with undo it may get new ones again. It returns when that is decided; it is
// done when the broker's Replicas in ClusterStatus are 0.
func (a *Admin) Drain(ctx context.Context, broker protocol.BrokerID, undo bool) error {
	_, err := ask[protocol.MoveReply](ctx, a, fmt.Sprintf("drain broker %d", broker), protocol.OpBrokerDrain, protocol.BrokerDrainSubject,
		protocol.DrainBrokerRequest{Broker: broker, Undo: undo}, true)
	return err
}

// Add gives a broker that has joined the cluster its share of the replicas, or with
// dryRun only says which would move. It returns the partitions that move when that
// is decided; it is done when none of them is in Moving of ClusterStatus any more.
func (a *Admin) Add(ctx context.Context, broker protocol.BrokerID, dryRun bool) ([]protocol.PartitionRef, error) {
	r, err := ask[protocol.MoveReply](ctx, a, fmt.Sprintf("add broker %d", broker), protocol.OpBrokerAdd, protocol.BrokerAddSubject,
		protocol.AddBrokerRequest{Broker: broker, DryRun: dryRun}, true)
	return r.Moves, err
}

// Remove takes a broker out of the cluster that holds no replicas any more (see
// Drain), or with dataLost one whose disk is gone for good: its replicas are made
// anew on other brokers. The broker's data directory is never let in again.
func (a *Admin) Remove(ctx context.Context, broker protocol.BrokerID, dataLost bool) error {
	_, err := ask[protocol.MoveReply](ctx, a, fmt.Sprintf("remove broker %d", broker), protocol.OpBrokerRemove, protocol.BrokerRemoveSubject,
		protocol.RemoveBrokerRequest{Broker: broker, DataLost: dataLost}, true)
	return err
}

// ClusterStatus says how the cluster is.
func (a *Admin) ClusterStatus(ctx context.Context) (ClusterStatus, error) {
	return ask[ClusterStatus](ctx, a, "cluster status", protocol.OpClusterStatus, protocol.ClusterStatusSubject, struct{}{}, true)
}

// Metadata returns brokers and topics with their leaders: the named topics, or
// all.
func (a *Admin) Metadata(ctx context.Context, topics ...string) (Metadata, error) {
	return ask[Metadata](ctx, a, "metadata", protocol.OpMeta, protocol.MetaSubject, protocol.MetaRequest{Topics: topics}, true)
}

// Earliest returns the first offset of a partition that can be read.
func (a *Admin) Earliest(ctx context.Context, topic string, partition int32) (Offset, error) {
	return a.offset(ctx, topic, partition, protocol.OffsetsRequest{At: protocol.AtEarliest})
}

// Latest returns the offset after the last committed record: one that covers
// every record acknowledged before the call.
func (a *Admin) Latest(ctx context.Context, topic string, partition int32) (Offset, error) {
	return a.offset(ctx, topic, partition, protocol.OffsetsRequest{At: protocol.AtLatest})
}

// AtTime returns the offset of the first record whose timestamp is t or later;
// the latest offset, with a time of -1, when there is none.
func (a *Admin) AtTime(ctx context.Context, topic string, partition int32, t time.Time) (Offset, error) {
	return a.offset(ctx, topic, partition, protocol.OffsetsRequest{At: protocol.AtTime, TimestampMs: t.UnixMilli()})
}

func (a *Admin) offset(ctx context.Context, topic string, partition int32, at protocol.OffsetsRequest) (out Offset, err error) {
	op := fmt.Sprintf("%s offset of %s/%d", at.At, topic, partition)
	err = a.with(ctx, op, func(ctx context.Context, c *client.Client) error {
		return c.Retry(ctx, func(ctx context.Context) error {
			out, err = c.Offset(ctx, topic, protocol.Partition(partition), at, timeLeft(ctx))
			return err
		})
	})
	return out, err
}

// ask sends one request and decodes its answer.
func ask[T any](ctx context.Context, a *Admin, what string, op protocol.Op, subject string, body any, repeatable bool) (out T, err error) {
	err = a.with(ctx, what, func(ctx context.Context, c *client.Client) error {
		answer, err := c.Ask(ctx, op, subject, body, timeLeft(ctx), repeatable)
		if err != nil || len(answer) == 0 {
			return err
		}
		if err := json.Unmarshal(answer, &out); err != nil {
			return fmt.Errorf("the broker's answer is not the JSON expected: %w", err)
		}
		return nil
	})
	return out, err
}

// with runs f with a client of its own: administration is rare, and an Admin
// that holds nothing needs no closing.
func (a *Admin) with(ctx context.Context, what string, f func(context.Context, *client.Client) error) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, defaultTimeout)
		defer cancel()
	}
	c, err := client.New(a.nc, client.Options{Logger: a.log})
	if err == nil {
		defer c.Close()
		err = f(ctx, c)
	}
	if err == nil {
		return nil
	}
	e := &Error{Op: what, Outcome: Unknown, Code: protocol.UnknownServerError, Err: err}
	var known *client.Error
	var refused *protocol.Error
	switch {
	case errors.As(err, &known):
		e.Outcome, e.Code, e.Err = known.Outcome, known.Code, known.Err // Op says the rest
	case errors.As(err, &refused):
		e.Outcome, e.Code = refused.Outcome, refused.Code
	}
	return e
}

func timeLeft(ctx context.Context) time.Duration {
	d, _ := ctx.Deadline()
	return max(time.Until(d), time.Millisecond)
}
