package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"dtpx/cache"
	"dtpx/cmd/dtpx/internal/config"
)

// cache looks into the cache and takes things out: in the running node, or on disk
// where none runs.
func (c *cli) cache(args []string) error {
	if len(args) == 0 || !slices.Contains([]string{"ls", "stat", "rm", "purge", "verify"}, args[0]) {
		return c.noVerb("cache", "ls, stat, rm URL, purge or verify", args)
	}
	what, rest := args[0], args[1:]
	var f serveFlags
	fl := c.flags("cache "+what, map[string]string{"rm": "URL "}[what]+"[-json] [-state DIR] [-config F]")
	asJSON := fl.Bool("json", false, "print JSON")
	fl.StringVar(&f.file, "config", "", "config `FILE`")
	fl.StringVar(&f.state, "state", "", "state `DIR`")
	rawURL := ""
	if what == "rm" && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
		rawURL, rest = rest[0], rest[1:]
	}
	if err := parse(fl, rest); err != nil {
		return err
	}
	if what == "rm" && rawURL == "" && fl.NArg() == 1 {
		rawURL = fl.Arg(0)
	} else if err := none(fl); err != nil {
		return err
	}
	if what == "rm" && rawURL == "" {
		return usage("cache rm: which URL? dtpx cache ls lists them")
	}
	cfg, err := f.load()
	if err != nil {
		return err
	}
	raw, err := c.askCache(cfg, what, rawURL)
	if err != nil {
		return err
	}
	if *asJSON {
		fmt.Fprintln(c.out, strings.TrimSpace(string(raw)))
		return nil
	}
	return printCache(c.out, what, rawURL, raw)
}

// askCache asks the node that runs, or opens the directory itself.
func (c *cli) askCache(cfg config.Config, what, rawURL string) ([]byte, error) {
	if r, err := findNode(cfg.State); err == nil {
		return r.do("cache-"+what, url.Values{"url": {rawURL}})
	}
	dir, err := stateDir(cfg.State)
	if err != nil {
		return nil, err
	}
	store, err := openStore(cfg, dir, nil)
	if err != nil {
		return nil, err
	}
	result, err := doCache(context.Background(), store, what, rawURL)
	if err = errors.Join(err, store.Close()); err != nil {
		return nil, err
	}
	return json.Marshal(result)
}

// do tells the node to do something.
func (r *running) do(name string, args url.Values) ([]byte, error) {
	req, err := http.NewRequest(http.MethodPost, "http://"+r.addr+"/api/v1/do/"+name+"?"+args.Encode(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+r.token)
	patient := *r.client
	patient.Timeout = 0 // verify reads all there is
	resp, err := patient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 256<<20))
	if err != nil || resp.StatusCode == http.StatusOK {
		return b, err
	}
	var said struct{ Error string }
	if json.Unmarshal(b, &said) == nil && said.Error != "" {
		return nil, errors.New(said.Error)
	}
	return nil, fmt.Errorf("the node answers %s", resp.Status)
}

func printCache(w io.Writer, what, rawURL string, raw []byte) error {
	switch what {
	case "ls":
		var all []cache.Item
		if err := json.Unmarshal(raw, &all); err != nil {
			return err
		}
		for _, i := range all {
			fmt.Fprintf(w, "%10s %4.0f%%  %-9s %s  %s\n", bytes(i.Size), 100*i.Part(), i.State, i.Used.Local().Format(time.DateTime), i.URL)
		}
		if len(all) == 0 {
			fmt.Fprintln(w, "the cache is empty")
		}
	case "stat":
		var s cacheDoc
		if err := json.Unmarshal(raw, &s); err != nil {
			return err
		}
		printCacheStat(w, s)
	case "verify":
		var v cache.Verified
		if err := json.Unmarshal(raw, &v); err != nil {
			return err
		}
		fmt.Fprintf(w, "%d responses read, %d damaged blocks dropped\n", v.Entries, v.Damaged)
	default:
		var n removed
		if err := json.Unmarshal(raw, &n); err != nil {
			return err
		}
		if what == "rm" && n.Removed == 0 {
			return fmt.Errorf("nothing is cached of that URL; dtpx cache ls lists what is")
		}
		fmt.Fprintf(w, "removed %d\n", n.Removed)
	}
	return nil
}

func printCacheStat(w io.Writer, s cacheDoc) {
	if !s.Enabled {
		fmt.Fprintln(w, "the cache is turned off (cache.enabled)")
		return
	}
	fmt.Fprintf(w, "directory  %s\n", s.Dir)
	fmt.Fprintf(w, "on disk    %s of %s in %d responses\n", bytes(s.Bytes), bytes(s.Size), s.Entries)
	fmt.Fprintf(w, "in memory  %s of small ones\n", bytes(s.Memory))
	fmt.Fprintf(w, "hits       %d, %s that the internet did not have to bring\n", s.Hits, bytes(s.HitBytes))
	if s.Borrowed > 0 || s.Given > 0 {
		fmt.Fprintf(w, "neighbours %s from them, %s to them\n", bytes(s.Borrowed), bytes(s.Given))
	}
	if s.Wrong > 0 {
		fmt.Fprintf(w, "WRONG      %d bodies of neighbours were not what the origin's digest says; not asked any more: %s\n", s.Wrong, strings.Join(s.Barred, ", "))
	}
	fmt.Fprintf(w, "confirmed  %d by the server, completed %d, of which %s were here; missed %d\n", s.Validated, s.Completed, bytes(s.KeptBytes), s.Misses)
	if s.Off != "" {
		fmt.Fprintf(w, "OFF        nothing is kept on disk: %s\n", s.Off)
	}
}
