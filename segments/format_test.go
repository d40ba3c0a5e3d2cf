package segments

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/logq/logq/record"
)

// These tests are white-box: they hold the constants and encoders of the format
// against the document and the golden bytes.

// rewriting says that the golden files are to be written anew: the flag -rewrite,
// which package datadriven registers in this test binary.
func rewriting() bool { return flag.Lookup("rewrite").Value.String() == "true" }

var goldenID = Identity{
	Topic:     [16]byte{0x01, 0x8f, 0x3c, 0x52, 0x11, 0x22, 0x70, 0x00, 0x80, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0x10},
	Partition: 3,
}

const goldenSegment ID = 5<<idRollBits + 2

type goldenFrame struct {
	name  string
	frame Frame
	local Local
}

func goldenFrames(t *testing.T) []goldenFrame {
	b := record.NewBuilder(record.BuilderOptions{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1})
	for i, v := range []string{"hello", "world"} {
		if err := b.Append(record.Record{Timestamp: 1700000000000 + int64(i), Key: []byte("k"), Value: []byte(v)}); err != nil {
			t.Fatal(err)
		}
	}
	batch, err := b.Seal(nil)
	if err != nil {
		t.Fatal(err)
	}
	record.Batch(batch).Assign(41, 5)
	return []goldenFrame{
		{"frame-noop", Frame{Kind: KindNoOp, Index: 17, Term: 5, PrevTerm: 4, BaseOffset: 41}, Local{5, 16, 12, 0}},
		{"frame-data", Frame{Kind: KindData, Index: 18, Term: 5, PrevTerm: 5, BaseOffset: 41, Records: 2, MaxTimestamp: 1700000000001, Payload: batch}, Local{6, 16, 17, 9}},
		{"frame-config", Frame{Kind: KindConfig, Index: 19, Term: 6, PrevTerm: 5, BaseOffset: 43, Payload: []byte("voters 1 2 3")}, Local{6, 18, 17, 19}},
	}
}

func encodeFrame(g goldenFrame) []byte {
	b := make([]byte, g.frame.Size())
	putFrame(b, &g.frame, goldenID.salt())
	copy(b[FrameHeaderSize:], g.frame.Payload)
	putLocal(b, &g.local, goldenID.salt().forSegment(goldenSegment))
	return b
}

