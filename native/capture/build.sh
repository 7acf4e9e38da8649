#!/bin/sh
# Builds src/daemon/capture/capture.bpf.json from the C sources. Needs clang, bpftool and libbpf's headers; nobody else does.
set -eu
cd "$(dirname "$0")"
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT

clang -O2 -g -fdebug-compilation-dir=. "-ffile-prefix-map=$PWD=." -target bpf -Wall -Werror -I"/usr/include/$(uname -m)-linux-gnu" -c capture.bpf.c -o "$build/capture.o"
bpftool gen skeleton -L "$build/capture.o" >"$build/capture.lskel.h"
bpftool --json btf dump file "$build/capture.o" format raw >"$build/capture.btf.json"
../../node_modules/.bin/node --disable-warning=ExperimentalWarning pack.ts \
	"$build/capture.lskel.h" "$build/capture.btf.json" \
	capture.bpf.c kernel.h layout.h >"$build/capture.bpf.json"
mv "$build/capture.bpf.json" ../../src/daemon/capture/capture.bpf.json
