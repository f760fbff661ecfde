"""What chains have to reach before their draws are used.

References
----------
Vehtari, Gelman, Simpson, Carpenter & Bürkner (2021), Bayesian Anal 16:667-718.
"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["ESS_LEAST_PER_CHAIN", "R_HAT_MOST", "worst"]

R_HAT_MOST = 1.01
ESS_LEAST_PER_CHAIN = 100


def worst(dataset: "xr.Dataset", which: str) -> float:
    """Largest or smallest value over all variables; nan when any is nan."""
    values = np.concatenate([np.ravel(dataset[name].values) for name in dataset.data_vars])
    return float(values.max() if which == "max" else values.min())
