#!/bin/sh
# Compile the native library for all platforms that wheels are configured for, by PyPI's ziglang:
# cross_compile.sh [FOLDER]. Whether they run, this does not say.
set -eu
cd "$(dirname "$0")/.."
folder=${1:-build/platforms}
for name in linux-x86_64 linux-aarch64 macosx-10.13-x86_64 macosx-11.0-arm64 win-amd64 win-arm64; do
  case $name in macosx-*) suffix=dylib ;; win-*) suffix=dll ;; *) suffix=so ;; esac
  python build_backend/compilers.py --platform "$name" "$folder/$name/_library.$suffix"
done
