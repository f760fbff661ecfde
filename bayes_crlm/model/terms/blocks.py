"""Blocks of unknowns as frozen values, over which every density loops.

A block has values u (log-hazards or log hazard ratios), where they enter the hazard, and a prior:
independent ones u_k = z_k, or u_k = s z_k with an unknown scale s, each z_k of a family of its own;
or walks over intervals (`bayes_crlm.model.terms.walks`).

Two kinds of unknowns are not blocks of this kind: columns under a horseshoe, with two scales an
element (`bayes_crlm.model.terms.horseshoe`), and a gamma process, whose hazards may be integrated
out (`bayes_crlm.model.terms.gamma_process`).

All kinds name their unknowns (`parameters`), give the values that enter the hazard (`values`),
prior densities (`log_prior`) and draws (`draw`). In the sampler's coordinates a scale or a hazard
is moved by its logarithm.
"""

from collections.abc import Sequence
from dataclasses import field
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.model.families import Family, Normal, ScaleFamily
from bayes_crlm.model.terms.walks import Level, Walk
from bayes_crlm.words.records import record

Floats = NDArray[np.float64]
Values = dict[str, Floats]

UNIT = Normal(0.0, 1.0)
FamilyGroups = tuple[tuple[Family, NDArray[np.intp] | slice], ...]


@record
class Parameter:
    """One random variable of the model.

    Attributes
    ----------
    name : str
        Its name in the `pm.Model` and in the posterior.
    size : int
        Number of entries.
    dim : str or None
        Its dimension's name; None for a scalar.
    transform : {"none", "log"}
        How the sampler's unconstrained value is made.
    """

    name: str
    size: int
    dim: str | None
    transform: Literal["none", "log"] = "none"


@record
class Columns:
    """Values enter as log hazard ratios of the design's columns `start` to `stop` - 1."""

    start: int
    stop: int


@record
class Cells:
    """Values enter the hazard table, one or several rows of them.

    Attributes
    ----------
    loading : (classes, copies) ndarray
        How much of each of the block's rows is added to the log-hazards of each class: 1 for the
        class's own stratum and 0 elsewhere for baselines, a centred treatment for its effects.
    """

    loading: Floats

    @property
    def copies(self) -> int:
        """Number of rows of values."""
        return self.loading.shape[1]

    @staticmethod
    def of_strata(stratum_of_class: NDArray[np.intp]) -> "Cells":
        """One row of values a stratum, for all of the stratum's classes."""
        n_strata = int(stratum_of_class.max()) + 1
        return Cells(np.equal.outer(stratum_of_class, np.arange(n_strata)).astype(float))


@record
class Grouping:
    """Values enter as log hazard ratios of the groups of grouping `index`."""

    index: int


Enters = Columns | Cells | Grouping


def same_families(families: Sequence[Family]) -> FamilyGroups:
    """Which entries have each of the families, so that each is evaluated once."""
    distinct = dict.fromkeys(families)
    if len(distinct) == 1:
        return ((families[0], slice(None)),)
    return tuple(
        (family, np.flatnonzero([each == family for each in families])) for family in distinct
    )


def apply_families(
    groups: FamilyGroups,
    what: Literal["log_density", "curvature"],
    values: NDArray,
) -> Floats:
    """Elementwise log density or curvature of values, each entry under its own family.

    Parameters
    ----------
    groups : tuple of (family, entries)
        From `same_families`.
    what : {"log_density", "curvature"}
        Which method of the families.
    values : (..., entries) ndarray
        Where they are evaluated, any leading indices.

    Returns
    -------
    (..., entries) ndarray
    """
    result = np.empty_like(values)
    for family, entries in groups:
        result[..., entries] = getattr(family, what)(values[..., entries])
    return result


