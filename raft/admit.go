package raft

// Terms and indexes beyond these can't come about in any life of a group, and
// keep sums from overflowing.
const (
	maxTerm  Term  = 1 << 62
	maxIndex Index = 1 << 62
)

// admit checks what can be said of a message without the log: that it is for
// this replica, from a member where that matters, and well-formed. What passes
// can't overflow or confuse the code behind.
//
// Requests are heard from anyone: whoever asks may be in a configuration that
// this replica hasn't got yet, or be waiting for the one that removes it (§4.1 of
// the dissertation). Answers count only from members.
func (c *Core) admit(m *Message, configs []ConfigEntry) error {
	switch {
	case c.fault != nil:
		return ErrFaulted
	case m.Group != c.o.Group || m.To != c.o.ID:
		return ErrWrongGroup
	case m.From == 0 || m.From == c.o.ID || m.Type.reply() && c.peer(m.From) == nil:
		return ErrUnknownPeer
	case c.role != RoleLeader && (c.staged.Lo < c.staged.Hi || c.installing == installDue):
		return ErrReadyFirst
	}
	what := m.fault()
	if what == "" && len(configs) > 0 {
		what = configsFault(m, configs)
	}
	if what != "" {
		return &ProtocolError{From: m.From, Type: m.Type, Term: m.Term, What: what}
	}
	return nil
}

// fault says what is impossible about a message, "" for nothing.
func (m *Message) fault() string {
	switch {
	case m.Term == 0 || m.Term > maxTerm:
		return "the term is out of range"
	case m.Index > maxIndex || m.Hi > maxIndex || m.Commit > maxIndex || m.HintIndex > maxIndex:
		return "an index is out of range"
	case m.LogTerm > m.Term || m.EntryTerm > m.Term || m.HintTerm > maxTerm:
		return "an entry is of a later term than the message"
	}
	switch m.Type {
	case MsgPreVote, MsgVote:
		if (m.Index == 0) != (m.LogTerm == 0) {
			return "index and term of the last entry are both 0 or neither"
		}
	case MsgAppend:
		return m.appendFault()
	case MsgJump:
		if m.Index == 0 || m.LogTerm == 0 || m.Commit < m.Index {
			return "it begins its log nowhere, or where nothing is committed"
		}
	case MsgAppendReply:
		return m.replyFault()
	case MsgHeartbeatReply:
		if m.Reject || m.Index > m.HintIndex {
			return "it is a refusal, or more is durable than verified"
		}
	case MsgPreVoteReply, MsgVoteReply, MsgHeartbeat, MsgTimeoutNow:
	default:
		return "the type is unknown"
	}
	return ""
}

// configsFault says what is impossible about the configurations in an append.
func configsFault(m *Message, configs []ConfigEntry) string {
	for i, e := range configs {
		switch {
		case m.Type == MsgJump && i == 0 && e.Index <= m.Index && e.Config.Validate() == nil:
		case m.Type != MsgAppend || e.Index < m.Lo || e.Index >= m.Hi || i > 0 && e.Index <= configs[i-1].Index:
			return "a configuration stands in none of its entries"
		case len(e.Config.Voters) == 0 || e.Config.Validate() != nil:
			return "a configuration is invalid"
		}
	}
	return ""
}

func (m *Message) appendFault() string {
	switch {
	case (m.Index == 0) != (m.LogTerm == 0):
		return "index and term of the entry before are both 0 or neither"
	case m.Lo != m.Index+1 || m.Hi < m.Lo:
		return "the entries don't follow the entry before them"
	case m.Hi > m.Lo && (m.EntryTerm == 0 || m.EntryTerm < m.LogTerm):
		return "the entries are of an earlier term than the entry before them"
	}
	return ""
}

func (m *Message) replyFault() string {
	switch {
	case !m.Reject && m.Index > m.HintIndex:
		return "more is durable than verified"
	case m.Reject && ((m.HintIndex == 0) != (m.HintTerm == 0) || m.HintFirst > m.HintIndex):
		return "the hint is no run of entries"
	}
	return ""
}
