package port

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
)

func TestGuests(t *testing.T) {
	at := func(index int, cidr string) Place {
		return Place{Interface: fmt.Sprint("eth", index), Index: index, Prefix: netip.MustParsePrefix(cidr)}
	}
	cable, wifi := at(1, "10.1.0.1/24"), at(2, "10.1.0.2/24")
	got := guests([]Place{cable, wifi, at(3, "10.2.0.1/24"), at(1, "fd00::1/64"), at(2, "fd00::2/64")})
	want := []Place{{"eth2", 2, cable.Prefix, true}, {"eth1", 1, wifi.Prefix, true}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	var many []Place
	for i := range 300 {
		many = append(many, at(i%2, fmt.Sprintf("10.1.%d.%d/16", i/250, i%250+1)))
	}
	if got := guests(many); len(got) > 0 {
		t.Errorf("%d guests of a machine with %d addresses", len(got), len(many))
	}
}
