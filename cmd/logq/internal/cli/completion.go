package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
)

// completeCommand is the hidden command that the completion scripts call with
// the words typed so far, the last one being completed (perhaps empty).
const completeCommand = "__complete"

// completeTimeout bounds the look for topic names: a person is waiting for a key press.
const completeTimeout = time.Second

var completionScripts = map[string]string{
	"bash": `# bash completion for logq: eval "$(logq completion bash)", or put it into a file of bash_completion.d
_logq() {
    local IFS=$'\n'
    COMPREPLY=($(logq ` + completeCommand + ` "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _logq logq
`,
	"zsh": `#compdef logq
# zsh completion for logq: eval "$(logq completion zsh)", or put it as _logq into a directory of $fpath
_logq() {
    local -a found
    found=("${(@f)$(logq ` + completeCommand + ` "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ -n "${found[1]}" ]]; then
        compadd -- "${found[@]}"
    else
        _files
    fi
}
compdef _logq logq
`,
	"fish": `# fish completion for logq: logq completion fish | source, or put it as logq.fish into ~/.config/fish/completions
function __logq_complete
    set -l words (commandline -opc) (commandline -ct)
    logq ` + completeCommand + ` $words[2..-1] 2>/dev/null
end
complete -c logq -a '(__logq_complete)'
`,
}

func completionCommand(env Env) *cli.Command {
	return &cli.Command{
		Name: "completion", Usage: "print a completion script for bash, zsh or fish", ArgsUsage: "bash|zsh|fish",
		Description: "Completes commands, flags, values of flags and names of topics.\n\nExamples:\n" +
			"  eval \"$(logq completion bash)\"\n" +
			"  logq completion zsh > ~/.zfunc/_logq\n" +
			"  logq completion fish > ~/.config/fish/completions/logq.fish",
		Action: func(c *cli.Context) error {
			shell, err := oneArg(c, "a shell")
			if err != nil {
				return err
			}
			script, ok := completionScripts[shell]
			if !ok {
				return usagef("no completion for the shell %q%s: bash, zsh or fish", shell, didYouMean(shell, []string{"bash", "zsh", "fish"}))
			}
			_, err = io.WriteString(env.Out, script)
			return err
		},
	}
}

// flagValues are the values a flag can have where they are few.
var flagValues = map[string][]string{
	"compression": {"zstd", "snappy", "lz4", "gzip", "none"},
	"from":        {"earliest", "latest"},
	"format":      {"json"},
	"log-level":   {"debug", "info", "warn", "error"},
	"log-format":  {"text", "json"},
}

// complete prints what the last of words may become, one candidate a line.
// Nothing printed means: a file.
func complete(ctx context.Context, env Env, app *cli.App, words []string) error {
	last := ""
	if len(words) > 0 {
		last, words = words[len(words)-1], words[:len(words)-1]
	}
	for _, candidate := range candidates(ctx, env, app, words, last) {
		if strings.HasPrefix(candidate, last) {
			if _, err := fmt.Fprintln(env.Out, candidate); err != nil {
				return err
			}
		}
	}
	return nil
}

func candidates(ctx context.Context, env Env, app *cli.App, words []string, last string) []string {
	a := arranger{path: []string{"logq"}, commands: app.Commands}
	if n := len(words); n > 0 && len(words[n-1]) > 1 && words[n-1][0] == '-' && !strings.Contains(words[n-1], "=") {
		name := strings.TrimLeft(words[n-1], "-")
		if a.read(words[:n-1]) == nil {
			if f := a.lookUp(name); f != nil && !isBool(f) {
				return flagValues[name]
			}
		}
		a = arranger{path: []string{"logq"}, commands: app.Commands}
	}
	if a.read(words) != nil {
		return nil
	}
	switch {
	case len(a.commands) > 0:
		return commandNames(a.commands)
	case strings.HasPrefix(last, "-"):
		return append(a.flagNames(), "--help")
	case a.current != nil && a.current.Name == "completion":
		return []string{"bash", "zsh", "fish"}
	case len(a.positional) == 0 && takesTopic(a.path):
		return topicNames(ctx, env, a.flags)
	}
	return nil
}

func takesTopic(path []string) bool {
	switch strings.Join(path, " ") {
	case "logq produce", "logq consume", "logq topic describe", "logq topic delete":
		return true
	}
	return false
}
