package config

import (
	"reflect"
	"strings"

	"gopkg.in/yaml.v3"
)

// section reads a mapping into the struct that into points to.
func (p *parser) section(path string, n *yaml.Node, into any) {
	if null(n) { // a section whose keys are all commented out
		return
	}
	if n.Kind != yaml.MappingNode {
		p.fail(n, "%s must be keys with values, not %s", orTop(path), kind(n))
		return
	}
	fields := fieldsOf(reflect.ValueOf(into).Elem())
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		full := join(path, k.Value)
		f, ok := fields[k.Value]
		switch {
		case k.Kind != yaml.ScalarNode:
			p.fail(k, "a key must be a word, not %s", kind(k))
		case !ok:
			p.unknown(k, full)
		case seen[k.Value] != 0:
			p.fail(k, "%s is set again; first in line %d", full, seen[k.Value])
		default:
			seen[k.Value] = k.Line
			p.lines[full] = k.Line
			p.field(full, v, f)
		}
	}
}

func orTop(path string) string {
	if path == "" {
		return "the file"
	}
	return path
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// field is a struct field and what its tags say.
type field struct {
	key      string
	v        reflect.Value
	is       string
	min, max string
}

func fieldsOf(v reflect.Value) map[string]field {
	m := map[string]field{}
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag
		m[tag.Get("key")] = field{tag.Get("key"), v.Field(i), tag.Get("is"), tag.Get("min"), tag.Get("max")}
	}
	return m
}

// isSection tells sections from values that happen to be structs.
func isSection(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t.NumField() > 0 && t.Field(0).Tag.Get("key") != ""
}

func null(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// kind says what somebody wrote, in words.
func kind(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "keys with values"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	switch n.Tag {
	case "!!null":
		return "nothing"
	case "!!bool":
		return "true or false"
	case "!!int", "!!float":
		return "a number"
	}
	return "text"
}

// unknown names the nearest key there is.
func (p *parser) unknown(k *yaml.Node, full string) {
	best, distance := "", 1<<30
	for _, key := range Keys() {
		d := edits(full, key)
		if key[strings.LastIndex(key, ".")+1:] == k.Value {
			d = min(d, 1) // the right name in the wrong section
		}
		if d < distance {
			best, distance = key, d
		}
	}
	if distance > max(3, len(full)/2) {
		p.fail(k, "unknown key %s: proxy.yaml lists all of them; nearest is %s", full, best)
		return
	}
	p.fail(k, "unknown key %s: did you mean %s?", full, best)
}

// edits is the Levenshtein distance.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
