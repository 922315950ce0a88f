package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"strconv"
	"time"

	"gopkg.in/yaml.v3"
)

// field reads one key's value.
func (p *parser) field(path string, n *yaml.Node, f field) {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		p.fail(n, "%s: anchors and aliases are not read: write the value itself", path)
		return
	}
	switch t := f.v.Type(); {
	case isSection(t):
		p.section(path, n, f.v.Addr().Interface())
	case t == reflect.TypeFor[Trust]():
		p.trust(path, n, f)
	case t.Kind() == reflect.Slice:
		p.list(path, n, f)
	case t.Kind() == reflect.Map:
		p.mapping(path, n, f)
	default:
		if err := scalar(n, f); err != nil {
			p.fail(n, "%s: %v", path, err)
		}
	}
}

// list replaces the default; nothing below the key is the empty list.
func (p *parser) list(path string, n *yaml.Node, f field) {
	if n.Kind != yaml.SequenceNode && !null(n) {
		p.fail(n, "%s must be a list like [a, b], not %s", path, kind(n))
		return
	}
	out := reflect.Zero(f.v.Type())
	for i, item := range n.Content {
		one := f
		one.v = reflect.New(f.v.Type().Elem()).Elem()
		if err := scalar(item, one); err != nil {
			p.fail(item, "%s, entry %d: %v", path, i+1, err)
			continue
		}
		out = reflect.Append(out, one.v)
	}
	f.v.Set(out)
}

// mapping is names with text, which only users has.
func (p *parser) mapping(path string, n *yaml.Node, f field) {
	if n.Kind != yaml.MappingNode && !null(n) {
		p.fail(n, "%s must be names with values like {ann: …}, not %s", path, kind(n))
		return
	}
	var out map[string]string
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		one := f
		one.v = reflect.New(reflect.TypeFor[string]()).Elem()
		err := scalar(v, one)
		switch _, again := out[k.Value]; {
		case k.Kind != yaml.ScalarNode || k.Value == "":
			p.fail(k, "%s: a name must be a word, not %s", path, kind(k))
		case err != nil:
			p.fail(v, "%s.%s: %v", path, k.Value, err)
		case again:
			p.fail(k, "%s.%s is set again", path, k.Value)
		default:
			if out == nil {
				out = map[string]string{}
			}
			out[k.Value] = one.v.String()
		}
	}
	f.v.Set(reflect.ValueOf(out))
}

// trust is a word or a list of node keys.
func (p *parser) trust(path string, n *yaml.Node, f field) {
	t := Trust{Mode: "nodes"}
	if n.Kind == yaml.SequenceNode {
		p.list(path, n, field{v: reflect.ValueOf(&t.Nodes).Elem(), is: "node-key"})
		if len(n.Content) == 0 {
			p.fail(n, "%s: the list is empty: write digests to trust no node", path)
		}
	} else if err := scalar(n, field{v: reflect.ValueOf(&t.Mode).Elem(), is: "digests|group"}); err != nil {
		p.fail(n, "%s: %v, or a list of node keys", path, err)
	}
	f.v.Set(reflect.ValueOf(t))
}

// scalar reads a single value by the type of its field.
func scalar(n *yaml.Node, f field) error {
	if n.Kind != yaml.ScalarNode || n.Anchor != "" {
		return fmt.Errorf("want a single value, not %s", kind(n))
	}
	if null(n) {
		return fmt.Errorf("has no value: write one, \"\" for none, or remove the key")
	}
	switch into := f.v.Addr().Interface().(type) {
	case *bool:
		if n.Tag != "!!bool" || n.Value != "true" && n.Value != "false" {
			return fmt.Errorf("want true or false, not %q", n.Value)
		}
		*into = n.Value == "true"
	case *int:
		return whole(n, f, into)
	case *string:
		return text(n, f, into)
	case *Size:
		return measure(n, f, into, ParseSize)
	case *Rate:
		return measure(n, f, into, ParseRate)
	case *Quota:
		return measure(n, f, into, ParseQuota)
	case *time.Duration:
		return measure(n, f, into, parseDuration)
	case *netip.Prefix:
		return prefix(n.Value, into)
	default:
		panic(fmt.Sprintf("config: no reader for %T", into)) // a test reads every key
	}
	return nil
}

func parseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is no duration: write it like 30s or 5m", s)
	}
	return d, nil
}

func whole(n *yaml.Node, f field, into *int) error {
	v, err := strconv.Atoi(n.Value)
	if err != nil || n.Tag != "!!int" {
		return fmt.Errorf("want a whole number, not %q", n.Value)
	}
	low, _ := strconv.Atoi(f.min)
	high, _ := strconv.Atoi(f.max)
	if v < low || v > high {
		return fmt.Errorf("%d is out of range: %d to %d", v, low, high)
	}
	*into = v
	return nil
}

func text(n *yaml.Node, f field, into *string) error {
	if n.Tag != "!!str" {
		return fmt.Errorf("want text, not %s: put it in quotes if you mean it", kind(n))
	}
	if err := check(f.is, n.Value); err != nil {
		return err
	}
	*into = n.Value
	return nil
}

// measure reads a number with a unit and holds it against its limits. 0 means none
// or unlimited where there is no upper limit, so it passes the lower one there.
func measure[T interface {
	~int64
	fmt.Stringer
}](n *yaml.Node, f field, into *T, parse func(string) (T, error)) error {
	v, err := parse(n.Value)
	if err != nil {
		return err
	}
	if f.min != "" {
		low, err := parse(f.min)
		if err != nil {
			panic(err) // a test reads every key
		}
		if v < low && (v != 0 || f.max != "") {
			return fmt.Errorf("%v is too little: at least %s", v, f.min)
		}
	}
	if f.max != "" {
		high, err := parse(f.max)
		if err != nil {
			panic(err)
		}
		if v > high {
			return fmt.Errorf("%v is too much: at most %s", v, f.max)
		}
	}
	*into = v
	return nil
}
