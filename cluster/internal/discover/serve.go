package discover

import (
	"fmt"
	"log"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/mdns"
	"github.com/miekg/dns"
)

const (
	service = "_dtpx._tcp"
	domain  = "local."

	// answersPerSecond of one interface; a LAN of fifty needs a few, and one
	// that starts all at once a hundred. mDNS can be asked under a forged
	// address.
	answersPerSecond = 200
)

// server advertises on one interface.
type server struct{ *mdns.Server }

// refresh follows interfaces, addresses and the date. It reports whether
// something has changed.
func (s *Service) refresh() (changed bool) {
	now := s.o.Now()
	s.links = linksOf(s.o.Interfaces())
	port, addrs := uint16(s.o.Port), []netip.Addr{s.o.Advertise.Addr()}
	if s.o.Advertise.IsValid() {
		port = s.o.Advertise.Port()
	} else {
		addrs = s.o.Addrs()
	}
	print := fmt.Sprint(today(now), addrs)
	for _, l := range s.links {
		print += fmt.Sprint(" ", l.ifc.Index, l.ifc.Name, l.prefixes)
	}
	if print == s.told {
		return false
	}
	s.told = print
	s.stopServers()
	if day := today(now); s.names.day != day {
		s.names = newNames(day)
	}
	for _, l := range s.links {
		a := advert{tag: s.o.Keys.Tag(now), port: port, addrs: l.tells(addrs)}
		if len(a.addrs) == 0 {
			continue
		}
		if err := s.serve(l, a); err != nil {
			s.o.Log.Warn("cannot advertise by mDNS", "interface", l.ifc.Name, "err", err)
		}
	}
	return true
}

func (s *Service) serve(l link, a advert) error {
	ips := make([]net.IP, len(a.addrs))
	for i, addr := range a.addrs {
		ips[i] = addr.AsSlice()
	}
	// The library asks DNS and the system for names or addresses left empty.
	about, err := mdns.NewMDNSService(s.names.instance, service, domain, s.names.host, int(a.port), ips, a.encode())
	if err != nil {
		return err
	}
	z := &zone{about: about, asked: s.asked, now: s.o.Now, rate: bucket{most: answersPerSecond, perSecond: answersPerSecond}}
	made, err := mdns.NewServer(&mdns.Config{Zone: z, Iface: &l.ifc, Logger: log.New(s.log, "", 0)})
	if err != nil {
		return err
	}
	each := &server{made}
	s.servers = append(s.servers, each)
	if err := each.ownLink(l.ifc.Name); err != nil {
		s.log.add("answers questions of other links", err)
	}
	return nil
}

func (s *Service) stopServers() {
	for _, each := range s.servers {
		each.Shutdown() // never fails
	}
	s.servers = nil
}

// zone answers a bounded number of questions.
type zone struct {
	about *mdns.MDNSService
	asked chan struct{}
	now   func() time.Time

	mu   sync.Mutex // guards rate: IPv4 and IPv6 are read apart
	rate bucket
}

// Records implements mdns.Zone.
func (z *zone) Records(q dns.Question) []dns.RR {
	records := z.about.Records(q)
	if len(records) == 0 {
		return nil
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	if !z.rate.take(z.now()) {
		return nil
	}
	if q.Name == service+"."+domain {
		poke(z.asked)
	}
	return records
}
