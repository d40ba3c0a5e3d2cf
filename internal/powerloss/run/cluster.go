//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/logq/logq/internal/powerloss"
	"github.com/logq/logq/internal/vfs"
)

// brokers is how many there are: all lose their power at once.
const brokers = 3

// broker is one broker, its disk, and its process while it runs.
type broker struct {
	program string
	args    []string
	listen  string
	log     string
	disk    *powerloss.Disk
	process *exec.Cmd
	ended   chan struct{} // closed when the process is gone
}

// newBrokers mounts the disks. The brokers are not started.
func newBrokers(s *settings, name string) (all []*broker, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, closeDisks(all))
		}
	}()
	addrs, err := freeAddrs(3 * brokers)
	if err != nil {
		return nil, err
	}
	var peers []string
	for i := range brokers {
		peers = append(peers, fmt.Sprintf("%d@%s", i+1, addrs[3*i+2]))
	}
	for i := range brokers {
		mount := filepath.Join(s.work, name, fmt.Sprintf("disk%d", i+1))
		if err := os.MkdirAll(mount, 0o750); err != nil {
			return all, err
		}
		disk, err := powerloss.Mount(mount)
		if err != nil {
			return all, err
		}
		b := &broker{program: s.program, listen: addrs[3*i], log: mount + ".log", disk: disk}
		b.args = append([]string{
			"server", "--id", fmt.Sprint(i + 1), "--data", filepath.Join(mount, "data"), "--listen", b.listen,
			"--http", addrs[3*i+1], "--peers", strings.Join(peers, ","),
		}, strings.Fields(s.args)...)
		all = append(all, b)
	}
	return all, nil
}

func closeDisks(all []*broker) (err error) {
	for _, b := range all {
		err = errors.Join(err, b.disk.Close())
	}
	return err
}

// freeAddrs returns loopback addresses nobody listens on.
func freeAddrs(n int) (addrs []string, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		addrs = append(addrs, l.Addr().String())
	}
	return addrs, nil
}

// environment is the process's own without settings of logq.
func environment() (vars []string) {
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "LOGQ_") {
			vars = append(vars, v)
		}
	}
	return vars
}

func (b *broker) start() error {
	log, err := os.OpenFile(b.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() // the process has its own handle
	cmd := exec.Command(b.program, b.args...)
	cmd.Stdout, cmd.Stderr, cmd.Env = log, log, environment()
	// The brokers end with this process, so that the disks can be unmounted.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	b.process, b.ended = cmd, make(chan struct{})
	go func(ended chan struct{}) {
		_ = cmd.Wait() // its exit code is in cmd.ProcessState
		close(ended)
	}(b.ended)
	return nil
}

// startAll starts all brokers.
func startAll(all []*broker) error {
	for _, b := range all {
		if err := b.start(); err != nil {
			return err
		}
	}
	return nil
}

// killAll ends all processes at once and returns when they are gone.
func killAll(all []*broker) {
	for _, b := range all {
		if b.process != nil {
			_ = b.process.Process.Kill() // it may have ended by itself
		}
	}
	for _, b := range all {
		if b.process != nil {
			<-b.ended
			b.process = nil
		}
	}
}

// cutAll cuts the power of all disks, whose brokers are gone.
func cutAll(all []*broker, o func() vfs.CrashOptions) error {
	var wg sync.WaitGroup
	errs := make([]error, len(all))
	for i, b := range all {
		options := o()
		wg.Go(func() { errs[i] = b.disk.Cut(options) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// stopAll asks all to end in order and wants exit code 0.
func stopAll(ctx context.Context, all []*broker) error {
	for _, b := range all {
		if err := b.process.Process.Signal(syscall.SIGTERM); err != nil {
			return err
		}
	}
	for i, b := range all {
		select {
		case <-b.ended:
		case <-ctx.Done():
			return fmt.Errorf("broker %d does not end after SIGTERM: %w", i+1, context.Cause(ctx))
		}
		if code := b.process.ProcessState.ExitCode(); code != 0 {
			return fmt.Errorf("broker %d ended with exit code %d after SIGTERM", i+1, code)
		}
		b.process = nil
	}
	return nil
}

// ended returns an error if a broker has ended by itself.
func ended(all []*broker) error {
	for i, b := range all {
		if b.process == nil {
			continue
		}
		select {
		case <-b.ended:
			return fmt.Errorf("broker %d has ended with code %d:\n%s", i+1, b.process.ProcessState.ExitCode(), tail(b.log, 15))
		default:
		}
	}
	return nil
}

func tail(file string, lines int) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// variant is a way to lose power.
type variant struct {
	name    string
	options func(rng *rand.Rand) vfs.CrashOptions
}

// variants are played one after the other.
var variants = []variant{
	{"all unsynced lost", func(*rand.Rand) vfs.CrashOptions { return vfs.CrashOptions{} }},
	{"a random half kept, by block", func(r *rand.Rand) vfs.CrashOptions { return vfs.CrashOptions{Keep: 0.5, Rand: r} }},
	{"torn at sectors", func(r *rand.Rand) vfs.CrashOptions { return vfs.CrashOptions{Keep: 0.5, Torn: true, Rand: r} }},
	{"most kept, by block", func(r *rand.Rand) vfs.CrashOptions { return vfs.CrashOptions{Keep: 0.9, Rand: r} }},
	{"a random share, torn, of each disk its own", func(r *rand.Rand) vfs.CrashOptions {
		return vfs.CrashOptions{Keep: r.Float64(), Torn: r.IntN(2) == 0, Rand: r}
	}},
	{"everything kept: the processes were killed, no more", func(*rand.Rand) vfs.CrashOptions { return vfs.CrashOptions{Keep: 1} }},
}
