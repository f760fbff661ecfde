#!/bin/sh
# Run the densities of Windows' native library under Wine, and hold them against this system's.
# Needs wine (Debian: apt-get install wine64 wine) and uv; PyPI's ziglang compiles.
set -eu
cd "$(dirname "$0")/.."
command -v wine >/dev/null || { echo "wine is missing (Debian: apt-get install wine64 wine)" >&2; exit 2; }
uv=${UV:-uv} folder=build/windows
mkdir -p "$folder"
PYTHONPATH=tests/density "$uv" run --no-sync python -P scripts/windows/densities.py "$folder/densities.bin"
zig() { "$uv" run --quiet --no-project --with "ziglang>=0.15,<0.18" python "$@"; }
zig build_backend/compilers.py --platform win-amd64 "$folder/_library.dll"
zig -m ziglang c++ -target x86_64-windows-gnu -O1 scripts/windows/densities.cpp -o "$folder/densities.exe"
cd "$folder"
WINEPREFIX=$PWD/wine WINEDEBUG=-all wine densities.exe _library.dll densities.bin
