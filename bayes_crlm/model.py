"""The model as a frozen value: what is compared, with which columns, intervals and priors.

`PiecewiseExponential` says what; `prepare` puts a cohort into the arrays the model needs;
`build` writes it down as a `pm.Model`, the definition that every engine is checked
against; `fit` samples it and returns a `Fit`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.cohort import Cohort
from bayes_crlm.design import Design, Level, build_design, columns_needed
from bayes_crlm.intervals import Cutpoints, Intervals, choose_intervals, cut_follow_up
from bayes_crlm.likelihood import SurvivalData
from bayes_crlm.priors import (
    BaselinePrior,
    EffectPrior,
    GammaProcess,
    Horseshoe,
    Independent,
    Laplace,
    Normal,
    RandomWalk,
    StudentT,
    baseline_prior,
    parse_prior,
)

if TYPE_CHECKING:
    import pymc as pm

    from bayes_crlm.fit import Fit

__all__ = ["ModelInputs", "PiecewiseExponential"]


@dataclass(frozen=True)
class ModelInputs:
    """A cohort as a model sees it: intervals, design and compact follow-up.

    Attributes
    ----------
    cohort : Cohort
        The rows used (complete cases).
    intervals : Intervals
        Cutpoints and what falls between them.
    design : Design
        Treatment contrasts and covariates.
    data : SurvivalData
        What the likelihood needs.
    log_rate : float
        log(events / exposure), where the baseline priors are centred.
    baseline, treatment_prior, covariate_prior
        Prior values.
    """

    cohort: Cohort
    intervals: Intervals
    design: Design
    data: SurvivalData
    log_rate: float
    baseline: BaselinePrior
    treatment_prior: EffectPrior
    covariate_prior: EffectPrior

    @property
    def n_treatment_terms(self) -> int:
        """Number of treatment contrasts."""
        return self.design.n_treatment_terms

    @property
    def n_covariate_terms(self) -> int:
        """Number of covariate columns."""
        return len(self.design.terms) - self.design.n_treatment_terms

    @property
    def has_row_per_patient(self) -> bool:
        """Whether every patient has one row, in the order of the patients."""
        return self.data.n_patients == self.data.follow_up.n_rows

    @property
    def final_row(self) -> NDArray[np.intp]:
        """The last row of every patient, shape (patients,)."""
        order = np.lexsort((self.cohort.time, self.cohort.patient_index))
        after = np.searchsorted(
            self.cohort.patient_index[order], np.arange(self.data.n_patients), side="right"
        )
        return order[after - 1]

    @property
    def structure(self) -> tuple[Any, ...]:
        """What a compiled density depends on; data and prior parameters are its inputs."""
        return (
            self.baseline.name,
            self.treatment_prior.family,
            self.covariate_prior.family if self.n_covariate_terms else None,
            self.intervals.n_intervals > 1,
            self.data.follow_up.is_delayed,
            self.has_row_per_patient,
            self.is_baseline_integrated,
        )

    @property
    def is_baseline_integrated(self) -> bool:
        """Whether the sampler sees the hazards integrated out (gamma process only)."""
        return isinstance(self.baseline, GammaProcess) and self.baseline.is_integrated

    def coords(self) -> dict[str, list[Any]]:
        """Labels of every dimension of the posterior."""
        terms = list(self.design.terms)
        labels = self.intervals.labels
        return {
            "interval": labels,
            "step": labels[1:],
            "term": terms,
            "treatment_term": terms[: self.n_treatment_terms],
            "covariate_term": terms[self.n_treatment_terms :],
            "patient": self.cohort.patients.tolist(),
        }


@dataclass(frozen=True)
class PiecewiseExponential:
    """Piecewise-exponential proportional-hazards model.

    Parameters
    ----------
    treatment : str
        Column whose hazard ratios are the question.
    reference : str, int, float or bool, optional
        Its reference level; the first in order without it.
    covariates : str
        Right-hand side of a formula, such as ``"age + log(cea)"``; empty for none.
    cutpoints : "auto", int or sequence of float
        See `bayes_crlm.intervals.choose_intervals`.
    baseline : {"random_walk", "independent", "gamma"} or prior value
        Prior of the baseline hazard.
    treatment_prior, covariate_prior : str or prior value
        Priors of log hazard ratios on the sampling scale, such as ``"normal(0, 1)"``.

    References
    ----------
    Friedman (1982), Ann Stat 10:101-113; Ibrahim, Chen & Sinha (2001), Bayesian
    Survival Analysis, chapter 3.
    """

    treatment: str
    reference: Level | None = None
    covariates: str = ""
    cutpoints: Cutpoints = "auto"
    baseline: Literal["random_walk", "independent", "gamma"] | BaselinePrior = field(
        default="random_walk"
    )
    treatment_prior: str | EffectPrior = "normal(0, 1)"
    covariate_prior: str | EffectPrior = "normal(0, 1)"

    def __post_init__(self) -> None:
        """Read the priors, so that a wrong one is said where it is written."""
        object.__setattr__(self, "baseline", baseline_prior(self.baseline))
        object.__setattr__(self, "treatment_prior", parse_prior(self.treatment_prior, "treatment"))
        object.__setattr__(self, "covariate_prior", parse_prior(self.covariate_prior))
        if not isinstance(self.cutpoints, (str, int)):
            object.__setattr__(self, "cutpoints", tuple(self.cutpoints))

    def prepare(self, cohort: Cohort) -> ModelInputs:
        """Choose intervals and build the design for a cohort.

        Parameters
        ----------
        cohort : Cohort
            Rows with missing values in used columns are refused or dropped, as the
            cohort's `missing` says.

        Returns
        -------
        ModelInputs

        Raises
        ------
        BayesCRLMError
            When cohort and model do not fit together; one sentence says where.
        """
        complete = cohort.complete(columns_needed(self.treatment, self.covariates))
        design = build_design(complete, self.treatment, self.reference, self.covariates)
        intervals = choose_intervals(complete.entry, complete.time, complete.event, self.cutpoints)
        data = SurvivalData(
            follow_up=cut_follow_up(complete.entry, complete.time, intervals.cutpoints),
            event=complete.event.astype(float),
            design=design.scaled,
            patient_index=complete.patient_index,
            n_patients=complete.n_patients,
        )
        return ModelInputs(
            cohort=complete,
            intervals=intervals,
            design=design,
            data=data,
            log_rate=math.log(complete.n_events / complete.exposure),
            baseline=baseline_prior(self.baseline),
            treatment_prior=parse_prior(self.treatment_prior, "treatment"),
            covariate_prior=parse_prior(self.covariate_prior),
        )

    def build(self, cohort: Cohort) -> "pm.Model":
        """Write the model for a cohort down as a `pm.Model` with named dims.

        Data and prior parameters are `pm.Data`, so one compiled density serves every
        cohort of the same structure.
        """
        return build_pymc_model(self.prepare(cohort))

    def fit(
        self,
        cohort: Cohort,
        *,
        draws: int = 1000,
        tune: int = 1000,
        chains: int = 4,
        seed: int | None = None,
        engine: Literal["nuts", "laplace"] = "nuts",
        target_accept: float | None = None,
        progress: bool = False,
    ) -> "Fit":
        """Draw from the posterior.

        Parameters
        ----------
        cohort : Cohort
            The data.
        draws, tune, chains : int
            Kept draws and warm-up draws of each chain; number of chains.
        seed : int, optional
            The same seed gives the same draws on the same machine.
        engine : {"nuts", "laplace"}
            Hamiltonian Monte Carlo, or importance-sampled draws around the mode.
        target_accept : float, optional
            NUTS' mean acceptance; chosen by the model's priors without it.
        progress : bool
            Show a progress bar.

        Returns
        -------
        Fit
        """
        from bayes_crlm.fit import fit_model

        return fit_model(
            self,
            self.prepare(cohort),
            draws=draws,
            tune=tune,
            chains=chains,
            seed=seed,
            engine=engine,
            target_accept=target_accept,
            progress=progress,
        )


def model_data(inputs: ModelInputs) -> dict[str, Any]:
    """Every array and number that enters the density, by its `pm.Data` name.

    Parameters
    ----------
    inputs : ModelInputs
        A cohort as the model sees it.

    Returns
    -------
    dict of str to ndarray or float
    """
    data, follow_up = inputs.data, inputs.data.follow_up
    split = inputs.n_treatment_terms
    values: dict[str, Any] = {
        "interval_width": follow_up.width,
        "stop_interval": follow_up.stop_interval.astype(np.int64),
        "stop_within": follow_up.stop_within,
        "treatment_design": data.design[:, :split],
        "log_rate": np.float64(inputs.log_rate),
        "follow_up_event": data.event[inputs.final_row].astype(np.float64),
    }
    if inputs.n_covariate_terms:
        values["covariate_design"] = data.design[:, split:]
    if follow_up.is_delayed:
        values["entry_interval"] = follow_up.entry_interval.astype(np.int64)
        values["entry_within"] = follow_up.entry_within
    if not inputs.has_row_per_patient:
        values["patient_index"] = data.patient_index.astype(np.int64)
        values["final_row"] = inputs.final_row.astype(np.int64)
    if inputs.is_baseline_integrated:
        values["interval_events"] = data.events_per_interval
    if isinstance(inputs.baseline, RandomWalk) and inputs.intervals.n_intervals > 1:
        values["interval_share"] = inputs.intervals.events / inputs.intervals.events.sum()
    for name, value in inputs.baseline.parameters.items():
        values[f"baseline_{name}"] = np.float64(value)
    for name, value in inputs.treatment_prior.parameters.items():
        values[f"treatment_prior_{name}"] = np.float64(value)
    if inputs.n_covariate_terms:
        for name, value in inputs.covariate_prior.parameters.items():
            values[f"covariate_prior_{name}"] = np.float64(value)
    return {name: np.asarray(value, order="C") for name, value in values.items()}


DATA_DIMS: dict[str, tuple[str, ...]] = {
    "interval_width": ("interval",),
    "interval_share": ("interval",),
    "stop_interval": ("row",),
    "stop_within": ("row",),
    "treatment_design": ("row", "treatment_term"),
    "covariate_design": ("row", "covariate_term"),
    "entry_interval": ("row",),
    "entry_within": ("row",),
    "patient_index": ("row",),
    "final_row": ("patient",),
    "follow_up_event": ("patient",),
    "interval_events": ("interval",),
}


def build_pymc_model(inputs: ModelInputs) -> "pm.Model":
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
        treatment_effect = effect_variable(
            "treatment_effect", inputs.treatment_prior, data, "treatment"
        )
        linear_predictor = pt.dot(data["treatment_design"], treatment_effect)
        effects = [treatment_effect]
        if inputs.n_covariate_terms:
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
            linear_predictor = linear_predictor + pt.dot(data["covariate_design"], covariate_effect)
            effects.append(covariate_effect)
        pm.Deterministic(
            "log_hazard_ratio", pt.concatenate(effects) / inputs.design.scale, dims="term"
        )
        if inputs.is_baseline_integrated:
            pm.Potential(
                "integrated_log_likelihood",
                integrated_log_likelihood(linear_predictor, data),
            )
            return model
        log_hazard = baseline_variable(inputs.baseline, inputs.intervals.n_intervals, data)

        hazard = pt.exp(log_hazard)
        reached = pt.cumsum(hazard * data["interval_width"])
        start = pt.concatenate([pt.zeros(1), reached[:-1]])

        def baseline_up_to(position: str) -> Any:
            interval = data[f"{position}_interval"]
            return start[interval] + hazard[interval] * data[f"{position}_within"]

        cumulative = baseline_up_to("stop")
        if inputs.data.follow_up.is_delayed:
            cumulative = cumulative - baseline_up_to("entry")
        cumulative = cumulative * pt.exp(linear_predictor)
        at_end = log_hazard[data["stop_interval"]] + linear_predictor
        if not inputs.has_row_per_patient:
            zeros = pt.zeros_like(data["final_row"], dtype="float64")
            cumulative = pt.inc_subtensor(zeros[data["patient_index"]], cumulative)
            at_end = at_end[data["final_row"]]
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


def integrated_log_likelihood(linear_predictor: Any, data: dict[str, Any]) -> Any:
    """Log-likelihood of the effects with gamma hazards integrated out in closed form.

    With prior Gamma(a_j, b_j), D_j events and exposure S_j weighted by relative hazards,
    interval j contributes a log b - lgamma(a) + lgamma(a + D) - (a + D) log(b + S).

    References
    ----------
    Kalbfleisch (1978), J R Stat Soc B 40:214-221.
    """
    import pytensor.tensor as pt

    width, relative = data["interval_width"], pt.exp(linear_predictor)
    zeros = pt.zeros(width.shape)

    def weighted_time_up_to(position: str) -> Any:
        interval = data[f"{position}_interval"]
        count = pt.inc_subtensor(zeros[interval], relative)
        inside = pt.inc_subtensor(zeros[interval], relative * data[f"{position}_within"])
        return (pt.cumsum(count[::-1])[::-1] - count) * width + inside

    exposure = weighted_time_up_to("stop")
    if "entry_interval" in data:
        exposure = exposure - weighted_time_up_to("entry")
    rate = data["baseline_weight"] * width
    shape = rate * pt.exp(data["log_rate"])
    events = data["interval_events"]
    hazards = (
        shape * pt.log(rate)
        - pt.gammaln(shape)
        + pt.gammaln(shape + events)
        - (shape + events) * pt.log(rate + exposure)
    )
    at_end = linear_predictor[data["final_row"]] if "final_row" in data else linear_predictor
    return pt.sum(data["follow_up_event"] * at_end) + pt.sum(hazards)


def counting_process_log_density(event: Any, log_hazard_at_end: Any, cumulative: Any) -> Any:
    """Log density of what each patient's follow-up showed: d log h - H, elementwise."""
    return event * log_hazard_at_end - cumulative


