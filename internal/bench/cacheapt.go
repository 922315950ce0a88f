package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"dtpx/internal/testbed"
)

// repository is 100 packages of mixed size and what apt has to know of them. There is
// nothing in them that could be installed.
type repository struct {
	urls  []string
	sizes []int64
	names []string
	total int64
}

func newRepository(o *origin, dir string) (*repository, error) {
	r := &repository{}
	var index strings.Builder
	for i := range 100 { // 8 KiB to 16 MiB, as many between each power of two
		n := int64(8192 * math.Exp2(11*float64(i*37%100)/99))
		name := fmt.Sprintf("pkg%d", i)
		path := cacheable(fmt.Sprint(n), name)
		r.total += n
		r.sizes, r.urls, r.names = append(r.sizes, n), append(r.urls, o.http+path), append(r.names, name)
		fmt.Fprintf(&index, "Package: %s\nVersion: 1.0\nArchitecture: amd64\nMaintainer: bench\nDescription: bytes\nFilename: %s\nSize: %d\nSHA256: %s\n\n",
			name, strings.TrimPrefix(path, "/"), n, new(testbed.Origin).Content(o.http+path).SHA256())
	}
	return r, os.WriteFile(filepath.Join(dir, "Packages"), []byte(index.String()), 0o644)
}

// cacheApt: the packages from a cache that holds them all, by one client over four
// connections that asks for one after the other, and by apt itself, which sends
// requests ahead and computes digests.
func (b *bench) cacheApt() ([]row, error) {
	dir := b.fresh("repository")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	o, err := b.lowOrigin("-dir", dir)
	if err != nil {
		return nil, err
	}
	defer o.stop()
	const name = "cache apt, 100 packages"
	ours, err := b.dtpxSide("dtpx", trusting(o))
	if err != nil {
		return nil, err
	}
	defer ours.stop()
	acng, err := b.acng()
	if absent(name, err) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	defer acng.stop()
	repo, err := newRepository(o, dir)
	if err != nil {
		return nil, err
	}
	sides := []*side{ours, acng}
	for _, s := range sides {
		if err := s.warm(o, repo.urls...); err != nil {
			return nil, err
		}
	}
	for range b.rounds {
		for _, s := range sides {
			if err := s.packages(5, repo); err != nil {
				return nil, err
			}
		}
	}
	if err := o.quiet(); err != nil {
		return nil, err
	}
	a, r := median(ours.rates), median(acng.rates)
	rows := []row{{name + ", 4 connections", "time / apt-cacher-ng", a / r, 1, true, fmt.Sprintf("%.0f ms, apt-cacher-ng %.0f ms, %d MiB; %.2f and %.2f CPU s/GiB; plain GETs",
		a*1e3, r*1e3, repo.total>>20, median(ours.cpu), median(acng.cpu))}}
	if _, err := exec.LookPath("apt-get"); err != nil {
		absent(name, fmt.Errorf("%w apt", errAbsent))
		return rows, nil
	}
	return b.realApt(name, rows, o, repo, sides)
}

// realApt adds what apt-get --download-only takes.
func (b *bench) realApt(name string, rows []row, o *origin, repo *repository, sides []*side) ([]row, error) {
	var apts []*apt
	for _, s := range sides {
		a, err := b.apt(s, o)
		if err != nil {
			return rows, err
		}
		apts = append(apts, a)
	}
	if err := o.reset(); err != nil {
		return rows, err
	}
	took := make([][]float64, len(apts))
	for range b.rounds {
		for i, a := range apts {
			t, err := a.install(repo)
			if err != nil {
				return rows, err
			}
			took[i] = append(took[i], t)
		}
	}
	if err := o.quiet(); err != nil {
		return rows, err
	}
	x, y := median(took[0]), median(took[1])
	return append(rows, row{name + ", apt-get", "time / apt-cacher-ng", x / y, 1, true, fmt.Sprintf("%.2f s, apt-cacher-ng %.2f s; install --download-only, on this machine", x, y)}), nil
}

// packages fetches all of them some times; rates gets the seconds of one time.
func (s *side) packages(times int, repo *repository) error {
	cpu, began := cpuOf(s.cmd.Process.Pid), time.Now()
	for range times {
		var wg sync.WaitGroup
		var next atomic.Int64
		errs := make([]error, 4)
		for i := range errs {
			wg.Go(func() {
				buf := make([]byte, 256<<10)
				for errs[i] == nil {
					k := int(next.Add(1)) - 1
					if k >= len(repo.urls) {
						return
					}
					_, errs[i] = s.read(repo.urls[k], repo.sizes[k], buf)
				}
			})
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			return err
		}
	}
	s.rates = append(s.rates, time.Since(began).Seconds()/float64(times))
	s.cpu = append(s.cpu, (cpuOf(s.cmd.Process.Pid)-cpu).Seconds()/(float64(times)*float64(repo.total)/(1<<30)))
	return nil
}

// apt is an apt with a state of its own behind a proxy. It sees nothing of this
// machine's packages and sources.
type apt struct{ dir string }

const aptConf = `Dir::State "DIR/state";
Dir::State::status "DIR/status";
Dir::Cache "DIR/cache";
Dir::Etc::sourcelist "DIR/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::Log "DIR/log";
APT::Architecture "amd64";
APT::Architectures { "amd64"; };
APT::Sandbox::User "root";
APT::Get::AllowUnauthenticated "true";
Acquire::AllowInsecureRepositories "true";
Acquire::Languages "none";
Acquire::http::Proxy "http://PROXY";
`

func (b *bench) apt(s *side, o *origin) (*apt, error) {
	dir, err := b.confDir("apt", "apt.conf", strings.ReplaceAll(aptConf, "PROXY", s.addr))
	if err != nil {
		return nil, err
	}
	for _, sub := range []string{"state/lists/partial", "cache/archives/partial", "log"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, err
		}
	}
	for file, text := range map[string]string{"status": "", "sources.list": "deb [trusted=yes] " + o.http + "/ ./\n"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	a := &apt{dir}
	return a, a.get("update")
}

func (a *apt) get(args ...string) error {
	cmd := local(ctx, "apt-get", append([]string{"-qq"}, args...)...)
	cmd.Env = append(os.Environ(), "APT_CONFIG="+filepath.Join(a.dir, "apt.conf"))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("apt-get %s: %w: %s", args[0], err, out)
	}
	return nil
}

// install downloads everything and throws it away.
func (a *apt) install(repo *repository) (float64, error) {
	began := time.Now()
	err := a.get(append([]string{"install", "-y", "--download-only"}, repo.names...)...)
	took := time.Since(began).Seconds()
	if err != nil {
		return 0, err
	}
	debs, err := filepath.Glob(filepath.Join(a.dir, "cache/archives/*.deb"))
	if err == nil && len(debs) != len(repo.names) {
		err = fmt.Errorf("apt-get brought %d packages", len(debs))
	}
	for _, d := range debs {
		err = errors.Join(err, os.Remove(d))
	}
	return took, err
}
