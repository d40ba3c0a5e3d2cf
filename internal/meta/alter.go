package meta

import (
	"fmt"
	"maps"

	"github.com/logq/logq/internal/protocol"
)

// KeyAlterConfig is the name of the command that changes a topic's settings.
const KeyAlterConfig = "alter-config"

// AlterConfig changes settings of a topic: Set gets new values, Unset goes back to the brokers' defaults.
type AlterConfig struct {
	Name  string            `json:"name"`
	ID    protocol.TopicID  `json:"id"`
	Set   map[string]string `json:"set,omitempty"`
	Unset []string          `json:"unset,omitempty"`
}

// CommandKey returns [KeyAlterConfig].
func (AlterConfig) CommandKey() string { return KeyAlterConfig }

// CheckAlterConfig checks a change of settings against the snapshot; nil = fine.
func CheckAlterConfig(s Snapshot, c AlterConfig) *protocol.Error {
	_, err := altered(s.Topic(c.Name), c)
	return err
}

// altered returns the settings that the topic has after the change.
func altered(t *Topic, c AlterConfig) (map[string]string, *protocol.Error) {
	if t == nil || t.ID != c.ID {
		return nil, protocol.Errorf(protocol.UnknownTopicOrPartition, "topic %q with id %s does not exist", clip(c.Name), c.ID)
	}
	what := fmt.Sprintf("topic %q", t.Name)
	if len(c.Set)+len(c.Unset) > MaxConfigEntries {
		return nil, protocol.Errorf(protocol.InvalidConfig, "%s: %d changes of settings, the limit is %d", what, len(c.Set)+len(c.Unset), MaxConfigEntries)
	}
	config := maps.Clone(t.Config)
	for _, name := range c.Unset {
		if _, err := settingOf(what, name); err != nil {
			return nil, err
		}
		if _, both := c.Set[name]; both {
			return nil, protocol.Errorf(protocol.InvalidConfig, "%s: setting %s is both set and unset; give one of the two", what, name)
		}
		delete(config, name)
	}
	if err := checkConfig(what, c.Set); err != nil {
		return nil, err
	}
	if config == nil && len(c.Set) > 0 {
		config = map[string]string{}
	}
	maps.Copy(config, c.Set)
	if len(config) == 0 {
		config = nil // as in a topic that never had any
	}
	return config, nil
}

func (s *State) alterConfig(r *Result, c AlterConfig) *protocol.Error {
	old := s.byID[c.ID]
	if old == nil || old.Name != c.Name {
		old = nil
	}
	config, err := altered(old, c)
	if err != nil {
		return err
	}
	if r.Repeated = maps.Equal(config, old.Config); r.Repeated {
		return nil
	}
	s.replaceTopic(old, func(t *Topic) { t.Config = config })
	return nil
}
