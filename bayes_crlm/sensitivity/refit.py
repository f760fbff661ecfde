"""One refit: the base analysis with something changed, as a task that any worker can do.

A refit draws by importance sampling around the mode, which takes a fraction of a second and no
PyMC; where the weights' Pareto k is above 0.7, draws (or those at a term's 95% limits) are worth
less than a tenth of their number, or there is no mode to draw around, NUTS does it. Chains are
judged as those of `run` are.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.streams import Stream, random_stream
from bayes_crlm.words.errors import BayesCRLMError

if TYPE_CHECKING:
    from bayes_crlm.cohort.cohort import Cohort
    from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
    from bayes_crlm.frequentist.cox import Cox
    from bayes_crlm.inference.draws import WeightedDraws
    from bayes_crlm.model.prepared import PreparedCohort
    from bayes_crlm.specification.spec import Spec

__all__ = [
    "DRAWS",
    "Draws",
    "Shared",
    "changed_inputs",
    "draw_posterior",
    "refit",
    "refit_priors",
    "summarise_draws",
    "summarise_weighted",
    "weighted_quantiles",
]

DRAWS = 2000
NUTS_DRAWS, NUTS_TUNE, NUTS_CHAINS, NUTS_TARGET = 1000, 1000, 4, 0.9
MODEL_CHANGES = ("treatment_prior", "covariate_prior", "covariates", "cutpoints", "baseline")
CHANGES = (*MODEL_CHANGES, "leave_out", "held_cutpoints")
PROBABILITIES = (0.025, 0.5, 0.975)


@dataclass(frozen=True, eq=False)
class Shared:
    """What every task of a sensitivity analysis is given.

    Attributes
    ----------
    cohort : Cohort
        The patients that the base model was fitted to.
    model : dict
        The base model in plain values: treatment, reference, covariates, cutpoints,
        baseline [name, weight], treatment_prior and covariate_prior.
    level : int
        Place of the treatment level in question, from 1.
    everyone : Cohort
        With the patients who were left out because they miss a value.
    effect : float
        The hazard ratio that the success rule is about.
    """

    cohort: "Cohort"
    model: dict[str, Any]
    level: int
    everyone: "Cohort"
    effect: float = 1.0

    @classmethod
    def of(
        cls, spec: "Spec", cohort: "Cohort", level: int = 1, everyone: "Cohort | None" = None
    ) -> "Shared":
        """Take what tasks need from a spec whose defaults are resolved, and its cohort.

        Nothing else of the spec: finished refits are found again by what is here.
        """
        baseline, priors = spec.model.baseline, spec.model.priors
        cutpoints = baseline.cutpoints
        model = {
            "treatment": spec.model.treatment,
            "reference": spec.model.reference,
            "covariates": spec.model.covariates,
            "cutpoints": list(cutpoints) if isinstance(cutpoints, tuple) else cutpoints,
            "baseline": [baseline.prior, baseline.weight],
            "treatment_prior": priors.treatment,
            "covariate_prior": priors.covariates,
        }
        return cls(cohort, model, level, everyone or cohort, spec.success.effect)


@dataclass(frozen=True, eq=False)
class Draws:
    """Weighted draws of a posterior, whichever engine made them.

    Attributes
    ----------
    effect : (draws, terms) ndarray
        Log hazard ratios on the sampling scale.
    log_hazard : (draws, intervals) ndarray
        At the covariates' means.
    log_ratio : (draws,) ndarray
        Log of posterior over proposal density, up to a constant.
    weight : (draws,) ndarray
        Adding up to 1.
    engine : {"laplace", "nuts"}
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

    effect: NDArray[np.float64]
    log_hazard: NDArray[np.float64]
    log_ratio: NDArray[np.float64]
    weight: NDArray[np.float64]
    engine: str
    pareto_k: float | None
    r_hat: float | None
    ess: float
    note: str | None
    is_reliable: bool
    chains: dict[str, Any] | None = None


