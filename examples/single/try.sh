#!/bin/sh
# Shows the gain on this machine: a server that gives each connection 2 MiB/s,
# curl directly, curl through dtpx. Loopback only; removes what it made.
set -eu
cd "$(dirname "$0")/../.."
dir=$(mktemp -d)
trap 'kill $origin $dtpx 2>/dev/null || true; rm -rf "$dir"' EXIT
origin= dtpx=
go build -o "$dir/dtpx" ./cmd/dtpx
go build -o "$dir/origin" ./internal/testbed/cmd/origin

"$dir/origin" -listen 127.0.0.1:18080 -tls-listen 127.0.0.1:18443 -ca "$dir/origin-ca.pem" -per-conn 2MiB/s -max-conns 16 >"$dir/log" &
origin=$!
printf 'upstream_ca: %s\n' "$dir/origin-ca.pem" >"$dir/dtpx.yaml"
"$dir/dtpx" serve -config "$dir/dtpx.yaml" -listen 127.0.0.1:13128 -state "$dir/state" >"$dir/out" 2>&1 &
dtpx=$!
for _ in $(seq 50); do
	curl -sf --noproxy '*' -o /dev/null http://127.0.0.1:13128/healthz && [ -s "$dir/origin-ca.pem" ] && break
	sleep 0.1
done

url=https://127.0.0.1:18443/32MiB/file.bin
echo "directly:"
curl -s --noproxy '*' --cacert "$dir/origin-ca.pem" -o "$dir/a" -w '  %{time_total} s\n' "$url"
echo "through dtpx:"
curl -s -x http://127.0.0.1:13128 --cacert "$dir/state/ca.pem" -o "$dir/b" -w '  %{time_total} s\n' "$url"
cmp "$dir/a" "$dir/b" && echo "the same bytes"
"$dir/dtpx" status -state "$dir/state"
