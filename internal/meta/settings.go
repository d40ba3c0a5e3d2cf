package meta

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/logq/logq/internal/protocol"
)

// Settings of a topic, named as in Kafka.
const (
	// ConfigRetentionMs is how old records become before they may go, in milliseconds; -1 = they never grow too old.
	ConfigRetentionMs = "retention.ms"
	// ConfigRetentionBytes is the size beyond which the oldest segments of a partition go; -1 = any size.
	ConfigRetentionBytes = "retention.bytes"
	// ConfigSegmentBytes is the size at which a segment file is closed.
	ConfigSegmentBytes = "segment.bytes"
	// ConfigSegmentMs is the age at which a segment file is closed though it is not full, in milliseconds.
	ConfigSegmentMs = "segment.ms"

	minSegmentBytes = 1 << 20
	maxSegmentBytes = 1 << 30
	minSegmentMs    = 1000                            // a file a second is the most that an age may ask for
	maxMs           = 100 * 365 * 24 * 60 * 60 * 1000 // a century: sums with the time of day do not overflow
)

// Unlimited is the value of a retention that never drops anything.
const Unlimited = -1

// setting is a known setting: its bounds, and whether [Unlimited] is a value too.
type setting struct {
	name      string
	min, max  int64
	unlimited bool
	field     func(*Settings) *int64
}

// known are all settings, ordered by name.
var known = []setting{
	{ConfigRetentionBytes, 1, math.MaxInt64, true, func(s *Settings) *int64 { return &s.RetentionBytes }},
	{ConfigRetentionMs, 1, maxMs, true, func(s *Settings) *int64 { return &s.RetentionMs }},
	{ConfigSegmentBytes, minSegmentBytes, maxSegmentBytes, false, func(s *Settings) *int64 { return &s.SegmentBytes }},
	{ConfigSegmentMs, minSegmentMs, maxMs, false, func(s *Settings) *int64 { return &s.SegmentMs }},
}

// Settings are the settings of a topic as numbers; 0 = it has none of its own, and the broker's default counts.
type Settings struct {
	RetentionMs    int64
	RetentionBytes int64
	SegmentBytes   int64
	SegmentMs      int64
}

// Or returns the settings with those of d in place of the ones that are not set.
func (s Settings) Or(d Settings) Settings {
	for _, k := range known {
		if at := k.field(&s); *at == 0 {
			*at = *k.field(&d)
		}
	}
	return s
}

// Map returns the settings by name, without those that are not set.
func (s Settings) Map() map[string]string {
	out := map[string]string{}
	for _, k := range known {
		if v := *k.field(&s); v != 0 {
			out[k.name] = strconv.FormatInt(v, 10)
		}
	}
	return out
}

// Check returns what is wrong with the settings, as far as they are set; nil = nothing. what names whose they are.
func (s Settings) Check(what string) *protocol.Error { return checkConfig(what, s.Map()) }

// Settings returns the topic's own settings.
func (t *Topic) Settings() (s Settings) {
	for _, k := range known {
		if n, err := strconv.ParseInt(t.Config[k.name], 10, 64); err == nil {
			*k.field(&s) = n
		}
	}
	return s
}

// checkConfig checks settings by name; what names whose they are. The message names the setting, its value and the remedy.
func checkConfig(what string, config map[string]string) *protocol.Error {
	if len(config) > MaxConfigEntries {
		return protocol.Errorf(protocol.InvalidConfig, "%s: %d settings, the limit is %d", what, len(config), MaxConfigEntries)
	}
	for _, name := range slices.Sorted(maps.Keys(config)) { // the same error on each broker
		k, err := settingOf(what, name)
		if err != nil {
			return err
		}
		n, perr := strconv.ParseInt(config[name], 10, 64)
		if perr != nil || (n < k.min || n > k.max) && (!k.unlimited || n != Unlimited) {
			return protocol.Errorf(protocol.InvalidConfig, "%s: %s=%q; want %s", what, name, clip(config[name]), k.wanted())
		}
	}
	return nil
}

func settingOf(what, name string) (setting, *protocol.Error) {
	i, ok := slices.BinarySearchFunc(known, name, func(k setting, name string) int { return strings.Compare(k.name, name) })
	if !ok {
		return setting{}, protocol.Errorf(protocol.InvalidConfig, "%s: setting %q is not known; known: %s", what, clip(name), knownNames())
	}
	return known[i], nil
}

func (k setting) wanted() string {
	text := "a number from " + strconv.FormatInt(k.min, 10) + " to " + strconv.FormatInt(k.max, 10)
	if k.max == math.MaxInt64 {
		text = "a number from " + strconv.FormatInt(k.min, 10)
	}
	if k.unlimited {
		text += ", or -1 for no limit"
	}
	return text
}

func knownNames() string {
	names := make([]string, len(known))
	for i, k := range known {
		names[i] = k.name
	}
	return strings.Join(names, ", ")
}
