"""Times that were rounded: finding their unit, saying what it costs, and drawing them within it.

Times given in whole months or years are ties that were none. The likelihood of a hazard takes an
event in the middle of a year to be at its end; that pulls hazard ratios towards 1 and moves the
survival curve, by as much as the unit is long beside the median survival. Drawing each time once
within its unit takes that away.

References
----------
Heitjan & Rubin (1991), Ann Stat 19:2244-2253 (coarsened data).
"""

from collections.abc import Mapping
from dataclasses import replace
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.cohort.outcome.follow_up import FollowUp
from bayes_crlm.tasks.streams import own_stream
from bayes_crlm.words.records import record
from bayes_crlm.words.shown import as_written, significant, whole_percent
from bayes_crlm.words.wording import did_you_mean, shown

if TYPE_CHECKING:
    import pandas as pd


Floats = NDArray[np.float64]

TO = ("nearest", "up", "down")
CAUTION, DISTRUST = 0.1, 0.25
"""Shares of the median survival from which on a unit is told, and the curve not to be trusted."""
MOST_PARTS = 12
"""The smallest gap between times may be so many units."""
COMMON = 0.95
"""Share of rows that are multiples of a unit; the others were perhaps replaced by hand."""
FEWEST_ROWS = 20
"""Fewer rows may share a unit by chance."""
FEWEST_TIMES = 5
"""Fewer times after the first may be multiples of twice the unit by chance."""
ROUNDING = 1e-6


@record
class Rounding:
    """How times were rounded when they were written down.

    Attributes
    ----------
    unit : float
        In the cohort's unit: 1 for whole months where the unit is months.
    to : {"nearest", "up", "down"}
        Which multiple of the unit was written down.
    """

    unit: float
    to: Literal["nearest", "up", "down"]

    @classmethod
    def of(cls, given: object) -> "Rounding":
        """Take a mapping with unit and to.

        Raises
        ------
        ValueError
            One sentence.
        """
        if isinstance(given, Rounding):
            return given
        if not isinstance(given, Mapping):
            raise ValueError(
                f'rounded must say unit and to, such as {{unit = 1, to = "nearest"}}, not '
                f"{shown(given)}"
            )
        for key in given:
            if key not in ("unit", "to"):
                raise ValueError(
                    f"rounded: {shown(key)} is not a part of it; "
                    f"{did_you_mean(key, ('unit', 'to'))}"
                )
        unit, to = given.get("unit"), given.get("to")
        is_number = isinstance(unit, Real) and not isinstance(unit, bool | np.bool)
        if not is_number or not 0 < float(unit) < np.inf:
            raise ValueError(f"rounded.unit must be a number above 0, not {shown(unit)}")
        if to not in TO:
            raise ValueError(
                f"rounded.to must be one of {', '.join(map(repr, TO))}, not {shown(to)}"
            )
        return cls(float(unit), to)

    def to_mapping(self) -> dict[str, Any]:
        """Write it as a spec does."""
        return {"unit": self.unit, "to": self.to}

    @property
    def range(self) -> tuple[float, float]:
        """Where the true time may lie, from the written one."""
        return {
            "nearest": (-self.unit / 2, self.unit / 2),
            "up": (-self.unit, 0.0),
            "down": (0.0, self.unit),
        }[self.to]


@record
class RoundedTimes:
    """The unit to which a cohort's times are rounded, beside its median survival.

    Attributes
    ----------
    unit : float
        In the cohort's unit.
    median : float
        Median survival by Kaplan-Meier; the longest follow-up where the curve stays above 1/2.
    """

    unit: float
    median: float

    @property
    def share(self) -> float:
        """The unit as a share of the median survival."""
        return self.unit / self.median

    @property
    def is_coarse(self) -> bool:
        """Whether the unit is long enough to matter."""
        return self.share >= CAUTION * (1 - 1e-9)

    @property
    def is_too_coarse(self) -> bool:
        """Whether the survival curve is not to be trusted."""
        return self.share >= DISTRUST * (1 - 1e-9)

    def in_words(self, unit: str | None) -> str:
        """Say what the rounding does to the results, and what to write."""
        name = unit or "time units"
        phrase = (
            f"times look rounded to {as_written(self.unit)} {name}, {whole_percent(self.share)} of "
            f"the median survival of {significant(self.median, 4)} {name}: "
        )
        phrase += (
            "do not trust the survival curve, and expect a hazard ratio that is biased towards 1"
            if self.is_too_coarse
            else "the hazard ratio is biased slightly towards 1, and the survival curve is off by "
            "a few hundredths"
        )
        return (
            f'{phrase}; with data.rounded = {{unit = {as_written(self.unit)}, to = "nearest"}} (or '
            '"up", "down") each time is drawn once within its unit'
        )


def unit_of_times(times: Floats) -> float | None:
    """Find the longest unit of which nearly all times are multiples.

    The first time does not count where it is shorter than the unit of all others: times of 0 that
    were given a width stand there, however many they are.

    Parameters
    ----------
    times : (n,) float
        Above 0.

    Returns
    -------
    float or None
        None where times have no common unit that could be told from chance.
    """
    distinct, counts = np.unique(times, return_counts=True)
    unit = _common_unit(distinct, counts)
    if len(distinct) <= FEWEST_TIMES:
        return unit
    of_later = _common_unit(distinct[1:], counts[1:])
    shorter = distinct[0] if unit is None else max(unit, distinct[0])
    return of_later if of_later is not None and of_later > shorter * (1 + ROUNDING) else unit


