#!/bin/sh
# Run the native library's tests on a copy of the package whose library looks after its own memory
# and arithmetic (address and undefined-behaviour sanitizers; GCC or Clang).
set -eu
cd "$(dirname "$0")/.."
compiler=${CXX:-g++}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp -R bayes_crlm native "$folder"
CXX=$compiler .venv/bin/python build_backend/compilers.py --sanitized \
  "$folder/bayes_crlm/inference/native/_library.so"
# Python itself is not sanitized, so that the sanitizer comes first, with the library whose exceptions
# it looks at (matplotlib throws some); what is never freed is Python's
first="$($compiler -print-file-name=libasan.so) $($compiler -print-file-name=libstdc++.so.6)"
LD_PRELOAD="$first" ASAN_OPTIONS=detect_leaks=0 PYTHONPATH="$folder" \
  .venv/bin/python -P -m pytest -q -p no:cacheprovider tests/density tests/inference/test_native_density.py \
  tests/inference/test_coordinates.py tests/inference/test_draw_summaries.py \
  tests/inference/test_effect_points.py tests/inference/test_psis.py tests/inference/test_left_out.py \
  tests/inference/test_group_effects.py "$@"
