package record

import "fmt"

// Codec is a batch's compression; the values are Kafka's attribute bits.
type Codec uint8

// The codecs.
const (
	None   Codec = iota // the records as they are
	Gzip                // RFC 1952
	Snappy              // Snappy's block format; read in snappy-java's framing too
	LZ4                 // one LZ4 frame with independent blocks
	Zstd                // RFC 8878
)

var codecNames = [...]string{"none", "gzip", "snappy", "lz4", "zstd"}

// String returns the codec's name: none, gzip, snappy, lz4 or zstd.
func (c Codec) String() string {
	if int(c) < len(codecNames) {
		return codecNames[c]
	}
	return fmt.Sprintf("codec %d", uint8(c))
}

// ParseCodec returns the codec of a name as String writes it. The error names the
// choices.
func ParseCodec(s string) (Codec, error) {
	for i, n := range codecNames {
		if n == s {
			return Codec(i), nil
		}
	}
	return None, fmt.Errorf("unknown compression %q; use zstd, snappy, lz4, gzip or none", s)
}
