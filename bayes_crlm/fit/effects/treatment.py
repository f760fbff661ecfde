"""What is reported of the treatment: the answers, crude ratios, when it started, the priors."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from bayes_crlm.figures import plot_forest, plot_prior_posterior, plot_starts
from bayes_crlm.fit.answers import side_of
from bayes_crlm.fit.coefficients import hazard_ratio_rows
from bayes_crlm.fit.findings import Findings
from bayes_crlm.fit.late_start import start_file_rows
from bayes_crlm.model.withdrawn import NO_ANSWER
from bayes_crlm.words.late_start import (
    AS_TREATED_ONLY,
    headline_in_words,
    headline_row,
    landmark_in_words,
    other_conclusion,
    start_rows,
)
from bayes_crlm.words.section import Column, Figure, Lines, Note, Rows, Section, for_files
from bayes_crlm.words.shown import as_written, ratio_in_words

CHAPTER = "answer"
HAZARD_RATIO = (
    Column("median", "hazard ratio", "ratio"),
    Column("eti95", "95% interval", "limits"),
)
WAITING_NOTE = (
    "Whoever is counted as treated from time zero on has lived until treatment started (immortal "
    "time). With time-dependent treatment, patients are without treatment until it starts. A "
    "landmark compares those who have started by then with those who have not, from there on."
)


def sections(found: Findings) -> list[Section]:
    """Give what is reported of the treatment.

    Parameters
    ----------
    found : Findings
        A fit with all that was found of it.
    """
    return [
        answers(found),
        hazard_ratios(found),
        crude(found),
        forest(found),
        *started(found),
        beside(found),
        for_files("finer_intervals", found.finer),
    ]


def answers(found: Findings) -> Section:
    """Say what is concluded of every two levels."""
    caution, treatment = found.asked.caution, found.inputs.design.treatment
    rule, thresholds = found.asked.rule, found.answers[0]["prob_below"]
    below = [Column(f"_below_{each}", f"P(HR < {each})", "probability") for each in thresholds]
    if rule.effect not in (1, *map(float, thresholds)):
        below.append(Column("prob_below_effect", rule.probability_name("lower"), "probability"))
    rows = [
        row
        | {f"_below_{each}": value for each, value in row["prob_below"].items()}
        | {"_stands": not row["withdrawn"]}
        for row in found.answers
    ]
    columns = (
        Column("treatment", treatment, "comparison"),
        Column("median", "hazard ratio", "ratio", strong="_stands"),
        Column("eti95", "95% interval", "limits"),
        Column("prob_lower", "P(hazard is lower)", "probability"),
        *below,
        Column("cox_hazard_ratio", "Cox", "estimable"),
        Column("cox", "95% interval", "limits"),
    )
    return Section(
        "answers",
        sentence=" ".join(row["sentence"] for row in found.answers),
        verdict=found.answers[0]["conclusion"],
        chapter=CHAPTER,
        rows=(Rows("answers", rows, columns, ("answers",)),),
        notes=(
            *(
                Note(row["sentence"], "withdrawn" if row["withdrawn"] else "answer", is_first=True)
                for row in found.answers
            ),
            Note(f" {caution}" if caution else "", "caution", "caution", "Caution:", is_first=True),
            Note(name="beside-answer", items=found.notes, is_first=True),
            Note(how_to_read(found), "muted", is_first=True),
            Note(STARTED_ELSEWHERE if found.as_treated else "", "muted", "answers-as-treated"),
        ),
        lines=tuple(answer_lines(found, k) for k in range(len(found.answers))),
    )


STARTED_ELSEWHERE = (
    "Everything in this table is as treated from time zero on; the section on when treatment "
    "started has the other analyses."
)


def how_to_read(found: Findings) -> str:
    """Say what a hazard ratio is, and what it is adjusted for."""
    inputs = found.fit.inputs
    formula = " + ".join([inputs.design.formula, *(term.name for term in inputs.terms)])
    adjusted = (
        f"It is adjusted for the other terms of the model ({formula}) and holds for patients alike "
        "in them; the ratio of a trial that adjusts for nothing is one of the whole population, "
        "and nearer to 1 where covariates matter."
        if found.is_adjusted
        else "It is adjusted for nothing: the model has no covariates."
    )
    confounding = "; they do not protect against confounding"
    return (
        "A hazard ratio below 1 means fewer events per unit of time than with the level that it is "
        f"against. {adjusted} {found.asked.rule.in_words()} The probabilities are those of this "
        f"model, with these priors and these data{confounding * found.asked.is_observational}."
    )


def answer_lines(found: Findings, k: int) -> Lines:
    """Say one comparison: posterior, Cox, what is concluded, the crude ratio."""
    row, design = found.answers[k], found.fit.inputs.design
    heading = f"{design.treatment} {row['treatment']} against {row['reference']}"
    if row["withdrawn"]:
        return Lines(heading, (("no answer", row["withdrawn"].removeprefix(NO_ANSWER)),))
    # the answers begin with the levels against the reference, in the order of the terms
    verdict = found.agreement[k] if k < found.fit.inputs.n_treatment_terms else None
    rule = found.asked.rule
    side, probability = side_of(row)
    probability = rule.written(probability, row["ess_bulk"])
    ratio = ratio_in_words(row["median"], (row["eti95_low"], row["eti95_high"]))
    cox = ratio_in_words(row["cox_hazard_ratio"], (row["cox_low"], row["cox_high"]))
    items = [
        ("Bayes", f"hazard ratio {ratio}, P(hazard is {side}) {probability}"),
        ("Cox", f"hazard ratio {cox}"),
    ]
    if verdict is not None and verdict["verdict"] == "differ":
        items.append(("", f"they differ: {verdict['reason']}"))
    if row["crude"]:
        items.append(("crude", row["crude"]))
    headline: Mapping[str, Any] = row
    start = found.start
    if verdict is not None:
        items += start_items(start, row["treatment"], found.fit.inputs.cohort.unit)
        headline = headline_row(start, row)
    if rule.effect != 1:
        items.append(rule.probability_in_words(headline["prob_below_effect"], row["ess_bulk"]))
    items.append(("conclusion", rule.sentence(headline)))
    if found.has_waited and row["headline"] == "as_treated":
        items.append(("", f"{AS_TREATED_ONLY}."))
    other = None if headline is row else other_conclusion(rule, row, headline)
    if other:
        items.append(("", f"It is not the one as treated from time zero on, {other}."))
    return Lines(heading, tuple(items))


def start_items(
    start: Mapping[str, Any] | None, level: Any, unit: str | None
) -> list[tuple[str, str]]:
    """Say a level's hazard ratios in which treatment counts from its start only."""
    if start is None:
        return []
    rows = {each["analysis"]: each for each in start_rows(start) if each["treatment"] == level}
    items = []
    split = rows.get("time_dependent")
    if split is not None:
        ratio = ratio_in_words(split["median"], split["eti95"])
        mark = " (headline)" if split["is_headline"] else ""
        items.append(("from start", f"hazard ratio {ratio}, time-dependent treatment{mark}"))
    landmark = rows.get("landmark")
    if landmark is not None:
        at = f"{as_written(landmark['at'])} {unit or ''}".rstrip()
        ratio = ratio_in_words(landmark["median"], landmark["eti95"])
        if landmark["withdrawn"]:
            why = landmark["withdrawn"].removeprefix(NO_ANSWER)
            return [*items, ("landmark", f"no answer from {at} on, {why}")]
        said = landmark_in_words(split, start["landmark"] | landmark)
        mark = " (headline)" if landmark["is_headline"] else ""
        items.append(
            ("landmark", f"hazard ratio {ratio} of those followed beyond {at}{mark}; {said}")
        )
    return items


