#!/bin/sh
# Run the native library's tests and two fits as a 64-bit ARM machine would, on one that emulates it:
# Debian's Python for ARM, PyPI's wheels for it, and the library that PyPI's ziglang compiles for it.
# Needs Debian's apt and dpkg, qemu-user, and uv; fetches some 200 MB into build/aarch64, once.
set -eu
cd "$(dirname "$0")/.."
command -v qemu-aarch64 >/dev/null || { echo "qemu-aarch64 is missing (Debian: apt-get install qemu-user)" >&2; exit 2; }
uv=${UV:-uv}
folder=$PWD/build/aarch64
system=$folder/system packages=$folder/packages code=$folder/code
python=$system/usr/bin/python3.13

if [ ! -e "$python" ]; then
  mkdir -p "$folder/apt/lists/partial" "$folder/apt/cache/archives/partial" "$system/usr/bin" "$system/usr/lib"
  : > "$folder/apt/status"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian trixie main" \
    > "$folder/apt/sources.list"
  # a package manager's folder of its own: nothing of the machine's is changed
  cat > "$folder/apt/apt.conf" <<SETTINGS
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
APT::Install-Recommends "false";
Dir::State "$folder/apt";
Dir::State::status "$folder/apt/status";
Dir::Cache "$folder/apt/cache";
Dir::Etc::sourcelist "$folder/apt/sources.list";
Dir::Etc::sourceparts "-";
SETTINGS
  APT_CONFIG=$folder/apt/apt.conf apt-get -q update
  APT_CONFIG=$folder/apt/apt.conf apt-get -q install -y --download-only python3.13 libstdc++6 libgomp1
  ln -sfn usr/lib "$system/lib"
  ln -sfn usr/bin "$system/bin"
  for package in "$folder"/apt/cache/archives/*.deb; do dpkg-deb -x "$package" "$system"; done
fi

"$uv" export --locked --quiet --no-hashes --no-emit-project --no-annotate > "$folder/requirements.txt"
"$uv" pip install --quiet --no-deps --target "$packages" --python-version 3.13 \
  --python-platform aarch64-manylinux_2_34 --only-binary :all: -r "$folder/requirements.txt"
rm -rf "$code"
mkdir -p "$code"
cp -R bayes_crlm native models tests pyproject.toml "$code"
rm -f "$code"/bayes_crlm/inference/native/_library.*
"$uv" run --quiet --no-project --with "ziglang>=0.15,<0.18" python build_backend/compilers.py \
  --platform linux-aarch64 "$code/bayes_crlm/inference/native/_library.so"
# here, where it is quick: the emulated Python reads the same bytecode
"$uv" run --quiet --no-project --python 3.13 python -m compileall -q "$packages" "$code" || true

# a processor without scalable vectors, which QEMU 7.2 gets wrong in OpenBLAS's products of matrices
emulated() { PYTHONPATH=$code:$packages:$code/tests:$code/tests/density qemu-aarch64 -cpu cortex-a72 -L "$system" "$python" -P "$@"; }
emulated -c "from bayes_crlm.inference.native.library import kernels; print('kernels:', kernels().name)"
PYTHONPATH=tests/density "$uv" run --no-sync python -P -W ignore scripts/processor_numbers.py "$folder/here.json"
cd "$code/tests/density"
emulated -W ignore "$OLDPWD/scripts/processor_numbers.py" "$folder/there.json" --against "$folder/here.json"
# the tests that need neither PyMC nor what compiles
cd "$code/tests"
PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 emulated -W ignore -m pytest -q --noconftest -p no:cacheprovider \
  density/test_native.py density/test_hazard_table.py "$@"
