package service

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/logq/logq/internal/protocol"
)

// removals are this broker's replicas that the metadata has given up and whose data may still be there. A state file carries
// them, since the records that gave them up are no longer folded after a restart.
type removals struct {
	mu   sync.Mutex
	open map[string]removal // guarded by mu; by directory
}

// removal is one of them, as it is written down.
type removal struct {
	Topic     string             `json:"topic"`
	ID        protocol.TopicID   `json:"id"`
	Partition protocol.Partition `json:"partition"`
	Replica   uint64             `json:"replica"`
}

func (r *removals) add(p *partition) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open == nil {
		r.open = map[string]removal{}
	}
	r.open[p.spec().Name] = removal{Topic: p.name, ID: p.topicID, Partition: p.id, Replica: p.self()}
}

// done notes that the data of a replica is gone.
func (r *removals) done(p *partition) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, p.spec().Name)
}

func (r *removals) encode() ([]byte, error) {
	r.mu.Lock()
	all := make([]removal, 0, len(r.open))
	for _, one := range r.open {
		all = append(all, one)
	}
	r.mu.Unlock()
	slices.SortFunc(all, func(a, b removal) int {
		if c := strings.Compare(string(a.ID[:]), string(b.ID[:])); c != 0 {
			return c
		}
		return int(a.Partition) - int(b.Partition)
	})
	return json.Marshal(all)
}

func decodeRemovals(b []byte) (all []removal, err error) {
	if len(b) == 0 {
		return nil, nil
	}
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, fmt.Errorf("replicas to be removed: %w", err)
	}
	for _, r := range all {
		if protocol.ValidateTopic(r.Topic) != nil || r.ID.IsZero() || r.Partition < 0 || r.Partition >= protocol.MaxPartitions || r.Replica == 0 {
			return nil, fmt.Errorf("replicas to be removed: %+v is none", r)
		}
	}
	return all, nil
}