@record
class Block:
    """Unknowns with one structure.

    Attributes
    ----------
    name : str
        Of the values.
    enters : Columns, Cells or Grouping
        Where they enter the hazard.
    priors : tuple of Family
        Of every z: of every value of independent ones, of every step of walks (one walk after the
        other). Empty for walks over one interval.
    scale : ScaleFamily or None
        Prior of the unknown scale; None where the scale is 1.
    walk : Walk or None
        Of values in cells.
    dim, unit_dim : str or None
        Names of the dimensions of the values and of z; z has that of the values where they are
        as many.
    unit_name, scale_name, level_name : str
        Of z, of the scale and of the level, where they are unknowns beside or instead of the
        values; made from `name` where not given.
    data_names : dict of str to str
        How the model's data containers name this block's numbers, where not after `name`.
    """

    name: str
    enters: Enters
    priors: tuple[Family, ...]
    scale: ScaleFamily | None = None
    walk: Walk | None = None
    dim: str | None = None
    unit_dim: str | None = None
    unit_name: str = ""
    scale_name: str = ""
    level_name: str = ""
    data_names: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Name what is not named."""
        is_apart = self.scale is not None or self.walk is not None
        for attribute, name in (
            ("unit_name", f"{self.name}_unit" if is_apart else self.name),
            ("scale_name", f"{self.name}_scale"),
            ("level_name", f"{self.name}_level"),
        ):
            object.__setattr__(self, attribute, getattr(self, attribute) or name)
        if self.walk is None:
            object.__setattr__(self, "unit_dim", self.dim)

    @property
    def values_name(self) -> str:
        """Name of the values in the posterior."""
        return self.name

    @property
    def size(self) -> int:
        """Number of values."""
        return len(self.priors) if self.walk is None else self.walk.centre.size

    @cached_property
    def families(self) -> FamilyGroups:
        """Families of z with their entries."""
        return same_families(self.priors)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Unknowns in the order of the sampler's vector."""
        listed = []
        if self.scale is not None:
            listed.append(Parameter(self.scale_name, 1, None, "log"))
        if self.priors:
            listed.append(Parameter(self.unit_name, len(self.priors), self.unit_dim))
        if self.walk is not None and self.walk.level is not None:
            copies = len(self.walk.centre)
            listed.append(Parameter(self.level_name, copies, "stratum" if copies > 1 else None))
        return tuple(listed)

    def scaled(self, named: Values) -> Floats:
        """Scale times z; of walks also times the steps' relative standard deviations.

        Parameters
        ----------
        named : dict of str to (..., size) ndarray
            Unknowns by name, on their natural scale.

        Returns
        -------
        (..., size) ndarray, or (..., copies, intervals - 1) ndarray of walks
        """
        if self.walk is None:
            unit = named[self.unit_name]
            return unit if self.scale is None else named[self.scale_name] * unit
        shape = (len(self.walk.centre), len(self.walk.step_sds))
        if not self.priors:
            return np.zeros((*named[self.level_name].shape[:-1], *shape))
        unit = named[self.unit_name]
        steps = unit.reshape(*unit.shape[:-1], *shape) * self.walk.step_sds
        return steps if self.scale is None else named[self.scale_name][..., None] * steps

    def values(self, named: Values) -> Floats:
        """Values that enter the hazard, shape (..., size).

        Parameters
        ----------
        named : dict of str to (..., size) ndarray
            Unknowns by name, on their natural scale.
        """
        if self.walk is None:
            return self.scaled(named)
        path = self.walk.path(self.scaled(named))
        if self.walk.level is not None:
            path = path + named[self.level_name][..., None]
        return path.reshape(*path.shape[:-2], -1)

    def log_prior(self, named: Values) -> Values:
        """Log prior density of every unknown's entries, on the natural scale, by name."""
        density: Values = {}
        if self.scale is not None:
            density[self.scale_name] = self.scale.log_density(named[self.scale_name])
        if self.priors:
            density[self.unit_name] = apply_families(
                self.families, "log_density", named[self.unit_name]
            )
        if self.walk is not None and self.walk.level is not None:
            at_anchor = self.at_anchor(named, self.walk.level)
            density[self.level_name] = self.walk.level.prior.log_density(at_anchor)
        return density

    def at_anchor(self, named: Values, level: Level) -> Floats:
        """Values of the walks where their level has its prior, shape (..., copies)."""
        values = self.values(named)
        return values.reshape(*values.shape[:-1], -1, self.n_intervals)[..., level.anchor]

    @property
    def n_intervals(self) -> int:
        """Number of intervals of a walk; 1 of other values."""
        return 1 if self.walk is None else self.walk.n_intervals

    def draw(self, rng: np.random.Generator, draws: int) -> Values:
        """Draw every unknown from its prior, shape (draws, size) by name."""
        drawn: Values = {}
        if self.scale is not None:
            drawn[self.scale_name] = self.scale.draw(rng, (draws, 1))
        if self.priors:
            unit = np.empty((draws, len(self.priors)))
            for family, entries in self.families:
                unit[:, entries] = family.draw(rng, unit[:, entries].shape)
            drawn[self.unit_name] = unit
        if self.walk is not None and self.walk.level is not None:
            level = self.walk.level
            path = self.walk.path(self.scaled(drawn) if self.priors else self.no_steps(draws))
            at_anchor = level.prior.draw(rng, path.shape[:-1])
            drawn[self.level_name] = at_anchor - path[..., level.anchor]
        return drawn

    def no_steps(self, draws: int) -> Floats:
        """Steps of walks over one interval."""
        return np.zeros((draws, self.size, 0))