def _common_unit(distinct: Floats, counts: NDArray[np.intp]) -> float | None:
    """Find the unit of all times, the first included."""
    n_rows = int(counts.sum())
    if n_rows < FEWEST_ROWS:
        return None
    # each of a million different times is not a multiple of anything
    if len(distinct) > n_rows / 2 and len(distinct) > 2000:
        gap = np.diff(distinct[:2000]).min()
    else:
        gap = np.diff(np.concatenate([[0.0], distinct])).min()
    for parts in range(1, MOST_PARTS + 1):
        multiple = distinct / (gap / parts)
        whole = np.round(multiple)
        if np.abs(multiple - whole).max() > 1e-3 or whole[-1] > 1e7:
            continue
        common = int(np.gcd.reduce(whole.astype(np.int64)))
        base = _refined(distinct, whole / common)
        return base * _usual_multiple(np.round(whole / common).astype(np.int64), counts)
    return None


def _refined(times: Floats, multiple: Floats) -> float:
    """The unit that fits all multiples best, written short where it can be."""
    unit = float(times @ multiple / (multiple @ multiple))
    return float(f"{unit:.6g}") if abs(float(f"{unit:.6g}") - unit) < 1e-7 * unit else unit


def _usual_multiple(multiple: NDArray[np.int64], counts: NDArray[np.intp]) -> int:
    """The largest number of units of which nearly all rows are multiples: 0.5 beside 1, 2, 3."""
    total, most = counts.sum(), int(multiple.max())
    # rows by multiple, where that is not a long array of zeros: every n-th entry is soon added up
    rows = np.bincount(multiple, weights=counts) if most <= 10 * len(multiple) else None
    for number in range(min(most, 400), 1, -1):
        whole = counts[multiple % number == 0] if rows is None else rows[::number]
        if whole.sum() >= COMMON * total:
            return number
    return 1


def sample_within_unit[Rows: FollowUp](
    rounding: Rounding, seed: int, follow_up: Rows, table: "pd.DataFrame"
) -> tuple[Rows, int]:
    """Draw every patient's times once within their unit.

    All times of a patient move together, so that rows keep their order and still join; the origin
    stays, and no time moves to it or beyond.

    Parameters
    ----------
    rounding : Rounding
        The unit, and how times were rounded to it.
    seed : int
        Of the draws: the same seed gives the same times.
    follow_up : FollowUp
        As it is in the file.
    table : pandas.DataFrame
        Its rows, which say in which order patients get their draws; that of the rows means nothing.

    Returns
    -------
    follow_up : FollowUp
        With the times that were drawn.
    moved : int
        How many patients' times moved.
    """
    entry, time, whose = follow_up.entry, follow_up.time, follow_up.patient_index
    order = order_of_patients(table, whose, [time, follow_up.event, entry])
    n_patients = len(order)
    low, high = rounding.range
    least = np.full(n_patients, np.inf)
    np.minimum.at(least, whose, np.where(entry > 0, np.minimum(entry, time), time))
    for each in (follow_up.start, follow_up.censoring_end):
        if each is not None:
            np.minimum.at(least, whose, np.where(each > 0, each, np.inf))
    # an open range: a time of 0 that was rounded down from less than half a unit is above 0
    from_here = np.maximum(low, -least)
    uniform = np.empty(n_patients)
    uniform[order] = own_stream(seed).random(n_patients)
    # random() may be 0 exactly, which would put a time on the edge of its range
    uniform = np.maximum(uniform, 2.0**-53)
    move = np.where(from_here < high, from_here + uniform * (high - from_here), 0.0)
    moves = move[whose]

    def moved(times: Floats | None) -> Floats | None:
        return None if times is None else np.where(times > 0, times + moves, times)

    drawn = replace(
        follow_up,
        entry=np.where((entry > 0) | joins_at_zero(entry, time, whose), entry + moves, entry),
        time=time + moves,
        start=moved(follow_up.start),
        censoring_end=moved(follow_up.censoring_end),
    )
    return drawn, int(np.count_nonzero(move))


def joins_at_zero(entry: Floats, time: Floats, patient_index: NDArray[np.intp]) -> NDArray[np.bool]:
    """Which rows begin where an earlier row of the patient ends, at a time that was rounded to 0.

    Parameters
    ----------
    entry, time : (rows,) float
        As they were written.
    patient_index : (rows,) int
        Whose row it is.

    Returns
    -------
    (rows,) bool
    """
    ends_at_zero = np.zeros(int(patient_index.max(initial=0)) + 1, dtype=bool)
    ends_at_zero[patient_index[time == 0]] = True
    return (entry == 0) & (time > 0) & ends_at_zero[patient_index]


def order_of_patients(
    table: "pd.DataFrame", patient_index: NDArray[np.intp], keys: list[NDArray[Any]]
) -> NDArray[np.intp]:
    """Put patients in an order that does not depend on that of the rows.

    Parameters
    ----------
    table : pandas.DataFrame
        The rows; its cells decide between patients whose keys are equal.
    patient_index : (rows,) int
        Whose row it is.
    keys : list of (rows,) arrays
        What patients are sorted by.

    Returns
    -------
    (patients,) int
    """
    from pandas.util import hash_array

    hashed = np.zeros(len(patient_index), dtype=np.uint64)
    for column in table.columns:
        # cells that cannot be hashed, lists for example, have a text
        text = table[column].astype(str).to_numpy(dtype=object)
        cells = hash_array(text)  # ty: ignore[not-callable]
        hashed = hashed * np.uint64(1_000_003) + cells
    first_key = np.lexsort([hashed, *reversed(keys)])
    rank = np.empty(len(first_key), dtype=np.intp)
    rank[first_key] = np.arange(len(first_key))
    best = np.full(int(patient_index.max()) + 1, len(first_key))
    np.minimum.at(best, patient_index, rank)
    return np.argsort(best)
