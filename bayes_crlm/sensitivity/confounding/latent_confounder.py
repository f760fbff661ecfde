"""The hazard ratio when an unmeasured binary confounder is part of the model.

Patient i carries a confounder U_i that nobody measured, with a probability that depends on the
strategy; U multiplies the hazard by exp(gamma) throughout follow-up. Summing over both values of
U gives the likelihood

    L_i = (1 - p_a) exp(l_i(0)) + p_a exp(l_i(1)),    a: the patient's strategy              (1)

with l_i(u) the piecewise-exponential log-likelihood of all rows of patient i when U_i = u. Unlike
the bias formula of `bayes_crlm.sensitivity.tipping_points`, (1) knows that carriers of a harmful
confounder die first, and carries the uncertainty of gamma and p into the hazard ratio. The data
hardly speak of gamma and p: what comes out rests on their priors, and has to.

References
----------
Lin, Psaty & Kronmal (1998), Biometrics 54:948-963; McCandless, Gustafson & Levy (2007), Stat
Med 26:2331-2347; Groenwold, Nelson, Nichol, Hoes & Hak (2010), Int J Epidemiol 39:107-117.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.weighted import quantiles
from bayes_crlm.model.prepared import PreparedCohort
from bayes_crlm.model.priors import HALF_WIDTH_95
from bayes_crlm.sensitivity.extended_model import ExtendedFit, without_integration
from bayes_crlm.words.errors import SensitivityError
from bayes_crlm.words.records import record
from bayes_crlm.words.shown import as_written

if TYPE_CHECKING:
    import pymc as pm

Limits = tuple[float, float]


@record
class ConfounderPrior:
    """What is believed of a confounder that nobody measured.

    Attributes
    ----------
    hazard_ratio : (low, high)
        2.5% and 97.5% points of its hazard ratio with the event; log-normal. Equal ones fix it.
    prevalence : tuple of (low, high)
        2.5% and 97.5% points of the share that carries it when follow-up begins, on every
        treatment level, the reference first; logit-normal. Equal ones fix it.

    Raises
    ------
    SensitivityError
        For limits in the wrong order, or out of range.
    """

    hazard_ratio: Limits
    prevalence: tuple[Limits, ...]

    def __post_init__(self) -> None:
        """Refuse impossible limits."""
        for what, most, range_of, limits in (
            ("hazard ratio", math.inf, "above 0", (self.hazard_ratio,)),
            ("prevalence", 1.0, "between 0 and 1", self.prevalence),
        ):
            for low, high in limits:
                if not 0 < low <= high < most:
                    raise SensitivityError(
                        f"the confounder's {what} from {as_written(low)} to {as_written(high)} is "
                        f"impossible; give limits {range_of}, the lower one first"
                    )

    @property
    def log_hazard_ratio(self) -> tuple[float, float]:
        """Mean and standard deviation of the log hazard ratio."""
        return normal_between(*(math.log(limit) for limit in self.hazard_ratio))

    @property
    def logit_prevalence(self) -> NDArray[np.float64]:
        """Means and standard deviations of the logits, shape (2, levels)."""
        return np.array(
            [
                normal_between(*(math.log(limit / (1 - limit)) for limit in limits))
                for limits in self.prevalence
            ]
        ).T


def normal_between(low: float, high: float) -> tuple[float, float]:
    """Mean and standard deviation of the normal with these 2.5% and 97.5% points."""
    return (low + high) / 2, (high - low) / (2 * HALF_WIDTH_95)


@record(eq=False)
class LatentConfounderFit(ExtendedFit):
    """Posterior of the model with a latent confounder; its hazard ratios are free of it."""

    @property
    def confounder(self) -> dict[str, Any]:
        """Posterior of the confounder's own hazard ratio (`hazard_ratio`) and prevalences.

        `prevalence` has one of every treatment level: `treatment`, `median`, `eti95`.
        """
        posterior = self.posterior["posterior"].to_dataset()
        shares = posterior["prevalence"].values
        return {
            "hazard_ratio": spread_of(np.exp(posterior["confounder_log_hazard_ratio"].values)),
            "prevalence": [
                {"treatment": level} | spread_of(shares[..., k])
                for k, level in enumerate(self.inputs.design.levels)
            ],
        }


def fit_latent_confounder(
    inputs: PreparedCohort, prior: ConfounderPrior, **sampling: Any
) -> LatentConfounderFit:
    """Fit a model that has an unmeasured binary confounder in it.

    Parameters
    ----------
    inputs : PreparedCohort
        Cohort, intervals, design and priors of the analysis without the confounder.
    prior : ConfounderPrior
        Of the confounder; independent of the measured covariates given the treatment.
    **sampling
        `seed`, and `draws`, `tune`, `chains`, `progress` of
        `bayes_crlm.inference.pymc_sampling.sample_model`.

    Returns
    -------
    LatentConfounderFit
        Sampled once more with smaller steps when transitions diverged.

    Raises
    ------
    SensitivityError
        For prevalences that are not one a treatment level, or a treatment that changes within
        patients.
    """
    inputs = without_integration(inputs)
    return LatentConfounderFit.sample(
        build_latent_confounder(inputs, prior),
        inputs,
        ["confounder_unit_effect", "confounder_unit_prevalence"],
        structure=("latent confounder", inputs.has_row_per_patient),
        **sampling,
    )


def spread_of(values: NDArray) -> dict[str, Any]:
    """Median and 95% interval of draws."""
    low, median, high = quantiles(values.ravel()).tolist()
    return {"median": median, "eti95": [low, high]}


def build_latent_confounder(inputs: PreparedCohort, prior: ConfounderPrior) -> "pm.Model":
    """Write down the model with a latent confounder, marginalised patient by patient.

    Prior parameters of the confounder are `pm.Data`: any other prior reuses what was compiled.
    A confounder's parameter with equal limits is fixed, its unit variable then moves nothing.
    """
    import pymc as pm
    import pytensor.tensor as pt

    from bayes_crlm.model.pymc_blocks import hazard_variables
    from bayes_crlm.model.pymc_model import (
        column_names,
        linear_predictor_of,
        model_data,
        patient_hazards,
    )

    levels = inputs.design.levels
    check_prevalences(prior, levels)
    labels: dict[str, Any] = {name: each for name, each in inputs.coords().items() if each}
    labels["level"] = [str(each) for each in levels]
    with pm.Model(coords=labels) as model:
        data: dict[str, Any] = {
            name: pm.Data(name, value) for name, value in model_data(inputs).items()
        }
        log_ratio_mean, log_ratio_sd = (
            pm.Data(f"confounder_prior_{name}", value)
            for name, value in zip(("mean", "sd"), prior.log_hazard_ratio, strict=True)
        )
        logit_mean, logit_sd = (
            pm.Data(f"prevalence_prior_{name}", value)
            for name, value in zip(("mean", "sd"), prior.logit_prevalence, strict=True)
        )
        level = pm.Data("patient_level", patient_levels(inputs).astype(np.int64))
        at = hazard_variables(inputs.block_model, data)
        linear_predictor = linear_predictor_of(at, data, column_names(inputs))
        scale = pm.Data("design_scale", inputs.design.scale)
        pm.Deterministic("log_hazard_ratio", at.effect / scale, dims="term")
        at_end, cumulative = patient_hazards(linear_predictor, at.cells, data)
        unit_effect = pm.Normal("confounder_unit_effect", 0.0, 1.0)
        unit_prevalence = pm.Normal("confounder_unit_prevalence", 0.0, 1.0, dims="level")
        log_ratio = pm.Deterministic(
            "confounder_log_hazard_ratio", log_ratio_mean + log_ratio_sd * unit_effect
        )
        logit = logit_mean + logit_sd * unit_prevalence
        pm.Deterministic("prevalence", pt.sigmoid(logit), dims="level")
        # of a level and not of each of its patients, of whom there are many
        log_share, log_rest = -pt.softplus(-logit), -pt.softplus(logit)
        pm.CustomDist(
            "event",
            at_end,
            cumulative,
            log_ratio,
            log_share[level],
            log_rest[level],
            logp=marginal_log_density,
            observed=data["follow_up_event"],
            dims="patient",
        )
    return model


def marginal_log_density(
    event: Any,
    log_hazard_at_end: Any,
    cumulative: Any,
    log_ratio: Any,
    log_share: Any,
    log_rest: Any,
) -> Any:
    """Log of equation (1) for every patient, the confounder summed out."""
    import pytensor.tensor as pt

    from bayes_crlm.model.pymc_model import counting_process_log_density

    carried = log_hazard_at_end + log_ratio, pt.exp(log_ratio) * cumulative
    return pt.logaddexp(
        log_rest + counting_process_log_density(event, log_hazard_at_end, cumulative),
        log_share + counting_process_log_density(event, *carried),
    )


def check_prevalences(prior: ConfounderPrior, levels: Sequence[Any]) -> None:
    """Refuse prevalences that are not one for every treatment level."""
    if len(prior.prevalence) != len(levels):
        raise SensitivityError(
            f"the confounder has {len(prior.prevalence)} prevalences, but the treatment has "
            f"{len(levels)} levels ({', '.join(repr(level) for level in levels)}); give one each"
        )


def patient_levels(inputs: PreparedCohort) -> NDArray[np.intp]:
    """Treatment level of every patient, shape (patients,).

    Raises
    ------
    SensitivityError
        When the treatment changes within a patient: its prevalence would then be of nobody.
    """
    design, index = inputs.design, inputs.data.patient_index
    level = design.treatment_level[design.first_row]
    changing = np.unique(index[design.treatment_level != level[index]])
    if len(changing):
        raise SensitivityError(
            f"treatment {design.treatment!r} changes within {len(changing)} of "
            f"{inputs.data.n_patients} patients; a latent confounder whose prevalence depends on "
            "the treatment needs one level a patient, so give the level that a patient is "
            "classified by"
        )
    return level
