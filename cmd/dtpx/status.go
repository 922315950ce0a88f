package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"dtpx/cluster"
	ranges "dtpx/range"
)

// running is a node that answers.
type running struct {
	addr, dir, token string
	client           *http.Client
}

// findNode asks the node that uses the state directory whether it is there.
func findNode(state string) (*running, error) {
	dir, err := stateDir(state)
	if err != nil {
		return nil, err
	}
	rec, err := loadNode(dir)
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("%w; ask as the user whose dtpx it is, or as root", err)
	}
	if err != nil {
		return nil, fmt.Errorf("no node is running with the state in %s (start one with dtpx serve, or name its state with -state)", dir)
	}
	token, _ := os.ReadFile(filepath.Join(dir, tokenFile))
	r := &running{addr: rec.Listen, dir: dir, token: strings.TrimSpace(string(token)),
		client: &http.Client{Transport: &http.Transport{}, Timeout: 5 * time.Second}}
	if _, err := r.raw("/healthz"); err != nil {
		return nil, fmt.Errorf("the node at %s does not answer: %w", rec.Listen, err)
	}
	return r, nil
}

// raw reads one path of the node's surface.
func (r *running) raw(path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+r.addr+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+r.token)
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, resp.Status)
	}
	return io.ReadAll(io.LimitReader(resp.Body, 64<<20))
}

func (r *running) read(path string, v any) error {
	b, err := r.raw(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

func (c *cli) status(args []string) error {
	fl := c.flags("status", "[-json] [-state DIR]")
	asJSON := fl.Bool("json", false, "print what the API answers")
	state := fl.String("state", "", "`DIR` of the node's state")
	if err := parseAll(fl, args); err != nil {
		return err
	}
	r, err := findNode(*state)
	if err != nil {
		return err
	}
	if *asJSON {
		b, err := r.raw("/api/v1/status")
		if err != nil {
			return err
		}
		_, err = c.out.Write(b)
		return err
	}
	var s status
	var ds []ranges.Info
	if err := r.read("/api/v1/status", &s); err != nil {
		return err
	}
	if err := r.read("/api/v1/downloads", &ds); err != nil {
		return err
	}
	var group cluster.Info
	if err := r.read("/api/v1/peers", &group); err != nil {
		return err
	}
	c.printStatus(s, group, ds)
	return nil
}

// shownDownloads is how many finished downloads status lists.
const shownDownloads = 5

func (c *cli) printStatus(s status, group cluster.Info, ds []ranges.Info) {
	fmt.Fprintf(c.out, "dtpx %s on %s, up %s, pid %d\n", s.Version, s.Listen, time.Duration(s.Uptime*1e9).Round(time.Second), s.PID)
	fmt.Fprintf(c.out, "CA %s\n   SHA-256 %s, expires %s\n", s.CA.Path, s.CA.Fingerprint, s.CA.Expires.Format("2006-01-02"))
	if s.Group != "" {
		fmt.Fprintf(c.out, "group %q, %d other members here (dtpx peers)\n", s.Group, s.Peers)
		c.printSpending(s.Spending)
	}
	if group.Trouble != "" {
		c.printTrouble(group)
	}
	if group.Note != "" {
		fmt.Fprintln(c.out, group.Note)
	}
	switch {
	case s.Cache.Off != "":
		fmt.Fprintf(c.out, "cache off: %s\n", s.Cache.Off)
	case s.Cache.Enabled:
		fmt.Fprintf(c.out, "cache %s of %s, %d hits, saved %s in all (dtpx cache stat)\n", bytes(s.Cache.Bytes), bytes(s.Cache.Size), s.Cache.Hits, bytes(s.Cache.HitBytes+s.Cache.KeptBytes+s.Cache.Borrowed))
	}
	for _, t := range s.Tunnelled {
		fmt.Fprintf(c.out, "not intercepted: %s for %s (%s)\n", t.Host, t.Client, t.Reason)
	}
	if len(s.Tunnelled) > 0 {
		fmt.Fprintln(c.out, "   for a day; dtpx ca retry once these programs trust the CA")
	}
	shown := 0
	for _, d := range ds {
		if d.State != "running" {
			if shown++; shown > shownDownloads {
				continue
			}
		}
		c.printDownload(d)
	}
	if len(ds) == 0 {
		fmt.Fprintln(c.out, "no downloads yet")
	}
}

func (c *cli) printDownload(d ranges.Info) {
	fmt.Fprintf(c.out, "\n%-9s %s\n          %s of %s, %.1f s, %s/s", d.State, d.URL, bytes(d.Sent), bytes(d.Size), d.Seconds, bytes(int64(d.Rate)))
	switch {
	case d.Cache == "hit":
		fmt.Fprint(c.out, " (from the cache)")
	case d.Cache == "partial":
		fmt.Fprint(c.out, " (in part from the cache)")
	case d.Reason != "":
		fmt.Fprintf(c.out, " (%s)", d.Reason)
	}
	for _, more := range []string{d.Note, d.Error} {
		if more != "" {
			fmt.Fprintf(c.out, "\n          %s", more)
		}
	}
	fmt.Fprintln(c.out)
	for _, src := range d.Sources {
		fmt.Fprint(c.out, "          ", sourceLine(src, d.Size))
		if src.Kind == ranges.KindPeer && src.Error != "" {
			fmt.Fprintf(c.out, " (%s)", src.Error)
		}
		fmt.Fprintln(c.out)
	}
}

// sourceLine is one source of a download on one line.
func sourceLine(s ranges.SourceInfo, size int64) string {
	name := s.Kind
	if s.Name != "" {
		name += " " + s.Name
	}
	share := ""
	if size > 0 {
		share = fmt.Sprintf("%3d%%", s.Bytes*100/size)
	}
	return fmt.Sprintf("%-24s %4s %10s %10s/s  %2d connections, %d requests", name, share, bytes(s.Bytes), bytes(int64(s.Rate)), s.Connections, s.Requests)
}

// bytes is a size for people.
func bytes(n int64) string {
	if n < 0 {
		return "?"
	}
	f, unit := float64(n), "B"
	for _, u := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if f < 1024 {
			break
		}
		f, unit = f/1024, u
	}
	if unit == "B" {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", f, unit)
}
