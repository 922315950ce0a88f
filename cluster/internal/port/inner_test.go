package port

import (
	"testing"
	"testing/fstest"
)

func TestInner(t *testing.T) {
	sys := fstest.MapFS{}
	for ifc, files := range map[string][]string{
		"eth0": {"device"}, "docker0": {"bridge"}, "tap0": {"tun_flags"}, "veth1": {"iflink"},
		"br-compose": {"bridge", "lower_veth1"}, "virbr0": {"bridge", "lower_tap0"},
		"br0": {"bridge", "lower_tap0", "lower_bond0.7"}, "bond0.7": {"lower_bond0"}, "bond0": {"lower_eth0"},
		"loop0": {"bridge", "lower_loop0"},
	} {
		for _, f := range files {
			sys[ifc+"/"+f] = &fstest.MapFile{}
		}
	}
	for ifc, want := range map[string]bool{"docker0": true, "br-compose": true, "virbr0": true, "tap0": true, "loop0": true,
		"eth0": false, "br0": false, "bond0.7": false, "veth1": false, "unknown": false} {
		if got := innerOf(sys, ifc); got != want {
			t.Errorf("%s: %v", ifc, got)
		}
	}
}
