package discover

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

type family struct {
	v4      bool
	network string
	group   net.IP
}

var families = []family{
	{true, "udp4", net.IPv4(224, 0, 0, 251)},
	{false, "udp6", net.ParseIP("ff02::fb")},
}

const (
	mdnsPort = 5353

	// window is how long answers are waited for. Members answer at once; power
	// saving on Wi-Fi holds multicast back for up to 300 ms.
	window = time.Second

	readBuffer = 256 << 10
	packetMax  = 9000 // RFC 6762 §17

	// quClass asks for an answer to us alone, which then repeats our ID (RFC
	// 6762 §5.4, §6.7).
	quClass = dnsmessage.ClassINET | 1<<15

	recordsMax = 64 // of one answer that are looked at
)

// query asks on one link and adds what is believed to all.
func (s *Service) query(ctx context.Context, l link, f family, all *candidates) {
	if !l.has(f) {
		return
	}
	c, err := open(l, f)
	if err != nil {
		s.log.add("cannot query", err)
		return
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	id := uint16(rand.Uint32())
	to := &net.UDPAddr{IP: f.group, Port: mdnsPort}
	if !f.v4 {
		to.Zone = l.ifc.Name
	}
	if _, err := c.WriteToUDP(question(id), to); err != nil {
		s.log.add("cannot query", err)
		return
	}
	c.SetReadDeadline(time.Now().Add(window))
	buf := make([]byte, packetMax)
	for {
		n, from, err := c.ReadFromUDPAddrPort(buf)
		if err != nil {
			return // the deadline, or Close; nothing else happens to a UDP socket
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		if !all.hear(from.Addr()) {
			continue
		}
		if err := s.answer(buf[:n], id, from.Addr(), l, all); err != nil {
			s.log.add("ignored an answer", err)
		}
	}
}

func open(l link, f family) (*net.UDPConn, error) {
	c, err := net.ListenUDP(f.network, nil)
	if err != nil {
		return nil, err
	}
	_ = c.SetReadBuffer(readBuffer) // fewer answers are lost in a flood
	if f.v4 {
		p := ipv4.NewPacketConn(c)
		err = errors.Join(p.SetMulticastInterface(&l.ifc), p.SetMulticastTTL(255))
	} else {
		p := ipv6.NewPacketConn(c)
		err = errors.Join(p.SetMulticastInterface(&l.ifc), p.SetMulticastHopLimit(255))
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func question(id uint16) []byte {
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: id},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(service + "." + domain), Type: dnsmessage.TypePTR, Class: quClass}},
	}
	b, err := m.Pack()
	if err != nil {
		panic(err) // it is a constant
	}
	return b
}

var (
	errAnswer = errors.New("not an answer to our query")
	errOrigin = errors.New("from another network")
	errTag    = errors.New("not of our group")
	errText   = errors.New("malformed")
)

// answer reads one packet. Off-link senders are not heard (RFC 6762 §11).
func (s *Service) answer(packet []byte, id uint16, from netip.Addr, l link, all *candidates) error {
	if !from.IsLinkLocalUnicast() && !l.onLink(from) {
		return errOrigin
	}
	var p dnsmessage.Parser
	h, err := p.Start(packet)
	if err != nil || !h.Response || h.ID != id {
		return errAnswer
	}
	if err := p.SkipAllQuestions(); err != nil {
		return errAnswer
	}
	why := errAnswer
	for range recordsMax {
		rr, err := p.AnswerHeader()
		if err != nil {
			return why
		}
		instance, ours := strings.CutSuffix(rr.Name.String(), "."+service+"."+domain)
		if rr.Type != dnsmessage.TypeTXT || !ours {
			if p.SkipAnswer() != nil {
				return why
			}
			continue
		}
		txt, err := p.TXTResource()
		if err != nil {
			return why
		}
		if instance == s.names.instance {
			why = nil // ourselves
			continue
		}
		why = s.believe(txt.TXT, from, l, all)
	}
	return why
}

func (s *Service) believe(txt []string, from netip.Addr, l link, all *candidates) error {
	a, ok := parseAdvert(txt)
	if !ok {
		return errText
	}
	if !s.o.Keys.IsTag(a.tag, s.o.Now()) {
		return errTag
	}
	for _, addr := range a.addrs {
		if at, ok := l.candidate(addr); ok {
			all.add(netip.AddrPortFrom(at, a.port), from)
		}
	}
	return nil
}
