package admin_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/logq/logq/admin"
	"github.com/logq/logq/internal/fakebroker"
	"github.com/logq/logq/internal/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTopicsFromCreationToDeletion(t *testing.T) {
	c := fakebroker.Start(t, fakebroker.Options{Brokers: 3})
	a := admin.New(c.Connect(t))
	ctx := t.Context()
	if _, err := a.CreateTopic(ctx, admin.TopicSpec{Name: "orders", Partitions: 2, Replicas: 1}); err != nil {
		t.Fatal(err)
	}
	topics, err := a.ListTopics(ctx)
	if err != nil || len(topics) != 1 || topics[0].Name != "orders" {
		t.Errorf("list: %+v, %v", topics, err)
	}
	info, err := a.DescribeTopic(ctx, "orders")
	if err != nil || len(info.Partitions) != 2 {
		t.Errorf("describe: %+v, %v", info, err)
	}
	meta, err := a.Metadata(ctx, "orders")
	if err != nil || len(meta.Brokers) != 3 || len(meta.Topics) != 1 {
		t.Errorf("metadata: %+v, %v", meta, err)
	}
	status, err := a.ClusterStatus(ctx)
	if err != nil || len(status.Brokers) != 3 {
		t.Errorf("status: %+v, %v", status, err)
	}
	if err := a.DeleteTopic(ctx, "orders"); err != nil {
		t.Error(err)
	}
	if topics, err := a.ListTopics(ctx); err != nil || len(topics) != 0 {
		t.Errorf("after deletion: %+v, %v", topics, err)
	}
}

func TestOffsets(t *testing.T) {
	c := fakebroker.Start(t, fakebroker.Options{Brokers: 1})
	c.CreateTopic("t", 1)
	c.Append("t", 0, fakebroker.Batch("a", "b"))
	a := admin.New(c.Connect(t))
	for name, f := range map[string]func() (admin.Offset, error){
		"earliest": func() (admin.Offset, error) { return a.Earliest(t.Context(), "t", 0) },
		"at epoch": func() (admin.Offset, error) { return a.AtTime(t.Context(), "t", 0, time.UnixMilli(0)) },
	} {
		if o, err := f(); err != nil || o.Offset != 0 {
			t.Errorf("%s: %+v, %v", name, o, err)
		}
	}
	if o, err := a.Latest(t.Context(), "t", 0); err != nil || o.Offset != 2 {
		t.Errorf("latest: %+v, %v", o, err)
	}
}

func TestErrorsAreTyped(t *testing.T) {
	c := fakebroker.Start(t, fakebroker.Options{Brokers: 1})
	a := admin.New(c.Connect(t))
	_, err := a.DescribeTopic(t.Context(), "nothing")
	var e *admin.Error
	if !errors.As(err, &e) || e.Code != protocol.UnknownTopicOrPartition || e.Outcome != admin.NotWritten || !strings.Contains(err.Error(), "nothing") {
		t.Errorf("unknown topic: %v", err)
	}
	// A creation whose answer is lost may have happened.
	c.Hook(func(r *fakebroker.Request) *fakebroker.Action {
		if r.Op == protocol.OpTopicCreate {
			return &fakebroker.Action{LoseReply: true}
		}
		return nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := a.CreateTopic(ctx, admin.TopicSpec{Name: "t", Partitions: 1, Replicas: 1}); !errors.As(err, &e) || e.Outcome != admin.Unknown {
		t.Errorf("lost answer: %v", err)
	}
}
