//go:build !race

package ranges_test

const sample = false
