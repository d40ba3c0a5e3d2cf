package record_test

import (
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"testing"

	"github.com/logq/logq/record"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// kmsgRecords encodes records with franz-go's types.
func kmsgRecords(rs []record.Record) []byte {
	var out []byte
	for i, r := range rs {
		k := kmsg.Record{TimestampDelta64: r.Timestamp - rs[0].Timestamp, OffsetDelta: int32(i), Key: r.Key, Value: r.Value}
		for _, h := range r.Headers {
			k.Headers = append(k.Headers, kmsg.Header{Key: string(h.Key), Value: h.Value})
		}
		body := k.AppendTo(nil) // with a length of 0, one byte
		k.Length = int32(len(body) - 1)
		out = k.AppendTo(out)
	}
	return out
}

// kmsgBatch encodes a batch with franz-go's types.
func kmsgBatch(tb testing.TB, rs []record.Record, f foreign) record.Batch {
	k := kmsg.RecordBatch{
		FirstOffset: 7, PartitionLeaderEpoch: 3, Magic: 2, Attributes: int16(f.codec),
		LastOffsetDelta: int32(len(rs) - 1), FirstTimestamp: rs[0].Timestamp, MaxTimestamp: rs[0].Timestamp,
		ProducerID: 12, ProducerEpoch: 2, FirstSequence: 40, NumRecords: int32(len(rs)),
		Records: f.pack(tb, kmsgRecords(rs)),
	}
	for _, r := range rs {
		k.MaxTimestamp = max(k.MaxTimestamp, r.Timestamp)
	}
	raw := k.AppendTo(nil)
	k.Length = int32(len(raw) - 12)
	k.CRC = int32(crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)))
	return k.AppendTo(nil)
}

// samples are batches of all shapes; timestamps differ by little, since franz-go's
// type has no wider difference than 32 bits in some versions.
func samples() map[string][]record.Record {
	r := rand.New(rand.NewPCG(3, 4))
	random := make([]record.Record, 300)
	for i := range random {
		random[i] = randomRecord(r)
		random[i].Timestamp = 1700000000000 + r.Int64N(100000)
	}
	return map[string][]record.Record{
		"one":    {{Timestamp: 5, Value: []byte("v")}},
		"nulls":  {{Timestamp: 5}, {Timestamp: 4, Key: []byte{}, Value: []byte{}}, {Timestamp: 9, Headers: []record.Header{{Key: []byte{}}, {Key: []byte("k"), Value: []byte{}}}}},
		"random": random,
		"lines":  logLines(2000, 150),
		"noise":  noise(20, 5000),
	}
}

func TestDecodeWhatOthersEncode(t *testing.T) {
	d := record.NewDecoder(record.DecoderOptions{})
	for name, rs := range samples() {
		for _, f := range foreigners {
			t.Run(name+"/"+f.name, func(t *testing.T) {
				b := kmsgBatch(t, rs, f)
				must(t, b.Verify())
				must(t, d.Check(b))
				if b.BaseOffset() != 7 || b.LastOffset() != 6+record.Offset(len(rs)) || b.LeaderEpoch() != 3 || b.Codec() != f.codec || b.Count() != len(rs) ||
					b.ProducerID() != 12 || b.ProducerEpoch() != 2 || b.BaseSequence() != 40 {
					t.Errorf("header view: %d to %d, %d records, epoch %d, %v, producer %d %d %d", b.BaseOffset(), b.LastOffset(), b.Count(), b.LeaderEpoch(),
						b.Codec(), b.ProducerID(), b.ProducerEpoch(), b.BaseSequence())
				}
				got, err := decode(d, b)
				must(t, err)
				want := make([]record.Record, len(rs))
				for i, r := range rs {
					r.Offset = 7 + record.Offset(i)
					want[i] = r
				}
				compare(t, got, want)
			})
		}
	}
}

func TestOthersDecodeWhatWeEncode(t *testing.T) {
	for name, rs := range samples() {
		for _, codec := range codecs {
			for _, level := range []int{0, 1, 5, 100} {
				o := record.BuilderOptions{Codec: codec, Level: level, ProducerID: 12, ProducerEpoch: 2, BaseSequence: 40}
				b := seal(t, o, rs...)
				must(t, record.NewDecoder(record.DecoderOptions{}).Check(b))
				b.Assign(1<<40, 9)
				checkKmsg(t, name, b, rs)
			}
		}
	}
}

func checkKmsg(t *testing.T, name string, b record.Batch, rs []record.Record) {
	t.Helper()
	var k kmsg.RecordBatch
	must(t, k.ReadFrom(b))
	if k.FirstOffset != 1<<40 || k.PartitionLeaderEpoch != 9 || k.Magic != 2 || int(k.Length) != len(b)-12 ||
		k.LastOffsetDelta != int32(len(rs)-1) || k.NumRecords != int32(len(rs)) || k.FirstTimestamp != rs[0].Timestamp || k.MaxTimestamp != b.MaxTimestamp() ||
		k.ProducerID != 12 || k.ProducerEpoch != 2 || k.FirstSequence != 40 {
		t.Errorf("%s: header %+v", name, k)
	}
	if crc := crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)); uint32(k.CRC) != crc || b.CRC() != crc {
		t.Errorf("%s: CRC %x, want %x", name, k.CRC, crc)
	}
	src := unpack(t, record.Codec(k.Attributes&7), k.Records)
	var got []record.Record
	for range k.NumRecords {
		var r kmsg.Record
		n, used := binary.Varint(src)
		must(t, r.ReadFrom(src[:used+int(n)]))
		src = src[used+int(n):]
		out := record.Record{Offset: record.Offset(r.OffsetDelta), Timestamp: k.FirstTimestamp + r.TimestampDelta64, Key: r.Key, Value: r.Value}
		for _, h := range r.Headers {
			out.Headers = append(out.Headers, record.Header{Key: []byte(h.Key), Value: h.Value})
		}
		got = append(got, out)
	}
	if len(src) > 0 {
		t.Errorf("%s: %d bytes after the last record", name, len(src))
	}
	want := make([]record.Record, len(rs))
	for i, r := range rs {
		r.Offset = record.Offset(i)
		want[i] = r
	}
	compare(t, got, want)
}
