#!/bin/sh
# Print the path of a Python that the package works with, or nothing where there is none.
# Usage: find_python.sh [VERSION], such as 3.12; without it, any of 3.12 to 3.14.
# The one that .venv was made from goes first, so that a second call finds what the first found.
wanted=${1:-3.12 3.13 3.14}

report='
import os, sys
version = "%d.%d" % sys.version_info[:2]
if version not in sys.argv[1].split():
    sys.exit(1)
print(os.path.realpath(getattr(sys, "_base_executable", sys.executable)))
'

for candidate in .venv/bin/python python3.13 python3.14 python3.12 python3 python \
  "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[234]*/bin/python3; do
  path=$(command -v "$candidate" 2>/dev/null) || continue
  found=$("$path" -c "$report" "$wanted" 2>/dev/null) || continue
  echo "$found"
  exit 0
done
