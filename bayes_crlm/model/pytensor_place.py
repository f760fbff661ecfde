"""A place for what PyTensor compiles, where the user's own folder cannot be written to."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path


def give_pytensor_a_place() -> None:
    """Name a temporary folder to PyTensor where its own cannot be made: it ends in an error else.

    Called before PyTensor is imported. A folder that the user named in ``PYTENSOR_FLAGS`` stays.
    """
    flags = os.environ.get("PYTENSOR_FLAGS", "")
    if "compiledir" in flags:
        return
    local = os.environ.get("LOCALAPPDATA")
    own = Path(local, "PyTensor") if local else Path(os.path.expanduser("~"), ".pytensor")
    with suppress(OSError):
        own.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=own):
            return
    place = f"base_compiledir={tempfile.mkdtemp(prefix='pytensor-')}"
    os.environ["PYTENSOR_FLAGS"] = ",".join(filter(None, [flags, place]))
