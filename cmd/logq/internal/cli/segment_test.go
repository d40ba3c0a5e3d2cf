package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/record"
	"github.com/logq/logq/segments"
)

// writeSegment makes a log of a no-op and batches, one flush each, and returns
// its only file.
func writeSegment(t *testing.T, batches ...[]string) string {
	t.Helper()
	dir := t.TempDir()
	id := segments.Identity{Topic: [16]byte{1, 2, 3}, Partition: 7}
	log, _, err := segments.Open(segments.Options{FS: vfs.OS(), Dir: dir, Identity: id, SegmentBytes: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	appendAndFlush := func(f segments.Frame) {
		if err := log.Append(f, segments.Local{WriteTerm: 1, DurableThrough: log.Durable()}); err != nil {
			t.Fatal(err)
		}
		if err := log.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	appendAndFlush(segments.Frame{Kind: segments.KindNoOp, Index: 1, Term: 1})
	for i, values := range batches {
		b := record.NewBuilder(record.BuilderOptions{Codec: record.Snappy, ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1})
		for j, v := range values {
			r := record.Record{Timestamp: 1700000000000 + int64(j), Value: []byte(v)}
			if j%2 == 1 {
				r.Key = []byte("key")
			}
			if err := b.Append(r); err != nil {
				t.Fatal(err)
			}
		}
		sealed, err := b.Seal(nil)
		if err != nil {
			t.Fatal(err)
		}
		batch := record.Batch(sealed)
		batch.Assign(log.NextOffset(), 1)
		appendAndFlush(segments.Frame{
			Kind: segments.KindData, Index: segments.Index(i + 2), Term: 1, PrevTerm: 1, BaseOffset: log.NextOffset(),
			Records: uint32(len(values)), MaxTimestamp: batch.MaxTimestamp(), Payload: batch,
		})
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v %v", files, err)
	}
	return files[0]
}

// unchanged runs a command and proves that it left the file as it was.
func unchanged(t *testing.T, file string, args ...string) result {
	t.Helper()
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	r := run1(t, args...)
	after, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	now, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, after) || info.ModTime() != now.ModTime() {
		t.Errorf("logq %v changed %s", args, file)
	}
	if list, err := os.ReadDir(filepath.Dir(file)); err != nil || len(list) > 2 {
		t.Errorf("logq %v left files behind: %v %v", args, list, err)
	}
	return r
}

func TestSegmentDump(t *testing.T) {
	file := writeSegment(t, []string{"one", "two", "three"}, []string{"four\xff"})
	var b strings.Builder
	for _, args := range [][]string{{}, {"--records"}, {"--json"}, {"--json", "--records"}} {
		r := unchanged(t, file, append([]string{"segment", "dump", file}, args...)...)
		if r.code != ExitOK || r.err != "" {
			t.Errorf("%v: %+v", args, r)
		}
		b.WriteString("$ logq segment dump FILE " + strings.Join(args, " ") + "\n" + strings.ReplaceAll(r.out, file, "FILE"))
	}
	golden(t, "segment_dump.txt", b.String())
}

// TestSegmentDumpFindsDamage flips one bit after the other in a small file. The
// dump must never take a damaged frame for a good one, and must say damage when
// frames behind it prove that it was durable.
func TestSegmentDumpFindsDamage(t *testing.T) {
	file := writeSegment(t, []string{"one"}, []string{"two"}, []string{"three"}, []string{"four"})
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	frames := regexp.MustCompile(`"type":"frame"`)
	whole := len(frames.FindAllString(run1(t, "segment", "dump", "--json", file).out, -1))
	if whole != 5 {
		t.Fatalf("%d frames, want 5", whole)
	}
	// Frame 2 begins behind the header block and the no-op's header.
	for pos := 4096 + 96; pos < 4096+2*96+40; pos += 7 {
		bad := bytes.Clone(good)
		bad[pos] ^= 0x10
		if err := os.WriteFile(file, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		r := unchanged(t, file, "segment", "dump", "--json", file)
		if r.code != ExitDamaged || !strings.Contains(r.err, "damaged") || !strings.Contains(r.out, `"damaged":true`) {
			t.Errorf("bit at %d: code %d, %s", pos, r.code, r.err)
		}
		if n := len(frames.FindAllString(r.out, -1)); n != 1 {
			t.Errorf("bit at %d: %d frames were taken for good, want 1", pos, n)
		}
	}
	for what, edit := range map[string]func([]byte) []byte{
		"header block": func(b []byte) []byte { b[20] ^= 1; return b },
		"empty":        func([]byte) []byte { return nil },
		"no segment":   func([]byte) []byte { return bytes.Repeat([]byte("text "), 2000) },
	} {
		if err := os.WriteFile(file, edit(bytes.Clone(good)), 0o600); err != nil {
			t.Fatal(err)
		}
		if r := unchanged(t, file, "segment", "dump", file); r.code != ExitDamaged || !strings.Contains(r.err, file) {
			t.Errorf("%s: %+v", what, r)
		}
	}
}

// TestSegmentDumpTorn cuts the file in the middle of its last frame, as a crash
// does: that is shown, and is no damage.
func TestSegmentDumpTorn(t *testing.T) {
	file := writeSegment(t, []string{"one"}, []string{"two"})
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	end := bytes.LastIndexFunc(good, func(r rune) bool { return r != 0 })
	if err := os.WriteFile(file, good[:end-5], 0o600); err != nil {
		t.Fatal(err)
	}
	if r := unchanged(t, file, "segment", "dump", file); r.code != ExitOK || !strings.Contains(r.out, "torn at") {
		t.Errorf("%+v", r)
	}
}

func TestSegmentDumpNoFile(t *testing.T) {
	if r := run1(t, "segment", "dump", "no-such.seg"); r.code != ExitFailed || !strings.Contains(r.err, "no-such.seg") {
		t.Errorf("%+v", r)
	}
}
