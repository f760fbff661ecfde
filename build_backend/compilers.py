"""Which C++ compiler makes the native library, and how it is called.

The kernels are compiled for several instruction sets, of which the library chooses one at run time.
A compiler must know GCC's vector extensions: GCC from 12 on, Clang, or Zig's Clang, which PyPI has
as ``ziglang`` and which serves wherever no compiler works.
"""

# so that an older Python comes as far as being refused
from __future__ import annotations

import argparse
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[1] / "native"
CODE = (".cpp", ".h", ".inc")
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


@dataclass(frozen=True)
class Platform:
    """What a library is compiled for.

    Attributes
    ----------
    system : str
        "linux", "macosx" or "win".
    machine : str
        Kind of processor, by one name on all systems: "x86_64" or "aarch64".
    macos : tuple of (int, int)
        Oldest macOS that it is for; unused elsewhere.
    """

    system: str
    machine: str
    macos: tuple[int, int] = (11, 0)

    @classmethod
    def of_name(cls, name: str) -> Platform:
        """Read a name of Python's, as "linux-x86_64", "macosx-11.0-arm64" or "win-amd64"."""
        system, *version, machine = name.split("-")
        if machine == "universal2":  # a Python for both; the library is for the one that runs
            machine = platform.machine()
        machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(machine.lower(), machine)
        if system != "macosx":
            return cls(system, machine)
        major, minor = (int(part) for part in version[0].split("."))
        if major >= 11 or machine == "aarch64":
            # none before 11 for Apple's own processors; installers know later ones by one number
            major, minor = max(major, 11), 0
        return cls(system, machine, (major, minor))

    @property
    def suffix(self) -> str:
        """Of a shared library's name."""
        return {"win": ".dll", "macosx": ".dylib"}.get(self.system, ".so")

    @property
    def tag(self) -> str:
        """Name in a wheel's."""
        if self.system == "macosx":
            return f"macosx_{self.macos[0]}_{self.macos[1]}_{self.apple_machine}"
        if self.system == "win":
            return {"x86_64": "win_amd64", "aarch64": "win_arm64"}[self.machine]
        return f"{self.system}_{self.machine}"

    @property
    def apple_machine(self) -> str:
        """Apple's name of the processor."""
        return {"aarch64": "arm64"}.get(self.machine, self.machine)

    @property
    def zig_target(self) -> str:
        """Name of Zig's, with the oldest system: by default that is a rather new one."""
        if self.system == "macosx":
            return f"{self.machine}-macos.{self.macos[0]}.{self.macos[1]}"
        return self.machine + ("-windows-gnu" if self.system == "win" else "-linux-gnu.2.17")

    @property
    def flags(self) -> list[str]:
        """What a system's own compiler must be told, which may compile for another processor."""
        if self.system != "macosx":
            return []
        major, minor = self.macos
        return ["-arch", self.apple_machine, f"-mmacosx-version-min={major}.{minor}"]

    @property
    def instruction_sets(self) -> dict[str, list[str]]:
        """Flags of each set of kernels, by its name."""
        more = {"avx2": AVX2, "avx512": AVX512} if self.machine == "x86_64" else {}
        return {"baseline": []} | more


# as cibuildwheel asks for another processor than this machine's
PLATFORM = Platform.of_name(sysconfig.get_platform())


def works(command: list[str]) -> bool:
    """Whether a compiler makes a shared library of what we need: some machines have half of one."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "trial.cpp")
        source.write_text(TRIAL)
        made = Path(folder, "trial" + PLATFORM.suffix)
        *_, most = PLATFORM.instruction_sets.values()
        call = [*command, *COMMON, *OPTIMISED, *most]
        try:
            done = subprocess.run(
                [*call, "-shared", str(source), "-o", str(made)], capture_output=True, check=False
            )
        except OSError:
            return False
        return done.returncode == 0


def system_compiler() -> list[str] | None:
    """CXX where it is set, else the first of the usual names that works; None where none does."""
    given = os.environ.get("CXX")
    for name in [given] if given else ["c++", "g++", "clang++"]:
        command = [*shlex.split(name), *PLATFORM.flags]
        if shutil.which(command[0]) and works(command):
            return command
    return None


def zig_compiler(target: Platform = PLATFORM) -> list[str]:
    """Zig's Clang, for every processor of a kind and for old systems."""
    zig = [sys.executable, "-m", "ziglang", "c++"]
    return [*zig, "-target", target.zig_target, "-mcpu=baseline"]


def digest_of(sources: Path) -> str:
    """SHA-256 of all source files, by which a library is known to be made from them."""
    digest = hashlib.sha256()
    for path in sorted(each for each in sources.iterdir() if each.suffix in CODE):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def build(library: Path, *, target: Platform | None = None, sanitized: bool = False) -> str:
    """Compile and link the library.

    Parameters
    ----------
    library : Path
        What is made.
    target : Platform, optional
        Another platform, which Zig compiles for.
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
    found = None if target else system_compiler()
    target = target or PLATFORM
    command = found or zig_compiler(target)
    flags = [*command, *COMMON, *(SANITIZED if sanitized else OPTIMISED)]
    units = {"library": [f'-DCRLM_SOURCES="{digest_of(SOURCES)}"']} | {
        f"kernels_{name}": more for name, more in target.instruction_sets.items()
    }
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


def main() -> None:
    """Compile from the command line."""
    parser = argparse.ArgumentParser(description="compile the native library")
    parser.add_argument("--platform", help="another one, as linux-aarch64 or macosx-11.0-arm64")
    parser.add_argument("--sanitized", action="store_true")
    parser.add_argument("library", type=Path)
    asked = parser.parse_args()
    target = Platform.of_name(asked.platform) if asked.platform else None
    print(build(asked.library, target=target, sanitized=asked.sanitized))


if __name__ == "__main__":
    main()
