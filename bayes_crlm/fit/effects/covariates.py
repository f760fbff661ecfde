"""What is reported of every column of the design: coefficients, levels, agreement with Cox."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bayes_crlm.inference.chains import ess_bulk, ess_tail, mcse_mean, r_hat
from bayes_crlm.inference.ratio_summary import RatioSummary
from bayes_crlm.model.column_counts import column_rows
from bayes_crlm.words.arguments import thresholds_of
from bayes_crlm.words.section import Column, Note, Rows, Section, for_files
from bayes_crlm.words.shown import number, p_value

if TYPE_CHECKING:
    import pandas as pd

    from bayes_crlm.fit.draws import PosteriorDraws
    from bayes_crlm.fit.findings import Findings


def sections(found: "Findings") -> list[Section]:
    """Give what is reported of the columns.

    Parameters
    ----------
    found : Findings
        A fit with all that was found of it.
    """
    table = coefficient_table(found.fit, found.asked.thresholds)
    return [
        for_files("coefficients", table.to_dict("records"), found.marks),
        for_files("levels", column_rows(found.inputs)),
        agreement(found),
    ]


def agreement(found: "Findings") -> Section:
    """Hold every term's hazard ratio against Cox's."""
    cox, rare = found.fit.cox, {}
    for row in column_rows(found.fit.inputs):
        for term in row["terms"] if row["caution"] else ():
            rare.setdefault(term, []).append(row["caution"])
    ratios = RatioSummary(found.fit.log_hazard_ratio_values).ratios
    rows = [
        row
        | limited("_posterior", *ratios[k])
        | limited("_cox", float(cox.hazard_ratio[k]), *cox.ci95[k].tolist())
        | {"_told": "; ".join([verdict_in_words(row), *rare.get(row["term"], ())])}
        for k, row in enumerate(found.agreement)
    ]
    columns = (
        Column("term", "term"),
        Column("_posterior", "posterior HR (95%)", "ratio_with_limits"),
        Column("_cox", "Cox HR (95%)", "ratio_with_limits"),
        Column("difference_in_se", "difference (SE)", "ratio"),
        Column("width_ratio", "width ratio", "ratio"),
        Column("_told", "verdict", "reason"),
    )
    phrase = (
        "They agree when the posterior mean of the log hazard ratio lies within half a standard "
        "error (SE) of Cox's estimate and the intervals' widths differ by a factor of at most "
        f"1.25. Cox: {cox.ties} ties, concordance {number(cox.concordance, 3)}."
    )
    if cox.ph_test:
        tests = ", ".join(f"{term} {p_value(p)}" for term, p in cox.ph_test)
        phrase += f" Test of proportional hazards (P): {tests}."
    is_agreed = all(row["verdict"] == "agree" for row in found.agreement)
    of_cox = cox.to_table().reset_index().to_dict("records")
    return Section(
        "agreement",
        verdict="agree" if is_agreed else "differ",
        chapter="agreement",
        rows=(
            Rows("agreement", rows, columns, ("agreement",), marks=found.marks),
            Rows("cox", of_cox, marks=found.marks),
        ),
        notes=(Note(phrase, "muted"),),
        summary={"cox": cox.to_dict()},
    )


def limited(name: str, value: float, low: float, high: float) -> dict[str, float]:
    """A number and its limits, by name."""
    return {name: value, f"{name}_low": low, f"{name}_high": high}


def verdict_in_words(row: dict[str, str | None]) -> str:
    """Say whether a term agrees with Cox, and if not, why."""
    return f"{row['verdict']}: {row['reason']}" if row["reason"] else str(row["verdict"])


def coefficient_table(
    fit: "PosteriorDraws", thresholds: Sequence[float], n_first: int | None = None
) -> "pd.DataFrame":
    """Posterior of every log hazard ratio in original units, with its Monte Carlo error.

    Parameters
    ----------
    fit : PosteriorDraws
        A fitted model.
    thresholds : sequence of float
        Hazard ratios r whose probability P(HR < r) is given.
    n_first : int, optional
        Only so many terms, the treatment's contrasts first; all without it.

    Returns
    -------
    pandas.DataFrame
        One row per term: term, treatment, reference, median, mean_log, sd_log,
        mcse_mean_log, eti95_low, eti95_high, prob_below_<r>, ess_bulk, ess_tail, r_hat;
        median and limits are log hazard ratios.
    """
    thresholds = thresholds_of(thresholds)
    import pandas as pd

    values = fit.log_hazard_ratio_values[:, :n_first]
    found = RatioSummary(values)
    low, median, high = found.quantiles
    levels = list(fit.inputs.design.levels[1:])
    n_terms, n_treatment = values.shape[1], len(levels)
    nothing = [None] * (n_terms - n_treatment)
    table = {
        "term": list(fit.inputs.design.terms[:n_terms]),
        # as objects from the start: pandas would make 1 and None into 1.0 and nan
        "treatment": pd.Series([*levels, *nothing], dtype=object),
        "reference": pd.Series(
            [*[fit.inputs.design.reference] * n_treatment, *nothing], dtype=object
        ),
        "median": median,
        "mean_log": found.mean_log,
        "sd_log": found.sd_log,
        "mcse_mean_log": None,  # below, by where the draws come from
        "eti95_low": low,
        "eti95_high": high,
    }
    for threshold in thresholds:
        table[f"prob_below_{threshold}"] = found.prob_below(threshold)
    if fit.importance is None:
        chains = values.reshape(*fit.vectors.shape[:2], n_terms)
        table["mcse_mean_log"] = mcse_mean(chains)
        table["ess_bulk"] = ess_bulk(chains)
        table["ess_tail"] = ess_tail(chains)
        table["r_hat"] = r_hat(chains)
    else:
        table["mcse_mean_log"] = table["sd_log"] / np.sqrt(fit.importance.ess)
        table["ess_bulk"] = np.full(n_terms, fit.importance.ess)
        table["ess_tail"] = fit.importance.ess_tail[:n_terms]
        table["r_hat"] = np.full(n_terms, np.nan)
    return pd.DataFrame(table)
