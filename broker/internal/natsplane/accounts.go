package natsplane

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/logq/logq/internal/protocol"
)

// Users. All but the anonymous one can come in over in-process connections only;
// their secret is drawn at each start and never leaves the process.
const (
	brokerUser    = "broker"    // LOGQ: answers requests
	strayUser     = "stray"     // LOGQ: answers what no operation is
	edgeUser      = "edge"      // APP: takes messages on bound subjects
	anonymousUser = "anonymous" // APP: every client
)

// permissions of a user, as the server's configuration spells them.
type permissions struct {
	Publish   *allowDeny `json:"publish,omitempty"`
	Subscribe *allowDeny `json:"subscribe,omitempty"`
}

type allowDeny struct {
	Allow []string `json:"allow,omitempty"`
	Deny  []string `json:"deny,omitempty"`
}

type user struct {
	User        string       `json:"user"`
	Password    string       `json:"password"`
	Types       []string     `json:"allowed_connection_types,omitempty"`
	Permissions *permissions `json:"permissions,omitempty"`
}

// clientPermissions are generated, never written by hand: a client may send
// anything to the broker and nothing to another client, and hears nothing but
// replies. Publishing to inboxes is what forging an acknowledgement would take.
// $SYS carries the server's own requests.
func clientPermissions(inbox string) *permissions {
	return &permissions{
		Publish:   &allowDeny{Allow: []string{">"}, Deny: []string{"_INBOX.>", "_R_.>", "$SYS.>"}},
		Subscribe: &allowDeny{Allow: []string{inbox + ".>"}},
	}
}

// strayPermissions leave all subjects to a subscriber of logq.v1.> except the ones
// that have an answer: the server keeps back, before it copies anything, what a
// wildcard subscription may not get. So a request for an operation that does not
// exist gets an answer, and a produce request isn't delivered twice.
func strayPermissions() *permissions {
	answered := make([]string, 0, len(partitioned)+len(endpoints))
	for _, s := range partitioned {
		answered = append(answered, s.subject)
	}
	for _, e := range endpoints {
		answered = append(answered, e.subject)
	}
	return &permissions{Subscribe: &allowDeny{Allow: []string{protocol.SubjectAll}, Deny: answered}}
}

// serverConfig is the part of the server's configuration that is simplest in its
// own language, of which JSON is a part.
func serverConfig(secret, anonymousSecret string) (string, error) {
	inProcess := []string{"IN_PROCESS"}
	type object = map[string]any
	imported := func(subject string, share bool) object {
		return object{"service": object{"account": "LOGQ", "subject": subject}, "share": share}
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // the server's language has no \u, and a subject may hold '>'
	err := enc.Encode(object{
		"accounts": object{
			"LOGQ": object{
				"users": []user{
					{User: brokerUser, Password: secret, Types: inProcess},
					{User: strayUser, Password: secret, Types: inProcess, Permissions: strayPermissions()},
				},
				"exports": []object{
					{"service": protocol.SubjectAll},
					{"service": discoverySubjects, "response_type": "stream"}, // each broker and endpoint answers
				},
			},
			"APP": object{
				"users": []user{
					{User: edgeUser, Password: secret, Types: inProcess},
					{User: anonymousUser, Password: anonymousSecret, Permissions: clientPermissions("_INBOX")},
				},
				// With sharing on, the server tells who asks.
				"imports": []object{imported(protocol.SubjectAll, true), imported(discoverySubjects, false)},
			},
		},
		"no_auth_user": anonymousUser,
	})
	if err != nil {
		return "", fmt.Errorf("write the NATS server's configuration: %w", err)
	}
	return b.String(), nil
}
