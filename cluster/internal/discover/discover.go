// Package discover finds who else is out there, by mDNS: first contact only.
package discover

import (
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/hashicorp/mdns"
	"github.com/miekg/dns"
)

// Keys tell the group's adverts from others'. *group.Keys satisfies it.
type Keys interface {
	Tag(day time.Time) string
	IsTag(tag string, now time.Time) bool
}

// Options is what a Service needs.
type Options struct {
	Keys       Keys
	Port       int
	Interfaces func() []net.Interface
	Addrs      func() []netip.Addr
	Advertise  netip.AddrPort
	Found      func(netip.AddrPort)
	Now        func() time.Time
	Log        *slog.Logger
}

// Service advertises and looks for adverts.
type Service struct{ servers []*mdns.Server }

// Start begins.
func Start(o Options) *Service { return &Service{} }

// Poke queries now.
func (s *Service) Poke() {}

// Close ends.
func (s *Service) Close() {}

var _ = dns.TypePTR
