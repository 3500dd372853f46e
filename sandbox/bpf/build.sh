#!/usr/bin/env bash
# Builds the eBPF witness into the object that the repository keeps, so that nobody who builds belljar needs clang.
# CI builds it again with the pinned compiler and fails when the result differs.
#
#   build.sh [ARCH] [OUTPUT]    ARCH is x86 (the default); arm64 needs only its registers in kernel.h and witness.bpf.c
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
arch=${1:-x86}
out=${2:-$here/witness.$arch.o}
clang=${CLANG:-clang-14}
strip=${LLVM_STRIP:-llvm-strip-14}
cd "$here"
# Paths in the object would differ from machine to machine: it is built in its own folder, without them.
"$clang" -target bpf "-D__TARGET_ARCH_$arch" -mcpu=v3 -O2 -g -Wall -Wno-compare-distinct-pointer-types \
    -fdebug-compilation-dir=. -c witness.bpf.c -o "$out"
"$strip" -g "$out"
