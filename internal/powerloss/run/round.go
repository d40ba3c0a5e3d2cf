//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// keepRounds is after how many rounds the topics are deleted for new ones: that bounds
// the memory of the disks, and deletions are tested too.
const keepRounds = 4

// playRound is one power loss under load.
func (p *play) playRound(parent context.Context, i int) (err error) {
	start := time.Now()
	ctx, cancel := context.WithTimeout(parent, p.limit)
	defer cancel()
	v := variants[i%len(variants)]
	before := p.ledger.AckedCount()
	l, err := p.loadRound(ctx, parent, i)
	if err != nil {
		return err
	}
	killAll(p.all)
	at := p.ledger.AckedCount()
	cuts, lossErr := p.losePower(ctx, v)
	began := time.Now()
	if lossErr == nil {
		l.powerIsBack()
		lossErr = l.waitResumed(ctx, p.all)
	}
	back := time.Since(began)
	endErr := endLoad(ctx, l)
	// Also when records aren't taken any more: what was lost then tells why.
	reading, cancelRead := context.WithTimeout(parent, p.limit)
	defer cancelRead()
	records, unread := p.check(reading)
	if err := errors.Join(lossErr, endErr, unread); err != nil {
		return err
	}
	fmt.Printf("round %d, %s: %d acknowledged before, %d more after; back after %v and %d cuts; %d records read and compared; took %v\n",
		i+1, v.name, at-before, p.ledger.AckedCount()-at, back.Round(time.Millisecond), cuts, records, time.Since(start).Round(time.Millisecond))
	return nil
}

// loadRound begins the load of a round and lets it run for a random time. The load
// lasts until it is ended, or until parent ends.
func (p *play) loadRound(ctx, parent context.Context, i int) (_ *load, err error) {
	small, large := smallRecords(fmt.Sprint("small-", i/keepRounds)), largeRecords(fmt.Sprint("large-", i/keepRounds))
	if i%keepRounds == 0 {
		if err := errors.Join(p.remove(ctx), p.create(ctx, small), p.create(ctx, large)); err != nil {
			return nil, err
		}
	}
	p.lies(p.lie)
	l, err := newLoad(parent, p.nc, p.ledger)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, endLoad(ctx, l))
		}
	}()
	l.begin(small, p.fork())
	l.begin(large, p.fork())
	wait := time.Duration(p.rng.Int64N(int64(p.s.load)))
	if err := pause(ctx, wait/2); err != nil {
		return nil, err
	}
	fresh := smallRecords(fmt.Sprint("fresh-", i)) // a topic that is made in the middle of the load
	if err := p.create(ctx, fresh); err != nil {
		return nil, err
	}
	l.begin(fresh, p.fork())
	return l, pause(ctx, wait/2)
}

// againOne is in how many rounds, one of so many, the power goes again.
const againOne, cutsMax = 3, 4

// losePower cuts the power of brokers that were killed and starts them, perhaps more
// than once, in the middle of their recovery.
func (p *play) losePower(ctx context.Context, v variant) (cuts int, err error) {
	for {
		cuts++
		err := p.cut(v)
		p.lies(0)
		if err := errors.Join(err, startAll(p.all)); err != nil {
			return cuts, err
		}
		if cuts == cutsMax || p.rng.IntN(againOne) > 0 {
			return cuts, nil
		}
		if err := pause(ctx, time.Duration(p.rng.Int64N(int64(time.Second)))); err != nil {
			return cuts, err
		}
		killAll(p.all)
	}
}

// decideMax is how long what was sent may take to be acknowledged or not.
const decideMax = 30 * time.Second

// endLoad ends the load, also when ctx has ended; then what waits is given up soon.
func endLoad(ctx context.Context, l *load) error {
	limit := decideMax
	if ctx.Err() != nil {
		limit = time.Second
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	return l.end(ctx)
}

// fork returns a source of its own for one goroutine.
func (p *play) fork() *rand.Rand { return rand.New(rand.NewPCG(p.rng.Uint64(), 3)) }
