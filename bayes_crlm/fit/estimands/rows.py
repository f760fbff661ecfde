"""Rows of estimands: a mean or quantiles with limits, the origin, and a note."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.fit.draws import ETI95, PosteriorDraws
from bayes_crlm.fit.findings import Findings
from bayes_crlm.words.section import Column, Lines, Rows, Section


def given_origin(fit: PosteriorDraws, note: str | None) -> dict[str, Any]:
    """The last columns of an estimand's row: what it is given survival to, and its note."""
    return {"origin": fit.begin, "note": note}


def estimand_section(
    found: Findings,
    name: str,
    rows: list[dict[str, Any]],
    columns: tuple[Column, ...],
    title: str = "",
    lines: tuple[Lines, ...] = (),
) -> Section:
    """Give an estimand's rows, of every treatment level.

    Parameters
    ----------
    found : Findings
        A fit with all that was found of it.
    name : str
        Of the estimand: its key, its table and its place in `summary.json`.
    rows : list of dict
        Of its table, with what only readers see under names that begin with an underscore.
    columns : tuple of Column
        What readers see.
    title : str
        Above the table; none where it goes on from the one before.
    lines : tuple of Lines
        What is printed of it.
    """
    table = Rows(name, rows, columns, ("estimands", name), marks=found.marks)
    return Section(name, title=title, chapter="survival", rows=(table,), lines=lines)


def mean_and_limits(draws: NDArray) -> dict[str, float]:
    """Mean and equal-tailed 95% limits of draws."""
    low, high = np.quantile(draws, ETI95)
    return {"mean": float(draws.mean()), "eti95_low": float(low), "eti95_high": float(high)}


def quantiles_with_infinity(draws: NDArray, probabilities: Sequence[float]) -> list[float]:
    """Quantiles of draws of which some are infinite (order statistics, no interpolation)."""
    return [float(np.quantile(draws, each, method="higher")) for each in probabilities]
