"""What is reported of every column of the design: coefficients, levels, agreement with Cox."""

from bayes_crlm.fit.coefficients import coefficient_rows
from bayes_crlm.fit.findings import Findings
from bayes_crlm.inference.ratio_summary import RatioSummary
from bayes_crlm.model.column_counts import column_rows
from bayes_crlm.words.section import Column, Note, Rows, Section, for_files
from bayes_crlm.words.shown import number, p_value


def sections(found: Findings) -> list[Section]:
    """Give what is reported of the columns.

    Parameters
    ----------
    found : Findings
        A fit with all that was found of it.
    """
    rows = coefficient_rows(found.fit, found.asked.thresholds)
    return [
        for_files("coefficients", rows, found.marks),
        for_files("levels", column_rows(found.inputs)),
        agreement(found),
    ]


def agreement(found: Findings) -> Section:
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
