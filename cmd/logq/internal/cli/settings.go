package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
	"go.yaml.in/yaml/v3"
)

// setting is one thing that can be set by flag, by variable and in the file,
// under one name: --peer-listen, LOGQ_PEER_LISTEN, peer-listen.
type setting struct {
	name  string
	usage string
	value string // the default, "" = none
	flag  bool   // true or false; the flag takes no value
	set   func(*serverConfig, string) error
}

func (s setting) cliFlag() cli.Flag {
	usage := s.usage + " [$" + variable(s.name) + "]"
	if s.flag {
		return &cli.BoolFlag{Name: s.name, Usage: usage}
	}
	if s.value != "" {
		usage += " (default: " + s.value + ")"
	}
	return &cli.StringFlag{Name: s.name, Usage: usage}
}

// given is a value with the place it came from, for messages.
type given struct{ value, from string }

// resolve finds each setting: flag over variable over file over default, and
// applies it. It reports everything that is wrong at once.
func resolve(c *cli.Context, env Env, settings []setting, into *serverConfig) (map[string]given, error) {
	var faults []error
	file := map[string]given{}
	if path := value(c, env, "config"); path != "" {
		var err error
		if file, err = readConfigFile(path, settings); err != nil {
			faults = append(faults, err)
		}
	}
	result := map[string]given{}
	for _, s := range settings {
		g := given{s.value, "default"}
		if f, ok := file[s.name]; ok {
			g = f
		}
		if v := env.Getenv(variable(s.name)); v != "" {
			g = given{v, variable(s.name)}
		}
		if c.IsSet(s.name) {
			g = given{c.String(s.name), "--" + s.name}
			if s.flag {
				g.value = fmt.Sprint(c.Bool(s.name))
			}
		}
		result[s.name] = g
		if g.value == "" {
			continue
		}
		if err := s.set(into, g.value); err != nil {
			name := g.from
			if strings.Contains(name, ":") { // a line of the file
				name += ": " + s.name
			}
			faults = append(faults, fmt.Errorf("%s %q: %w", name, g.value, err))
		}
	}
	if len(faults) > 0 {
		return nil, &exitError{code: ExitUsage, err: errors.Join(faults...)}
	}
	return result, nil
}

// readConfigFile reads a flat YAML mapping. A key that is no setting, or is
// there twice, is an error with its line: a misspelt key must not leave a broker
// running on a default.
func readConfigFile(path string, settings []setting) (map[string]given, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(b, &doc); err != nil {
		return nil, fmt.Errorf("%s: %s", path, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	values := map[string]given{}
	if len(doc.Content) == 0 {
		return values, nil
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%s:%d: want a list of KEY: VALUE lines", path, root.Line)
	}
	var names []string
	for _, s := range settings {
		names = append(names, s.name)
	}
	var faults []error
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, node := root.Content[i], root.Content[i+1]
		at := fmt.Sprintf("%s:%d", path, key.Line)
		text, err := nodeText(node)
		switch _, twice := values[key.Value]; {
		case !slices.Contains(names, key.Value):
			faults = append(faults, fmt.Errorf("%s: unknown key %q%s; \"logq server --help\" lists them, without the dashes", at, key.Value, didYouMean(key.Value, names)))
		case twice:
			faults = append(faults, fmt.Errorf("%s: key %q is there twice: remove one", at, key.Value))
		case err != nil:
			faults = append(faults, fmt.Errorf("%s: %s: %w", at, key.Value, err))
		default:
			values[key.Value] = given{text, at}
		}
	}
	return values, errors.Join(faults...)
}

// nodeText is a scalar, or a list of scalars joined by commas.
func nodeText(n *yaml.Node) (string, error) {
	switch n.Kind {
	case yaml.ScalarNode:
		if n.Tag == "!!null" {
			return "", errors.New("the value is missing")
		}
		return n.Value, nil
	case yaml.SequenceNode:
		var parts []string
		for _, e := range n.Content {
			if e.Kind != yaml.ScalarNode {
				return "", errors.New("want a list of plain values")
			}
			parts = append(parts, e.Value)
		}
		return strings.Join(parts, ","), nil
	}
	return "", errors.New("want a plain value or a list of them")
}

// printConfig writes the effective settings as a configuration file, with where
// each came from. It can be given back with --config.
func printConfig(w io.Writer, settings []setting, values map[string]given) error {
	doc := &yaml.Node{Kind: yaml.MappingNode}
	for _, s := range settings {
		g := values[s.name]
		if g.value == "" {
			continue
		}
		key := &yaml.Node{Kind: yaml.ScalarNode, Value: s.name}
		val := &yaml.Node{Kind: yaml.ScalarNode, Value: g.value, LineComment: g.from}
		doc.Content = append(doc.Content, key, val)
	}
	if len(doc.Content) == 0 {
		return nil
	}
	e := yaml.NewEncoder(w)
	if err := e.Encode(doc); err != nil {
		return err
	}
	return e.Close()
}
