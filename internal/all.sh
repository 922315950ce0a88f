#!/bin/sh
# Everything that has to hold, in one command: sh internal/all.sh [packages]
#
# On Debian, as root, from a fresh clone with Go installed, it first installs with
# apt-get what the tests need (listed below; nothing else on the machine is changed),
# then checks formatting, builds and vets for all systems, runs staticcheck,
# and runs all tests with the race detector. DTPX_FULL=1 makes a test that would be
# skipped for a missing program or for missing rights fail instead.
# Namespaces, devices and servers that the tests make are removed by the tests;
# traffic stays on loopback and in those namespaces.
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- ./...

# What for: gcc and libc6-dev for -race; aria2 is the rival to beat; apt-utils, gnupg
# and dpkg-dev make a signed repository to install from; iproute2 makes namespaces and
# shaped links, nftables a router that translates addresses; util-linux and hostname name
# machines in them, and avahi-daemon shares port 5353 with us; libnss3-tools tells Chromium
# whom to trust; the others are clients that must work, trusting the CA or not.
packages="openssl gcc libc6-dev aria2 apt-utils gnupg dpkg-dev iproute2 nftables ca-certificates chromium curl wget git libnss3-tools nodejs python3 avahi-daemon util-linux hostname"

say() { printf '\n== %s\n' "$*"; }
die() { printf 'all.sh: %s\n' "$*" >&2; exit 1; }

command -v go >/dev/null || die "Go is not installed: https://go.dev/dl/ (go.mod names the version)"
[ "$(uname -s)" != Linux ] || [ "$(id -u)" = 0 ] ||
	die "the full tests make network namespaces: run as root, or run go test ./... without them"

if command -v apt-get >/dev/null; then
	missing=""
	for p in $packages; do
		dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q ' installed$' || missing="$missing $p"
	done
	if [ -n "$missing" ]; then
		say "apt-get install$missing"
		apt-get update -q
		DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing
	fi
else
	say "no apt-get here; the tests need: $packages"
fi

say "gofmt"
unformatted=$(gofmt -l .)
[ -z "$unformatted" ] || die "gofmt -w these: $unformatted"

# Each system and each processor once: no file here is for a pair of them alone, and each
# target costs a new machine 40 s.
for target in linux/amd64 linux/arm64 darwin/arm64 windows/amd64; do
	say "build and vet for $target"
	GOOS=${target%/*} GOARCH=${target#*/} CGO_ENABLED=0 go build -o /dev/null "$@"
	GOOS=${target%/*} GOARCH=${target#*/} CGO_ENABLED=0 go vet "$@"
done

say "staticcheck"
go run honnef.co/go/tools/cmd/staticcheck@v0.8.2 "$@"

# Houses of machines with shaped links have this one to themselves: where others' tests take
# its processors, lenders stand still, and what is measured is that.
houses=dtpx/internal/e2e/cluster
all=$(go list "$@")
others=$(printf '%s\n' "$all" | grep -vx "$houses" || true)
export DTPX_FULL=1 CGO_ENABLED=1

say "tests with the race detector, none skipped"
[ -z "$others" ] || go test -race -timeout 12m $others
if printf '%s\n' "$all" | grep -qx "$houses"; then
	say "tests of whole houses"
	go test -race -timeout 12m "$houses"
fi
say "all good"
