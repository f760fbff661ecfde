"""For which platforms the native library is compiled, and how wheels name them."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "build_backend"))
import compilers  # noqa: E402

sys.path.remove(str(ROOT / "build_backend"))


@pytest.mark.parametrize(
    ("name", "tag", "target", "suffix"),
    [
        ("linux-x86_64", "linux_x86_64", "x86_64-linux-gnu.2.17", ".so"),
        ("linux-aarch64", "linux_aarch64", "aarch64-linux-gnu.2.17", ".so"),
        ("macosx-10.13-x86_64", "macosx_10_13_x86_64", "x86_64-macos.10.13", ".dylib"),
        # the first macOS of this processor, and how installers know later ones
        ("macosx-10.13-arm64", "macosx_11_0_arm64", "aarch64-macos.11.0", ".dylib"),
        ("macosx-14.2-arm64", "macosx_14_0_arm64", "aarch64-macos.14.0", ".dylib"),
        ("win-amd64", "win_amd64", "x86_64-windows-gnu", ".dll"),
        ("win-arm64", "win_arm64", "aarch64-windows-gnu", ".dll"),
    ],
)
def test_a_wheel_is_for_the_oldest_system_that_its_library_is_for(name, tag, target, suffix):
    platform = compilers.Platform.of_name(name)
    assert (platform.tag, platform.zig_target, platform.suffix) == (tag, target, suffix)


def test_a_python_for_two_processors_gets_the_library_of_the_one_that_runs(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    platform = compilers.Platform.of_name("macosx-10.13-universal2")
    assert platform.tag == "macosx_11_0_arm64"
    assert platform.flags == ["-arch", "arm64", "-mmacosx-version-min=11.0"]


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_instruction_sets_are_those_of_the_processor(machine):
    names = list(compilers.Platform("linux", machine).instruction_sets)
    assert names == (["baseline", "avx2", "avx512"] if machine == "x86_64" else ["baseline"])


def test_installers_here_take_a_wheel_of_this_platform():
    tags = pytest.importorskip("packaging.tags")
    assert compilers.PLATFORM.tag in set(tags.platform_tags())
