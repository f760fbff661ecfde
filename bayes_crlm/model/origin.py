"""Where survival curves begin: the earliest time at which enough patients are under observation.

With delayed entry nobody, or hardly anybody, is at risk at first, so that nothing can be said of
survival from 0 on. Curves then begin at an origin, and everything is given survival to it:
S(t) = P(T > t | T > origin). Times stay those of the data's scale. The origin is not a cutpoint and
changes neither prior nor likelihood.

References
----------
Klein & Moeschberger (2003), Survival Analysis, section 4.6 (left-truncated Kaplan-Meier).
"""

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.model.prepared import PreparedCohort
from bayes_crlm.words.errors import EstimandError
from bayes_crlm.words.shown import as_written
from bayes_crlm.words.wording import count_of

AT_RISK_LEAST = 10
# how long before the first entry curves may begin, as a share of the time that follows it
BEFORE_ENTRY_MOST = 0.1


def default_origin(entry: NDArray, time: NDArray) -> float:
    """Earliest time at which at least ten patients are at risk, or as many as ever are.

    Rows of one patient do not overlap, so that rows at risk together are patients.

    Parameters
    ----------
    entry, time : (rows,) ndarray
        A row is at risk from `entry` until `time`.

    Returns
    -------
    float
        0 without delayed entry.
    """
    if not np.any(entry > 0):
        return 0.0
    starts = np.unique(entry)
    at_risk = number_at_risk_from(entry, time, starts)
    enough = at_risk >= min(AT_RISK_LEAST, int(at_risk.max()))
    return float(starts[np.argmax(enough)])


def number_at_risk_from(entry: NDArray, time: NDArray, when: NDArray) -> NDArray[np.intp]:
    """Rows at risk from each time on: entered at it or before, and ending after it."""
    entered = np.searchsorted(np.sort(entry), when, side="right")
    left = np.searchsorted(np.sort(time), when, side="right")
    return entered - left


def check_origin(origin: float | None, inputs: PreparedCohort) -> float:
    """Give the origin of a cohort's curves, its default where none is asked for.

    Parameters
    ----------
    origin : float or None
        A time on the data's scale.
    inputs : PreparedCohort
        The cohort as the model sees it.

    Raises
    ------
    EstimandError
        When it is not a time within follow-up, or lies long before anybody was at risk.
    """
    cohort = inputs.cohort
    if origin is None:
        return default_origin(cohort.entry, cohort.time)
    end = float(inputs.intervals.cutpoints[-1])
    return origin_before(origin, end, float(cohort.entry.min()))


def origin_before(origin: float, end: float, first: float = 0.0) -> float:
    """Refuse an origin outside follow-up, or long before the first entry.

    A study that people could enter from 50 on may have its first entry at 50.1, and curves from 50
    on are what is asked. Curves from birth would be invented: more than a tenth of the time from
    the first entry to the end is refused.

    Parameters
    ----------
    origin : float
        A time on the data's scale.
    end : float
        The end of follow-up.
    first : float
        The first entry.
    """
    is_number = isinstance(origin, int | float | np.number) and not isinstance(origin, bool)
    if not (is_number and 0 <= origin < end):
        raise EstimandError(
            f"origin: {origin!r} lies outside follow-up; give a time from 0 to below "
            f"{as_written(end)}"
        )
    if first - origin > BEFORE_ENTRY_MOST * (end - first):
        raise EstimandError(
            f"origin: {origin!r} lies long before the first entry, at {as_written(first)}: nobody "
            f"was at risk then; give a time from {as_written(first)} to below {as_written(end)}"
        )
    return float(origin)


def given_survival(origin: float, unit: str | None) -> str:
    """Say what estimands are conditional on; nothing for an origin of 0."""
    return f"given survival to {as_written(origin)} {unit or 'time units'}" if origin > 0 else ""


def origin_cautions(origin: float, inputs: PreparedCohort) -> list[str]:
    """Say what a reader should know of where the curves begin.

    Intervals in which nobody is at risk are said with the intervals.

    Returns
    -------
    list of str
        That curves are given survival to the origin, and that nobody is at risk between the origin
        and the first entry.
    """
    cohort = inputs.cohort
    unit, phrases = cohort.unit or "time units", []
    first = float(cohort.entry.min())
    if origin > 0:
        when = np.array([origin])
        n_at_risk = int(number_at_risk_from(cohort.entry, cohort.time, when)[0])
        phrases.append(
            f"survival, its median and restricted means are given survival to "
            f"{as_written(origin)} {unit}, "
            f"where curves begin with {count_of(n_at_risk, 'patient')} at risk"
        )
    if first > origin:
        phrases.append(
            f"nobody is at risk before {as_written(first)} {unit}: survival from "
            f"{as_written(origin)} to there, and every later number that depends on it, comes from "
            "the model and its prior alone"
        )
    return phrases
