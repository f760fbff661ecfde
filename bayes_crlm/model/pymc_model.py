"""A model written down as a `pm.Model`: patient by patient, and row by pooled row for its density.

`build_pymc_model` is the definition, with one observed outcome a patient. `build_density_model` is
the same posterior density of the same unknowns; its likelihood takes rows that were pooled and
the sums over events that are all it needs of them. Tests hold one against the other.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_crlm.model.baseline_priors import BaselinePrior, GammaProcess, Independent, WalkPrior
from bayes_crlm.model.priors import EffectPrior, Horseshoe, Laplace, Normal, StudentT

if TYPE_CHECKING:
    import pymc as pm

    from bayes_crlm.model.prepared import PreparedCohort

__all__ = [
    "DATA_DIMS",
    "baseline_variable",
    "build_density_model",
    "build_pymc_model",
    "density_model_data",
    "effect_variables",
    "in_standard_types",
    "model_data",
    "patient_hazards",
]


def model_data(inputs: "PreparedCohort") -> dict[str, Any]:
    """Every array and number that enters the patients' density, by its `pm.Data` name.

    Parameters
    ----------
    inputs : PreparedCohort
        A cohort as the model sees it.

    Returns
    -------
    dict of str to ndarray
    """
    data, follow_up = inputs.data, inputs.data.follow_up
    split = inputs.n_treatment_terms
    values = prior_data(inputs) | {
        "interval_width": follow_up.width,
        "stop_interval": follow_up.stop_interval,
        "stop_within": follow_up.stop_within,
        "treatment_design": data.design[:, :split],
        "follow_up_event": data.event[inputs.final_row],
    }
    if inputs.n_covariate_terms:
        values["covariate_design"] = data.design[:, split:]
    if follow_up.is_delayed:
        values["entry_interval"] = follow_up.entry_interval
        values["entry_within"] = follow_up.entry_within
    if not inputs.has_row_per_patient:
        values["patient_index"] = data.patient_index
        values["final_row"] = inputs.final_row
    if inputs.is_baseline_integrated:
        values["interval_events"] = data.events_per_interval
    return in_standard_types(values)


def density_model_data(inputs: "PreparedCohort") -> dict[str, Any]:
    """Every array and number that enters the density of `build_density_model`, by its name.

    Parameters
    ----------
    inputs : PreparedCohort
        A cohort as the model sees it.

    Returns
    -------
    dict of str to ndarray
        Large arrays are those of `inputs.density_data` themselves.
    """
    data, follow_up = inputs.density_data, inputs.density_data.follow_up
    values = prior_data(inputs) | {
        "interval_width": follow_up.width,
        "interval_events": data.events_per_interval,
        "event_design": data.event_design,
        "stop_interval": follow_up.stop_interval,
        "stop_within": follow_up.stop_within,
        "row_count": follow_up.count,
        "design": data.design,
    }
    if follow_up.is_delayed:
        values["entry_interval"] = follow_up.entry_interval
        values["entry_within"] = follow_up.entry_within
    return in_standard_types(values)


def prior_data(inputs: "PreparedCohort") -> dict[str, Any]:
    """Prior parameters and what else the priors need of the cohort, by `pm.Data` name."""
    values: dict[str, Any] = {"log_rate": inputs.log_rate}
    if inputs.has_walk:
        values["interval_share"] = inputs.intervals.events / inputs.intervals.events.sum()
        values["step_variances"] = inputs.step_variances
        values["level_interval"] = inputs.level_interval
    for name, value in inputs.baseline.parameters.items():
        values[f"baseline_{name}"] = value
    for name, value in inputs.treatment_prior.parameters.items():
        values[f"treatment_prior_{name}"] = value
    if inputs.n_covariate_terms:
        for name, value in inputs.covariate_prior.parameters.items():
            values[f"covariate_prior_{name}"] = value
    return values


def in_standard_types(values: dict[str, Any]) -> dict[str, Any]:
    """Arrays in C order, of float64 or int64, copied only where they are not."""
    arrays = {name: np.asarray(value) for name, value in values.items()}
    return {
        name: np.asarray(array, dtype=np.int64 if name in INTEGER_DATA else np.float64, order="C")
        for name, array in arrays.items()
    }


INTEGER_DATA = frozenset(
    {"stop_interval", "entry_interval", "patient_index", "final_row", "level_interval"}
)
DATA_DIMS: dict[str, tuple[str, ...]] = {
    "interval_width": ("interval",),
    "interval_share": ("interval",),
    "step_variances": ("step",),
    "interval_events": ("interval",),
    "stop_interval": ("row",),
    "stop_within": ("row",),
    "entry_interval": ("row",),
    "entry_within": ("row",),
    "row_count": ("row",),
    "design": ("row", "term"),
    "treatment_design": ("row", "treatment_term"),
    "covariate_design": ("row", "covariate_term"),
    "event_design": ("term",),
    "patient_index": ("row",),
    "final_row": ("patient",),
    "follow_up_event": ("patient",),
}


def build_pymc_model(inputs: "PreparedCohort") -> "pm.Model":
    """Write down the model of `inputs` as a `pm.Model`.

    The likelihood is one observed variable, `event`: whether each patient's follow-up
    ended with the event, with the log density of a counting process, d log h - H. `row`
    indexes (entry, time] rows, `patient` the patients they belong to.
    """
    import pymc as pm
    import pytensor.tensor as pt

    coords: dict[str, Sequence[Any]] = {
        name: labels for name, labels in inputs.coords().items() if labels
    }
    coords["row"] = range(inputs.data.follow_up.n_rows)
    with pm.Model(coords=coords) as model:
        data = {
            name: pm.Data(name, value, dims=DATA_DIMS.get(name))
            for name, value in model_data(inputs).items()
        }
        effects = effect_variables(inputs, data)
        linear_predictor = pt.dot(data["treatment_design"], effects[0])
        if inputs.n_covariate_terms:
            linear_predictor = linear_predictor + pt.dot(data["covariate_design"], effects[1])
        pm.Deterministic(
            "log_hazard_ratio", pt.concatenate(effects) / inputs.design.scale, dims="term"
        )
        if inputs.is_baseline_integrated:
            at_end = linear_predictor
            if not inputs.has_row_per_patient:
                at_end = at_end[data["final_row"]]
            exposure = weighted_exposure(pt.exp(linear_predictor), data)
            pm.Potential(
                "integrated_log_likelihood",
                pt.sum(data["follow_up_event"] * at_end)
                + integrated_log_likelihood(exposure, data),
            )
            return model
        log_hazard = baseline_variable(inputs.baseline, inputs.intervals.n_intervals, data)
        at_end, cumulative = patient_hazards(linear_predictor, log_hazard, data)
        pm.CustomDist(
            "event",
            at_end,
            cumulative,
            logp=counting_process_log_density,
            random=draw_event,
            # as `pm.Data`, so that a compiled density takes the next cohort's events too
            observed=data["follow_up_event"],
            dims="patient",
        )
    return model


def patient_hazards(
    linear_predictor: Any, log_hazard: Any, data: dict[str, Any]
) -> tuple[Any, Any]:
    """Log-hazard at the end of every patient's follow-up, and cumulative hazard over all of it.

    Parameters
    ----------
    linear_predictor : (rows,) tensor
    log_hazard : (intervals,) tensor
    data : dict of str to tensor
        From `model_data`; rows are summed by patient where it says to whom they belong.

    Returns
    -------
    (patients,) tensor, (patients,) tensor
    """
    import pytensor.tensor as pt

    hazard = pt.exp(log_hazard)
    reached = pt.cumsum(hazard * data["interval_width"])
    start = pt.concatenate([pt.zeros(1), reached[:-1]])

    def baseline_up_to(position: str) -> Any:
        interval = data[f"{position}_interval"]
        return start[interval] + hazard[interval] * data[f"{position}_within"]

    cumulative = baseline_up_to("stop")
    if "entry_interval" in data:
        cumulative = cumulative - baseline_up_to("entry")
    cumulative = cumulative * pt.exp(linear_predictor)
    at_end = log_hazard[data["stop_interval"]] + linear_predictor
    if "patient_index" in data:
        zeros = pt.zeros_like(data["final_row"], dtype="float64")
        cumulative = pt.inc_subtensor(zeros[data["patient_index"]], cumulative)
        at_end = at_end[data["final_row"]]
    return at_end, cumulative


def build_density_model(inputs: "PreparedCohort") -> "pm.Model":
    """Write down the same posterior density on pooled rows.

    With D_j events and S_j time at risk in interval j, weighted by relative hazards, the
    log-likelihood is sum_j (D_j log h_j - S_j h_j) + sum over events of x'effect: all that it needs
    of the events are sums. `row` indexes the rows of `inputs.density_data`.

    Parameters
    ----------
    inputs : PreparedCohort
        A cohort as the model sees it.
    """
    import pymc as pm
    import pytensor.tensor as pt

    labels = inputs.coords()
    names = ("interval", "step", "term", "treatment_term", "covariate_term")
    with pm.Model(coords={name: labels[name] for name in names if labels[name]}) as model:
        data = {
            name: pm.Data(name, value, dims=DATA_DIMS.get(name), borrow=True)
            for name, value in density_model_data(inputs).items()
        }
        effect = pt.concatenate(effect_variables(inputs, data))
        at_events = pt.dot(data["event_design"], effect)
        exposure = weighted_exposure(pt.exp(pt.dot(data["design"], effect)), data)
        if inputs.is_baseline_integrated:
            baseline = integrated_log_likelihood(exposure, data)
        else:
            log_hazard = baseline_variable(inputs.baseline, inputs.intervals.n_intervals, data)
            cumulative = pt.sum(exposure * pt.exp(log_hazard))
            baseline = pt.sum(data["interval_events"] * log_hazard) - cumulative
        pm.Potential("log_likelihood", at_events + baseline)
    return model


def weighted_exposure(relative: Any, data: dict[str, Any]) -> Any:
    """Time at risk of all rows in every interval, weighted by their relative hazards.

    Parameters
    ----------
    relative : (rows,) tensor
        Relative hazards.
    data : dict of str to tensor
        From `model_data` or `density_model_data`.

    Returns
    -------
    (intervals,) tensor
    """
    import pytensor.tensor as pt

    width = data["interval_width"]
    zeros = pt.zeros(width.shape)
    weight = relative * data["row_count"] if "row_count" in data else relative

    def time_up_to(position: str) -> Any:
        interval = data[f"{position}_interval"]
        count = pt.inc_subtensor(zeros[interval], weight)
        inside = pt.inc_subtensor(zeros[interval], relative * data[f"{position}_within"])
        return (pt.cumsum(count[::-1])[::-1] - count) * width + inside

    exposure = time_up_to("stop")
    if "entry_interval" in data:
        exposure = exposure - time_up_to("entry")
    return exposure


def integrated_log_likelihood(exposure: Any, data: dict[str, Any]) -> Any:
    """Log-likelihood with gamma hazards integrated out, but for the events' x'effect.

    With prior Gamma(a_j, b_j), D_j events and exposure S_j weighted by relative hazards,
    interval j contributes a log b - lgamma(a) + lgamma(a + D) - (a + D) log(b + S).

    References
    ----------
    Kalbfleisch (1978), J R Stat Soc B 40:214-221.
    """
    import pytensor.tensor as pt

    rate = data["baseline_weight"] * data["interval_width"]
    shape = rate * pt.exp(data["log_rate"])
    events = data["interval_events"]
    return pt.sum(
        shape * pt.log(rate)
        - pt.gammaln(shape)
        + pt.gammaln(shape + events)
        - (shape + events) * pt.log(rate + exposure)
    )


def counting_process_log_density(event: Any, log_hazard_at_end: Any, cumulative: Any) -> Any:
    """Log density of what each patient's follow-up showed: d log h - H, elementwise."""
    return event * log_hazard_at_end - cumulative


