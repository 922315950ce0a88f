package gossip

import (
	"crypto/rand"
	"encoding/base32"
	"errors"
	"net/netip"
	"strings"

	"dtpx/cluster/internal/group"
)

var sessionText = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

const sessionLen = 13 // 8 random bytes

func newSession() string {
	var b [8]byte
	rand.Read(b[:])
	return sessionText.EncodeToString(b[:])
}

// nodeName is a node's name for memberlist.
func nodeName(id group.NodeID, session string) string { return id.String() + "." + session }

var errName = errors.New("malformed name")

// splitName accepts what nodeName makes and nothing else: two spellings of one
// NodeID would be two entries.
func splitName(name string) (id group.NodeID, session string, err error) {
	text, session, _ := strings.Cut(name, ".")
	if len(session) != sessionLen || strings.Trim(session, "abcdefghijklmnopqrstuvwxyz234567") != "" {
		return id, "", errName
	}
	if id, err = group.ParseNodeID(text); err != nil || id.String() != text {
		return id, "", errName
	}
	return id, session, nil
}

// reachable reports whether members may make this node send to an address:
// unicast, and of this machine only if all of this group is on it. Link-local v6
// addresses lose their zone on memberlist's way, so they lead nowhere.
func reachable(a netip.Addr, loopback bool) bool {
	if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a.Is6() && a.IsLinkLocalUnicast() {
		return false
	}
	if a.IsLoopback() {
		return loopback
	}
	first := a.As16()[12]
	return !a.Is4() || first != 0 && first < 240 // "this network", reserved and broadcast
}
