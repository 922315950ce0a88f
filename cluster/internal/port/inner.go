package port

import (
	"io/fs"
	"os"
	"path"
	"strings"
)

// inner reports that an interface is known to lead to nobody but this machine's own
// containers or virtual machines, as docker0 and virbr0 do. Where the system does not
// tell, as all but Linux do not, none is.
func inner(ifc string) bool { return innerOf(os.DirFS("/sys/class/net"), ifc) }

func innerOf(sys fs.FS, ifc string) bool {
	for _, mark := range []string{"bridge", "tun_flags"} {
		if _, err := fs.Stat(sys, path.Join(ifc, mark)); err == nil {
			return !onDevice(sys, ifc, 0)
		}
	}
	return false // a device, or a cable out of a container
}

// onDevice reports that an interface is a device, or something made of one: a bridge, a
// bond, a VLAN.
func onDevice(sys fs.FS, ifc string, depth int) bool {
	entries, _ := fs.ReadDir(sys, ifc)
	for _, e := range entries {
		lower, below := strings.CutPrefix(e.Name(), "lower_")
		if e.Name() == "device" || below && depth < 8 && onDevice(sys, lower, depth+1) {
			return true
		}
	}
	return false
}
