package certs

import (
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/net/idna"
)

// hostName brings a host into the one spelling for which a leaf is minted:
// lower case, punycode, no trailing dot, no brackets, no zone. It refuses what
// no client could ask for.
func hostName(host string) (string, error) {
	if ip, ok := ipName(host); ok {
		return ip, nil
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	if !isASCII(name) {
		ascii, err := idna.Lookup.ToASCII(name)
		if err != nil {
			return "", fmt.Errorf("no certificate for %q: %w", host, err)
		}
		name = ascii
	}
	if !validName(name) {
		return "", fmt.Errorf("no certificate for %q: not a host name", host)
	}
	return name, nil
}

func ipName(host string) (string, bool) {
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return "", false
	}
	return ip.Unmap().WithZone("").String(), true
}

// validName allows what DNS and URLs do in practice; underscores are no host
// names by RFC 952 but are in use, and Go and browsers match them.
func validName(name string) bool {
	if name == "" || len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		if strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return !allDigits(name[strings.LastIndexByte(name, '.')+1:])
}

// allDigits tells a last label like that of 999.1.1.1 or 2130706433: a
// misspelt address (WHATWG URL §3.1), never a name.
func allDigits(label string) bool { return strings.Trim(label, "0123456789") == "" }

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