def draw_event(log_hazard_at_end: Any, cumulative: Any, rng: Any = None, size: Any = None) -> Any:
    """Draw whether the event happens within each patient's observed follow-up."""
    return (rng.uniform(size=np.shape(cumulative)) < -np.expm1(-np.asarray(cumulative))).astype(
        float
    )


def effect_variables(inputs: "PreparedCohort", data: dict[str, Any]) -> list[Any]:
    """Make the log hazard ratios of the treatment and, where there are any, of the covariates."""
    import pymc as pm

    effects = [effect_variable("treatment_effect", inputs.treatment_prior, data, "treatment")]
    if not inputs.n_covariate_terms:
        return effects
    if isinstance(inputs.covariate_prior, Horseshoe):
        overall = pm.HalfCauchy("shrinkage_global", data["covariate_prior_scale"])
        local = pm.HalfCauchy("shrinkage_local", 1.0, dims="covariate_term")
        unit = pm.Normal("covariate_unit_effect", 0.0, 1.0, dims="covariate_term")
        covariate_effect = pm.Deterministic(
            "covariate_effect", overall * local * unit, dims="covariate_term"
        )
    else:
        covariate_effect = effect_variable(
            "covariate_effect", inputs.covariate_prior, data, "covariate"
        )
    return [*effects, covariate_effect]


