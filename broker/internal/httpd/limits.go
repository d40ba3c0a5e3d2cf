package httpd

import "time"

const (
	maxConnections    = 256
	maxScrapes        = 4 // under way at a time
	maxHeaderBytes    = 16 << 10
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 10 * time.Second
	writeTimeout      = 20 * time.Second
	idleTimeout       = time.Minute
	scrapeTimeout     = 10 * time.Second

	// A profile over time.
	defaultProfile = 30 * time.Second
	maxProfile     = 5 * time.Minute
)
