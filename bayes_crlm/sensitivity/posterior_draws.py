"""Draws of one posterior, whichever engine makes them, and their summary.

Importance sampling around the mode takes a fraction of a second and no PyMC; where the weights'
Pareto k is above 0.7, the effective size of the draws (or of those at a term's 95% limits) is below
a tenth of their number, or there is no mode to draw around, NUTS does it. Chains are judged as
those of `run` are.
"""

import dataclasses
import math
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.chains import ess_bulk
from bayes_crlm.inference.draws import problem_of_weights
from bayes_crlm.inference.left_out import LeftOut, left_out
from bayes_crlm.inference.psis import pareto_smooth
from bayes_crlm.inference.ratio_summary import RatioSummary
from bayes_crlm.likelihood.hazard_table import LogHazards, patient_log_likelihood
from bayes_crlm.model.density import hazards_of_vectors
from bayes_crlm.tasks.streams import Stream, random_stream
from bayes_crlm.words.records import record

if TYPE_CHECKING:
    from bayes_crlm.inference.draws import WeightedDraws
    from bayes_crlm.model.definition import ModelDefinition
    from bayes_crlm.model.prepared import PreparedCohort

# numbers of a posterior and of its engine, in the order in which rows have them
NUMBERS = (
    "median", "eti95", "prob_below_1", "prob_below_effect", "mean_log", "sd_log", "mcse",
)  # fmt: skip
ENGINE = ("engine", "pareto_k", "r_hat", "is_reliable")
DRAWS = 2000
NUTS_DRAWS, NUTS_TUNE, NUTS_CHAINS, NUTS_TARGET = 1000, 1000, 4, 0.9


@record(eq=False)
class Draws:
    """Weighted draws of a posterior, whichever engine made them.

    Attributes
    ----------
    inputs : PreparedCohort
        Whose posterior it is.
    at : LogHazards
        What they say of the hazards.
    log_ratio : (draws,) ndarray
        Log of posterior over proposal density, up to a constant.
    weight : (draws,) ndarray
        Adding up to 1.
    engine : {"laplace", "nuts"}
        How the posterior is drawn from.
    pareto_k : float or None
        Of the weights; None after NUTS.
    r_hat : float or None
        Largest of all parameters; None but after NUTS.
    ess : float
        Effective draws of the treatment's effect.
    chains : dict or None
        Diagnostics of NUTS by name (`bayes_crlm.fit.diagnostics.Chains`, without its failures).
    note : str or None
        Why NUTS was used, or why the draws are not to be trusted.
    is_reliable : bool
        Whether the engine's diagnostic allows the draws to be used.
    """

    inputs: "PreparedCohort"
    at: LogHazards
    log_ratio: NDArray[np.float64]
    weight: NDArray[np.float64]
    engine: str
    pareto_k: float | None
    r_hat: float | None
    ess: float
    note: str | None
    is_reliable: bool
    chains: dict[str, Any] | None = None

    @property
    def effect(self) -> NDArray[np.float64]:
        """Log hazard ratios of the columns on the sampling scale, shape (draws, terms)."""
        return self.at.effect

    def log_hazard_ratio(self, level: int) -> NDArray[np.float64]:
        """Draws of the log hazard ratio of one treatment level, in its own units."""
        return self.effect[:, level - 1] / self.inputs.design.scale[level - 1]

    def row(self, level: int, effect: float = 1.0) -> dict[str, Any]:
        """Summarise the hazard ratio of one treatment level; see `row_of`."""
        return self.row_of(self.log_hazard_ratio(level), effect)

    def row_of(self, log_ratio: NDArray, effect: float = 1.0) -> dict[str, Any]:
        """Summarise a log hazard ratio.

        Parameters
        ----------
        log_ratio : (draws,) ndarray
            In the column's own units.
        effect : float
            The hazard ratio that the success rule is about, of `prob_below_effect`.
        """
        found = summarise_weighted(log_ratio, self.weight, effect)
        return found | {
            "mcse": found["sd_log"] / math.sqrt(self.ess),
            "engine": self.engine,
            "pareto_k": self.pareto_k,
            "r_hat": self.r_hat,
            "chains": self.chains,
            "is_reliable": self.is_reliable,
            "note": self.note,
        }

    @cached_property
    def left_out(self) -> LeftOut:
        """The posterior without each patient in turn."""
        return left_out(patient_log_likelihood(self.at, self.inputs.data), log_ratio=self.log_ratio)


def sample_posterior(
    model: "ModelDefinition", inputs: "PreparedCohort", seed: int, draws: int = DRAWS
) -> Draws:
    """Draw from a posterior: importance sampling first, NUTS where that cannot be trusted.

    Parameters
    ----------
    model, inputs
        From `changed_inputs`.
    seed : int
        Of the random draws: the same seed gives the same numbers.
    draws : int
        Of importance sampling; NUTS has its own number.
    """
    return sample_posteriors(model, [inputs], [seed], draws)[0]


def sample_posteriors(
    model: "ModelDefinition",
    cohorts: "Sequence[PreparedCohort]",
    seeds: Sequence[int],
    draws: int = DRAWS,
) -> list[Draws]:
    """Draw from posteriors of one model as `sample_posterior` does from each, but together.

    Parameters
    ----------
    model : ModelDefinition
        What is fitted: formula, intervals and priors.
    cohorts : sequence of PreparedCohort
        Of the same intervals, columns and priors.
    seeds : sequence of int
        One for each.
    draws : int
        Of each cohort.
    """
    from bayes_crlm.inference.layout import why_not_approximated

    why = why_not_approximated(cohorts[0].block_model)
    if why is not None:
        return [sample_by_nuts(model, *each, why) for each in zip(cohorts, seeds, strict=True)]
    found = []
    for weighted, inputs, seed in zip(
        weigh_together(cohorts, seeds, max(draws, 1000)), cohorts, seeds, strict=True
    ):
        if weighted is None:
            why = "no approximation of the posterior was found"
        elif weighted.problem is not None:
            why = f"importance sampling: {weighted.problem}"
        else:
            found.append(of_importance(weighted, inputs))
            continue
        found.append(sample_by_nuts(model, inputs, seed, why))
    return found


