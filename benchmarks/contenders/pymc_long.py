"""Poisson regression on the long table under `pm.sample` with PyMC's own NUTS."""

import time
from typing import Any

from job import Cohort, Outcome, Settings, contend, outcome_of_draws
from long_poisson import long_poisson


def load() -> None:
    """Import what the script of a user imports."""
    import pymc  # noqa: F401


def fit(cohort: Cohort, settings: Settings, previous: Any) -> Outcome:
    """Build and sample; `pm.sample` compiles anew every time."""
    import pymc as pm

    began = time.perf_counter()
    with long_poisson(cohort):
        trace = pm.sample(
            draws=settings.draws,
            tune=settings.tune,
            chains=settings.chains,
            random_seed=settings.seed,
            # without this, and with nutpie installed, PyMC would hand over to nutpie
            nuts_sampler="pymc",
            progressbar=False,
        )
    took = time.perf_counter() - began
    statistics = trace["sample_stats"]
    return outcome_of_draws(
        trace["posterior"]["effect"].values,
        seconds=took,
        seconds_sample=float(trace["posterior"].attrs["sampling_time"]),
        gradients=int(statistics["n_steps"].sum()),
        divergences=int(statistics["diverging"].sum()),
    )


if __name__ == "__main__":
    contend(load, fit)
