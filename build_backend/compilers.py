"""Which C++ compiler makes the native library, and how it is called.

The kernels are compiled for several instruction sets, of which the library chooses one at run time.
A compiler must know GCC's vector extensions: GCC from 12 on, Clang, or Zig's Clang, which PyPI has
as ``ziglang`` and which serves wherever no compiler works.
"""

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[1] / "native"
CODE = (".cpp", ".h", ".inc")
SUFFIX = {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")
COMMON = [
    "-std=c++17", "-DNDEBUG", "-fPIC", "-fvisibility=hidden", "-fno-exceptions", "-fno-rtti",
    "-fno-threadsafe-statics", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast",
    "-Wno-psabi",
]  # fmt: skip
OPTIMISED = ["-O3"]
SANITIZED = [
    "-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined",
    "-fno-sanitize-recover=undefined",
]  # fmt: skip
AVX2 = ["-mavx2", "-mfma", "-mbmi2"]
AVX512 = [
    *AVX2, "-mavx512f", "-mavx512dq", "-mavx512vl", "-mavx512bw", "-mavx512cd",
    "-mprefer-vector-width=512",
]  # fmt: skip
TRIAL = """
#include <stdlib.h>
typedef double v __attribute__((vector_size(16)));
extern "C" double f(v a) { v b = a < a ? a : a + a; return __builtin_shufflevector(b, b, 1, 0)[0]; }
"""


def machine() -> str:
    """Processor of this machine, by one name on all systems."""
    found = platform.machine().lower()
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(found, found)


def works(command: list[str]) -> bool:
    """Whether a compiler makes a shared library of what we need: some machines have half of one."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "trial.cpp")
        source.write_text(TRIAL)
        flags = [*COMMON, *OPTIMISED, *(AVX512 if machine() == "x86_64" else [])]
        call = [*command, *flags, "-shared", str(source), "-o", str(Path(folder, "trial" + SUFFIX))]
        try:
            return subprocess.run(call, capture_output=True, check=False).returncode == 0
        except OSError:
            return False


def system_compiler() -> list[str] | None:
    """CXX where it is set, else the first of the usual names that works; None where none does."""
    given = os.environ.get("CXX")
    for name in [given] if given else ["c++", "g++", "clang++"]:
        command = shlex.split(name)
        if shutil.which(command[0]) and works(command):
            return command
    return None


def zig_compiler() -> list[str]:
    """Zig's Clang, for every processor of this kind and for old C libraries."""
    target = {
        "darwin": f"{machine()}-macos",
        "win32": f"{machine()}-windows-gnu",
    }.get(sys.platform, f"{machine()}-linux-gnu.2.17")
    return [sys.executable, "-m", "ziglang", "c++", "-target", target, "-mcpu=baseline"]


def digest_of(sources: Path) -> str:
    """SHA-256 of all source files, by which a library is known to be made from them."""
    digest = hashlib.sha256()
    for path in sorted(each for each in sources.iterdir() if each.suffix in CODE):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def build(library: Path, *, sanitized: bool = False) -> str:
    """Compile and link the library.

    Parameters
    ----------
    library : Path
        What is made.
    sanitized : bool
        Whether it looks after its own memory and arithmetic, slowly.

    Returns
    -------
    str
        The compiler's command.

    Raises
    ------
    SystemExit
        Where it could not be compiled.
    """
    found = system_compiler()
    command = found or zig_compiler()
    flags = [*command, *COMMON, *(SANITIZED if sanitized else OPTIMISED)]
    units = {
        "library": [f'-DCRLM_SOURCES="{digest_of(SOURCES)}"'],
        "kernels_baseline": [],
    }
    if machine() == "x86_64":
        units |= {"kernels_avx2": AVX2, "kernels_avx512": AVX512}
    with tempfile.TemporaryDirectory() as folder:
        objects = {name: str(Path(folder, name + ".o")) for name in units}
        running = []
        for name, more in units.items():
            call = [*flags, *more, "-c", str(SOURCES / f"{name}.cpp"), "-o", objects[name]]
            running.append(subprocess.Popen(call))
        failed = [each.wait() for each in running]
        if any(failed):
            raise SystemExit(f"the native library could not be compiled by {shlex.join(command)}")
        made = Path(folder, library.name)
        # nothing here needs the C++ library
        link = flags if found else [part if part != "c++" else "cc" for part in flags]
        subprocess.run([*link, "-shared", "-o", str(made), *objects.values(), "-lm"], check=True)
        library.parent.mkdir(parents=True, exist_ok=True)
        # beside it first, so that nobody ever sees half of it
        beside = library.with_name(f".{library.name}.{os.getpid()}")
        shutil.copy2(made, beside)
        beside.replace(library)
    return shlex.join(command)


if __name__ == "__main__":
    print(build(Path(sys.argv[-1]), sanitized="--sanitized" in sys.argv))