def changed_inputs(
    shared: Shared, changes: Mapping[str, Any]
) -> "tuple[PiecewiseExponential, PreparedCohort]":
    """Put the base model with some changes and its cohort together.

    Parameters
    ----------
    shared : Shared
    changes : mapping
        Any of: `treatment_prior`, `covariate_prior` (as a spec writes them), `baseline`
        [name, weight], `cutpoints` ("auto", a number or a list), `covariates` (a formula),
        `leave_out` (patients' places in the cohort), `held_cutpoints` (inner cutpoints, of which
        those beyond the follow-up that is left are dropped).

    Raises
    ------
    BayesCRLMError
        When what is asked for cannot be fitted to this cohort.
    ValueError
        For an unknown change.
    """
    from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
    from bayes_crlm.model.baseline_priors import baseline_prior

    unknown = set(changes) - set(CHANGES)
    if unknown:
        raise ValueError(f"unknown changes {sorted(unknown)}; there are {', '.join(CHANGES)}")
    asked = shared.model | {name: changes[name] for name in MODEL_CHANGES if name in changes}
    cohort = shared.cohort
    if changes.get("leave_out"):
        cohort = cohort.without(changes["leave_out"])
    if "held_cutpoints" in changes:
        last = cohort.time.max()
        asked["cutpoints"] = [cut for cut in changes["held_cutpoints"] if cut < last] or 1
    name, weight = asked.pop("baseline")
    model = PiecewiseExponential(baseline=baseline_prior(name, weight), **asked)
    return model, model.prepare(cohort)


def draw_posterior(
    model: "PiecewiseExponential", inputs: "PreparedCohort", seed: int, draws: int = DRAWS
) -> Draws:
    """Draw from a posterior: importance sampling first, NUTS where that cannot be trusted.

    Parameters
    ----------
    model, inputs
        From `changed_inputs`.
    seed : int
    draws : int
        Of importance sampling; NUTS has its own number.
    """
    from bayes_crlm.inference.importance import weighted_draws
    from bayes_crlm.model.priors import Horseshoe

    if inputs.n_covariate_terms and isinstance(inputs.covariate_prior, Horseshoe):
        return draw_by_nuts(model, inputs, seed, "a horseshoe prior has no mode to draw around")
    weighted = weighted_draws(inputs, max(draws, 1000), random_stream(seed, Stream.IMPORTANCE))
    if weighted is None:
        return draw_by_nuts(model, inputs, seed, "no approximation of the posterior was found")
    why = weighted.problem
    if why is not None:
        return draw_by_nuts(model, inputs, seed, f"importance sampling: {why}")
    return of_importance(weighted)


def of_importance(weighted: "WeightedDraws") -> Draws:
    """Keep what importance sampling drew, without impossible draws."""
    possible = np.isfinite(weighted.log_ratio)
    return Draws(
        effect=weighted.effect[possible],
        log_hazard=weighted.log_hazard[possible],
        log_ratio=weighted.log_ratio[possible],
        weight=weighted.weight[possible] / weighted.weight[possible].sum(),
        engine="laplace",
        pareto_k=weighted.pareto_k,
        r_hat=None,
        ess=weighted.ess,
        note=None,
        is_reliable=True,
    )


def draw_by_nuts(
    model: "PiecewiseExponential", inputs: "PreparedCohort", seed: int, why: str
) -> Draws:
    """Draw by NUTS, with the diagnostics by which `run` judges its chains."""
    import arviz_stats as azs

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
        progress=False,
    )
    posterior = fit.posterior["posterior"].to_dataset()
    ess = float(azs.ess(posterior["log_hazard_ratio"]).values[0])
    effect, log_hazard = fit.effect_draws, fit.log_hazard_draws
    found = dataclasses.asdict(diagnose_chains(fit))
    failures = found.pop("failures")
    note = f"{why}: NUTS was used instead"
    if failures:
        note += f", and it fails too: {'; '.join(each.partition('; ')[0] for each in failures)}"
    return Draws(
        effect=effect,
        log_hazard=log_hazard,
        log_ratio=np.zeros(len(effect)),
        weight=np.full(len(effect), 1 / len(effect)),
        engine="nuts",
        pareto_k=None,
        r_hat=found["max_r_hat"],
        ess=ess,
        note=note,
        is_reliable=not failures,
        chains=found,
    )


