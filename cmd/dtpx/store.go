package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"path/filepath"
	"strings"

	"dtpx/cache"
	"dtpx/cmd/dtpx/internal/config"
)

// openCache opens the disk cache, unless it is turned off.
func (n *node) openCache() (err error) {
	if !n.cfg.Cache.Enabled {
		return nil
	}
	n.cache, err = openStore(n.cfg, n.dir, n.log)
	return err
}

func openStore(cfg config.Config, state string, log *slog.Logger) (*cache.Cache, error) {
	o := cacheOptions(cfg, state)
	o.Log = log
	c, err := cache.Open(o)
	if errors.Is(err, cache.ErrInUse) {
		return nil, fmt.Errorf("the cache directory %s is in use by another process, which may be a dtpx with another state: choose another with cache.dir", o.Dir)
	}
	return c, err
}

func cacheOptions(cfg config.Config, state string) cache.Options {
	o := cache.Options{Dir: cfg.Cache.Dir, Size: int64(cfg.Cache.Size)}
	if o.Dir == "" {
		o.Dir = filepath.Join(state, "cache")
	}
	for _, k := range cfg.Cache.Keys {
		words := strings.Fields(k)
		o.Keys = append(o.Keys, cache.KeyRule{Host: words[0], Drop: words[1:]})
	}
	return o
}

func (n *node) closeCache() {
	if n.cache == nil {
		return
	}
	if err := n.cache.Close(); err != nil {
		n.log.Warn("cannot close the cache", "err", err)
	}
}

// cacheDoc is /api/v1/cache and what dtpx cache stat -json prints.
type cacheDoc struct {
	Enabled bool `json:"enabled"`
	cache.Stats
}

// Cache implements proxy.Node.
func (n *node) Cache() any { return n.cacheDoc() }

func (n *node) cacheDoc() cacheDoc {
	if n.cache == nil {
		return cacheDoc{}
	}
	return cacheDoc{true, n.cache.Stats()}
}

// Do implements proxy.Doer.
func (n *node) Do(ctx context.Context, name string, args url.Values) (any, error) {
	if name == "ca-retry" {
		return forgotten{n.server.Forget(args.Get("host"))}, nil
	}
	what, ok := strings.CutPrefix(name, "cache-")
	if !ok {
		return nil, fmt.Errorf("there is nothing called %q to do", name)
	}
	if n.cache == nil {
		return nil, errors.New("the cache is turned off: cache.enabled in the config file")
	}
	return doCache(ctx, n.cache, what, args.Get("url"))
}

// doCache is what dtpx cache does, in the running node or without one. Of a disk
// that is off there is nothing to tell or to take out.
func doCache(ctx context.Context, c *cache.Cache, what, rawURL string) (any, error) {
	result, err := doOnDisk(ctx, c, what, rawURL)
	if off := c.Stats().Off; off != "" && what != "stat" {
		return nil, fmt.Errorf("the cache is off: %s", off)
	}
	return result, err
}

func doOnDisk(ctx context.Context, c *cache.Cache, what, rawURL string) (any, error) {
	switch what {
	case "ls":
		return c.List(), nil
	case "stat":
		return cacheDoc{true, c.Stats()}, nil
	case "rm":
		n, err := c.Remove(rawURL)
		return removed{n}, err
	case "purge":
		return removed{c.Purge()}, nil
	case "verify":
		return c.Verify(ctx)
	}
	return nil, usage("cache %s: want ls, stat, rm URL, purge or verify", what)
}

type removed struct {
	Removed int `json:"removed"`
}

// writeCacheMetrics is part of WriteMetrics.
func (n *node) writeCacheMetrics(w io.Writer) {
	if n.cache == nil {
		return
	}
	s := n.cache.Stats()
	for _, m := range []struct {
		name, kind, help string
		value            int64
	}{
		{"dtpx_cache_bytes", "gauge", "Bytes that the cache takes on disk.", s.Bytes},
		{"dtpx_cache_entries", "gauge", "Responses in the cache.", int64(s.Entries)},
		{"dtpx_cache_memory_bytes", "gauge", "Bytes of small responses in memory.", s.Memory},
		{"dtpx_cache_hits_total", "counter", "Answers for which the origin was not asked.", s.Hits},
		{"dtpx_cache_hit_bytes_total", "counter", "Bytes of their bodies.", s.HitBytes},
		{"dtpx_cache_validated_total", "counter", "Answers that the origin only had to confirm.", s.Validated},
		{"dtpx_cache_kept_bytes_total", "counter", "Bytes of answers that the origin only confirmed or completed, which were in the cache.", s.KeptBytes},
		{"dtpx_cache_completed_total", "counter", "Missing parts of responses that were fetched.", s.Completed},
		{"dtpx_cache_borrowed_bytes_total", "counter", "Bytes asked of neighbours' caches.", s.Borrowed},
		{"dtpx_cache_given_bytes_total", "counter", "Bytes given to neighbours from the cache.", s.Given},
		{"dtpx_cache_wrong_total", "counter", "Bodies of neighbours that were not what the origin's digest says.", s.Wrong},
		{"dtpx_cache_misses_total", "counter", "Answers that came from the origin.", s.Misses},
		{"dtpx_cache_bypassed_total", "counter", "Requests that the cache took no part in.", s.Bypassed},
		{"dtpx_cache_evicted_total", "counter", "Responses that had to make room.", s.Evicted},
		{"dtpx_cache_dropped_blocks_total", "counter", "Blocks not kept because the disk was slow or full.", s.Dropped},
		{"dtpx_cache_damaged_blocks_total", "counter", "Blocks that were not what had been written.", s.Damaged},
	} {
		fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n%s %d\n", m.name, m.help, m.name, m.kind, m.name, m.value)
	}
}
