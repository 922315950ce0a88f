package digests

import (
	"bufio"
	"net/url"
	"path"
	"strings"

	"dtpx/cache/internal/rules"
)

// aptList is an index of a repository of the usual shape: Release names the
// indexes beside and below it; Packages, also by-hash, the files from the root on.
func aptList(doc *url.URL, dir, name string) (*List, bool) {
	root := dir[:strings.LastIndex(dir, "/dists/")+1]
	switch {
	case name == "Release" || name == "InRelease":
		return newList(doc, dir, readRelease)
	case isPackages(name), strings.HasSuffix(path.Dir(path.Clean(dir)), "/by-hash"):
		return newList(doc, root, readPackages)
	}
	return nil, false
}

func isPackages(name string) bool {
	stem, ext, _ := strings.Cut(name, ".")
	switch ext {
	case "", "gz", "xz", "bz2", "zst":
		return stem == "Packages"
	}
	return false
}

// readPackages reads paragraphs, of which Filename and SHA256 count. The hash of a
// description that is kept elsewhere comes by other names.
func readPackages(_ *List, r *bufio.Reader, say sayer) error {
	var file, hash string
	end := func() bool {
		f, h := file, hash
		file, hash = "", ""
		d, ok := rules.NewDigest(rules.SHA256, strings.ToLower(h))
		return f == "" || !ok || say(escaped(strings.TrimPrefix(f, "./")), d)
	}
	more := true
	err := lines(r, func(line string) bool {
		name, value, _ := strings.Cut(line, ":")
		switch value = strings.TrimSpace(value); {
		case line == "":
			more = end()
		case name == "Filename":
			file = value
		case name == "SHA256":
			hash = value
		}
		return more
	})
	if more {
		end()
	}
	return err
}

// readRelease reads the section of SHA-256: lines of hash, size and name.
func readRelease(_ *List, r *bufio.Reader, say sayer) error {
	in := false
	return lines(r, func(line string) bool {
		if line == "" || line[0] != ' ' {
			in = strings.TrimSpace(line) == "SHA256:"
			return true
		}
		part := strings.Fields(line)
		if !in || len(part) != 3 {
			return true
		}
		d, ok := rules.NewDigest(rules.SHA256, strings.ToLower(part[0]))
		return !ok || say(escaped(part[2]), d)
	})
}

// escaped makes a reference of a relative file name, as the programs that read
// such lists do. A name that is no such is none.
func escaped(name string) string {
	if name == "" || name[0] == '/' {
		return ".."
	}
	return "./" + (&url.URL{Path: name}).EscapedPath()
}
