"""Rows of one patient that no column is said to name: they would count as so many patients.

Two signs. Rows begin where other rows ended, with the event (recurrent events) or without it
(stretches of follow-up). And a column repeats its values in a way that a name does: the treatment,
and what else does not change, is the same in all rows of a value, which chance would not do.
"""

import re
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.words.wording import shown

if TYPE_CHECKING:
    import pandas as pd

    from bayes_crlm.cohort.cohort import Cohort
    from bayes_crlm.model.design import Design

FEWEST_SPLIT_ROWS = 3
"""Fewer rows that begin where another ends may do so by chance."""
CONTINUED = 0.9
"""Share of late rows that continue another: a few patients may enter late besides."""
BY_CHANCE = 1e-4
"""Columns that would agree within values so often by chance are no sign of one patient."""
NAMES = re.compile(
    r"(usubjid|subjid|subject|patient|pat|case|person|participant|mrn|pid|id)", re.IGNORECASE
)


def repeated_patients(cohort: "Cohort", design: "Design") -> tuple[str, ...]:
    """Say that rows look like those of the same patients, and which column may name them.

    Parameters
    ----------
    cohort : Cohort
        Without an id column.
    design : Design
        With the treatment level of every row.

    Returns
    -------
    tuple of str
        One sentence, or none.
    """
    if cohort.id_column is not None:
        return ()
    column = naming_column(cohort, design.treatment_level, design.treatment)
    n_late = int((cohort.entry > 0).sum())
    n_split, n_after_event = continued_rows(cohort.entry, cohort.time, cohort.event)
    is_split = n_split >= FEWEST_SPLIT_ROWS and n_split >= CONTINUED * n_late
    if not is_split and column is None:
        return ()
    phrase = ""
    if is_split:
        each = f"each of the {n_split}" if n_split == n_late else f"{n_split} of the {n_late}"
        how = (
            f", {n_after_event} of them with the event, as if they were further events"
            if n_after_event
            else " without the event, as if they were stretches"
        )
        phrase = f"{each} rows that begin after 0 begins just where another row ends{how} of the "
        phrase += "same patients; each row counts as a patient here, "
    if column is None:
        return (f"{phrase}so give data.id if a column names the patients",)
    distinct = int(cohort.table[column].nunique())
    named = (
        f"column {shown(column)} has {distinct} values in {cohort.n_rows} rows, and the treatment "
        "is the same in all rows of a value, as if it named the patients"
    )
    if phrase:
        return (f"{phrase}and {named}; give data.id, and one row a patient or `entry`",)
    return (
        f"{named}; each row counts as a patient here, so give data.id, and keep one row of each "
        "patient with data.where",
    )


def continued_rows(entry: NDArray, time: NDArray, event: NDArray) -> tuple[int, int]:
    """Count rows that begin after 0 where a row of its own ends, and those after an event."""
    begins, number = np.unique(entry[entry > 0], return_counts=True)
    if not len(begins):
        return 0, 0

    def ending_there(times: NDArray) -> NDArray[np.intp]:
        ordered = np.sort(times)
        low = np.searchsorted(ordered, begins, side="left")
        return np.searchsorted(ordered, begins, side="right") - low

    continued = np.minimum(number, ending_there(time))
    without = np.minimum(number, ending_there(time[event == 0]))
    return int(continued.sum()), int((continued - without).sum())


def naming_column(cohort: "Cohort", level: NDArray[np.intp], treatment: str) -> str | None:
    """Find the column whose values repeat as patients' names would."""
    outcome = {*cohort.outcome_columns, treatment}
    others: dict[str, NDArray[np.intp]] = {}
    candidates = []
    for column in cohort.table.columns:
        if column in outcome:
            continue
        codes = codes_of(cohort.table[column])
        if codes is None:
            continue
        others[column] = codes
        n_values = len(np.unique(codes))
        if cohort.n_rows / 10 <= n_values <= cohort.n_rows - FEWEST_SPLIT_ROWS:
            candidates.append(column)
    candidates.sort(key=lambda each: (NAMES.search(str(each)) is None, str(each)))
    for column in candidates:
        codes = others[column]
        if not is_constant_within(codes, level):
            continue
        agreeing = [
            each
            for each, values in others.items()
            if each != column
            and is_constant_within(codes, values)
            and not is_constant_within(level, values)  # it would agree because the treatment does
        ]
        chance = log_chance(codes, level)
        has_name = NAMES.search(str(column)) is not None
        varying = [each for each in agreeing if len(np.unique(others[each])) > 1]
        unlikely = [each for each in varying if log_chance(codes, others[each]) < np.log(BY_CHANCE)]
        if chance < np.log(BY_CHANCE) and (has_name or unlikely or len(varying) >= 2):
            return str(column)
    return None


def codes_of(values: "pd.Series") -> NDArray[np.intp] | None:
    """Number a column's values; None where they are measurements or cannot be compared."""
    import pandas as pd

    if values.dtype.kind == "f":
        known = values.dropna()
        if not len(known) or (known % 1 != 0).any():
            return None
    try:
        return pd.factorize(values)[0]
    except TypeError:
        return None


def is_constant_within(codes: NDArray[np.intp], values: NDArray[np.intp]) -> bool:
    """Whether rows of one code all have one value; rows without a code do not count."""
    known = codes >= 0
    pairs = codes[known].astype(np.int64) * (int(values.max()) + 2) + values[known] + 1
    return len(np.unique(pairs)) == len(np.unique(codes[known]))


def log_chance(codes: NDArray[np.intp], level: NDArray[np.intp]) -> float:
    """Log probability that rows of one code agree in another column if names meant nothing."""
    known = codes >= 0
    count = np.bincount(codes[known])
    further = int((count[count > 1] - 1).sum())
    share = np.bincount(level + 1) / len(level)
    return further * float(np.log(share @ share))
