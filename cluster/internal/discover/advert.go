package discover

import (
	"crypto/rand"
	"encoding/base32"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// advert is what a TXT record says, one string each:
//
//	v=1   tag=<of the group and day>   port=4711   a=192.168.1.5   a=fd00::5
type advert struct {
	tag   string
	port  uint16
	addrs []netip.Addr
}

const (
	version = "1"

	// addrsMax are told and believed. With A and AAAA records and everything
	// else an answer stays below 1 KB then.
	addrsMax = 8

	// A TXT record within these can come from a later version; beyond them it
	// is an attempt.
	txtStrings = 32
	txtBytes   = 1500
	tagMax     = 64
)

func (a advert) encode() []string {
	out := []string{"v=" + version, "tag=" + a.tag, "port=" + strconv.Itoa(int(a.port))}
	for _, addr := range a.addrs[:min(len(a.addrs), addrsMax)] {
		out = append(out, "a="+addr.WithZone("").String())
	}
	return out
}

// parseAdvert reads what encode made. Unknown strings are skipped, addresses that
// cannot be read too; ok is false for what is no advert.
func parseAdvert(txt []string) (a advert, ok bool) {
	total := 0
	for _, s := range txt {
		total += len(s)
	}
	if len(txt) > txtStrings || total > txtBytes || !slices.Contains(txt, "v="+version) {
		return advert{}, false
	}
	for _, s := range txt {
		key, value, _ := strings.Cut(s, "=")
		switch key {
		case "tag":
			if a.tag != "" || value == "" || len(value) > tagMax {
				return advert{}, false
			}
			a.tag = value
		case "port":
			n, err := strconv.ParseUint(value, 10, 16)
			if err != nil || n == 0 || a.port != 0 {
				return advert{}, false
			}
			a.port = uint16(n)
		case "a":
			addr, err := netip.ParseAddr(value)
			if err == nil && addr.Zone() == "" && len(a.addrs) < addrsMax && !slices.Contains(a.addrs, addr.Unmap()) {
				a.addrs = append(a.addrs, addr.Unmap())
			}
		}
	}
	return a, a.tag != "" && a.port != 0 && len(a.addrs) > 0
}

// names are what DNS needs and nobody should learn anything from.
type names struct{ day, instance, host string }

func newNames(day string) names {
	return names{day: day, instance: word(), host: word() + ".local."}
}

func word() string {
	var b [10]byte
	rand.Read(b[:])
	return strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))
}

// today is the day that tags and names are for.
func today(now time.Time) string { return now.UTC().Format(time.DateOnly) }
