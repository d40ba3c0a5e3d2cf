// Command logq runs and uses a replicated append-only log: brokers, topics,
// producing, consuming, and a look into the files. `logq help` lists the
// commands; docs/reference/cli.md is the whole contract.
package main

import (
	"os"

	"github.com/logq/logq/cmd/logq/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args))
}
