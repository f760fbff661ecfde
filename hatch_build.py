"""Compiles the native library into the wheel, or for an editable install into the source tree."""

import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).parent / "build_backend"))
from compilers import PLATFORM, build

FOLDER = "bayes_crlm/inference/native"


class NativeLibrary(BuildHookInterface):
    """One library for all versions of Python: it knows C only."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and say for which platform the wheel is."""
        name = f"_library{PLATFORM.suffix}"
        if version == "editable":
            library = Path(self.root, FOLDER, name)
        else:
            self.folder = tempfile.TemporaryDirectory()
            library = Path(self.folder.name, name)
            build_data["force_include"][str(library)] = f"{FOLDER}/{name}"
        self.app.display_info("the native library was compiled by " + build(library))
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{PLATFORM.tag}"
