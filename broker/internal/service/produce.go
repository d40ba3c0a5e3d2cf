package service

import (
	"context"
	"errors"

	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/record"
)

// produce appends the batches of a request. The common case, one batch for a partition that is led here, needs no
// goroutine: it goes from the listener's goroutine straight to the replica.
func (s *Service) produce(c *call) {
	if e := s.charge(c); e != nil {
		c.fail(e)
		return
	}
	p, e := s.table.Load().find(c.req.Topic, c.req.Partition)
	if e != nil {
		c.fail(e)
		return
	}
	if p == nil || !s.produceHere(c, p) {
		s.pursueLater(c, &s.forwards)
	}
}

// produceHere carries the call out if this broker leads the partition and there is one batch; it reports whether it has
// taken the call.
func (s *Service) produceHere(c *call, p *partition) bool {
	g := p.opened()
	if g == nil || !g.Leader().Serving {
		return false
	}
	if e := s.chargePartition(c, p); e != nil {
		c.fail(e)
		return true
	}
	if e := s.check(c); e != nil {
		c.fail(e)
		return true
	}
	if len(c.batch) != len(c.req.Body) {
		return false // several: one after the other, which takes a goroutine that can wait
	}
	c.tries++
	s.append(c, p, g)
	return true
}

// produceAt carries the call out at this broker, which leads the partition.
func (s *Service) produceAt(_ context.Context, c *call, p *partition, g Group) *protocol.Response {
	if e := s.check(c); e != nil {
		return &protocol.Response{Err: e}
	}
	if len(c.batch) == len(c.req.Body) {
		s.append(c, p, g)
		return nil
	}
	return s.appendEach(c, p, g)
}

// check makes sure, once, that the body is a sequence of whole batches that are what they say they are. c.batch is the
// first.
//
// What is checked is what the log and its readers rely on: structure, length, limits, codec, record count and CRC.
// Uncompressed records are walked, which keeps single bad records out at 0.3 ms a megabyte. Records that the producer has
// compressed are decompressed only with [Options.WalkCompressed]: the CRC covers the compressed bytes, so damage on the way
// is found without, in 8 µs a megabyte of zstd; decompressing takes 1 ms (BenchmarkCheck), a CPU-second a gigabyte on the
// leader. What goes unseen without is a producer that compresses nonsense under a right CRC: readers of that topic then get
// a typed error from their decoder at that batch.
func (s *Service) check(c *call) *protocol.Error {
	if c.batch != nil {
		return nil
	}
	rest := c.req.Body
	if len(rest) == 0 {
		return protocol.Errorf(protocol.InvalidRequest, "produce to %s/%s: the body has no batch", c.req.Topic, c.req.Partition)
	}
	d := s.decoders.Get().(*record.Decoder)
	defer s.decoders.Put(d)
	var first record.Batch
	for n := 0; len(rest) > 0; n++ {
		b, after, err := record.Next(rest)
		if err == nil {
			err = s.checkBatch(d, b)
		}
		if err != nil {
			s.stats.badBatches.Add(1)
			return batchError(c, n, err)
		}
		if n == 0 {
			first = b
		}
		rest = after
	}
	c.batch = first
	return nil
}

// specialBits are the attribute bits of transactional and control batches, which only a broker may make.
const specialBits = 0x30

// mostRecords is more than any batch can hold: a record takes seven bytes at least. It keeps a batch whose records are not
// looked at from claiming offsets by the billion.
const mostRecords = record.DefaultDecodedMax / 7

func (s *Service) checkBatch(d *record.Decoder, b record.Batch) error {
	if b.Attributes()&specialBits != 0 {
		return errSpecial
	}
	if len(b) > record.MaxBatchBytes {
		return &record.TooLargeError{Size: len(b), Max: record.MaxBatchBytes}
	}
	if b.Count() > mostRecords {
		return errCount
	}
	if b.Codec() == record.None || s.opts.WalkCompressed {
		return d.Check(b)
	}
	return b.Verify()
}

var (
	errSpecial = errors.New("it is marked as transactional or control batch, which clients may not write")
	errCount   = errors.New("it claims more records than a batch can hold")
)

// batchError is the refusal of the n-th batch of a request.
func batchError(c *call, n int, err error) *protocol.Error {
	code := protocol.CorruptMessage
	var large *record.TooLargeError
	var codec *record.UnsupportedCodecError
	switch {
	case errors.As(err, &large):
		code = protocol.MessageTooLarge
	case errors.As(err, &codec):
		code = protocol.UnsupportedCompressionType
	case errors.Is(err, errSpecial):
		code = protocol.InvalidRecord
	}
	return protocol.Errorf(code, "produce to %s/%s: batch %d of the request: %v", c.req.Topic, c.req.Partition, n, err)
}

// append hands the call's one batch to the replica. Somebody finishes the call later.
func (s *Service) append(c *call, p *partition, g Group) {
	g.Append(c.batch, c.req.Epoch, c.deadline, func(r AppendResult) {
		s.repliers.put(func() { s.appended(c, p, r) })
	})
}

func (s *Service) appended(c *call, p *partition, r AppendResult) {
	if r.Err == nil {
		s.stats.appendedBytes.Add(uint64(len(c.req.Body)))
		c.finish(&protocol.Response{Partition: p.id, Epoch: r.Term, BaseOffset: int64(r.Base), LastOffset: int64(r.Last)})
		return
	}
	s.refused(c, p, protocol.AsError(r.Err))
}

// refused deals with an append that has failed: it is tried again if that is safe and may help, else answered.
func (s *Service) refused(c *call, p *partition, e *protocol.Error) {
	if c.from == 0 && c.mayRetry(e) {
		s.pursueLater(c, &s.forwards)
		return
	}
	if g := p.opened(); g != nil && c.req.Epoch != 0 && e.Code == protocol.NotLeaderOrFollower {
		if st := g.Leader(); st.Serving && st.Term != c.req.Epoch {
			e = s.fenced(p, c.req.Epoch, st.Term)
		}
	}
	c.fail(s.withLeader(p, e))
}

// appendEach appends several batches in order, each when the one before is committed, so that a failure in the middle
// cannot let a later one pass an earlier one. What is written of a request that fails in the middle is said in the error,
// and its outcome is unknown.
func (s *Service) appendEach(c *call, p *partition, g Group) *protocol.Response {
	out := protocol.Response{Partition: p.id, BaseOffset: -1}
	term := c.req.Epoch
	for rest := c.req.Body; len(rest) > 0; {
		b, after, err := record.Next(rest)
		if err != nil {
			return &protocol.Response{Err: batchError(c, 0, err)}
		}
		rest = after
		done := make(chan AppendResult, 1)
		g.Append(b, term, c.deadline, func(r AppendResult) { done <- r })
		r := <-done
		if r.Err != nil {
			e := s.withLeader(p, protocol.AsError(r.Err))
			if out.BaseOffset >= 0 {
				e = protocol.Errorf(e.Code, "offsets %d to %d of the request are written, the rest is not: %s", out.BaseOffset, out.LastOffset, e.Message).
					WithOutcome(protocol.Unknown).WithLeader(e.Leader, e.LeaderURL)
			}
			return &protocol.Response{Err: e}
		}
		if out.BaseOffset < 0 {
			out.BaseOffset = int64(r.Base)
		}
		out.LastOffset, out.Epoch, term = int64(r.Last), r.Term, r.Term
		s.stats.appendedBytes.Add(uint64(len(b)))
	}
	return &out
}
