package multiraft

// Shard returns which of its host's shards owns g.
func (g *Group) Shard() int { return g.shard.n }
