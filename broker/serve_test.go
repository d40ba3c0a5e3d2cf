package broker_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/logq/logq/internal/protocol"
)

// TestEveryBrokerAnswers: a client needs one URL, whoever leads.
func TestEveryBrokerAnswers(t *testing.T) {
	c := newCluster(t, 3)
	createTopic(t, c.connect(0), protocol.CreateTopicRequest{Name: "t", Partitions: 3, Replicas: 3})
	createTopic(t, c.connect(0), protocol.CreateTopicRequest{Name: "bound", Partitions: 2, Replicas: 3, Bind: "in.>"})
	for i := range 3 {
		nc := c.connect(i)
		for p := range protocol.Partition(3) {
			eventually(t, "produce", func() error { return call(nc, protocol.ProduceSubject("t", p), batch(t, fmt.Sprint(i)), nil) })
			var at protocol.OffsetsReply
			if err := call(nc, protocol.OffsetsSubject("t", p), protocol.OffsetsRequest{At: protocol.AtLatest}, &at); err != nil || at.Offset != int64(i+1) {
				t.Errorf("broker %d, partition %d: latest is %+v, %v", i+1, p, at, err)
			}
		}
		if got, err := fetchAll(nc, "t"); err != nil || len(got) != i+1 {
			t.Errorf("broker %d serves %v, %v", i+1, got, err)
		}
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "publish on a bound subject", func() error {
			_, err := js.Publish(t.Context(), "other.x", nil)
			if !errors.Is(err, jetstream.ErrNoStreamResponse) {
				t.Errorf("publish where nothing is bound: %v", err)
			}
			_, err = js.Publish(t.Context(), "in.x", nil, jetstream.WithExpectStream("bound"))
			return err
		})
	}
	var status protocol.ClusterStatusReply
	if err := call(c.connect(1), protocol.ClusterStatusSubject, []byte{}, &status); err != nil || len(status.Brokers) != 3 || len(status.Leaderless) != 0 {
		t.Errorf("status %+v, %v", status, err)
	}
	nc := c.connect(2)
	if err := call(nc, protocol.TopicDeleteSubject, protocol.DeleteTopicRequest{Name: "bound"}, nil); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		nc := c.connect(i)
		eventually(t, "the binding goes with its topic", func() error {
			_, err := nc.Request("in.x", nil, time.Second)
			if errors.Is(err, nats.ErrNoResponders) {
				return nil
			}
			return fmt.Errorf("answered, or %w", err)
		})
	}
}

// TestLongPoll: a fetch at the end waits for data, as long as it said.
func TestLongPoll(t *testing.T) {
	c := newCluster(t, 1)
	nc := c.connect(0)
	createTopic(t, nc, protocol.CreateTopicRequest{Name: "t", Partitions: 1, Replicas: 1})
	ask := func(wait int) (*nats.Msg, time.Duration) {
		body, err := json.Marshal(protocol.FetchRequest{MaxWaitMs: wait})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		r, err := nc.Request(protocol.FetchSubject("t", 0), body, patience)
		if err != nil {
			t.Fatal(err)
		}
		return r, time.Since(start)
	}
	if r, took := ask(100); len(r.Data) != 0 || r.Header.Get(protocol.HeaderNextOffset) != "0" || took < 90*time.Millisecond {
		t.Errorf("an empty topic answered %q %v after %v", r.Data, r.Header, took)
	}
	got := make(chan *nats.Msg, 1)
	go func() {
		r, _ := ask(20_000)
		got <- r
	}()
	eventually(t, "the fetch waits", func() error {
		if n := metric(t, c, 0, `logq_inflight_requests{kind="fetch"}`); n != "1" {
			return fmt.Errorf("%s fetches wait", n)
		}
		return nil
	})
	if err := call(nc, protocol.PubSubject("t", 0), []byte("x"), nil); err != nil {
		t.Fatal(err)
	}
	if r := <-got; len(r.Data) == 0 || r.Header.Get(protocol.HeaderHighWatermark) != "1" {
		t.Errorf("answered %q %v", r.Data, r.Header)
	}
}

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	r, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(b)
}