def draw_event(log_hazard_at_end: Any, cumulative: Any, rng: Any = None, size: Any = None) -> Any:
    """Draw whether the event happens within each patient's observed follow-up."""
    return (rng.uniform(size=np.shape(cumulative)) < -np.expm1(-np.asarray(cumulative))).astype(
        float
    )


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
    if isinstance(prior, RandomWalk):
        if n_intervals == 1:
            level = pm.Normal("log_hazard_level", data["log_rate"], data["baseline_sd"])
            return pm.Deterministic("log_hazard", level[None], dims="interval")
        scale = pm.HalfNormal("step_scale", data["baseline_step_scale_sd"])
        step = pm.Normal("unit_step", 0.0, 1.0, dims="step")
        walk = pt.concatenate([pt.zeros(1), pt.cumsum(scale * step)])
        # The first log-hazard is level - centre. Giving it its prior through the level, which
        # the data know well and which hardly depends on the walk, is the same model with a
        # posterior that is easier to sample.
        centre = pt.sum(walk * data["interval_share"])
        level = pm.Normal("log_hazard_level", data["log_rate"] + centre, data["baseline_sd"])
        return pm.Deterministic("log_hazard", level - centre + walk, dims="interval")
    raise TypeError(f"no variables for baseline prior {prior!r}")
