"""Where the numbers of a run come from."""

import platform
from datetime import datetime
from typing import Any

from bayes_crlm.words.versions import installed_version

PACKAGES = (
    "arviz",
    "formulaic",
    "matplotlib",
    "numba",
    "numpy",
    "nutpie",
    "pandas",
    "pymc",
    "pytensor",
    "scipy",
    "survival",
    "xarray",
)


def provenance(seed: int, started: datetime, seconds: dict[str, Any]) -> dict[str, Any]:
    """Say which versions made the numbers, from which seed, when and in what time.

    Parameters
    ----------
    seed : int
        Of the random draws: the same seed gives the same numbers.
    started : datetime
        When the run began.
    seconds : dict of str to float or None
        Wall time of every step.
    """
    return {
        "bayes_crlm": installed_version("bayes_crlm"),
        "python": platform.python_version(),
        "packages": {name: installed_version(name) for name in PACKAGES},
        "seed": seed,
        "started": started.isoformat(timespec="seconds"),
        "seconds": seconds,
    }
