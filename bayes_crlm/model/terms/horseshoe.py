"""Columns under a horseshoe: two scales an element, for NUTS only.

References
----------
Carvalho, Polson & Scott (2010), Biometrika 97:465-480.
"""

from dataclasses import field

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.model.families import HalfCauchy
from bayes_crlm.model.terms.blocks import UNIT, Columns, Parameter, Values
from bayes_crlm.words.records import record

Floats = NDArray[np.float64]

LOCAL_SCALE = HalfCauchy(1.0)


@record
class Shrunk:
    """Columns under a horseshoe: value k = global x local_k x z_k.

    Attributes
    ----------
    name, prefix : str
        Of the values; of the scales, which are `prefix`_global and `prefix`_local.
    enters : Columns
        Which columns of the design.
    global_scale : HalfCauchy
        Prior of the scale of all columns; that of each column's own is HalfCauchy(1).
    dim : str or None
        Name of the columns' dimension.
    unit_name : str
        Name of z.
    data_names : dict of str to str
        As in `Block`.
    """

    name: str
    enters: Columns
    global_scale: HalfCauchy
    dim: str | None = None
    prefix: str = "shrinkage"
    unit_name: str = "covariate_unit_effect"
    data_names: dict[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Number of columns."""
        return self.enters.stop - self.enters.start

    @property
    def names(self) -> tuple[str, str, str]:
        """Names of the global scale, of the local scales and of z."""
        return f"{self.prefix}_global", f"{self.prefix}_local", self.unit_name

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Unknowns in the order of the sampler's vector."""
        overall, local, unit = self.names
        return (
            Parameter(overall, 1, None, "log"),
            Parameter(local, self.size, self.dim, "log"),
            Parameter(unit, self.size, self.dim),
        )

    def values(self, named: Values) -> Floats:
        """Log hazard ratios of the columns, shape (..., size)."""
        overall, local, unit = (named[name] for name in self.names)
        return overall * local * unit

    def log_prior(self, named: Values) -> Values:
        """Log prior density of every unknown's entries, on the natural scale, by name."""
        families = (self.global_scale, LOCAL_SCALE, UNIT)
        return {
            name: family.log_density(named[name])
            for name, family in zip(self.names, families, strict=True)
        }

    def draw(self, rng: np.random.Generator, draws: int) -> Values:
        """Draw every unknown from its prior, shape (draws, size) by name."""
        families = (self.global_scale, LOCAL_SCALE, UNIT)
        sizes = (1, self.size, self.size)
        return {
            name: family.draw(rng, (draws, size))
            for name, family, size in zip(self.names, families, sizes, strict=True)
        }
