package protocol

import "strings"

// ReservedPrefix starts the names of internal topics, which clients can neither create nor use.
const ReservedPrefix = "__"

// ValidateTopic checks the name of a topic that a client wants to use: 1 to [MaxTopicBytes] bytes, tokens of letters,
// digits, '_' and '-' separated by single dots, not starting with [ReservedPrefix]. The error is an *[Error] with
// [InvalidTopic] that names the fault.
func ValidateTopic(name string) error {
	if err := validateTopicSyntax(name); err != nil {
		return err
	}
	if strings.HasPrefix(name, ReservedPrefix) {
		return Errorf(InvalidTopic, "topic %q: names that start with %q are reserved for logq itself", name, ReservedPrefix)
	}
	return nil
}

// validateTopicSyntax returns error, not *Error, so that nil stays nil in the callers' interfaces.
func validateTopicSyntax(name string) error {
	switch {
	case name == "":
		return Errorf(InvalidTopic, "the topic name is empty")
	case len(name) > MaxTopicBytes:
		return Errorf(InvalidTopic, "topic %q: the name has %d bytes, the limit is %d", clip(name), len(name), MaxTopicBytes)
	}
	start := true // at the start of a token
	for i := range len(name) {
		switch c := name[i]; {
		case c == '.':
			if start {
				return Errorf(InvalidTopic, "topic %q: empty token at byte %d; dots separate tokens of letters, digits, '_' and '-'", name, i)
			}
			start = true
		case c == '*' || c == '>':
			return Errorf(InvalidTopic, "topic %q: wildcard %q at byte %d; a topic is one name, not a pattern", name, c, i)
		case topicByte(c):
			start = false
		default:
			return Errorf(InvalidTopic, "topic %q: %q at byte %d; only letters, digits, '.', '_' and '-' are allowed", name, c, i)
		}
	}
	if start {
		return Errorf(InvalidTopic, "topic %q: ends with a dot", name)
	}
	return nil
}

func topicByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}
