"""What has to be said of the columns that a cohort was read from."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from bayes_crlm.words.wording import shown

if TYPE_CHECKING:
    from bayes_crlm.cohort.cohort import Cohort


def column_notes(columns: Iterable[str], cohort: "Cohort") -> list[str]:
    """Say what was done to some columns when they were read; of the file first."""
    return [
        f"column {shown(column)}: {note}" if column else note
        for column in ["", *columns]
        for note in cohort.column_notes.get(column, ())
    ]
