package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// checks are what a text must be, by the field's is tag. Text may be empty where
// the default is.
var checks = map[string]func(s string) error{
	"listen":    listen,
	"path":      path,
	"bcrypt":    hash,
	"proxy-url": optional(proxyURL),
	"glob":      glob,
	"interface": iface,
	"name":      optional(name),
	"hostport":  func(s string) error { return hostport(s, 1) },
	"host":      optional(host),
	"clock":     clock,
	"node-key":  nodeKey,
	"keys":      keyRule,
}

// check also knows choices: a|b|c.
func check(is, s string) error {
	if f := checks[is]; f != nil {
		return f(s)
	}
	if !strings.Contains(is, "|") {
		return nil
	}
	choices := strings.Split(is, "|")
	for _, c := range choices {
		if s == c {
			return nil
		}
	}
	return fmt.Errorf("%q is none of %s", s, strings.Join(choices, ", "))
}

func optional(f func(string) error) func(string) error {
	return func(s string) error {
		if s == "" {
			return nil
		}
		return f(s)
	}
}

// Listen checks an address that was not in the file.
func Listen(addr string) error { return listen(addr) }

// listen is what net.Listen can bind without asking a name server.
func listen(s string) error {
	h, _, err := net.SplitHostPort(s)
	if err == nil {
		err = port(s, 0)
	}
	if err != nil {
		return fmt.Errorf("%q is no address to listen on: write it like 127.0.0.1:3128 or :3128", s)
	}
	if _, err := netip.ParseAddr(h); h != "" && h != "localhost" && err != nil {
		return fmt.Errorf("%q: listen on an IP address, localhost, or nothing before the colon for all addresses", s)
	}
	return nil
}

func port(s string, least int) error {
	_, p, err := net.SplitHostPort(s)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(p)
	if err != nil || n < least || n > 65535 || !digits(p) {
		return fmt.Errorf("port %q is none of %d to 65535", p, least)
	}
	return nil
}

func hostport(s string, least int) error {
	h, _, err := net.SplitHostPort(s)
	if err != nil || h == "" {
		return fmt.Errorf("%q: write host:port", s)
	}
	if err := port(s, least); err != nil {
		return err
	}
	return hostname(h)
}

// host is a name or address, with or without a port.
func host(s string) error {
	if _, _, err := net.SplitHostPort(s); err == nil {
		return hostport(s, 1)
	}
	return hostname(s)
}

var plainHost = regexp.MustCompile(`^[\pL\pN]([\pL\pN._-]*[\pL\pN.])?$`)

func hostname(h string) error {
	if _, err := netip.ParseAddr(h); err != nil && !plainHost.MatchString(h) {
		return fmt.Errorf("%q is no host name or address", h)
	}
	return nil
}

// keyRule is a host pattern and patterns of query parameters.
func keyRule(s string) error {
	words := strings.Fields(s)
	if len(words) < 2 {
		return fmt.Errorf("%q: write a host pattern and the query parameters that do not matter there, like \"*.example.org token expires\"", s)
	}
	return glob(words[0])
}

func path(s string) error {
	if strings.HasPrefix(s, "~") {
		return fmt.Errorf("%q: ~ is the shell's: write the whole path", s)
	}
	if strings.ContainsRune(s, 0) {
		return fmt.Errorf("%q is no path", s)
	}
	return nil
}

func hash(s string) error {
	if _, err := bcrypt.Cost([]byte(s)); err != nil {
		return fmt.Errorf("want a bcrypt hash ($2b$…), never the password: htpasswd -nbB NAME PASSWORD prints one")
	}
	return nil
}

func proxyURL(s string) error {
	// Where there is no URL, nobody but the @ tells what a password is.
	shown := s
	if at := strings.LastIndexByte(s, '@'); at >= 0 {
		shown = "…" + s[at:]
	}
	u, err := url.Parse(s)
	if err != nil || !slices.Contains([]string{"http", "https", "socks5"}, u.Scheme) {
		return fmt.Errorf("%q: write http://host:port, https://host:port or socks5://host:port, with name:password@ before the host if need be", shown)
	}
	if u.Hostname() == "" || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("%q: a parent proxy is a host and a port, nothing behind it", shown)
	}
	if u.Port() != "" {
		return port(u.Host, 1)
	}
	return nil
}

var globChars = regexp.MustCompile(`^[\pL\pN*?._-]+$`)

// glob is a host pattern with * and ?; an IPv6 address is one too.
func glob(s string) error {
	if _, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil || globChars.MatchString(s) {
		return nil
	}
	return fmt.Errorf("%q is no host pattern: write a host name, * for any run of characters, ? for one; no scheme, port or path", s)
}

func iface(s string) error {
	if s == "" || strings.ContainsAny(s, "/ \t\n\x00") {
		return fmt.Errorf("%q is no name of a network interface", s)
	}
	return nil
}

func name(s string) error {
	if len(s) > 64 || strings.TrimSpace(s) != s || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 127 }) {
		return fmt.Errorf("%q: at most 64 bytes, no control characters, no space around it", s)
	}
	return nil
}

var clockTime = regexp.MustCompile(`^([01]\d|2[0-3]):[0-5]\d$`)

func clock(s string) error {
	if !clockTime.MatchString(s) {
		return fmt.Errorf("%q is no time of day: write it like \"00:00\"", s)
	}
	return nil
}

var keyChars = regexp.MustCompile(`^[A-Za-z0-9+/=:_-]{16,128}$`)

func nodeKey(s string) error {
	if !keyChars.MatchString(s) {
		return fmt.Errorf("%q is no node key, or too short a part of one: dtpx peers -json shows them whole", s)
	}
	return nil
}

// prefix reads 10.0.0.0/8; an address alone is itself only.
func prefix(s string, into *netip.Prefix) error {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		*into = netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen())
		return nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return fmt.Errorf("%q is no address range: write it like 192.168.0.0/16 or ::1/128", s)
	}
	if p != p.Masked() {
		return fmt.Errorf("%v has bits set behind its length: write %v", p, p.Masked())
	}
	*into = p
	return nil
}
