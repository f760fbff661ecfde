"""The package, through its Python interface."""

import time
from functools import partial
from typing import Any

from job import Cohort, Outcome, Settings, contend, outcome_of_draws


def load(engine: str) -> None:
    """Import what the engine needs, as every contender does before its time to compile counts."""
    import pandas  # noqa: F401

    import bayes_crlm  # noqa: F401

    if engine == "nuts":
        from bayes_crlm.inference.native.nutpie_part import compiled_part

        compiled_part()


def fit(cohort: Cohort, settings: Settings, previous: Any, *, engine: str) -> Outcome:
    """Fit as a user does; a refit is another call."""
    import pandas as pd

    import bayes_crlm

    columns = cohort.columns
    table = pd.DataFrame(cohort.x, columns=columns)
    table["treatment"] = table["treatment"].astype("int8")
    table["time"], table["event"] = cohort.time, cohort.event
    model = bayes_crlm.PiecewiseExponential(
        treatment="treatment",
        reference=0,
        covariates=" + ".join(columns[1:]),
        cutpoints=list(cohort.inner_cutpoints),
        baseline="independent",
    )
    read = bayes_crlm.read_cohort(table, time="time", event="event")
    began = time.perf_counter()
    fitted = model.fit(
        read,
        engine=engine,
        chains=settings.chains,
        tune=settings.tune,
        draws=settings.draws,
        seed=settings.seed,
    )
    took = time.perf_counter() - began
    draws = fitted.effect_draws.reshape(settings.chains, settings.draws, -1)
    others: dict[str, Any] = {}
    if fitted.engine == "nuts":
        others["gradients"] = int(fitted.statistics["n_steps"].sum())
        others["divergences"] = int(fitted.statistics["diverging"].sum())
    if fitted.importance is not None:
        others["effective_draws"] = float(fitted.importance.ess)
    return outcome_of_draws(
        draws,
        # packages that the fit imports for itself are no part of compiling and sampling
        seconds=took - fitted.seconds.get("import", 0.0),
        seconds_sample=fitted.seconds["sample"],
        note=None if fitted.engine == engine else f"escalated to {fitted.engine}",
        **others,
    )


def main(engine: str) -> None:
    """Do the job with one engine."""
    contend(partial(load, engine), partial(fit, engine=engine))
