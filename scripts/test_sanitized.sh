#!/bin/sh
# Build the native library with address and undefined-behaviour sanitizers, and run its tests on it.
set -eu
cd "$(dirname "$0")/.."
folder=bayes_crlm/inference/native
kept=$(mktemp -d)
cp $folder/_library.so "$kept"
trap 'cp "$kept/_library.so" $folder/_library.so' EXIT
CXX="${CXX:-g++}" .venv/bin/python build_backend/compilers.py --sanitized $folder/_library.so
# Python itself is not sanitized, so that the sanitizer must come first; what it never frees is its own
LD_PRELOAD="$(${CXX:-g++} -print-file-name=libasan.so)" ASAN_OPTIONS=detect_leaks=0 \
  .venv/bin/python -m pytest -q -p no:cacheprovider tests/density tests/inference/test_native_density.py \
  tests/inference/test_coordinates.py "$@"
