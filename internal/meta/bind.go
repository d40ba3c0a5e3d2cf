package meta

import (
	"strings"

	"github.com/logq/logq/internal/protocol"
)

// checkBind checks the NATS subject whose messages a topic stores. It may hold wildcards after its first token. Two topics
// must not be bound to the same message, or a publisher would get two acknowledgements.
func checkBind(topics []*Topic, topic, bind string) *protocol.Error {
	if bind == "" {
		return nil
	}
	refuse := func(why string) *protocol.Error {
		return protocol.Errorf(protocol.InvalidConfig, "topic %q: bound subject %q %s", topic, clip(bind), why)
	}
	if len(bind) > MaxBindBytes {
		return refuse("is too long")
	}
	tokens := strings.Split(bind, ".")
	for i, tok := range tokens {
		switch {
		case tok == "":
			return refuse("has an empty token")
		case tok == ">" && i < len(tokens)-1:
			return refuse("has '>' before its end")
		case tok != ">" && tok != "*" && !literalToken(tok):
			return refuse("has a token with a space, a control character or a wildcard in it")
		}
	}
	switch first := tokens[0]; {
	case first == "*" || first == ">":
		return refuse("starts with a wildcard, which would catch logq's own subjects")
	case first == "logq" || first == "_INBOX" || first[0] == '$':
		return refuse("is reserved for logq and NATS")
	}
	for _, t := range topics {
		if t.Bind != "" && overlap(tokens, strings.Split(t.Bind, ".")) {
			return refuse("shares messages with " + t.Bind + ", which is bound to topic " + t.Name)
		}
	}
	return nil
}

func literalToken(tok string) bool {
	for i := range len(tok) {
		if c := tok[i]; c <= ' ' || c == 0x7f || c == '*' || c == '>' {
			return false
		}
	}
	return true
}

// overlap reports whether some subject matches both patterns.
func overlap(a, b []string) bool {
	for i := range min(len(a), len(b)) {
		switch {
		case a[i] == ">" || b[i] == ">":
			return true
		case a[i] != b[i] && a[i] != "*" && b[i] != "*":
			return false
		}
	}
	return len(a) == len(b)
}
