"""Cox regression by lifelines."""

import time
from typing import Any

from job import Cohort, Outcome, Settings, contend


def load() -> None:
    """Import what the script of a user imports."""
    import lifelines  # noqa: F401
    import pandas  # noqa: F401


def fit(cohort: Cohort, settings: Settings, previous: Any) -> Outcome:
    """Fit with lifelines' defaults."""
    import pandas as pd
    from lifelines import CoxPHFitter

    table = pd.DataFrame(cohort.design, columns=cohort.columns)
    table["time"], table["event"] = cohort.time, cohort.event
    began = time.perf_counter()
    fitted = CoxPHFitter().fit(table, duration_col="time", event_col="event")
    took = time.perf_counter() - began
    return Outcome(
        mean=fitted.params_.to_numpy(),
        sd=fitted.standard_errors_.to_numpy(),
        seconds=took,
    )


if __name__ == "__main__":
    contend(load, fit)
