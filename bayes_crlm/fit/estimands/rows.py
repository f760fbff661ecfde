"""Rows of estimands: a mean or quantiles with limits, the origin, and a note."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.fit.draws import ETI95
from bayes_crlm.words.section import frame_of

if TYPE_CHECKING:
    import pandas as pd

    from bayes_crlm.fit.draws import PosteriorDraws


def estimand_frame(fit: "PosteriorDraws", rows: list[dict[str, Any]]) -> "pd.DataFrame":
    """Make a table of rows, each with the origin that it is given survival to, then its note."""
    last = ("origin", "note")
    return frame_of(
        [
            {key: value for key, value in row.items() if key not in last}
            | {"origin": fit.begin, "note": row["note"]}
            for row in rows
        ]
    )


def mean_and_limits(draws: NDArray) -> dict[str, float]:
    """Mean and equal-tailed 95% limits of draws."""
    low, high = np.quantile(draws, ETI95)
    return {"mean": float(draws.mean()), "eti95_low": float(low), "eti95_high": float(high)}


def quantiles_with_infinity(draws: NDArray, probabilities: Sequence[float]) -> list[float]:
    """Quantiles of draws of which some are infinite (order statistics, no interpolation)."""
    return [float(np.quantile(draws, each, method="higher")) for each in probabilities]
