package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"sort"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// Errors are all complaints about one file, in the order of its lines. Its text
// has one line for each.
type Errors []error

func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, err := range e {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.Is and errors.As look inside.
func (e Errors) Unwrap() []error { return e }

// maxFile is far more than any config; a larger file is a mistake.
const maxFile = 1 << 20

// Load reads a config file.
func Load(path string) (Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return Config{}, fmt.Errorf("read config: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return Config{}, fmt.Errorf("read config %s: %w", path, err)
	}
	if len(data) > maxFile {
		return Config{}, fmt.Errorf("read config %s: larger than %s: is this the right file?", path, format(maxFile))
	}
	return Parse(path, data)
}

// Parse reads a config; name stands before the line in complaints. What data does
// not mention has its default.
func Parse(name string, data []byte) (Config, error) {
	cfg := Default()
	p := &parser{name: name}
	if root := p.document(data); root != nil {
		p.section("", root, &cfg)
		p.together(cfg)
	}
	if len(p.errs) == 0 {
		return cfg, nil
	}
	sort.SliceStable(p.errs, func(i, j int) bool { return p.errs[i].line < p.errs[j].line })
	var errs Errors
	for _, e := range p.errs {
		errs = append(errs, e)
	}
	return Config{}, errs
}

// complaint is one error at its place.
type complaint struct {
	name string
	line int
	err  error
}

func (c complaint) Error() string { return fmt.Sprintf("%s:%d: %v", c.name, c.line, c.err) }
func (c complaint) Unwrap() error { return c.err }

type parser struct {
	name  string
	errs  []complaint
	lines map[string]int // where each key was set
}

func (p *parser) fail(n *yaml.Node, format string, args ...any) {
	p.errs = append(p.errs, complaint{p.name, max(1, n.Line), fmt.Errorf(format, args...)})
}

// document returns the top mapping, nil if there is none.
func (p *parser) document(data []byte) *yaml.Node {
	p.lines = map[string]int{}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	if err := dec.Decode(&doc); err == io.EOF {
		return nil
	} else if err != nil {
		p.syntax(err)
		return nil
	}
	if err := dec.Decode(&second); err == nil {
		p.fail(&second, "a second document begins here: keep one")
	} else if !errors.Is(err, io.EOF) {
		p.syntax(err)
	}
	if len(doc.Content) == 0 {
		return nil
	}
	return doc.Content[0]
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// syntax turns "yaml: line 3: …" into a complaint at line 3.
func (p *parser) syntax(err error) {
	text := err.Error()
	line := 1
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		if n, err := strconv.Atoi(m[1]); err == nil {
			line = n
		}
		text = text[len(m[0]):]
	}
	p.fail(&yaml.Node{Line: line}, "not YAML: %s", text)
}

// together checks what keys mean for each other.
func (p *parser) together(c Config) {
	at := func(key string) *yaml.Node { return &yaml.Node{Line: p.lines[key]} }
	if c.Accelerate.Window > c.Accelerate.Memory {
		key := "accelerate.window"
		if p.lines[key] == 0 {
			key = "accelerate.memory"
		}
		p.fail(at(key), "accelerate.window (%v) is larger than accelerate.memory (%v), which all downloads share: raise memory or lower window",
			c.Accelerate.Window, c.Accelerate.Memory)
	}
	if c.Cluster.Secret != "" && c.Cluster.SecretFile != "" {
		p.fail(at("cluster.secret_file"), "cluster.secret and cluster.secret_file are both set: keep one")
	}
	if hasSecret := c.Cluster.Secret+c.Cluster.SecretFile != ""; c.Cluster.Group != "" && !hasSecret {
		p.fail(at("cluster.group"), "cluster.group needs cluster.secret or cluster.secret_file")
	} else if hasSecret && c.Cluster.Group == "" {
		p.fail(at("cluster.secret"), "cluster.secret needs cluster.group, the group's name")
	}
}
