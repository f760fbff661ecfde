"""What is said of a treatment that starts late: sentences as functions of rows.

The rows are those of `bayes_crlm.fit.late_start.compare_starts`, and stand in `summary.json`
and `tables/start.csv`.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bayes_crlm.words.shown import as_written, span
from bayes_crlm.words.wording import count_of

if TYPE_CHECKING:
    from bayes_crlm.words.success import SuccessRule

ANALYSES = {
    "as_treated": "as treated from time zero on",
    "time_dependent": "time-dependent: on treatment from its start on",
    "landmark": "landmark",
}
AS_TREATED_ONLY = (
    "This comparison is of patients as treated from time zero on: the wait for treatment is in it"
)


def start_rows(start: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of all analyses, one for each treatment level.

    Parameters
    ----------
    start : mapping
        `summary["start"]`.

    Returns
    -------
    list of dict
        `analysis`, `label`, `is_headline`, and what a row of hazard ratios has; counts of patients
        and events where the analysis has rows of its own.
    """
    rows = []
    for name, label in ANALYSES.items():
        fit = start.get(name)
        if fit is None:
            continue
        about = {key: fit.get(key) for key in ("n_patients", "n_events", "at")}
        if fit.get("at") is not None:
            label = f"landmark at {as_written(fit['at'])}"
        for row in fit["hazard_ratios"]:
            is_headline = name == start["headline"]
            rows.append(
                {"analysis": name, "label": label, "is_headline": is_headline} | about | row
            )
    return rows


