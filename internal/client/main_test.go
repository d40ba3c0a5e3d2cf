package client

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/logq/logq/internal/fakebroker"
	"github.com/logq/logq/internal/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newClient returns a client on a cluster's first broker that ends with the test.
func newClient(t *testing.T, c *fakebroker.Cluster, o Options) *Client {
	t.Helper()
	cl, err := New(c.Connect(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// produce is a request that appends one record.
func produce(p protocol.Partition, timeout time.Duration) *Request {
	return &Request{Op: protocol.OpProduce, Topic: "events", Partition: p, Body: fakebroker.Batch("v"), Timeout: timeout}
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}
