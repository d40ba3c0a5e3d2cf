package cli

import (
	"io"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
)

// progressEvery is how often a progress bar is drawn.
const progressEvery = 100 * time.Millisecond

// progress draws a bar on a terminal and nothing elsewhere. Its value is read by
// a goroutine of its own, so that counting costs the work nothing.
type progress struct {
	stop chan struct{}
	wait sync.WaitGroup
}

// startProgress draws value() of total (-1: unknown) until done is called.
func startProgress(env Env, what string, total int64, bytes bool, value func() int64) *progress {
	p := &progress{stop: make(chan struct{})}
	if !env.Terminal {
		return p
	}
	bar := progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(env.Err), progressbar.OptionSetDescription(what),
		progressbar.OptionShowBytes(bytes), progressbar.OptionShowCount(), progressbar.OptionShowIts(),
		progressbar.OptionSetItsString("records"), progressbar.OptionThrottle(progressEvery),
		progressbar.OptionSetWidth(30), progressbar.OptionClearOnFinish(), progressbar.OptionSetPredictTime(total > 0),
	)
	p.wait.Add(1)
	go func() {
		defer p.wait.Done()
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				// What a bar cannot draw is no reason to stop the work.
				_ = bar.Set64(max(value(), 0))
			case <-p.stop:
				_ = bar.Clear()
				_, _ = io.WriteString(env.Err, "\r")
				return
			}
		}
	}()
	return p
}

// done removes the bar and waits until nothing draws any more.
func (p *progress) done() {
	close(p.stop)
	p.wait.Wait()
}
