package cli

import (
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
)

// writeJSON writes one indented document.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// table writes rows in aligned columns; the first row is the head.
func table(w io.Writer, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		if _, err := io.WriteString(t, strings.TrimRight(strings.Join(r, "\t"), "\t")+"\n"); err != nil {
			return err
		}
	}
	return t.Flush()
}

func count(n int64) string { return humanize.Comma(n) }

// plural returns "1 record", "2,000 records".
func plural(n int64, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + one + "s"
}

// size returns bytes as people read them: 81.2 MB.
func size(n int64) string { return humanize.Bytes(uint64(max(n, 0))) }

// rate rounds a rate to what a person reads.
func rate(perSecond float64) string {
	if perSecond < 10 {
		return strconv.FormatFloat(perSecond, 'f', 1, 64)
	}
	return count(int64(perSecond))
}

// perSecond divides and never by zero.
func perSecond(n int64, d time.Duration) float64 {
	return float64(n) / max(d.Seconds(), 1e-9)
}

// seconds rounds for a report.
func seconds(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond / 10).String()
	}
	return d.Round(10 * time.Millisecond).String()
}
