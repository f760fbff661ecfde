"""Hatchling, with PyPI's ziglang among the build's requirements where no C++ compiler works."""

# so that an older Python comes as far as being refused
from __future__ import annotations

import re
import sys
from pathlib import Path

from hatchling import build as hatchling_build
from hatchling.build import (
    build_editable,
    build_sdist,
    build_wheel,
    get_requires_for_build_sdist,
)

sys.path.insert(0, str(Path(__file__).parent))
from compilers import system_compiler

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
]

ZIGLANG = "ziglang>=0.15,<0.18"
PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def get_requires_for_build_wheel(config_settings: dict | None = None) -> list[str]:
    """List what building a wheel needs beside hatchling."""
    return [*hatchling_build.get_requires_for_build_wheel(config_settings), *compiler()]


def get_requires_for_build_editable(config_settings: dict | None = None) -> list[str]:
    """List what an editable install needs beside hatchling."""
    return [*hatchling_build.get_requires_for_build_editable(config_settings), *compiler()]


def compiler() -> list[str]:
    """A compiler from PyPI where the machine has none."""
    check_python(sys.version_info[:2])
    return [] if system_compiler() else [ZIGLANG]


def check_python(version: tuple[int, int]) -> None:
    """Refuse a Python of another version before anything is fetched or compiled for it.

    pip reads `requires-python` from a built wheel, after the library has been compiled.
    """
    (limits,) = re.findall(r'^requires-python = ">=3\.(\d+),<3\.(\d+)"', PROJECT.read_text(), re.M)
    first, end = ((3, int(minor)) for minor in limits)
    if not first <= version < end:
        sys.exit(
            f"bayes_crlm needs Python 3.{first[1]} to 3.{end[1] - 1}, and this is Python "
            f"{version[0]}.{version[1]}; install it with another Python"
        )
