package cli

import (
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// arrange reads the arguments against the command tree and returns them in the
// order urfave/cli needs: program, command path, flags, "--", arguments. Flags
// of the final command may stand anywhere behind the program's name. What does
// not fit the tree is a usage error with the nearest name that would.
func arrange(app *cli.App, args []string) ([]string, error) {
	a := arranger{path: []string{"logq"}, commands: app.Commands}
	rest := args[1:]
	if len(rest) > 0 && rest[0] == "help" {
		rest = append(slices.Clone(rest[1:]), "--help")
	}
	if len(rest) == 1 && (rest[0] == "--version" || rest[0] == "-v") {
		return []string{args[0], "version"}, nil
	}
	if err := a.read(rest); err != nil {
		return nil, err
	}
	if a.help {
		return append(append([]string{args[0]}, a.path[1:]...), "--help"), nil
	}
	if err := a.placeFlags(); err != nil {
		return nil, err
	}
	switch {
	case a.current == nil && len(a.flags) > 0:
		return nil, usagef("a command is missing before %s; \"logq help\" lists them", a.flags[0].text)
	case a.current == nil:
		return []string{args[0]}, nil
	case len(a.commands) > 0:
		return nil, usagef("%s: a command is missing: one of %s", a.name(), strings.Join(commandNames(a.commands), ", "))
	}
	out := append([]string{args[0]}, a.path[1:]...)
	for _, f := range a.flags {
		out = append(out, f.words...)
	}
	return append(append(out, "--"), a.positional...), nil
}

type arranger struct {
	path       []string
	current    *cli.Command
	commands   []*cli.Command // of current
	flags      []flagUse
	positional []string
	help       bool
}

// flagUse is one flag as it was given.
type flagUse struct {
	text  string   // as typed, for messages
	name  string   // without dashes
	words []string // flag and value
}

func (a *arranger) name() string { return strings.Join(a.path, " ") }

func (a *arranger) read(args []string) error {
	for i := 0; i < len(args); i++ {
		arg := args[i]
		switch {
		case arg == "--":
			a.positional = append(a.positional, args[i+1:]...)
			return nil
		case arg == "-h" || arg == "--help":
			a.help = true
		case len(arg) > 1 && arg[0] == '-':
			taken, err := a.readFlag(args[i:])
			if err != nil {
				return err
			}
			i += taken - 1
		case len(a.commands) > 0:
			if err := a.descend(arg); err != nil {
				return err
			}
		default:
			a.positional = append(a.positional, arg)
		}
	}
	return nil
}

func (a *arranger) descend(name string) error {
	for _, c := range a.commands {
		if c.HasName(name) {
			a.current, a.commands = c, c.Subcommands
			a.path = append(a.path, c.Name)
			return nil
		}
	}
	return usagef("unknown command %q%s; \"%s --help\" lists the commands",
		strings.Join(append(a.path[1:], name), " "), didYouMean(name, commandNames(a.commands)), a.name())
}

// readFlag takes a flag and its value and returns how many words they were. A
// flag before the final command is looked up in the whole tree, only to learn
// whether it takes a value.
func (a *arranger) readFlag(args []string) (int, error) {
	name, _, inline := strings.Cut(strings.TrimLeft(args[0], "-"), "=")
	use := flagUse{text: strings.SplitN(args[0], "=", 2)[0], name: name, words: args[:1:1]}
	f := a.lookUp(name)
	switch {
	case f == nil:
		return 0, usagef("%s: unknown flag %s%s; \"%s --help\" lists the flags", a.name(), use.text, didYouMean(name, a.flagNames()), a.name())
	case inline || isBool(f):
	case len(args) < 2:
		return 0, usagef("%s: %s needs a value", a.name(), use.text)
	default:
		use.words = []string{args[0], args[1]}
	}
	a.flags = append(a.flags, use)
	return len(use.words), nil
}

func (a *arranger) lookUp(name string) cli.Flag {
	if a.current != nil && len(a.commands) == 0 {
		return findFlag(a.current.Flags, name)
	}
	var found cli.Flag
	each(a.commands, func(c *cli.Command) {
		if found == nil {
			found = findFlag(c.Flags, name)
		}
	})
	return found
}

// placeFlags proves that flags given before the final command belong to it.
func (a *arranger) placeFlags() error {
	if a.current == nil || len(a.commands) > 0 {
		return nil
	}
	for _, f := range a.flags {
		if findFlag(a.current.Flags, f.name) == nil {
			return usagef("%s: has no flag %s%s; \"%s --help\" lists the flags", a.name(), f.text, didYouMean(f.name, a.flagNames()), a.name())
		}
	}
	return nil
}

func (a *arranger) flagNames() []string {
	if a.current == nil {
		return nil
	}
	var names []string
	for _, f := range a.current.Flags {
		for _, n := range f.Names() {
			names = append(names, "--"+n)
		}
	}
	return names
}

func findFlag(flags []cli.Flag, name string) cli.Flag {
	for _, f := range flags {
		if slices.Contains(f.Names(), name) {
			return f
		}
	}
	return nil
}

func isBool(f cli.Flag) bool {
	_, ok := f.(*cli.BoolFlag)
	return ok
}

func commandNames(commands []*cli.Command) []string {
	var names []string
	for _, c := range commands {
		if !c.Hidden {
			names = append(names, c.Name)
		}
	}
	return names
}

// noArgs refuses arguments.
func noArgs(c *cli.Context) error {
	if c.Args().Present() {
		return usagef("%s: takes no argument, got %q", c.Command.HelpName, c.Args().First())
	}
	return nil
}

// oneArg returns the only argument, called what in messages.
func oneArg(c *cli.Context, what string) (string, error) {
	switch c.NArg() {
	case 0:
		return "", usagef("%s: %s is missing; usage: %s", c.Command.HelpName, what, usageLine(c.Command))
	case 1:
		return c.Args().First(), nil
	}
	return "", usagef("%s: only %s is wanted, got %d arguments: %s", c.Command.HelpName, what, c.NArg(), strings.Join(c.Args().Slice(), " "))
}

// invalidValue is how the standard flag package says that a value did not parse.
var invalidValue = regexp.MustCompile(`^invalid (?:boolean )?value "(.*)" for (?:flag )?-([\w-]+): `)

// badValue says which kind of value a flag wants.
func badValue(c *cli.Command, err error) error {
	m := invalidValue.FindStringSubmatch(err.Error())
	if m == nil {
		return usagef("%s: %w", c.HelpName, err)
	}
	want := "another value"
	switch findFlag(c.Flags, m[2]).(type) {
	case *cli.IntFlag, *cli.Int64Flag, *cli.IntSliceFlag:
		want = "a whole number"
	case *cli.DurationFlag:
		want = "a time such as 500ms, 30s or 2m"
	case *cli.BoolFlag:
		want = "true or false"
	}
	return usagef("%s: --%s %q: want %s", c.HelpName, m[2], m[1], want)
}

func usageLine(c *cli.Command) string { return strings.TrimSpace(c.HelpName + " " + c.ArgsUsage) }

// didYouMean returns ` (did you mean "x"?)` for the nearest name, "" if none is near.
func didYouMean(word string, names []string) string {
	best, distance := "", 0
	for _, n := range names {
		d := editDistance(word, strings.TrimLeft(n, "-"))
		if best == "" || d < distance {
			best, distance = n, d
		}
	}
	if best == "" || distance > max(1, len(strings.TrimLeft(best, "-"))/3) {
		return ""
	}
	return " (did you mean \"" + best + "\"?)"
}

// editDistance is the number of insertions, deletions, replacements and swaps of
// neighbours between a and b (optimal string alignment).
func editDistance(a, b string) int {
	prev2, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
		}
		prev2, prev, cur = prev, cur, prev2
	}
	return prev[len(b)]
}
