"""What becomes of rows without time at risk, in which a row ends where it begins.

Nobody is at risk in such a row, so that it says nothing of the hazard; but it may hold the event.
An event belongs to the row that ends with it: covariates are those that a patient had until then.
So where another row of the patient ends at that time, the event is that row's. Where none does,
the event has no place, and its patient cannot stay in the cohort as one who lived on.
"""

from dataclasses import replace
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.cohort.eligibility import Dropped
from bayes_crlm.cohort.outcome.follow_up import FollowUp
from bayes_crlm.words.shown import as_written
from bayes_crlm.words.wording import count_of, shown

Settled = tuple[FollowUp, NDArray[np.bool], tuple[Dropped, ...], list[str]]


def zero_problems(given: Any) -> list[str]:
    """Say why a value of `zero_times` is none."""
    if given in ("error", "drop") and isinstance(given, str):
        return []
    is_number = isinstance(given, Real) and not isinstance(given, bool | np.bool)
    if is_number and 0 < float(given) < np.inf:
        return []
    return [f'zero_times must be "error", "drop" or a number above 0, not {shown(given)}']


def settle_zeros(zero_times: str | float, follow_up: FollowUp) -> Settled:
    """Drop rows without width, or give them one.

    Returns
    -------
    follow_up : FollowUp
        Of all rows.
    keep : (rows,) bool
    dropped : tuple of Dropped
    remarks : list of str
    """
    is_zero = follow_up.time == follow_up.entry
    if not is_zero.any():
        return follow_up, np.ones(len(is_zero), dtype=bool), (), []
    if zero_times == "drop":
        return dropped_zeros(is_zero, follow_up)
    return widened_zeros(float(zero_times), is_zero, follow_up)


def dropped_zeros(is_zero: NDArray[np.bool], follow_up: FollowUp) -> Settled:
    """Leave rows without width out, and say what became of the events in them."""
    times, patient_index = follow_up.time, follow_up.patient_index
    wide = np.flatnonzero(~is_zero)
    ends = {(int(patient_index[k]), float(times[k])): k for k in wide.tolist()}
    holds = np.flatnonzero(is_zero & (follow_up.event > 0))
    place = np.array(
        [ends.get((int(patient_index[k]), float(times[k])), -1) for k in holds], dtype=np.intp
    )
    events = follow_up.event.copy()
    events[place[place >= 0]] = 1
    n_moved, lost = int((place >= 0).sum()), holds[place < 0]
    keep = ~is_zero & ~(np.isin(patient_index, patient_index[lost]) & (patient_index >= 0))
    gone = len(np.unique(patient_index)) - len(np.unique(patient_index[keep]))
    n_rows = int((~keep).sum())
    reason = f'no time at risk, zero_times = "drop" ({len(lost)} of them with the event)'
    remarks = []
    if n_moved:
        remarks.append(
            f"{count_of(n_moved, 'row')} without time at risk "
            f"{'holds' if n_moved == 1 else 'hold'} the event: it is counted in the patient's row "
            "that ends at the same time, whose covariates the patient had until then"
        )
    if len(lost):
        n_events = len(lost) + int((events[keep] > 0).sum())
        remarks.append(
            f'zero_times = "drop" leaves out {len(lost)} of {n_events} events, with every row of '
            f"{'that patient' if len(lost) == 1 else 'those patients'}: survival is then that "
            "of patients who lived longer, and looks better than that of all; to keep them, give "
            "zero_times as a time, half of the smallest unit of the times for example"
        )
    return replace(follow_up, event=events), keep, (Dropped(reason, gone, n_rows),), remarks


def widened_zeros(width: float, is_zero: NDArray[np.bool], follow_up: FollowUp) -> Settled:
    """Give rows without width one.

    A row without width or event that another row of its patient goes on from is left out: given a
    width it would lie over that row.
    """
    is_between = is_zero & (follow_up.event == 0) & goes_on(follow_up)
    between = int(is_between.sum())
    given, said = int(is_zero.sum()) - between, []
    if given:
        with_events = f"{int(follow_up.event[is_zero].sum())} of them with the event"
        said.append(
            f"{count_of(given, 'row')} without time at risk ({with_events}) "
            f"{'was' if given == 1 else 'were'} given {as_written(width)}, as zero_times says"
        )
    if between:
        said.append(
            f"{count_of(between, 'row')} without time at risk, where another row of the "
            f"patient continues, {'was' if between == 1 else 'were'} left out: nobody is at risk "
            "in such a row"
        )
    times = np.where(is_zero, follow_up.entry + width, follow_up.time)
    return replace(follow_up, time=times), ~is_between, (), said


def goes_on(follow_up: FollowUp) -> NDArray[np.bool]:
    """Whether a row of the same patient with width, or with the event, begins where a row ends.

    Returns
    -------
    (rows,) bool
        Meant for rows without width and event.
    """
    entries, times, whose = follow_up.entry, follow_up.time, follow_up.patient_index
    followed = (times > entries) | (follow_up.event > 0)
    begins = set(zip(whose[followed].tolist(), entries[followed].tolist(), strict=True))
    ends = zip(whose.tolist(), times.tolist(), strict=True)
    return np.fromiter((each in begins for each in ends), dtype=bool, count=len(times))
