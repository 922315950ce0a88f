package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"dtpx/internal/testbed"
)

// player: a film at 70 % of the summed rate with a seek every 10 s.
func (b *bench) player() ([]row, error) {
	ideal, err := sumOf(4, 4, 4, 4)
	if err != nil {
		return nil, err
	}
	h, err := b.house(testbed.Config{NoH2: true}, unlimited, 4, 4, 4, 4)
	if err != nil {
		return nil, err
	}
	defer h.close()
	tr, err := h.Rooms[0].Through()
	if err != nil {
		return nil, err
	}
	defer tr.CloseIdleConnections()
	const size = 1024
	url := h.URL("https", fmt.Sprintf("/%dMiB/film.mp4", size))
	bitrate := 0.7 * ideal
	var stalls, seeks []float64
	pos := int64(0)
	for range 5 {
		first, stalled, err := play(tr, url, pos, bitrate, 10*time.Second)
		if err != nil {
			return nil, err
		}
		if pos > 0 {
			seeks = append(seeks, first.Seconds())
		}
		stalls = append(stalls, stalled.Seconds())
		pos = rand.Int64N(size*mib - int64(bitrate*12))
	}
	return []row{
		{"player, 70 % of the sum, seeks", "rebuffering, s", slices.Max(stalls), 0, true, "after the first second; the worst of 5 stretches of 10 s"},
		{"player, 70 % of the sum, seeks", "seek to first byte, s", slices.Max(seeks), 0.5, true, fmt.Sprintf("median %.3f s", median(seeks))},
	}, nil
}

// play reads as a player does: it begins a second after the first byte, then
// takes bitrate bytes per second; stalled is how long it had nothing to show.
func play(tr http.RoundTripper, url string, from int64, bitrate float64, length time.Duration) (first, stalled time.Duration, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, 0, err
	}
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
	began := time.Now()
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close()
	buf := make([]byte, 64<<10)
	if resp.StatusCode != http.StatusPartialContent {
		return 0, 0, errors.New(resp.Status)
	}
	if _, err := io.ReadFull(resp.Body, buf[:1]); err != nil {
		return 0, 0, err
	}
	first = time.Since(began)
	const buffer = 16 * mib // what a player holds in advance
	start, got := time.Now().Add(time.Second), 1.0
	for time.Since(start) < length {
		need := time.Since(start).Seconds() * bitrate // shown by now
		if got-math.Max(0, need) > buffer {
			time.Sleep(5 * time.Millisecond)
			continue
		}
		n, err := resp.Body.Read(buf)
		got += float64(n)
		if err != nil {
			return first, stalled, err
		}
		if late := time.Since(start).Seconds()*bitrate - got; late > 0 {
			d := time.Duration(late / bitrate * 1e9)
			stalled += d
			start = start.Add(d)
		}
	}
	return first, stalled, nil
}
