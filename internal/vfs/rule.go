package vfs

import (
	"fmt"
	"path"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Op is a kind of call.
type Op uint8

// The calls that a rule can name. OpOpen covers Open and OpenReadWrite, OpRemove
// Remove and RemoveAll, OpSync a file and OpSyncDir a directory.
const (
	OpAny Op = iota
	OpCreate
	OpOpen
	OpMkdir
	OpRemove
	OpRename
	OpList
	OpStat
	OpSyncDir
	OpLock
	OpUsage
	OpRead
	OpWrite
	OpTruncate
	OpPreallocate
	OpSync
	OpClose
)

var opNames = [...]string{
	OpAny: "*", OpCreate: "create", OpOpen: "open", OpMkdir: "mkdir", OpRemove: "remove", OpRename: "rename",
	OpList: "list", OpStat: "stat", OpSyncDir: "syncdir", OpLock: "lock", OpUsage: "usage", OpRead: "read",
	OpWrite: "write", OpTruncate: "truncate", OpPreallocate: "preallocate", OpSync: "sync", OpClose: "close",
}

// String returns the name used in rules.
func (o Op) String() string {
	if int(o) < len(opNames) {
		return opNames[o]
	}
	return fmt.Sprintf("op(%d)", uint8(o))
}

// Rule is one fault. Its text form is
//
//	OP PATTERN [#N | #N+ | #N..M] [delay=DURATION] [short=BYTES] [lost] [ERROR]
//
// for example
//
//	write *.seg #3 short=512 ENOSPC     the third write stores 512 bytes and fails
//	sync *.seg #1 lost EIO              a failed sync after which the data counts as clean
//	* * #20+ EIO                        everything fails from the 20th call on
//	sync * delay=2s                     a slow disk
//
// OP is a call or * for all. PATTERN is that of path.Match, held against the
// base name, or against the whole name if it contains a slash. The count is
// over calls that match both and starts at 1; without one the rule always
// hits. ERROR is one of EIO, ENOSPC, EDQUOT, EROFS, EACCES, ENOMEM, EMFILE.
// short and lost need an error, and a rule needs a delay or an error.
type Rule struct {
	Op       Op
	Pattern  string
	From, To int           // calls that are hit, from 1; To 0: no end
	Delay    time.Duration // waited for before the call
	Short    int           // bytes read or written before the error
	Lost     bool          // a failed sync loses its data, on a Mem
	Err      syscall.Errno // 0: none
}

var errnos = []struct {
	name string
	err  syscall.Errno
}{
	{"EIO", syscall.EIO},
	{"ENOSPC", syscall.ENOSPC},
	{"EDQUOT", syscall.EDQUOT},
	{"EROFS", syscall.EROFS},
	{"EACCES", syscall.EACCES},
	{"ENOMEM", syscall.ENOMEM},
	{"EMFILE", syscall.EMFILE},
}

// RuleError says why a text is no rule.
type RuleError struct {
	Text   string
	Reason string
}

// Error quotes the text.
func (e *RuleError) Error() string { return fmt.Sprintf("vfs: fault rule %q: %s", e.Text, e.Reason) }

// ParseRule reads one rule; the error is a *RuleError.
func ParseRule(text string) (Rule, error) {
	words := strings.Fields(text)
	if len(words) < 3 {
		return Rule{}, &RuleError{text, "want OP PATTERN [COUNT] EFFECT"}
	}
	r := Rule{Pattern: words[1], From: 1}
	if _, err := path.Match(r.Pattern, ""); err != nil {
		return Rule{}, &RuleError{text, fmt.Sprintf("bad pattern %q", r.Pattern)}
	}
	found := false
	for op, name := range opNames {
		if name == words[0] {
			r.Op, found = Op(op), true
		}
	}
	if !found {
		return Rule{}, &RuleError{text, fmt.Sprintf("unknown operation %q", words[0])}
	}
	seen := make(map[string]bool)
	for i, w := range words[2:] {
		kind, reason := r.word(w, i == 0)
		if reason == "" && seen[kind] {
			reason = "a second " + kind
		}
		if reason != "" {
			return Rule{}, &RuleError{text, reason}
		}
		seen[kind] = true
	}
	switch {
	case r.Err == 0 && r.Delay == 0:
		return Rule{}, &RuleError{text, "no effect: want an error or a delay"}
	case r.Err == 0 && (r.Short > 0 || r.Lost):
		return Rule{}, &RuleError{text, "short and lost need an error"}
	case r.Short > 0 && r.Op != OpRead && r.Op != OpWrite:
		return Rule{}, &RuleError{text, "short is for read and write"}
	case r.Lost && r.Op != OpSync:
		return Rule{}, &RuleError{text, "lost is for sync"}
	}
	return r, nil
}

// word reads one word after the pattern and returns its kind, or what is wrong.
func (r *Rule) word(w string, first bool) (kind, reason string) {
	name, value, _ := strings.Cut(w, "=")
	var err error
	switch {
	case w[0] == '#':
		if !first || !r.count(w[1:]) {
			return "", fmt.Sprintf("bad count %q: want #N, #N+ or #N..M after the pattern", w)
		}
		return "count", ""
	case name == "delay":
		if r.Delay, err = time.ParseDuration(value); err != nil || r.Delay <= 0 {
			return "", fmt.Sprintf("bad delay %q", value)
		}
		return "delay", ""
	case name == "short":
		if r.Short, err = strconv.Atoi(value); err != nil || r.Short <= 0 {
			return "", fmt.Sprintf("bad number of bytes %q", value)
		}
		return "short", ""
	case w == "lost":
		r.Lost = true
		return "lost", ""
	}
	for _, e := range errnos {
		if e.name == w {
			r.Err = e.err
			return "error", ""
		}
	}
	return "", fmt.Sprintf("unknown word %q", w)
}

func (r *Rule) count(s string) bool {
	from, to, isRange := strings.Cut(s, "..")
	open := false
	if !isRange {
		from, open = strings.CutSuffix(s, "+")
	}
	var err error
	if r.From, err = strconv.Atoi(from); err != nil || r.From < 1 {
		return false
	}
	switch {
	case isRange:
		r.To, err = strconv.Atoi(to)
		return err == nil && r.To >= r.From
	case !open:
		r.To = r.From
	}
	return true
}

// String prints the rule in the form that ParseRule reads.
func (r Rule) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", r.Op, r.Pattern)
	switch {
	case r.To == r.From:
		fmt.Fprintf(&b, " #%d", r.From)
	case r.To > 0:
		fmt.Fprintf(&b, " #%d..%d", r.From, r.To)
	case r.From > 1:
		fmt.Fprintf(&b, " #%d+", r.From)
	}
	if r.Delay > 0 {
		fmt.Fprintf(&b, " delay=%s", r.Delay)
	}
	if r.Short > 0 {
		fmt.Fprintf(&b, " short=%d", r.Short)
	}
	if r.Lost {
		b.WriteString(" lost")
	}
	for _, e := range errnos {
		if e.err == r.Err {
			b.WriteString(" " + e.name)
		}
	}
	return b.String()
}