def headline_row(start: Mapping[str, Any] | None, row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row that a treatment level's conclusion is taken from: that of the headline's analysis.

    Parameters
    ----------
    start : mapping or None
        `summary["start"]`.
    row : mapping
        Of the level as treated, with its `treatment`.
    """
    if start is None or start["headline"] == "as_treated":
        return row
    found = [each for each in start_rows(start) if each["is_headline"]]
    same = [
        each
        for each in found
        if each["treatment"] == row["treatment"] and not each.get("withdrawn")
    ]
    return same[0] if same else row


def withdraw_starts(
    start: Mapping[str, Any] | None, answers: Sequence[Mapping[str, Any]]
) -> dict[str, Any] | None:
    """Withdraw the conclusions of every analysis of a level whose answer is withdrawn.

    Parameters
    ----------
    start : mapping or None
        From `bayes_crlm.fit.late_start.compare_starts`.
    answers : sequence of mapping
        With treatment, reference and withdrawn, as in `summary["answers"]`.

    Returns
    -------
    dict or None
        The same with `conclusion` and `withdrawn` of its rows as the answers have them; numbers
        stay.
    """
    if start is None:
        return None
    why = {(row["treatment"], row["reference"]): row["withdrawn"] for row in answers}

    def taken_back(row: Mapping[str, Any]) -> dict[str, Any]:
        phrase = why.get((row["treatment"], row["reference"])) or row["withdrawn"]
        return dict(row) | ({"conclusion": "withdrawn", "withdrawn": phrase} if phrase else {})

    found = dict(start)
    for name in ANALYSES:
        fit = start.get(name)
        if fit is not None and fit["hazard_ratios"]:
            rows = [taken_back(row) for row in fit["hazard_ratios"]]
            first = {key: rows[0][key] for key in ("conclusion", "withdrawn") if key in fit}
            found[name] = dict(fit) | first | {"hazard_ratios": rows}
    return found


def headline_in_words(start: Mapping[str, Any]) -> list[str]:
    """Say which analysis is taken for the headline and why, what failed, and who else waited.

    Parameters
    ----------
    start : mapping
        `summary["start"]`.

    Returns
    -------
    list of str
        Nothing of levels whose answer is withdrawn; empty where every one is.
    """
    withdrawn = {
        row["treatment"]
        for row in start["as_treated"]["hazard_ratios"]
        if row["conclusion"] == "withdrawn"
    }
    if len(withdrawn) == len(start["as_treated"]["hazard_ratios"]):
        return []
    said = [f"Headline analysis: {ANALYSES[start['headline']]}; {start['why']}."]
    for name in ("time_dependent", "landmark"):
        fit = start.get(name)
        if fit is not None and fit["failure"]:
            said.append(f"No hazard ratio {ANALYSES[name]}: {fit['failure']}.")
    spread = [
        f"of treatment {row['treatment']} ranges from {span(row['low'], row['high'])}"
        for row in start.get("ranges", ())
        if row["low"] != row["high"] and row["treatment"] not in withdrawn
    ]
    if spread:
        said.append(f"Across these analyses the hazard ratio {', '.join(spread)}.")
    n = start["n_reference_starts"]
    if n:
        said.append(
            f"{count_of(n, 'patient')} on the reference {'has' if n == 1 else 'have'} starts of "
            f"their own in {start['column']} and {'counts' if n == 1 else 'count'} as the "
            "reference from time zero on."
        )
    return said


def other_conclusion(
    rule: "SuccessRule", as_treated: Mapping[str, Any], headline: Mapping[str, Any]
) -> str | None:
    """Say what would be concluded as treated, where the headline concludes something else.

    Parameters
    ----------
    rule : SuccessRule
        By which both conclude.
    as_treated, headline : mapping
        Of one treatment level, with prob_below_effect.

    Returns
    -------
    str or None
        None where both conclude the same.
    """
    other = rule.conclusion(as_treated["prob_below_effect"])
    if other == rule.conclusion(headline["prob_below_effect"]):
        return None
    if other == "undecided":
        return "from which these data would not decide"
    return f"from which the hazard would be called {other}"


def estimands_in_words(start: Mapping[str, Any] | None) -> str | None:
    """Say of which analysis curves, estimands and coefficients are, where patients waited.

    Parameters
    ----------
    start : mapping or None
        `summary["start"]`.

    Returns
    -------
    str or None
        None where nobody waited for treatment, or nothing is said of it.
    """
    if start is None or not start["n_waited"]:
        return None
    headline = start["headline"]
    other = (
        ""
        if headline == "as_treated"
        else f"; the headline's hazard ratio is that of another analysis ({ANALYSES[headline]})"
    )
    return (
        "Survival, medians, restricted means, differences, coefficients and the crude ratios are "
        f"of patients as treated from time zero on, which credits treatment with the wait{other}."
    )


def draws_in_words(start: Mapping[str, Any]) -> str:
    """Say of which analysis draws are: an attribute of every group of the file of draws.

    Parameters
    ----------
    start : mapping
        `summary["start"]`.
    """
    name = start["headline"]
    return f"draws {ANALYSES['as_treated']}; headline: {ANALYSES[name]} (group treatment_start)"


def landmark_in_words(itself: Mapping[str, Any] | None, landmark: Mapping[str, Any]) -> str:
    """Say what a landmark's hazard ratio allows to be said.

    Untreated patients who start later make it nearer to 1. That this is what is seen can be said
    only where the interval of treatment itself excludes the diluted hazard ratio, and the
    landmark's holds it; otherwise the two cannot be told apart.

    Parameters
    ----------
    itself : mapping or None
        The row of time-dependent treatment, with eti95; None where there is none.
    landmark : mapping
        With eti95, n_started_later, n_untreated and diluted, what the hazard ratio of treatment
        itself comes to against untreated patients so many of whom start later.
    """
    verb = "starts" if landmark["n_started_later"] == 1 else "start"
    later = f"{landmark['n_started_later']} of {landmark['n_untreated']} untreated {verb} later"
    low, high = landmark["eti95"]
    expected = landmark["diluted"]
    if itself is not None and expected is not None:
        is_told_apart = not itself["eti95"][0] <= expected <= itself["eti95"][1]
        if is_told_apart and low <= expected <= high:
            return f"{later}, which alone brings it nearer to 1"
    if low <= 1 <= high:
        return f"{later}; it is compatible with no effect"
    return f"{later}; it cannot be distinguished from the hazard ratio of treatment itself"
