"""Environments of contenders whose packages do not go together with this package's.

lifelines pins pandas below 3; NumPyro brings JAX. Each gets a virtual environment in
``benchmarks/.environments/``, made once by uv from the pinned versions in
``benchmarks/requirements/``.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
FOLDER = HERE / ".environments"
REQUIREMENTS = HERE / "requirements"


def find_uv() -> str:
    """Path of uv: the one that runs this, the one on PATH, or the one that make fetched."""
    fetched = HERE.parent / ".uv" / "bin" / "uv"
    found = os.environ.get("UV") or shutil.which("uv") or (str(fetched) if fetched.exists() else "")
    if not found:
        raise SystemExit("benchmarks: uv is not found; run them with `make bench`")
    return found


def python_of(name: str | None) -> str:
    """Path of the Python of an environment, which is made where it is not there yet.

    Parameters
    ----------
    name : str or None
        A file of ``benchmarks/requirements/`` without its ending; None for this environment.
    """
    if name is None:
        return sys.executable
    folder, requirements = FOLDER / name, REQUIREMENTS / f"{name}.txt"
    python, made_from = folder / "bin" / "python", folder / "made_from.txt"
    wanted = requirements.read_text(encoding="utf-8")
    if not made_from.exists() or made_from.read_text(encoding="utf-8") != wanted:
        print(f"making the environment of {name}", flush=True)
        uv = find_uv()
        subprocess.run(
            [uv, "venv", "-q", "--clear", "--python", sys.executable, folder], check=True
        )
        subprocess.run(
            [uv, "pip", "install", "-q", "--python", python, "-r", requirements], check=True
        )
        made_from.write_text(wanted, encoding="utf-8")
    return str(python)
