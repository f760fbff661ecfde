"""Hatchling, with PyPI's ziglang among the build's requirements where no C++ compiler works."""

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


def get_requires_for_build_wheel(config_settings: dict | None = None) -> list[str]:
    """List what building a wheel needs beside hatchling."""
    return [*hatchling_build.get_requires_for_build_wheel(config_settings), *compiler()]


def get_requires_for_build_editable(config_settings: dict | None = None) -> list[str]:
    """List what an editable install needs beside hatchling."""
    return [*hatchling_build.get_requires_for_build_editable(config_settings), *compiler()]


def compiler() -> list[str]:
    """A compiler from PyPI where the machine has none."""
    return [] if system_compiler() else [ZIGLANG]
