package service

import "github.com/logq/logq/internal/meta"

// defaultSettings are in force where neither the topic nor the broker's configuration says anything else: those of Kafka.
var defaultSettings = meta.Settings{
	RetentionMs:    7 * 24 * 60 * 60 * 1000,
	RetentionBytes: meta.Unlimited,
	SegmentBytes:   128 << 20,
	SegmentMs:      7 * 24 * 60 * 60 * 1000,
}
