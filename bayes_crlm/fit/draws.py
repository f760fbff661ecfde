"""Draws of a posterior as a frozen value: what was fitted to which cohort, and the numbers drawn.

Tables, diagnostics and figures are functions of this value; `bayes_crlm.fit.fit.Fit`, which users
hold, forwards to them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayes_crlm.estimands.population import (
    Population,
    PopulationName,
    check_population,
    effective_size,
    population,
)
from bayes_crlm.inference.monte_carlo import errors_of_chains, errors_of_draws
from bayes_crlm.inference.ratio_summary import RatioSummary
from bayes_crlm.inference.weighted import SumErrors
from bayes_crlm.likelihood.hazard_table import LogHazards
from bayes_crlm.model.density import constrain, log_hazards_of
from bayes_crlm.model.origin import check_origin
from bayes_crlm.words.arguments import numbers_of
from bayes_crlm.words.errors import EstimandError
from bayes_crlm.words.records import record
from bayes_crlm.words.wording import shown

if TYPE_CHECKING:
    from bayes_crlm.frequentist.cox import Cox
    from bayes_crlm.inference.draws import WeightedDraws
    from bayes_crlm.model.definition import ModelDefinition
    from bayes_crlm.model.prepared import PreparedCohort

ETI95 = (0.025, 0.975)


@record(eq=False)
class Importance:
    """Quality of importance-sampled draws.

    Attributes
    ----------
    pareto_k : float
        Of the weights.
    ess : float
        Effective draws.
    ess_tail : (terms,) ndarray
        Effective draws behind each term's 95% limits.
    scramble : (draws,) ndarray of int
        Which scramble of Sobol points each draw comes from.
    """

    pareto_k: float
    ess: float
    ess_tail: NDArray[np.float64]
    scramble: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class PosteriorDraws:
    """Draws from the posterior of a model on one cohort.

    Attributes
    ----------
    model : ModelDefinition
        What was fitted.
    inputs : PreparedCohort
        The cohort as the model saw it.
    vectors : (chains, draws, unknowns) ndarray
        Unconstrained draws, in the order of `BlockModel.parameters`.
    statistics : dict of str to ndarray
        What the sampler recorded of every draw, (chains, draws), or of all of them, by ArviZ's
        names.
    engine : str
        How the draws were made.
    seed : int
        Of all randomness.
    settings : dict
        Chains, draws, tune.
    seconds : dict
        Wall time of importing the sampler, of compiling and of sampling.
    notes : tuple of str
        What a reader should know about how the draws came about.
    importance : Importance or None
        How good the weights were, when the draws are importance-sampled.
    weighted : WeightedDraws or None
        What the draws were resampled from, when they are importance-sampled.
    origin : float
        Where survival curves begin: every estimand is given survival to it. Without one, that of
        `bayes_crlm.model.origin.default_origin`; 0 without delayed entry.
    population : {"entrants", "before_entry"}
        Whom estimands average over, see `bayes_crlm.estimands.population`.
    """

    model: "ModelDefinition"
    inputs: "PreparedCohort"
    vectors: NDArray[np.float64]
    statistics: dict[str, Any]
    engine: str
    seed: int
    settings: dict[str, Any]
    seconds: dict[str, float]
    notes: tuple[str, ...] = field(default=())
    importance: Importance | None = None
    weighted: "WeightedDraws | None" = None
    origin: float | None = None
    population: PopulationName = "entrants"

    def __post_init__(self) -> None:
        """Resolve where curves begin, and refuse what is not a time or population."""
        object.__setattr__(self, "origin", check_origin(self.origin, self.inputs))
        check_population(self.population)

    @cached_property
    def hazards(self) -> LogHazards:
        """What the draws say of the hazards, with one leading index (chains x draws)."""
        return log_hazards_of(self.values, self.inputs.block_model)

    @property
    def log_hazard_draws(self) -> NDArray[np.float64]:
        """Log-hazards at the means of all columns, shape (chains x draws, strata x intervals)."""
        return self.inputs.baseline_block.values(self.values)

    @property
    def effect_draws(self) -> NDArray[np.float64]:
        """Log hazard ratios on the sampling scale, shape (chains x draws, terms)."""
        return self.hazards.effect

    @cached_property
    def values(self) -> dict[str, NDArray[np.float64]]:
        """Every random variable on its own scale, shapes (chains x draws, size)."""
        flat = self.vectors.reshape(-1, self.vectors.shape[-1])
        return constrain(flat, self.inputs.block_model.parameters)

    @cached_property
    def log_hazard_ratio_values(self) -> NDArray[np.float64]:
        """Log hazard ratios in original units, shape (chains x draws, terms)."""
        return self.effect_draws / self.inputs.design.scale

    @cached_property
    def treatment_ratios(self) -> RatioSummary:
        """What the draws of the treatment's contrasts with the reference come to."""
        return RatioSummary(self.log_hazard_ratio_values[:, : self.inputs.n_treatment_terms])

    @cached_property
    def begin(self) -> float:
        """The origin as a number."""
        return check_origin(self.origin, self.inputs)

    @cached_property
    def people(self) -> Population:
        """Patterns that estimands average over."""
        return population(
            self.inputs,
            self.hazards.mean(),
            self.population,
            self.begin,
        )

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """Weight of every pattern, shape (patterns,) or (draws, patterns)."""
        return self.people.weights(self.hazards, self.inputs.intervals.cutpoints, self.begin)

    @cached_property
    def effective_patients(self) -> float:
        """Effective number of patients behind the estimands, the median over draws."""
        return effective_size(self.weights, self.people.share, self.inputs.data.n_patients)

    def monte_carlo_errors(self, value: ArrayLike, thresholds: Sequence[float] = ()) -> SumErrors:
        """Monte Carlo errors of what any functions of the draws come to.

        Parameters
        ----------
        value : (chains x draws, ...) or (chains, draws, ...) array of finite numbers
            A number or several of each draw, in the order of the draws, as `survival_draws` and
            the variables of `posterior` have them.
        thresholds : sequence of float
            Of the probabilities that a quantity lies below.

        Returns
        -------
        SumErrors
            Of mean and sd, shape (...); of the 2.5%, 50% and 97.5% points, (..., 3); of the
            probabilities below the thresholds, (..., thresholds).

        Raises
        ------
        EstimandError
            When there is not a finite number for each draw, or a threshold is no number.
        """
        limits, shape = numbers_of(thresholds), self.vectors.shape[:2]
        if limits is None:
            raise EstimandError(f"thresholds: {shown(thresholds)} must be a list of finite numbers")
        values, of_each = values_by_draw(value, shape)
        if self.importance is None:
            found = errors_of_chains(values.reshape(*shape, values.shape[1]), limits)
        else:
            drawn = self.importance
            found = errors_of_draws(values, drawn.scramble, (drawn.pareto_k, drawn.ess), limits)
        return SumErrors(
            found.mean.reshape(of_each),
            found.sd.reshape(of_each),
            found.quantile.reshape(*of_each, found.quantile.shape[-1]),
            found.below.reshape(*of_each, len(limits)),
        )

    @cached_property
    def made(self) -> dict[tuple[object, ...], Any]:
        """What was made of these draws before: tables, diagnostics and figures share it."""
        return {}

    @cached_property
    def cox(self) -> "Cox":
        """Cox's partial-likelihood fit (Efron ties) of the same design."""
        from bayes_crlm.frequentist.cox import cox_of

        return cox_of(self.inputs)


