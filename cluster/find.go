package cluster

import (
	"context"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"dtpx/cluster/internal/port"
)

// found is an address that carries our group's tag.
func (s *session) found(at netip.AddrPort) {
	if s.isOwn(at) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard = among(s.heard, at)
	if s.knowsLocked(at) {
		return
	}
	s.unasked = among(s.unasked, at)
	if s.askers < askersMax {
		s.askers++
		s.wg.Go(s.ask)
	}
}

// among puts at into a list. Where that is full somebody goes by chance: whoever sends
// forged adverts cannot choose whom they replace.
func among(list []netip.AddrPort, at netip.AddrPort) []netip.AddrPort {
	switch {
	case slices.Contains(list, at):
	case len(list) < heardMax:
		list = append(list, at)
	default:
		list[rand.IntN(len(list))] = at
	}
	return list
}

// ask joins those that were found, in any order, until there are none.
func (s *session) ask() {
	for {
		s.mu.Lock()
		n := len(s.unasked)
		if n == 0 {
			s.askers--
			s.mu.Unlock()
			return
		}
		i := rand.IntN(n)
		at := s.unasked[i]
		s.unasked = slices.Delete(s.unasked, i, i+1)
		s.mu.Unlock()
		s.join([]netip.AddrPort{at})
	}
}

// knowsLocked reports that a living member is at an address.
func (s *session) knowsLocked(at netip.AddrPort) bool {
	for _, p := range s.peers {
		if p.isAlive() && slices.Contains(p.addresses(), at) {
			return true
		}
	}
	return false
}

func (s *session) join(addrs []netip.AddrPort) {
	addrs = slices.DeleteFunc(slices.Clone(addrs), s.isOwn)
	if len(addrs) == 0 || s.ctx.Err() != nil {
		return
	}
	if n, err := s.pool.Join(addrs...); n == 0 && err != nil {
		s.log.Debug("join", "addresses", addrs, "err", err)
	}
}

// seeds are where members may be: configured, and last known or heard of on the LANs that
// this machine is on. They are asked again and again: a laptop that has left the house
// must not knock all day at that house's addresses, through whoever routes for it now.
func (s *session) seeds() []netip.AddrPort {
	s.mu.Lock()
	all := slices.Clone(s.heard)
	s.mu.Unlock()
	places := s.port.Places()
	all = slices.DeleteFunc(append(all, loadPeers(s.c.o.Dir)...), func(at netip.AddrPort) bool {
		return !slices.ContainsFunc(places, func(p port.Place) bool { return p.Prefix.Contains(at.Addr()) })
	})
	for _, at := range s.c.o.Join {
		ctx, cancel := context.WithTimeout(s.ctx, 3*time.Second)
		all = append(all, resolve(ctx, at)...)
		cancel()
	}
	return all
}

func resolve(ctx context.Context, hostport string) (out []netip.AddrPort) {
	host, number, err := net.SplitHostPort(hostport)
	if err != nil {
		return nil
	}
	n, _ := strconv.ParseUint(number, 10, 16)
	addrs, _ := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	for _, a := range addrs {
		out = append(out, netip.AddrPortFrom(a.Unmap(), uint16(n)))
	}
	return out
}