def hazard_ratios(found: Findings) -> Section:
    """Give the treatment's hazard ratios against the reference, for files."""
    ratios = hazard_ratio_rows(found.fit, found.asked.thresholds, found.asked.rule)
    rows = [
        row | ({"conclusion": "withdrawn"} if answer["withdrawn"] else {})
        for row, answer in zip(ratios, found.answers, strict=False)
    ]
    return for_files("hazard_ratios", rows, found.marks)


def crude(found: Findings) -> Section:
    """Give hazard ratios without covariates beside the adjusted ones."""
    is_left_out = any(row["analysis"].startswith("without ") for row in found.crude)
    phrase = "Crude: without covariates."
    if is_left_out:
        phrase += (
            " Below it the covariates whose absence moves the adjusted hazard ratio most, each "
            "left out alone with every column made of it."
        )
    rows = [row | {"_begins": row["analysis"] == "adjusted"} for row in found.crude]
    columns = (
        Column("treatment", found.fit.inputs.design.treatment, "comparison"),
        Column("analysis", "analysis"),
        Column("hazard_ratio", "hazard ratio", "ratio"),
        Column("eti95", "95% interval", "limits"),
        Column("cox_hazard_ratio", "Cox", "ratio"),
        Column("cox", "95% interval", "limits"),
    )
    return Section(
        "crude",
        title="Crude and adjusted" if found.crude else "",
        chapter=CHAPTER,
        rows=(Rows("crude", rows, columns, ("crude",), "_begins", found.marks),),
        notes=(Note(phrase if rows else "", "muted"),),
    )