func golden(t *testing.T, name string, b []byte) []byte {
	t.Helper()
	file := filepath.Join("testdata", name+".hex")
	if rewriting() {
		if err := os.WriteFile(file, []byte(hex.Dump(b)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out []byte
	for line := range strings.Lines(string(text)) {
		bytesPart, _, _ := strings.Cut(line[8:], "|")
		raw, err := hex.DecodeString(strings.Join(strings.Fields(bytesPart), ""))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		out = append(out, raw...)
	}
	return out
}

func TestGoldenFrames(t *testing.T) {
	for _, g := range goldenFrames(t) {
		t.Run(g.name, func(t *testing.T) {
			raw := golden(t, g.name, encodeFrame(g))
			f, n, err := ParseFrame(goldenID, raw)
			if err != nil || n != len(raw) {
				t.Fatalf("parse: %d of %d bytes, %v", n, len(raw), err)
			}
			if reason := checkLocal(raw, goldenID.salt().forSegment(goldenSegment)); reason != "" {
				t.Error(reason)
			}
			if l := getLocal(raw); l != g.local {
				t.Errorf("local part %+v, want %+v", l, g.local)
			}
			if !bytes.Equal(f.Payload, g.frame.Payload) {
				t.Errorf("payload %x", f.Payload)
			}
			again := encodeFrame(goldenFrame{frame: f, local: g.local})
			if !bytes.Equal(again, raw) {
				t.Errorf("encoded again\n%swant\n%s", hex.Dump(again), hex.Dump(raw))
			}
			if g.frame.Kind == KindData {
				if err := record.Batch(f.Payload).Verify(); err != nil {
					t.Errorf("golden batch: %v", err)
				}
			}
		})
	}
}

func TestGoldenHeader(t *testing.T) {
	h := FileHeader{Version: fileVersion, Identity: goldenID, ID: goldenSegment, BaseIndex: 17, BaseOffset: 41, BasePrevTerm: 4, Created: 1700000000000}
	full := h.encode()
	if !allZero(full[posConfigIndex:posHeaderCRC]) {
		t.Error("bytes without a configuration are not zero")
	}
	// The file holds the fields and the checksum; between them there are zeros.
	raw := golden(t, "header", append(bytes.Clone(full[:posConfigIndex]), full[posHeaderCRC:]...))
	block := make([]byte, FileHeaderSize)
	copy(block, raw[:posConfigIndex])
	copy(block[posHeaderCRC:], raw[posConfigIndex:])
	got, err := decodeHeader(block)
	if err != nil || !reflect.DeepEqual(got, h) {
		t.Errorf("decoded %+v, %v", got, err)
	}
	if !bytes.Equal(got.encode(), block) {
		t.Error("encoded again the header differs")
	}
}

// TestDocument holds the field tables of the format document against the code.
func TestDocument(t *testing.T) {
	text, err := os.ReadFile("../docs/internals/format.md")
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string][][3]any{
		"### Header block": {
			{posFileMagic, len(fileMagic), "magic"}, {posFileVersion, 4, "version"}, {posHeaderSize, 4, "header_size"},
			{posTopic, 16, "topic"}, {posPartition, 4, "partition"}, {posFileFlags, 4, "flags"}, {posSegmentID, 8, "segment_id"},
			{posBaseIndex, 8, "base_index"}, {posFileOffset, 8, "base_offset"}, {posBasePrevTerm, 8, "base_prev_term"},
			{posCreated, 8, "created"}, {posConfigIndex, 8, "config_index"}, {posConfigLen, 4, "config_len"},
			{posFileReserved, posHeaderCRC - posFileReserved, "config"}, {posHeaderCRC, 4, "header_crc"},
		},
		"### Frame": {
			{posMagic, 4, "magic"}, {posVersion, 1, "version"}, {posKind, 1, "kind"}, {posFlags, 2, "flags"},
			{posPayloadLen, 4, "payload_len"}, {posRecords, 4, "records"}, {posIndex, 8, "index"}, {posTerm, 8, "term"},
			{posPrevTerm, 8, "prev_term"}, {posBaseOffset, 8, "base_offset"}, {posMaxTimestamp, 8, "max_timestamp"},
			{posPayloadCRC, 4, "payload_crc"}, {posReplicatedCRC, 4, "replicated_crc"}, {posWriteTerm, 8, "write_term"},
			{posDurableThrough, 8, "durable_through"}, {posCommit, 8, "commit"}, {posConfigBack, 4, "config_back"}, {posLocalCRC, 4, "local_crc"},
		},
		"### Footer": {
			{posMarkIndex, 8, "mark_index"}, {posMarkOffset, 8, "mark_offset"}, {posMarkPosition, 8, "mark_position"}, {posMarkBefore, 8, "mark_before"},
		},
		"### Footer info": {
			{posFirstIndex, 8, "first_index"}, {posLastIndex, 8, "last_index"}, {posFirstOffset, 8, "first_offset"}, {posNextOffset, 8, "next_offset"},
			{posFootPrevTerm, 8, "prev_term"}, {posLastTerm, 8, "last_term"}, {posFootWrite, 8, "write_term"}, {posFootDurable, 8, "durable"},
			{posFootCommit, 8, "commit"}, {posFootConfig, 8, "config_index"}, {posFootMaxTime, 8, "max_timestamp"}, {posEnd, 8, "end"},
			{posFramesCRC, 4, "frames_crc"}, {posFootFlags, 4, "flags"}, {posMarks, 4, "marks"}, {posIndexCRC, 4, "index_crc"},
			{posTerms, 4, "terms"}, {posConfigs, 4, "configs"},
		},
		"### Footer trailer": {
			{posInfoLen, 4, "info_len"}, {posFootVersion, 4, "footer_version"}, {posFootMagic, 4, "footer_magic"}, {posFootCRC, 4, "footer_crc"},
		},
	}
	row := regexp.MustCompile(`^\| (\d+) \| (\d+) \| (\w+) \|`)
	got := map[string][][3]any{}
	section := ""
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			section = strings.TrimSpace(line)
		}
		if m := row.FindStringSubmatch(line); m != nil {
			off, _ := strconv.Atoi(m[1])
			size, _ := strconv.Atoi(m[2])
			got[section] = append(got[section], [3]any{off, size, m[3]})
		}
	}
	ends := map[string]int{
		"### Header block": FileHeaderSize, "### Frame": FrameHeaderSize,
		"### Footer": markSize, "### Footer info": footInfoSize, "### Footer trailer": trailerSize,
	}
	for section, want := range fields {
		if fmt.Sprint(got[section]) != fmt.Sprint(want) {
			t.Errorf("%s of the document has\n%v\nthe code has\n%v", section, got[section], want)
		}
		at := 0
		for _, f := range want {
			if f[0] != at {
				t.Errorf("%s: field %v begins at %v, the one before ends at %d", section, f[2], f[0], at)
			}
			at = f[0].(int) + f[1].(int)
		}
		if at != ends[section] {
			t.Errorf("%s ends at %d", section, at)
		}
	}
	for _, want := range []string{
		fmt.Sprintf("| payload of a frame | %d MiB |", MaxPayloadBytes>>20),
		fmt.Sprintf("| frame | %d bytes + payload |", FrameHeaderSize),
		fmt.Sprintf("| segment | %d MiB by default, %d GiB at most;", DefaultSegmentBytes>>20, int64(MaxSegmentBytes)>>30),
		fmt.Sprintf("write term << %d", idRollBits),
		fmt.Sprintf("2^%d", 64-idRollBits),
		fmt.Sprintf("| term starts, and bytes of configurations, in a footer | 4,%03d, %d KiB;", footTermsMax%1000, footConfigBytesMax>>10),
		fmt.Sprintf("at most 8,%03d.", footMarksMax%1000),
		"`" + footMagic + "`", "`" + indexMagicText + "`",
		fmt.Sprintf("version %d. Package", fileVersion), fmt.Sprintf("| 8 | 4 | version | %d |", fileVersion),
		"`" + fileMagic + "`", "`" + string(magicBytes) + "`",
		fmt.Sprintf("The first %d bytes, the **replicated part**", ReplicatedSize),
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the document doesn't say %q", want)
		}
	}
}

func TestNames(t *testing.T) {
	name := fileName(48213, goldenSegment)
	if want := "00000000000000048213-0000000005000002.seg"; name != want {
		t.Errorf("name %q, want %q", name, want)
	}
	if base, id, ok := parseName(name); base != 48213 || id != goldenSegment || !ok {
		t.Errorf("parsed %d, %d, %v", base, id, ok)
	}
	if !IsSegment("data/p/" + name) {
		t.Error("a segment's path is not known as one")
	}
	for _, bad := range []string{
		"", "x.seg", name + ".tmp", strings.Replace(name, "-", "_", 1), strings.ToUpper(name),
		"+0000000000000048213-0000000005000002.seg", "0000000000000004821x-0000000005000002.seg",
		"99999999999999999999-0000000005000002.seg", "00000000000000048213-000000000500000G.seg",
		"00000000000000048213-00000000AB000002.seg",
	} {
		if _, _, ok := parseName(bad); ok {
			t.Errorf("%q was taken for a segment", bad)
		}
	}
}