def values_by_draw(
    value: ArrayLike, shape: tuple[int, ...]
) -> tuple[NDArray[np.float64], tuple[int, ...]]:
    """Take numbers of each draw, in one dimension or by chain.

    Parameters
    ----------
    value : array
        As of `PosteriorDraws.monte_carlo_errors`.
    shape : (chains, draws) tuple of int
        How many there are of each.

    Returns
    -------
    (chains x draws, quantities) ndarray
    tuple of int
        Shape of what is given of each draw.

    Raises
    ------
    EstimandError
        When there is not a finite number for each draw.
    """
    (chains, draws), total = shape, math.prod(shape)
    try:
        given = np.asarray(value)
    except ValueError:  # lists of different lengths
        given = np.asarray(None)
    axes = 1 if given.shape[:1] == (total,) else 2
    if given.shape[:axes] not in ((total,), shape) or given.dtype.kind not in "biuf":
        raise EstimandError(
            f"Monte Carlo errors are of numbers of each draw, not of {shown(value)}; give an "
            f"array of shape ({total}, ...) or ({chains}, {draws}, ...)"
        )
    if not np.isfinite(given).all():
        raise EstimandError(
            "Monte Carlo errors are of finite numbers, and some of those given are not; leave "
            "such quantities out, or give them a limit, such as the end of follow-up"
        )
    of_each = given.shape[axes:]
    return given.reshape(total, math.prod(of_each)).astype(float), of_each
