package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/logq/logq/consumer"
	"github.com/logq/logq/record"
)

func TestFormat(t *testing.T) {
	r := consumer.Record{
		Topic: "t", Partition: 2, Offset: 17, Timestamp: time.UnixMilli(1700000000123), Key: []byte("k"), Value: []byte("a\xffb"),
		Headers: []record.Header{{Key: []byte("x"), Value: []byte("1")}, {Key: []byte("y"), Value: []byte("2")}},
	}
	tests := []struct{ format, want string }{
		{`%v\n`, "a\xffb\n"},
		{`%p/%o %k=%v %t %h 100%%\t\\\r\0\x41`, "2/17 k=a\xffb 2023-11-14T22:13:20.123Z x=1,y=2 100%\t\\\r\x00A"},
		{"plain ü", "plain ü"},
		{"", ""},
		{"json", `{"topic":"t","partition":2,"offset":17,"timestamp":"2023-11-14T22:13:20.123Z","key":"k","value_base64":"Yf9i","headers":[{"key":"x","value":"1"},{"key":"y","value":"2"}]}` + "\n"},
	}
	for _, tt := range tests {
		f, err := parseFormat(tt.format)
		if err != nil {
			t.Errorf("%q: %v", tt.format, err)
			continue
		}
		if got := string(f(nil, &r)); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.format, got, tt.want)
		}
	}
	null := consumer.Record{Topic: "t"}
	if got := string(appendJSON(nil, &null)); strings.Contains(got, "value") || strings.Contains(got, "key") {
		t.Errorf("null key and value were printed: %s", got)
	}
	empty := consumer.Record{Topic: "t", Value: []byte{}}
	if got := string(appendJSON(nil, &empty)); !strings.Contains(got, `"value":""`) {
		t.Errorf("an empty value is not null: %s", got)
	}
}

func TestParseTime(t *testing.T) {
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	tests := map[string]time.Time{
		"2026-01-02T03:04:05Z":      time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		"2026-01-02T03:04:05+02:00": time.Date(2026, 1, 2, 1, 4, 5, 0, time.UTC),
		"2026-01-02":                time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC),
		"90s":                       now.Add(-90 * time.Second),
		"1h30m":                     now.Add(-90 * time.Minute),
	}
	for s, want := range tests {
		if got, ok := parseTime(s, now); !ok || !got.Equal(want) {
			t.Errorf("%s: got %v %v, want %v", s, got, ok, want)
		}
	}
	for _, s := range []string{"", "noon", "-5m", "2026-13-01"} {
		if got, ok := parseTime(s, now); ok {
			t.Errorf("%q was read as %v", s, got)
		}
	}
}
