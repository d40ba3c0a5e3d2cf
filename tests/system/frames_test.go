package system

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// frame is one line of segment dump --json that describes a frame, as far as
// replicas must agree on it.
type frame struct {
	Index        uint64 `json:"index"`
	Term         uint64 `json:"term"`
	PrevTerm     uint64 `json:"prev_term"`
	Kind         string `json:"kind"`
	BaseOffset   int64  `json:"base_offset"`
	Records      int64  `json:"records"`
	MaxTimestamp string `json:"max_timestamp"`
	PayloadBytes int64  `json:"payload_bytes"`
	PayloadCRC   string `json:"payload_crc"`
	CRC          string `json:"crc"`
}

// dumped is the frames of one partition on one broker.
type dumped map[string][]frame

// dumpAll reads every segment below a data directory with segment dump.
func dumpAll(t *testing.T, dir string) dumped {
	t.Helper()
	all := dumped{}
	var files []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(p, ".seg") {
			files = append(files, p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files) // by base index within a directory
	for _, f := range files {
		partition := ""
		lines := bufio.NewScanner(strings.NewReader(must(t, nil, "segment", "dump", "--json", f)))
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var kind struct {
				Type  string `json:"type"`
				Topic string `json:"topic_id"`
				Part  uint32 `json:"partition"`
			}
			if err := json.Unmarshal(lines.Bytes(), &kind); err != nil {
				t.Fatalf("%v in %s", err, lines.Text())
			}
			switch kind.Type {
			case "file":
				partition = fmt.Sprintf("%s/%d", kind.Topic, kind.Part)
			case "frame":
				var fr frame
				if err := json.Unmarshal(lines.Bytes(), &fr); err != nil {
					t.Fatalf("%v in %s", err, lines.Text())
				}
				all[partition] = append(all[partition], fr)
			}
		}
		if lines.Err() != nil {
			t.Fatal(lines.Err())
		}
	}
	return all
}

// waitEqual waits until all brokers' disks hold the same frames. What is called in
// sync may be behind by what was committed a moment ago.
func waitEqual(t *testing.T, c *cluster, records int64) {
	t.Helper()
	eventually(t, "all replicas hold the same frames", func() error { return differ(t, c, records) })
}

// compareReplicas compares what the brokers' disks hold now.
func compareReplicas(t *testing.T, c *cluster, records int64) {
	t.Helper()
	if err := differ(t, c, records); err != nil {
		t.Error(err)
	}
}

// differ says how the replicas differ, or that none holds all the records.
func differ(t *testing.T, c *cluster, records int64) error {
	t.Helper()
	first := dumpAll(t, c.nodes[0].dir)
	for _, n := range c.nodes[1:] {
		other := dumpAll(t, n.dir)
		if len(first) != len(other) {
			return fmt.Errorf("broker 1 holds %d partitions, broker %d %d", len(first), n.id, len(other))
		}
		for p, frames := range first {
			if !slices.Equal(frames, other[p]) {
				return fmt.Errorf("partition %s: broker 1 has %d frames, broker %d %d, first difference at %d",
					p, len(frames), n.id, len(other[p]), firstDifference(frames, other[p]))
			}
		}
	}
	for _, frames := range first {
		sum := int64(0)
		for _, f := range frames {
			sum += f.Records
		}
		if sum >= records {
			return nil
		}
	}
	return fmt.Errorf("no partition holds %d records", records)
}

func firstDifference(a, b []frame) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}
