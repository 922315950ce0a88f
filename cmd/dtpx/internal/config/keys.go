package config

import (
	"reflect"
)

// Keys lists all keys with dots (accelerate.window), in proxy.yaml's order.
func Keys() []string {
	var keys []string
	cfg := Default()
	walk("", reflect.ValueOf(cfg), func(key string, _ reflect.Value) { keys = append(keys, key) })
	return keys
}

// Changed lists the keys in which two configs differ.
func Changed(a, b Config) []string {
	values := map[string]any{}
	walk("", reflect.ValueOf(a), func(key string, v reflect.Value) { values[key] = v.Interface() })
	var keys []string
	walk("", reflect.ValueOf(b), func(key string, v reflect.Value) {
		if !same(values[key], v.Interface()) {
			keys = append(keys, key)
		}
	})
	return keys
}

// same counts an empty list as none.
func same(a, b any) bool {
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	if k := x.Kind(); (k == reflect.Slice || k == reflect.Map) && x.Len() == 0 && y.Len() == 0 {
		return true
	}
	return reflect.DeepEqual(a, b)
}

func walk(path string, v reflect.Value, visit func(key string, v reflect.Value)) {
	for i := range v.NumField() {
		key := join(path, v.Type().Field(i).Tag.Get("key"))
		if f := v.Field(i); isSection(f.Type()) {
			walk(key, f, visit)
		} else {
			visit(key, f)
		}
	}
}