def refit(
    shared: Shared,
    *,
    changes: Mapping[str, Any] | None = None,
    seed: int,
    draws: int = DRAWS,
    parts: Sequence[str] = ("loo", "cox"),
) -> dict[str, Any]:
    """Fit the base model with some changes and summarise the treatment's hazard ratio.

    Parameters
    ----------
    shared : Shared
    changes : mapping, optional
        See `changed_inputs`; without it the base model.
    seed : int
    draws : int
        Importance draws.
    parts : sequence of str
        What more is wanted: "loo", "pointwise" (the patients' shares of it), "cox", "draws" (the
        log hazard ratio's draws and weights).

    Returns
    -------
    dict
        median, eti95, prob_below_1, prob_below_effect, mean_log, sd_log, mcse, elpd_loo,
        loo_pareto_k, engine, pareto_k, r_hat, chains (diagnostics of NUTS, a dict), is_reliable,
        note, cox_hr, cox_ci95, n_patients, n_events, n_intervals.

    Raises
    ------
    BayesCRLMError
        When what is asked for cannot be fitted to this cohort.
    """
    model, inputs = changed_inputs(shared, changes or {})
    row = posterior_row(shared, model, inputs, seed, draws, parts)
    return row | (cox_row(inputs, shared.level) if "cox" in parts else {})


def refit_priors(
    shared: Shared,
    *,
    changes: Mapping[str, Any] | None = None,
    priors: Sequence[Mapping[str, Any]],
    seed: int,
    draws: int = DRAWS,
    parts: Sequence[str] = ("loo", "cox"),
) -> dict[str, Any]:
    """Refit under several priors: the cohort is put together, and Cox fitted, only once.

    Parameters
    ----------
    shared, changes, seed, draws, parts
        As of `refit`.
    priors : sequence of mapping
        Each with `treatment_prior`, `baseline` or both.

    Returns
    -------
    dict
        `rows`, one for each prior, as `refit` gives them.
    """
    from bayes_crlm.model.baseline_priors import baseline_prior
    from bayes_crlm.model.priors import parse_prior

    model, inputs = changed_inputs(shared, changes or {})
    cox = cox_row(inputs, shared.level) if "cox" in parts else {}
    rows = []
    for prior in priors:
        replaced: dict[str, Any] = {}
        if "treatment_prior" in prior:
            replaced["treatment_prior"] = parse_prior(prior["treatment_prior"], "treatment")
        if "baseline" in prior:
            replaced["baseline"] = baseline_prior(*prior["baseline"])
        row = posterior_row(
            shared,
            dataclasses.replace(model, **replaced),
            dataclasses.replace(inputs, **replaced),
            seed,
            draws,
            parts,
        )
        rows.append(row | cox)
    return {"rows": rows}


def posterior_row(
    shared: Shared,
    model: "PiecewiseExponential",
    inputs: "PreparedCohort",
    seed: int,
    draws: int,
    parts: Sequence[str],
) -> dict[str, Any]:
    """Draw from one posterior and summarise it."""
    drawn = draw_posterior(model, inputs, seed, draws)
    log_ratio = treatment_effect(drawn, inputs, shared.level)
    row = summarise_draws(log_ratio, drawn, shared.effect)
    row |= {
        "n_patients": inputs.cohort.n_patients,
        "n_events": inputs.cohort.n_events,
        "n_intervals": inputs.intervals.n_intervals,
    }
    if "loo" in parts:
        pointwise, row["loo_pareto_k"] = leave_one_out(drawn, inputs)
        row["elpd_loo"] = float(pointwise.sum())
        if "pointwise" in parts:
            row["elpd_pointwise"] = pointwise.tolist()
    if "draws" in parts:
        row |= {"log_hazard_ratio": log_ratio.tolist(), "weight": drawn.weight.tolist()}
    return row


def treatment_effect(drawn: Draws, inputs: "PreparedCohort", level: int) -> NDArray[np.float64]:
    """Draws of the log hazard ratio of one treatment level, in its own units."""
    return drawn.effect[:, level - 1] / inputs.design.scale[level - 1]


