package cli

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/logq/logq/consumer"
)

// timeLayout is how %t and JSON write a record's timestamp: UTC, milliseconds,
// because a record has no finer time.
const timeLayout = "2006-01-02T15:04:05.000Z07:00"

// formatter appends one record to dst.
type formatter func(dst []byte, r *consumer.Record) []byte

// parseFormat reads a --format: "json", or text with verbs and escapes.
func parseFormat(format string) (formatter, error) {
	if format == "json" {
		return appendJSON, nil
	}
	var parts []formatter
	literal := func(b ...byte) {
		parts = append(parts, func(dst []byte, _ *consumer.Record) []byte { return append(dst, b...) })
	}
	for i := 0; i < len(format); i++ {
		switch {
		case format[i] == '%' && i+1 < len(format):
			i++
			verb, ok := verbs[format[i]]
			if !ok {
				return nil, usagef("--format %q: unknown verb %%%c: want %%v value, %%k key, %%o offset, %%p partition, %%t time, %%h headers or %%%%", format, format[i])
			}
			parts = append(parts, verb)
		case format[i] == '%':
			return nil, usagef("--format %q ends in a lone %%: write %%%% for a percent sign", format)
		case format[i] == '\\':
			b, n, err := unescape(format[i:])
			if err != nil {
				return nil, usagef("--format %q: %w", format, err)
			}
			literal(b)
			i += n - 1
		default:
			literal(format[i])
		}
	}
	return func(dst []byte, r *consumer.Record) []byte {
		for _, p := range parts {
			dst = p(dst, r)
		}
		return dst
	}, nil
}

var verbs = map[byte]formatter{
	'v': func(dst []byte, r *consumer.Record) []byte { return append(dst, r.Value...) },
	'k': func(dst []byte, r *consumer.Record) []byte { return append(dst, r.Key...) },
	'o': func(dst []byte, r *consumer.Record) []byte { return strconv.AppendInt(dst, r.Offset, 10) },
	'p': func(dst []byte, r *consumer.Record) []byte { return strconv.AppendInt(dst, int64(r.Partition), 10) },
	't': func(dst []byte, r *consumer.Record) []byte { return r.Timestamp.UTC().AppendFormat(dst, timeLayout) },
	'h': appendHeaders,
	'%': func(dst []byte, _ *consumer.Record) []byte { return append(dst, '%') },
}

// appendHeaders writes key=value,key=value.
func appendHeaders(dst []byte, r *consumer.Record) []byte {
	for i, h := range r.Headers {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, h.Key...), '='), h.Value...)
	}
	return dst
}

// unescape reads one backslash escape at the start of s and returns its byte
// and length.
func unescape(s string) (byte, int, error) {
	if len(s) < 2 {
		return 0, 0, fmt.Errorf("a lone backslash at the end: write \\\\ for a backslash")
	}
	switch s[1] {
	case 'n':
		return '\n', 2, nil
	case 't':
		return '\t', 2, nil
	case 'r':
		return '\r', 2, nil
	case '0':
		return 0, 2, nil
	case '\\':
		return '\\', 2, nil
	case 'x':
		if len(s) >= 4 {
			if n, err := strconv.ParseUint(s[2:4], 16, 8); err == nil {
				return byte(n), 4, nil
			}
		}
		return 0, 0, fmt.Errorf("\\x wants two hexadecimal digits, as in \\x1f")
	}
	return 0, 0, fmt.Errorf("unknown escape \\%c: want \\n, \\t, \\r, \\0, \\\\ or \\xHH", s[1])
}

// unescapeAll replaces the escapes of a flag such as --key-separator '\t'.
func unescapeAll(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		c, n, err := unescape(s[i:])
		if err != nil {
			return "", err
		}
		b.WriteByte(c)
		i += n - 1
	}
	return b.String(), nil
}

// recordJSON is one record as --format json prints it. Text is a string; bytes
// that are no UTF-8 stand in base64 under the name with _base64, so that
// nothing is lost or guessed.
type recordJSON struct {
	Topic       string       `json:"topic"`
	Partition   int32        `json:"partition"`
	Offset      int64        `json:"offset"`
	Timestamp   string       `json:"timestamp"`
	Key         *string      `json:"key,omitempty"`
	KeyBase64   []byte       `json:"key_base64,omitempty"`
	Value       *string      `json:"value,omitempty"`
	ValueBase64 []byte       `json:"value_base64,omitempty"`
	Headers     []headerJSON `json:"headers,omitempty"`
}

type headerJSON struct {
	Key         string  `json:"key"`
	Value       *string `json:"value,omitempty"`
	ValueBase64 []byte  `json:"value_base64,omitempty"`
}

func appendJSON(dst []byte, r *consumer.Record) []byte {
	out := recordJSON{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp.UTC().Format(timeLayout)}
	out.Key, out.KeyBase64 = textOrBytes(r.Key)
	out.Value, out.ValueBase64 = textOrBytes(r.Value)
	for _, h := range r.Headers {
		j := headerJSON{Key: string(h.Key)}
		j.Value, j.ValueBase64 = textOrBytes(h.Value)
		out.Headers = append(out.Headers, j)
	}
	b, err := json.Marshal(out)
	if err != nil { // strings, numbers and bytes always marshal
		b = []byte(strconv.Quote(err.Error()))
	}
	return append(append(dst, b...), '\n')
}

// textOrBytes returns b as text if it is UTF-8, else as bytes; neither if it is null.
func textOrBytes(b []byte) (*string, []byte) {
	switch {
	case b == nil:
		return nil, nil
	case utf8.Valid(b):
		s := string(b)
		return &s, nil
	}
	return nil, b
}

// parseTime reads a point in time: RFC 3339, a date, or a duration ago.
func parseTime(s string, now time.Time) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), true
	}
	return time.Time{}, false
}
