"""Poisson regression on the long table under nutpie's default path, compiled by Numba."""

import time
from typing import Any

from job import Cohort, Outcome, Settings, contend, outcome_of_draws
from long_poisson import data_of, long_poisson


def load() -> None:
    """Import what the script of a user imports."""
    import nutpie  # noqa: F401
    import pymc  # noqa: F401


def fit(cohort: Cohort, settings: Settings, previous: Any) -> Outcome:
    """Compile once and sample; a refit exchanges the data of the compiled model."""
    import nutpie

    began = time.perf_counter()
    if previous is None:
        compiled = nutpie.compile_pymc_model(long_poisson(cohort))
    else:
        compiled = previous.with_data(**data_of(cohort))
    compiled_at = time.perf_counter()
    trace = nutpie.sample(
        compiled,
        draws=settings.draws,
        tune=settings.tune,
        chains=settings.chains,
        seed=settings.seed,
        progress_bar=False,
        save_warmup=False,
    )
    ended = time.perf_counter()
    statistics = trace["sample_stats"]
    return outcome_of_draws(
        trace["posterior"]["effect"].values,
        seconds=ended - began,
        seconds_sample=ended - compiled_at,
        gradients=int(statistics["n_steps"].sum()),
        divergences=int(statistics["diverging"].sum()),
        reusable=compiled,
    )


if __name__ == "__main__":
    contend(load, fit)
