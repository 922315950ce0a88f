// Command hostel shows what dtpx was made for, on one Linux machine and as root:
// three network namespaces, each with an internet link of 4 MB/s of its own and
// all on one LAN, and an origin behind the links.
//
//	go run ./examples/hostel
//
// It types what three people would type and prints what they see.
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"dtpx/internal/testbed"
	"dtpx/internal/testbed/hostel"
	"dtpx/internal/testbed/netns"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "hostel:", err)
		os.Exit(1)
	}
}

func run() error {
	dir, err := os.MkdirTemp("", "dtpx-hostel-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "dtpx")
	if out, err := exec.Command("go", "build", "-o", binary, "dtpx/cmd/dtpx").CombinedOutput(); err != nil {
		return fmt.Errorf("build dtpx: %w: %s", err, out)
	}
	lab, err := netns.New()
	if err != nil {
		return fmt.Errorf("network namespaces (root on Linux is needed): %w", err)
	}
	defer lab.Close()
	const link = 32e6 // bits per second
	h, err := hostel.New(lab, hostel.Config{Binary: binary, Dir: dir, Origin: testbed.Config{}, Links: []int64{link, link, link}})
	if err != nil {
		return err
	}
	defer h.Close()
	return (&story{h}).tell()
}

// story is told in the rooms alice, bob and carol.
type story struct{ *hostel.House }

func (s *story) tell() error {
	for _, r := range s.Rooms {
		if err := r.Serve(""); err != nil {
			return err
		}
	}
	alice, bob, carol := s.Rooms[0], s.Rooms[1], s.Rooms[2]
	if err := s.types(alice, "group", "new", "-name", "hostel"); err != nil {
		return err
	}
	code, err := alice.Dtpx(context.Background(), "group", "code")
	if err != nil {
		return err
	}
	for _, r := range []*hostel.Room{bob, carol} {
		if err := s.types(r, "group", "join", strings.TrimSpace(code)); err != nil {
			return err
		}
	}
	time.Sleep(5 * time.Second) // they find each other
	if err := s.download("/128MiB/movie", nil); err != nil {
		return err
	}
	for _, r := range s.Rooms {
		for _, command := range []string{"status", "peers"} {
			if err := s.types(r, command); err != nil {
				return err
			}
		}
	}
	fmt.Println("# Once more; bob's LAN cable is pulled after 4 s.")
	return s.download("/128MiB/again", func() { _ = bob.Switch.Down() })
}

// types runs a command of dtpx in a room, as a person would.
func (s *story) types(r *hostel.Room, args ...string) error {
	fmt.Printf("%s$ dtpx %s\n", r.Name, strings.Join(args, " "))
	out, err := r.Dtpx(context.Background(), args...)
	fmt.Println(out)
	return err
}

// download fetches a file in alice's room with curl, and checks it. meanwhile
// happens after a third of the time, roughly.
func (s *story) download(path string, meanwhile func()) error {
	alice, url := s.Rooms[0], s.URL("https", path)
	const curl = `curl -sS -x http://127.0.0.1:3128 --cacert "$0" "$1" | sha256sum`
	fmt.Printf("%s$ curl %s | sha256sum\n", alice.Name, url)
	began := time.Now()
	if meanwhile != nil {
		defer time.AfterFunc(4*time.Second, meanwhile).Stop()
	}
	out, err := alice.Run(context.Background(), "sh", "-c", curl, alice.State("ca.pem"), url)
	if err != nil {
		return err
	}
	took := time.Since(began).Seconds()
	if !strings.HasPrefix(out, s.Content(url).SHA256()) {
		return fmt.Errorf("wrong bytes: sha256 %s", out)
	}
	fmt.Printf("%s\n# the right one, in %.1f s: %.1f MB/s\n\n", strings.TrimSpace(out), took, float64(s.Content(url).Size)/took/1e6)
	return nil
}
