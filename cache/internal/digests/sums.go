package digests

import (
	"bufio"
	"strings"

	"dtpx/cache/internal/rules"
)

// isSums knows the names that such lists have at the large distributions.
func isSums(name string) bool {
	n := strings.ToUpper(name)
	n = strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(n, ".TXT"), ".ASC"), ".GPG")
	switch {
	case n == "SHA256SUMS", n == "SHA512SUMS", n == "SHA256SUM", n == "SHA512SUM", n == "CHECKSUMS", n == "SHA256", n == "SHA512":
		return true
	case strings.HasSuffix(n, "-CHECKSUM"), strings.HasSuffix(n, "_SHA256SUMS"), strings.HasSuffix(n, "_CHECKSUMS"):
		return true
	}
	return strings.HasSuffix(n, ".SHA256SUM") || strings.HasSuffix(n, ".SHA512SUM")
}

// readSums reads the lines of sha256sum and sha512sum, and those of BSD:
//
//	hex  name         (GNU; " *name" of binary files)
//	SHA256 (name) = hex
func readSums(_ *List, r *bufio.Reader, say sayer) error {
	return lines(r, func(line string) bool {
		name, hash := gnuSum(line)
		if name == "" {
			name, hash = bsdSum(line)
		}
		hash = strings.ToLower(hash)
		for _, algo := range []string{rules.SHA256, rules.SHA512} {
			if d, ok := rules.NewDigest(algo, hash); ok && name != "" {
				return say(escaped(strings.TrimPrefix(name, "./")), d)
			}
		}
		return true
	})
}

func gnuSum(line string) (name, hash string) {
	hash, name, ok := strings.Cut(line, " ")
	if !ok || len(hash) < 64 || len(name) < 2 || name[0] != ' ' && name[0] != '*' {
		return "", ""
	}
	return name[1:], hash
}

func bsdSum(line string) (name, hash string) {
	_, rest, ok := strings.Cut(line, " (")
	name, hash, more := strings.Cut(rest, ") = ")
	if algo := line[:min(6, len(line))]; !ok || !more || algo != "SHA256" && algo != "SHA512" {
		return "", ""
	}
	return name, hash
}
