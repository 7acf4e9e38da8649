#!/bin/sh
# Builds src/daemon/capture/*.bpf.json from the C sources. Needs clang, bpftool and libbpf's headers; nobody else
# does.
set -eu
cd "$(dirname "$0")"
out=../../src/daemon/capture
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT

for object in capture inspect; do
	clang -O2 -g -target bpf -Wall -Werror -fdebug-compilation-dir=. "-ffile-prefix-map=$PWD=." \
		-I"/usr/include/$(uname -m)-linux-gnu" -c "$object.bpf.c" -o "$build/$object.o"
	bpftool gen skeleton -L "$build/$object.o" >"$build/$object.lskel.h"
	bpftool --json btf dump file "$build/$object.o" format raw >"$build/$object.btf.json"
	../../node_modules/.bin/node --disable-warning=ExperimentalWarning pack.ts \
		"$build/$object.lskel.h" "$build/$object.btf.json" \
		"$object.bpf.c" kernel.h layout.h pin.h >"$build/$object.bpf.json"
done
mv "$build"/*.bpf.json "$out"
