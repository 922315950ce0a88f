package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"dtpx/internal/testbed"
)

// memory: 8 GiB from a server that throttles each connection enough to be
// worth splitting, and not enough to take an hour.
func (b *bench) memory() ([]row, error) {
	return b.resident("memory, 8 GiB download", []string{"-per-conn", "40MiB/s"}, 8192, nil)
}

// slowClient: a client that takes 1 MB/s for a minute.
func (b *bench) slowClient() ([]row, error) {
	return b.resident("memory, client of 1 MB/s", []string{"-per-conn", "8MiB/s"}, 8192, []string{"--limit-rate", "1M", "-m", "60"})
}

// resident reports the peak of dtpx's memory over its window.
func (b *bench) resident(name string, limits []string, size int64, curl []string) ([]row, error) {
	o, err := b.origin(limits...)
	if err != nil {
		return nil, err
	}
	defer o.stop()
	n, err := b.dtpx(local, "127.0.0.1:"+freePort(), trusting(o))
	if err != nil {
		return nil, err
	}
	defer n.stop()
	url := fmt.Sprintf("%s/%dMiB/big.bin", o.https, size)
	began := time.Now()
	if curl != nil {
		local(ctx, "curl", append(append([]string{"-s", "-o", "/dev/null", url}, curl...), through(n)...)...).Run() // ends by its limit
	} else if _, err := b.curl(local, size*mib, url, through(n)...); err != nil {
		return nil, err
	}
	took := time.Since(began).Seconds()
	peak, err := peakRSS(n.cmd.Process.Pid)
	if err != nil {
		return nil, err
	}
	return []row{{name, "peak MiB over the window of 64", peak - 64, 64, true, fmt.Sprintf("peak %.0f MiB, %.0f s", peak, took)}}, nil
}

// peakRSS is VmHWM in MiB.
func peakRSS(pid int) (float64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.Atoi(strings.Fields(rest)[0])
			return float64(kb) / 1024, err
		}
	}
	return 0, fmt.Errorf("no VmHWM")
}

// stallFaults are those after which another connection can go on.
var stallFaults = []string{
	"stall", "stall,after=0", "trickle,rate=1KiB", "truncate", "reset", "pause,for=2s", "hang", "drop", "503", "429,retry=2s",
	"403", "500", "ignore-range", "wrong-range", "new-etag", "slow-headers,for=2s", "short-206",
}

// faults: one fault of the testbed at the first, a middle and the last slice;
// the client's longest wait in mid-body.
func (b *bench) faults() ([]row, error) {
	o, err := b.origin("-per-conn", "4MiB/s")
	if err != nil {
		return nil, err
	}
	defer o.stop()
	worst, where := 0.0, ""
	for _, f := range stallFaults {
		for _, at := range []string{"first,after=300KiB", "middle", "last"} {
			if strings.HasPrefix(at, "first") && !strings.HasPrefix(f, "stall") && !strings.HasPrefix(f, "tr") && f != "reset" && !strings.HasPrefix(f, "pause") {
				continue // without slice 0 there is no download
			}
			if strings.HasPrefix(at, "first") && strings.Contains(f, "after") {
				continue
			}
			if at == "last" && strings.HasPrefix(f, "429") {
				continue // nobody else is alive then: the one host asks for patience and gets it
			}
			n, err := b.dtpx(local, "127.0.0.1:"+freePort(), trusting(o))
			if err != nil {
				return nil, err
			}
			url := testbed.URL(o.https, "24MiB/f.bin", "fault="+f+",times=1,at="+at, fmt.Sprintf("x-n=%d", b.n))
			_, err = b.curl(local, 24*mib, url, through(n)...)
			if err != nil {
				n.stop()
				return nil, fmt.Errorf("%s at %s: %w", f, at, err)
			}
			stall, err := n.stall()
			n.stop()
			if err != nil {
				return nil, err
			}
			if stall > worst {
				worst, where = stall, f+" at "+at
			}
		}
	}
	return []row{{"any one fault, 24 MiB", "longest stall, s", worst, 1, true, where}}, nil
}

// stall is the longest wait of the newest download, in seconds.
func (n *node) stall() (float64, error) {
	data, err := fetch("http://" + n.addr + "/api/v1/downloads")
	if err != nil {
		return 0, err
	}
	var ds []struct {
		Stall float64 `json:"stall_ms"`
	}
	if err := json.Unmarshal(data, &ds); err != nil || len(ds) == 0 {
		return 0, fmt.Errorf("no download listed: %w", err)
	}
	return ds[0].Stall / 1000, nil
}