def weigh_together(
    cohorts: "Sequence[PreparedCohort]", seeds: Sequence[int], draws: int
) -> "list[WeightedDraws | None]":
    """Weighted draws of every cohort; those with as many rows come from one batch."""
    from bayes_crlm.inference.importance import sample_batch, weighted_draws
    from bayes_crlm.inference.layout import Layout
    from bayes_crlm.inference.targets import Targets
    from bayes_crlm.likelihood.risk_sums import RiskSums

    streams = [random_stream(seed, Stream.IMPORTANCE) for seed in seeds]
    if len(cohorts) == 1 or cohorts[0].terms:
        return [
            weighted_draws(each, draws, rng) for each, rng in zip(cohorts, streams, strict=True)
        ]
    found: list[WeightedDraws | None] = [None] * len(cohorts)
    sums = [RiskSums.of(each.density_data) for each in cohorts]
    sizes = np.array([each.design.shape[1] for each in sums])
    for size in np.unique(sizes):
        same = np.flatnonzero(sizes == size).tolist()
        targets = Targets.of_cohort(cohorts[0], RiskSums.stacked([sums[k] for k in same]))
        batch = sample_batch(targets, draws, [streams[k] for k in same])
        for place, k in enumerate(same):
            found[k] = Layout.of(cohorts[k].block_model).weighted(batch, place)
    return found


def of_importance(weighted: "WeightedDraws", inputs: "PreparedCohort") -> Draws:
    """Keep what importance sampling drew, without impossible draws."""
    possible = np.isfinite(weighted.log_ratio)
    return Draws(
        inputs=inputs,
        at=hazards_of_vectors(weighted.vectors[possible], inputs.block_model),
        log_ratio=weighted.log_ratio[possible],
        weight=weighted.weight[possible] / weighted.weight[possible].sum(),
        engine="laplace",
        pareto_k=weighted.pareto_k,
        r_hat=None,
        ess=weighted.ess,
        note=None,
        is_reliable=True,
    )


def sample_by_nuts(
    model: "ModelDefinition", inputs: "PreparedCohort", seed: int, why: str
) -> Draws:
    """Draw by NUTS, with the diagnostics by which `run` judges its chains."""
    from bayes_crlm.fit.diagnostics import diagnose_chains
    from bayes_crlm.fit.fit import fit_model

    fit = fit_model(
        model,
        inputs,
        draws=NUTS_DRAWS,
        tune=NUTS_TUNE,
        chains=NUTS_CHAINS,
        seed=seed,
        engine="nuts",
        target_accept=NUTS_TARGET,
    )
    chains = fit.log_hazard_ratio_values.reshape(NUTS_CHAINS, NUTS_DRAWS, -1)
    ess = float(ess_bulk(chains)[0])
    found = dataclasses.asdict(diagnose_chains(fit))
    failures = found.pop("failures")
    note = f"{why}: NUTS was used instead"
    if failures:
        note += f", and it fails too: {'; '.join(each.partition('; ')[0] for each in failures)}"
    return Draws(
        inputs=inputs,
        at=fit.hazards,
        log_ratio=np.zeros(NUTS_CHAINS * NUTS_DRAWS),
        weight=np.full(NUTS_CHAINS * NUTS_DRAWS, 1 / (NUTS_CHAINS * NUTS_DRAWS)),
        engine="nuts",
        pareto_k=None,
        r_hat=found["max_r_hat"],
        ess=ess,
        note=note,
        is_reliable=not failures,
        chains=found,
    )


def summarise_weighted(log_ratio: NDArray, weight: NDArray, effect: float = 1.0) -> dict[str, Any]:
    """Summarise weighted draws of a log hazard ratio, wherever they come from.

    Parameters
    ----------
    log_ratio, weight : (draws,) ndarray
        Weights add up to 1.
    effect : float
        The hazard ratio that the success rule is about, of `prob_below_effect`.
    """
    return RatioSummary(log_ratio[:, None], weight).row(effect=effect)


@record(eq=False)
class SmoothedWeights:
    """Weights that make draws of one density those of another.

    Attributes
    ----------
    weight : (draws,) ndarray
        Pareto-smoothed, adding up to 1.
    pareto_k : float or None
        None where the ratios have no tail: they are bounded, and nothing is wrong.
    ess : float
        1 / sum of squared weights.
    problem : str or None
        Why the weighted draws are not to be used.
    """

    weight: NDArray[np.float64]
    pareto_k: float | None
    ess: float
    problem: str | None

    @classmethod
    def of(cls, log_ratio: NDArray) -> "SmoothedWeights":
        """Smooth ratios of one density to another, given by their logarithms."""
        log_weight, k = pareto_smooth(log_ratio)
        weight = np.exp(log_weight)
        ess, pareto_k = float(1 / np.sum(weight**2)), float(k) if np.isfinite(k) else None
        problem = problem_of_weights(pareto_k or 0.0, ess, ess, len(weight))
        return cls(weight, pareto_k, ess, problem)