def effect_variable(name: str, prior: EffectPrior, data: dict[str, Any], role: str) -> Any:
    """Make the random variable of one group of log hazard ratios."""
    import pymc as pm

    dims = f"{role}_term"
    mean, scale = data.get(f"{role}_prior_mean"), data[f"{role}_prior_scale"]
    if isinstance(prior, Normal):
        return pm.Normal(name, mu=mean, sigma=scale, dims=dims)
    if isinstance(prior, StudentT):
        return pm.StudentT(name, nu=data[f"{role}_prior_nu"], mu=mean, sigma=scale, dims=dims)
    if isinstance(prior, Laplace):
        return pm.Laplace(name, mu=mean, b=scale, dims=dims)
    raise TypeError(f"no variable for prior {prior!r}")


def baseline_variable(prior: BaselinePrior, n_intervals: int, data: dict[str, Any]) -> Any:
    """Make the log-hazards of the intervals under a baseline prior."""
    import pymc as pm
    import pytensor.tensor as pt

    if isinstance(prior, Independent):
        return pm.Normal("log_hazard", data["log_rate"], data["baseline_sd"], dims="interval")
    if isinstance(prior, GammaProcess):
        prior_exposure = data["baseline_weight"] * data["interval_width"]
        hazard = pm.Gamma(
            "hazard",
            alpha=prior_exposure * pt.exp(data["log_rate"]),
            beta=prior_exposure,
            dims="interval",
        )
        return pm.Deterministic("log_hazard", pt.log(hazard), dims="interval")
    if isinstance(prior, WalkPrior):
        if n_intervals == 1:
            level = pm.Normal("log_hazard_level", data["log_rate"], data["baseline_sd"])
            return pm.Deterministic("log_hazard", level[None], dims="interval")
        scale = pm.HalfNormal("step_scale", data["baseline_step_scale_sd"])
        step = pm.Normal("unit_step", 0.0, 1.0, dims="step")
        variances = data["step_variances"]
        walk = pt.concatenate([pt.zeros(1), pt.cumsum(scale * pt.sqrt(variances) * step)])
        # One interval's log-hazard has a prior. Giving it that through the mean level, which the
        # data know well and which hardly depends on the walk, is the same model with a posterior
        # that is easier to sample.
        walk = walk - pt.sum(walk * data["interval_share"])
        offset = walk[data["level_interval"]]
        level = pm.Normal("log_hazard_level", data["log_rate"] - offset, data["baseline_sd"])
        return pm.Deterministic("log_hazard", level + walk, dims="interval")
    raise TypeError(f"no variables for baseline prior {prior!r}")
