"""The survival model as a Poisson regression on the long table, written in PyMC.

One row for every interval in which a patient is at risk; log-exposure is an offset. This is the
way of PyMC's example gallery (Rochford & Fonnesbeck, Bayesian Survival Analysis), with the
priors of the job.
"""

from typing import Any

from job import BASELINE_SD, EFFECT_SD, Cohort


def long_poisson(cohort: Cohort) -> Any:
    """Write the model down as a `pm.Model`; everything of the cohort is `pm.Data`."""
    import pymc as pm

    with pm.Model() as model:
        data = {name: pm.Data(name, value) for name, value in data_of(cohort).items()}
        log_hazard = pm.Normal(
            "log_hazard", data["log_rate"], BASELINE_SD, shape=len(cohort.cutpoints) - 1
        )
        effect = pm.Normal("effect", 0.0, EFFECT_SD, shape=len(cohort.columns))
        log_mean = (
            log_hazard[data["interval"]]
            + pm.math.dot(data["design"], effect)
            + data["log_exposure"]
        )
        pm.Poisson("observed", pm.math.exp(log_mean), observed=data["event"])
    return model


def data_of(cohort: Cohort) -> dict[str, Any]:
    """Everything of a cohort that enters the model."""
    return cohort.long_table() | {"log_rate": cohort.log_rate}
