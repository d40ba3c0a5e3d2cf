//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/logq/logq/internal/powerloss"
)

// settings are the flags.
type settings struct {
	rounds  int
	seed    uint64
	lies    bool
	keep    bool
	load    time.Duration
	round   time.Duration
	program string
	args    string
	work    string // where all files go
}

func main() {
	var s settings
	flag.IntVar(&s.rounds, "rounds", 12, "how often the power goes")
	flag.Uint64Var(&s.seed, "seed", 1, "what times, variants and records are drawn from; the interleaving of processes is not")
	flag.BoolVar(&s.lies, "lies", true, "then show that loss is noticed, on disks whose fsync does nothing")
	flag.BoolVar(&s.keep, "keep", false, "keep the brokers' logs")
	flag.DurationVar(&s.load, "load", 2*time.Second, "the longest load before the power goes")
	flag.DurationVar(&s.round, "limit", 2*time.Minute, "the longest that a round may take")
	flag.StringVar(&s.program, "program", "", "the logq to test; none: cmd/logq is built")
	flag.StringVar(&s.args, "server-flags", "", "more flags for the brokers, separated by spaces")
	flag.Parse()
	if flag.NArg() > 0 || s.rounds < 1 || s.load <= 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := s.run(ctx)
	stop()
	var missing *powerloss.PrerequisiteError
	switch {
	case errors.As(err, &missing):
		fmt.Fprintln(os.Stderr, "NOT RUN:", missing)
		os.Exit(3)
	case err != nil:
		fmt.Fprintln(os.Stderr, "FAILED:", err)
		os.Exit(1)
	}
}

func (s *settings) run(ctx context.Context) (err error) {
	if err := powerloss.Check(); err != nil {
		return err
	}
	if s.work, err = os.MkdirTemp("", "logq-powerloss-"); err != nil {
		return err
	}
	defer func() {
		if s.keep {
			fmt.Println("logs are in", s.work)
			return
		}
		err = errors.Join(err, os.RemoveAll(s.work))
	}()
	if s.program == "" {
		s.program = filepath.Join(s.work, "logq")
		if out, err := exec.CommandContext(ctx, "go", "build", "-o", s.program, "github.com/logq/logq/cmd/logq").CombinedOutput(); err != nil {
			return fmt.Errorf("build cmd/logq: %w\n%s", err, out)
		}
	}
	began := time.Now()
	if err := s.honest(ctx); err != nil {
		return err
	}
	if s.lies {
		for _, lie := range []powerloss.Lies{powerloss.Files, powerloss.Dirs} {
			if err := s.lying(ctx, lie); err != nil {
				return err
			}
		}
	}
	fmt.Printf("all promises were kept; %v\n", time.Since(began).Round(time.Second))
	return nil
}

// honest plays the rounds on disks that do as they say.
func (s *settings) honest(ctx context.Context) (err error) {
	p, err := newPlay(ctx, s, "honest")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close(err != nil)) }()
	for i := range s.rounds {
		if err := p.playRound(ctx, i); err != nil {
			return fmt.Errorf("round %d of seed %d: %w", i+1, s.seed, err)
		}
		if found := p.ledger.Breaches(); len(found) > 0 {
			return fmt.Errorf("round %d of seed %d: %w", i+1, s.seed, broken(found))
		}
	}
	if err := p.verify(ctx); err != nil {
		return err
	}
	fmt.Printf("%d records acknowledged in %d rounds, none lost\n", p.ledger.AckedCount(), s.rounds)
	return nil
}

// lyingLimit bounds a round on disks that lie: brokers that notice by themselves that
// their disks forget wait for what never comes.
const lyingLimit = 20 * time.Second

// liesMax is how many rounds a lie may go unnoticed: a disk that lies may still be lucky.
const liesMax = 3

// lying plays rounds on disks that lie, and wants loss to be noticed.
func (s *settings) lying(ctx context.Context, lie powerloss.Lies) (err error) {
	what := map[powerloss.Lies]string{powerloss.Files: "files", powerloss.Dirs: "directories"}[lie]
	p, err := newPlay(ctx, s, "lying-"+what)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close(err != nil)) }()
	p.lie, p.limit = lie, min(s.round, lyingLimit)
	for i := range liesMax {
		failed := p.playRound(ctx, i)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		for _, b := range p.ledger.Breaches() {
			if b.Kind == powerloss.Lost {
				fmt.Printf("with an fsync of %s that does nothing the check finds, as it must: %v\n", what, broken(p.ledger.Breaches()))
				return nil
			}
		}
		if failed != nil {
			return fmt.Errorf("fsync of %s did nothing, and the round failed without a finding of loss: %w", what, failed)
		}
	}
	return fmt.Errorf("fsync of %s did nothing in %d rounds, and no loss was found: this run could not have failed", what, liesMax)
}