def forest(found: Findings) -> Section:
    """Draw all hazard ratios beside Cox's."""
    begin = "As treated from time zero on, the wait included. " if found.as_treated else ""
    end = " Each is adjusted for the others." if found.is_adjusted else ""
    caption = (
        f"{begin}Hazard ratios of all terms: posterior (blue) and, of the same columns, Cox "
        f"regression (grey).{end}"
    )
    plot = partial(plot_forest, failures=found.failures)
    return Section(
        "forest",
        chapter=CHAPTER,
        figures=(Figure("forest", caption, plot, {"fit": found.fit}),),
    )


def started(found: Findings) -> list[Section]:
    """Say what comes of counting treatment from its start, where the cohort has starts."""
    start, design = found.start, found.fit.inputs.design
    if start is None:
        return [Section("start", summary={"start": None})]
    rows = [row | {"ends": marked(row), "reference": design.reference} for row in start_rows(start)]
    is_ok = not found.failures
    phrase = headline_in_words(start)
    landmarks = landmark_sentences(start, design.treatment)
    shaded = "; shaded: the headline." if is_ok else "."
    caption = (
        "The treatment's hazard ratio by how its start is taken: posterior (blue) and, of the same "
        f"rows, Cox regression (grey){shaded}"
    )
    columns = (
        Column("treatment", f"{design.treatment} against {design.reference}"),
        Column("ends", "analysis", strong="is_headline"),
        *HAZARD_RATIO,
        Column("cox_hr", "Cox", "ratio"),
        Column("cox_ci95", "95% interval", "limits"),
    )
    drawn = {"fit": found.fit, "start": start}
    return [
        Section(
            "start",
            title="When treatment started",
            verdict=start["headline"],
            chapter=CHAPTER,
            rows=(Rows("start", start_file_rows(start)), Rows("start", rows, columns)),
            figures=(Figure("start", caption, plot_starts, drawn),)
            if "time_dependent" in start
            else (),
            notes=(
                *(Note(each, is_first=True) for each in (phrase if is_ok else ())),
                Note(" ".join([WAITING_NOTE, *landmarks]), "muted"),
            ),
            lines=(Lines("", tuple(("", each) for each in phrase)),) if is_ok else (),
            summary={"start": start},
        )
    ]


def marked(row: Mapping[str, Any]) -> str:
    """Name an analysis, and whether it has no answer or is the headline."""
    if row["withdrawn"]:
        return f"{row['label']} (no answer)"
    return f"{row['label']} (headline)" if row["is_headline"] else row["label"]


def landmark_sentences(start: Mapping[str, Any], treatment: str) -> list[str]:
    """Say of every level what its hazard ratio at the landmark allows to be said."""
    rows = start_rows(start)
    itself = {row["treatment"]: row for row in rows if row["analysis"] == "time_dependent"}
    return [
        f"{treatment} {row['treatment']} at the landmark: "
        f"{landmark_in_words(itself.get(row['treatment']), start['landmark'] | row)}."
        for row in rows
        if row["analysis"] == "landmark" and not row["withdrawn"]
    ]


def beside(found: Findings) -> Section:
    """Gather what has to be read beside the answers, for the terminal."""
    items = [("note", each) for each in found.notes]
    if found.asked.caution:
        items.insert(0, ("caution", found.asked.caution))
    others = differing(found.agreement[found.fit.inputs.n_treatment_terms :])
    if others and not found.failures:
        items.append(("note", f"covariates that differ from Cox: {', '.join(others)}"))
    return Section(
        "beside_answer",
        lines=(Lines("", tuple(items)),),
        summary={"caution": found.asked.caution, "beside_answer": list(found.notes)},
    )


def differing(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name the terms that differ from Cox."""
    return [row["term"] for row in rows if row["verdict"] == "differ"]


def prior_figure(found: Findings) -> Figure:
    """Draw the treatment's hazard ratio before and after the data."""
    return Figure(
        "prior_posterior",
        "The treatment's hazard ratio before the data (grey) and after.",
        partial(plot_prior_posterior, failures=found.failures),
        {"fit": found.fit},
    )
