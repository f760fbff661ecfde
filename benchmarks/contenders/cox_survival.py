"""Cox regression by `survival.coxph`."""

import time
from typing import Any

import numpy as np
from job import Cohort, Outcome, Settings, contend


def load() -> None:
    """Import what the script of a user imports."""
    import survival  # noqa: F401


def fit(cohort: Cohort, settings: Settings, previous: Any) -> Outcome:
    """Fit with Efron's ties, the default."""
    import survival

    columns = cohort.columns
    table: dict[str, Any] = {"time": cohort.time, "event": cohort.event}
    table |= {name: cohort.design[:, k] for k, name in enumerate(columns)}
    began = time.perf_counter()
    fitted = survival.coxph(f"Surv(time, event) ~ {' + '.join(columns)}", data=table)
    took = time.perf_counter() - began
    return Outcome(
        mean=np.asarray(fitted.coefficients, dtype=float),
        sd=np.sqrt(np.diag(np.asarray(fitted.var, dtype=float))),
        seconds=took,
    )


if __name__ == "__main__":
    contend(load, fit)