// metric returns the value of one series as a broker shows it, "" if it shows none.
func metric(t *testing.T, c *cluster, i int, series string) string {
	t.Helper()
	_, body := get(t, c.brokers[i].HTTPURL()+"/metrics")
	for line := range strings.Lines(body) {
		if v, ok := strings.CutPrefix(line, series+" "); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func TestHealthAndMetrics(t *testing.T) {
	c := newCluster(t, 3)
	nc := c.connect(0)
	createTopic(t, nc, protocol.CreateTopicRequest{Name: "t", Partitions: 1, Replicas: 3})
	eventually(t, "produce", func() error { return call(nc, protocol.ProduceSubject("t", 0), batch(t, "x"), nil) })
	url := c.brokers[0].HTTPURL()
	eventually(t, "ready", c.brokers[0].Ready)
	if status, body := get(t, url+"/readyz"); status != http.StatusOK {
		t.Errorf("readyz: %d %s", status, body)
	}
	for series, want := range map[string]string{
		"logq_ready": "1", "logq_topics": "1", "logq_replicas": "1", "logq_peers_connected": "2",
		"logq_brokers_alive": "3", "logq_nats_connections": "1", "logq_nats_broker_reconnects_total": "0",
		`logq_requests_total{operation="produce",outcome="unknown"}`: "0",
	} {
		eventually(t, series, func() error {
			if got := metric(t, c, 0, series); got != want {
				return fmt.Errorf("it is %q, want %s", got, want)
			}
			return nil
		})
	}
	_, body := get(t, url+"/metrics")
	for _, part := range []string{`logq_broker_info{broker="1",cluster="`, "logq_disk_free_bytes ", "logq_journal_saves_total ", `logq_peer_sent_bytes_total{class="bulk"}`, "go_goroutines "} {
		if !strings.Contains(body, part) {
			t.Errorf("no %s in the metrics", part)
		}
	}
	c.stop(1, true)
	c.stop(2, true)
	eventually(t, "not ready without a majority", func() error {
		status, body := get(t, url+"/readyz")
		if status == http.StatusServiceUnavailable && strings.Contains(body, "controller") {
			return nil
		}
		return fmt.Errorf("%d %s", status, body)
	})
	if status, _ := get(t, url+"/livez"); status != http.StatusOK {
		t.Errorf("livez: %d", status)
	}
}

// TestDiscovery: brokers show themselves as a micro service.
func TestDiscovery(t *testing.T) {
	c := newCluster(t, 1)
	nc := c.connect(0)
	r, err := nc.Request("$SRV.INFO.logq", nil, 5*time.Second)
	if err != nil || !strings.Contains(string(r.Data), `"broker":"1"`) || !strings.Contains(string(r.Data), protocol.ClusterStatusSubject) {
		t.Errorf("info: %v, %v", r, err)
	}
	if r, err = nc.Request("$SRV.PING", nil, 5*time.Second); err != nil || !strings.Contains(string(r.Data), `"name":"logq"`) {
		t.Errorf("ping: %v, %v", r, err)
	}
}

// TestIdleBroker: a broker that nobody asks writes nothing, whatever it holds.
func TestIdleBroker(t *testing.T) {
	const partitions = 100
	c := newCluster(t, 3)
	nc := c.connect(0)
	createTopic(t, nc, protocol.CreateTopicRequest{Name: "t", Partitions: partitions, Replicas: 3})
	eventually(t, "all have leaders", func() error {
		for i := range c.brokers {
			if n := metric(t, c, i, "logq_partitions_leaderless"); n != "0" {
				return fmt.Errorf("%s without", n)
			}
		}
		return nil
	})
	writes := func() (all string) {
		for i := range c.brokers {
			all += metric(t, c, i, "logq_flushes_total") + "/" + metric(t, c, i, "logq_journal_saves_total") + " "
		}
		return all
	}
	last := writes()
	eventually(t, "quiet", func() error { // over some election timeouts
		timer := time.NewTimer(time.Second)
		<-timer.C
		now := writes()
		if now != last {
			err := fmt.Errorf("flushes and saves went from %s to %s", last, now)
			last = now
			return err
		}
		return nil
	})
}
