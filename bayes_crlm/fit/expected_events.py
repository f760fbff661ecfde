"""Events that the model expects of each arm in each interval, beside those observed.

Given the time that rows spend at risk, the expected number is exact whatever changes from row to
row, and no event has to be predicted: of a row it is its cumulative hazard. Arms whose hazards
cross show more events than expected in some intervals and fewer in others.

References
----------
Aalen, Borgan & Gjessing (2008), Survival and Event History Analysis, section 4.1 (martingale
residuals); Gelman, Meng & Stern (1996), Statistica Sinica 6:733-760 (predictive checks).
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.likelihood.follow_up import exposure_per_interval
from bayes_crlm.likelihood.hazard_table import LogHazards
from bayes_crlm.likelihood.risk_sums import row_exposures
from bayes_crlm.model.profiles import profiles_of
from bayes_crlm.tasks.streams import Stream, random_stream

if TYPE_CHECKING:
    from bayes_crlm.fit.draws import PosteriorDraws
    from bayes_crlm.model.prepared import PreparedCohort

LIMITS = (0.025, 0.975)
# draws times rows that are worked on in all, and rows at a time
MOST_ENTRIES, ROWS_AT_A_TIME = 2**22, 2**12
FEWEST_DRAWS = 200
# a count beyond which NumPy draws none; no cohort has so many patients
MOST_EXPECTED = 1e15


def expected_events(fit: "PosteriorDraws") -> list[dict[str, Any]]:
    """Observed and expected events of every treatment level in every interval.

    Parameters
    ----------
    fit : PosteriorDraws
        A fitted model. Of large cohorts some of its draws are used, at least 200 of them.

    Returns
    -------
    list of dict
        treatment, interval, from, to, exposure, observed, expected (posterior mean),
        eti95_low, eti95_high: where 95% of the counts lie that the model predicts for this time at
        risk.
    """
    inputs = fit.inputs
    design, intervals = inputs.design, inputs.intervals
    n_draws = len(fit.effect_draws)
    used = max(FEWEST_DRAWS, MOST_ENTRIES // inputs.data.follow_up.n_rows)
    some = slice(None, None, max(1, n_draws // used))
    at = fit.hazards.draws(some)
    rng = random_stream(fit.seed, Stream.EXPECTED_EVENTS)
    rows = []
    for k, level in enumerate(design.levels):
        here = design.treatment_level == k
        expected = expected_by_interval(inputs, np.flatnonzero(here), at)
        low, high = np.quantile(
            rng.poisson(np.minimum(expected, MOST_EXPECTED)), LIMITS, axis=0, method="nearest"
        )
        exposure = exposure_per_interval(inputs.data.follow_up, here.astype(float))
        observed = np.bincount(
            inputs.data.follow_up.stop_interval[here],
            weights=inputs.data.event[here],
            minlength=intervals.n_intervals,
        )
        mean = expected.mean(axis=0)
        rows += [
            {
                "treatment": level,
                "interval": j + 1,
                "from": float(intervals.cutpoints[j]),
                "to": float(intervals.cutpoints[j + 1]),
                "exposure": float(exposure[j]),
                "observed": int(observed[j]),
                "expected": float(mean[j]),
                "eti95_low": int(low[j]),
                "eti95_high": int(high[j]),
            }
            for j in range(intervals.n_intervals)
        ]
    return rows


def expected_by_interval(
    inputs: "PreparedCohort", rows: NDArray[np.intp], at: LogHazards
) -> NDArray[np.float64]:
    """Sum over rows of their cumulative hazard in every interval, shape (draws, intervals)."""
    total = np.zeros(at.log_hazard.shape)
    for first in range(0, len(rows), ROWS_AT_A_TIME):
        part = rows[first : first + ROWS_AT_A_TIME]
        profiles = profiles_of(inputs.data, part)
        relative = profiles.relative_hazard(at)
        for each, places in profiles.by_class():
            exposure = row_exposures(inputs.data.follow_up, part[places])
            total += np.exp(at.cells[:, each]) * (relative[:, places] @ exposure)
    return total
