"""Hazard ratios of one cohort by every method of counting the wait for treatment."""

from itertools import pairwise
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from bayes_crlm.cohort.cohort import Cohort
from bayes_crlm.model.late_start import diluted, landmark_times
from bayes_crlm.sensitivity.comparison_rows import fit_row
from bayes_crlm.sensitivity.registry import NotRunError
from bayes_crlm.sensitivity.timing.clone_censor_weight import weight_model
from bayes_crlm.sensitivity.timing.delayed_treatment import (
    STRATEGIES,
    clone_rows,
    final_weights,
    landmark_row,
    split_row,
    start_test,
    weight_rows,
)
from bayes_crlm.sensitivity.two_arms import TwoArms, start_of_treatment
from bayes_crlm.specification.table import Table
from bayes_crlm.words.shown import as_written

# without times of the user's: by when these shares of the treated had started
LANDMARK_SHARES, GRACE_SHARE = (0.5, 0.75, 0.9), 0.9
OWN_START = "decision_months"
"""The column of the data sets that ship with this package."""


def increasing(times: tuple[float, ...] | None) -> tuple[float, ...] | None:
    """Refuse landmarks that are not in order."""
    if times is not None and any(b <= a for a, b in pairwise(times)):
        raise ValueError("give increasing times, each once")
    return times


class Settings(Table):
    """The table `[sensitivity.immortal_time]`."""

    start: str | None = Field(
        None, min_length=1, description="the column with the time at which treatment starts"
    )
    landmarks: Annotated[
        tuple[Annotated[float, Field(gt=0)], ...] | None,
        Field(strict=False, min_length=1, description="a list of increasing times after 0"),
        AfterValidator(increasing),
    ] = None
    grace: float | None = Field(
        None, gt=0, description="the time within which treatment has to start, a number above 0"
    )
    groups: int = Field(200, ge=50, le=10_000, description="a whole number from 50 to 10000")


def with_start(settings: Settings, cohort: Cohort) -> Settings:
    """Say in which column the start of treatment is: the part's, the cohort's, or a data set's own.

    Raises
    ------
    NotRunError
        When nobody says.
    """
    from bayes_crlm.datasets import DATASETS

    own = OWN_START if cohort.source in DATASETS and OWN_START in cohort.table else None
    start = settings.start or cohort.start_column or own
    if start is None:
        raise NotRunError(
            f"{cohort.source}: when treatment started is not stated; give the column as "
            "data.treatment_start"
        )
    return settings.model_copy(update={"start": start})


def choose_times(
    arms: TwoArms, start: NDArray, settings: Settings
) -> tuple[tuple[float, ...], float]:
    """Take landmarks and grace period as given, or from when the treated started.

    Parameters
    ----------
    arms : TwoArms
    start : (patients,) ndarray
        Infinity for patients who never started.
    settings : Settings

    Returns
    -------
    (landmarks, grace)

    Raises
    ------
    NotRunError
        When nobody waited for treatment, or a time is not before the end of follow-up.
    """
    landmarks = settings.landmarks or tuple(landmark_times(start, LANDMARK_SHARES))
    own_grace = landmark_times(start, (GRACE_SHARE,))
    if not landmarks or not (settings.grace or own_grace):
        raise NotRunError(
            f"every treated patient started at 0 by column {settings.start!r}: nobody waited for "
            "treatment, so there is no immortal time"
        )
    grace = settings.grace or own_grace[-1]
    last = float(arms.time.max())
    for name, value in (("landmarks", max(landmarks)), ("grace", grace)):
        if value >= last:
            raise NotRunError(
                f"sensitivity.immortal_time.{name}: {as_written(value)} is not before the end of "
                "follow-up "
                f"at {as_written(last)}; give less"
            )
    return landmarks, grace


def compare_methods(arms: TwoArms, settings: Settings, seed: int) -> dict[str, Any]:
    """Fit the cohort as treated, at landmarks, with split follow-up, and as weighted clones.

    Parameters
    ----------
    arms : TwoArms
    settings : Settings
    seed : int

    Returns
    -------
    dict
        `landmarks`, `grace`, `rows` (label, method, at, n_patients, n_events, n_treated, the
        columns of `posterior_draws.summarise_draws`, Cox's estimate where rows are
        not weighted, calibration where they are, failure; of landmarks also `n_untreated`,
        `n_started_later`, `share_on_treatment` of the untreated's follow-up, and `diluted`, what
        the time-dependent hazard ratio comes to against them), `start_model` (tests of whether
        starting is proportional: term, p), `strategies` (what the clones follow), `weights` (their
        distribution in each arm), `final_weights` (arrays by strategy) and `reference_starts`
        (what patients on the reference have in the column of starts: n, n_patients, median).

    Raises
    ------
    NotRunError
        As `check`.
    """
    settings = with_start(settings, arms.source)
    start = start_of_treatment(arms, str(settings.start))
    landmarks, grace = choose_times(arms, start, settings)
    naive = fit_row(arms.model, arms.whole, seed, arms.effect)
    split = split_row(arms, start, seed)
    rows = [naive | {"label": "as treated (naive)", "method": "naive", "at": None}]
    for at in landmarks:
        row = landmark_row(arms, start, at, seed)
        is_known = split["median"] is not None
        row["diluted"] = diluted(split["median"], row["share_on_treatment"]) if is_known else None
        rows.append(row)
    rows.append(split)
    weighing = weight_model(start, arms.time, arms.event, arms.design, grace)
    rows += clone_rows(arms, start, weighing, settings.groups, seed)
    weights = final_weights(weighing, arms.n_patients)
    return {
        "landmarks": list(landmarks),
        "grace": grace,
        "strategies": STRATEGIES,
        "rows": rows,
        "weights": weight_rows(weights),
        "final_weights": weights,
        "start_model": start_test(arms, start),
        "reference_starts": starts_of_reference(arms, str(settings.start)),
    }


def starts_of_reference(arms: TwoArms, column: str) -> dict[str, Any]:
    """Count starts that patients on the reference have themselves, and take their median."""
    # rows of the file are numbered; the arms' patients are some of the source's
    own = arms.source.times_of(column)[
        np.isin(arms.source.row_number, arms.row_number[~arms.is_treated])
    ]
    own = own[np.isfinite(own) & (own > 0)]
    return {
        "n": len(own),
        "n_patients": int(np.sum(~arms.is_treated)),
        "median": float(np.median(own)) if len(own) else None,
    }