def summarise_draws(log_ratio: NDArray, drawn: Draws, effect: float = 1.0) -> dict[str, Any]:
    """Summarise weighted draws of a log hazard ratio.

    Parameters
    ----------
    log_ratio : (draws,) ndarray
    drawn : Draws
        Where they come from.
    effect : float
        The hazard ratio that the success rule is about, of `prob_below_effect`.
    """
    found = summarise_weighted(log_ratio, drawn.weight, effect)
    return found | {
        "mcse": found["sd_log"] / math.sqrt(drawn.ess),
        "engine": drawn.engine,
        "pareto_k": drawn.pareto_k,
        "r_hat": drawn.r_hat,
        "chains": drawn.chains,
        "is_reliable": drawn.is_reliable,
        "note": drawn.note,
    }


def summarise_weighted(log_ratio: NDArray, weight: NDArray, effect: float = 1.0) -> dict[str, Any]:
    """Summarise weighted draws of a log hazard ratio, wherever they come from.

    Parameters
    ----------
    log_ratio, weight : (draws,) ndarray
        Weights add up to 1.
    effect : float
        The hazard ratio that the success rule is about, of `prob_below_effect`.
    """
    mean = float(weight @ log_ratio)
    low, median, high = weighted_quantiles(log_ratio, weight, PROBABILITIES)
    return {
        "median": math.exp(median),
        "eti95": [math.exp(low), math.exp(high)],
        "prob_below_1": float(min(weight[log_ratio < 0].sum(), 1.0)),
        "prob_below_effect": float(min(weight[log_ratio < math.log(effect)].sum(), 1.0)),
        "mean_log": mean,
        "sd_log": math.sqrt(float(weight @ (log_ratio - mean) ** 2)),
    }


def weighted_quantiles(
    value: NDArray, weight: NDArray, probabilities: Sequence[float]
) -> list[float]:
    """Quantiles of weighted draws; a draw stands at the middle of its share of probability.

    Parameters
    ----------
    value, weight : (draws,) ndarray
        Weights add up to 1.
    probabilities : sequence of float
    """
    order = np.argsort(value)
    share = weight[order]
    return np.interp(probabilities, np.cumsum(share) - share / 2, value[order]).tolist()


def leave_one_out(drawn: Draws, inputs: "PreparedCohort") -> tuple[NDArray[np.float64], float]:
    """Expected log predictive density of every patient left out, and the largest Pareto k.

    Parameters
    ----------
    drawn : Draws
    inputs : PreparedCohort

    Returns
    -------
    (patients,) ndarray, float

    References
    ----------
    Vehtari, Gelman & Gabry (2017), Stat Comput 27:1413-1432; Magnusson, Andersen, Jonasson &
    Vehtari (2019), ICML, PMLR 97:4244-4253 (draws of an approximation).
    """
    from bayes_crlm.inference.psis import pareto_smooth
    from bayes_crlm.likelihood.hazard_table import LogHazards, patient_log_likelihood

    at = LogHazards.of_one_class(drawn.log_hazard, drawn.effect)
    each = patient_log_likelihood(at, inputs.data).T
    log_weight, pareto_k = pareto_smooth(drawn.log_ratio - each)
    total = log_weight + each
    largest = total.max(axis=1)
    pointwise = largest + np.log(np.exp(total - largest[:, None]).sum(axis=1))
    return pointwise, float(np.nanmax(pareto_k))


def cox_of(inputs: "PreparedCohort") -> "Cox":
    """Cox regression of the same columns.

    Raises
    ------
    BayesCRLMError
        When there is none.
    """
    from bayes_crlm.frequentist.cox import fit_cox

    cohort, design = inputs.cohort, inputs.design
    return fit_cox(
        cohort.entry,
        cohort.time,
        cohort.event,
        design.matrix,
        design.terms,
        patient_index=cohort.patient_index,
    )


def cox_row(inputs: "PreparedCohort", level: int) -> dict[str, Any]:
    """Cox's hazard ratio of the same columns with its 95% limits; None where there is none."""
    try:
        cox = cox_of(inputs)
    except BayesCRLMError as problem:
        return {"cox_hr": None, "cox_ci95": [None, None], "cox_failure": str(problem)}
    ratio, limits = float(cox.hazard_ratio[level - 1]), cox.ci95[level - 1].tolist()
    finite = [each if math.isfinite(each) else None for each in (ratio, *limits)]
    return {"cox_hr": finite[0], "cox_ci95": finite[1:]}
