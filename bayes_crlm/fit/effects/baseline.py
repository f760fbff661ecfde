"""What is reported of the baseline hazard and of all priors."""

from typing import Any

import numpy as np

from bayes_crlm.figures import plot_hazard, plot_prior_survival
from bayes_crlm.fit.draws import ETI95, PosteriorDraws
from bayes_crlm.fit.effects.treatment import prior_figure
from bayes_crlm.fit.findings import Findings
from bayes_crlm.fit.prior_meaning import implied_rows
from bayes_crlm.words.section import Column, Figure, Note, Rows, Section


def sections(found: Findings) -> list[Section]:
    """Give what is reported of the baseline hazard.

    Parameters
    ----------
    found : Findings
        A fit with all that was found of it.
    """
    fit = found.fit
    n_intervals, drawn = fit.inputs.intervals.n_intervals, {"fit": fit}
    of_strata = " of every stratum" if len(fit.inputs.kinds.strata) > 1 else ""
    rows = log_hazard_rows(fit)
    return [
        priors(found),
        Section(
            "log_hazard",
            chapter="priors",
            rows=(Rows("log_hazard", rows, at=("log_hazard",), marks=found.marks),),
            figures=(
                prior_figure(found),
                Figure(
                    "prior_survival",
                    "Survival curves that the priors alone allow for the reference level, and what "
                    "the data made of them.",
                    plot_prior_survival,
                    drawn,
                ),
                Figure(
                    "hazard",
                    f"Hazard in each of the {n_intervals} intervals{of_strata}, at the covariates' "
                    "means (posterior median, 95% band).",
                    plot_hazard,
                    drawn,
                ),
            ),
        ),
    ]


def priors(found: Findings) -> Section:
    """Say what the priors are and what they alone allow."""
    inputs = found.fit.inputs
    rows = [
        row | {"_of": named(row), "_low": row["low"], "_high": row["high"]}
        for row in implied_rows(inputs)
    ]
    columns = (
        Column("_of", "before the data"),
        Column("to", "hazard of", "level"),
        Column("against", "against", "level"),
        Column("", "95% of hazard ratios", "prior_limits"),
    )
    allowed = (
        "What the priors alone allow: between two treatment levels, and between patients at the "
        "90th and the 10th percentile of a covariate (all of its columns together)."
    )
    if len(inputs.design.levels) > 2:
        allowed += (
            f" The treatment's prior is for every contrast with {inputs.design.reference}; between "
            "two other levels it is wider. The answer therefore depends on which level is the "
            "reference."
        )
    return Section(
        "prior_implied",
        chapter="priors",
        rows=(Rows("prior_implied", rows, columns, ("prior_implied",)),),
        notes=(
            *(
                Note(f" {prior}", lead=f"{name}:", is_first=True)
                for name, prior in inputs.priors_in_words.items()
            ),
            Note(
                "Priors of log hazard ratios are on centred columns, divided by their standard "
                "deviation when they have more than two values.",
                "muted",
                is_first=True,
            ),
            Note(allowed, "muted"),
        ),
    )


def named(row: dict) -> str:
    """Name a covariate, and how many columns it has."""
    has_several = row["n_columns"] > 1 and isinstance(row["to"], int | float)
    return f"{row['of']} ({row['n_columns']} columns)" if has_several else str(row["of"])


def log_hazard_rows(fit: PosteriorDraws) -> list[dict[str, Any]]:
    """Posterior of every interval's log-hazard at the covariates' means, in every stratum.

    Parameters
    ----------
    fit : PosteriorDraws
        A fitted model.

    Returns
    -------
    list of dict
        One row per interval: interval, from, to, mean, sd, median, eti95_low, eti95_high; where a
        term has strata, one for each stratum and interval, and the stratum's name first. Of an
        interval without an event, median and limits tell more than mean and standard
        deviation: its hazard may be next to 0, whose logarithm has no lower bound.
    """
    draws = fit.log_hazard_draws
    low, median, high = np.quantile(draws, [ETI95[0], 0.5, ETI95[1]], axis=0)
    intervals, strata = fit.inputs.intervals, fit.inputs.kinds.strata
    numbers = zip(draws.mean(axis=0), draws.std(axis=0, ddof=1), median, low, high, strict=True)
    names, cutpoints = ("mean", "sd", "median", "eti95_low", "eti95_high"), intervals.cutpoints
    places = [(stratum, k) for stratum in strata for k in range(intervals.n_intervals)]
    return [
        ({"stratum": stratum} if len(strata) > 1 else {})
        | {"interval": k + 1, "from": float(cutpoints[k]), "to": float(cutpoints[k + 1])}
        | dict(zip(names, map(float, of_one), strict=True))
        for (stratum, k), of_one in zip(places, numbers, strict=True)
    ]
