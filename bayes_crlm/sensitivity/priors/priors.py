"""What readers with other priors conclude: sceptics, enthusiasts, readers of the literature.

Every prior is refitted, none is only weighted.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field, PlainValidator

from bayes_crlm.analysis.plan import Plan
from bayes_crlm.figures.surfaces import plot_surface
from bayes_crlm.model.priors import Normal, parse_prior
from bayes_crlm.sensitivity import verdicts
from bayes_crlm.sensitivity.parts import Context, Finding, finding, forest, naming, rows_of
from bayes_crlm.sensitivity.posterior_draws import ENGINE, NUMBERS
from bayes_crlm.sensitivity.prior_choices import prior_choices
from bayes_crlm.specification.lists import ratios
from bayes_crlm.specification.table import Table
from bayes_crlm.specification.values import check_number
from bayes_crlm.words.errors import SensitivityError
from bayes_crlm.words.section import Figure
from bayes_crlm.words.shown import as_written, percent, significant
from bayes_crlm.words.wording import count_of

FIELDS = (*NUMBERS, *ENGINE, "note")
CURVE_FIELDS = ("prob_below_1", "prob_below_effect", "median", *ENGINE, "conclusion")
ENTHUSIAST = "enthusiastic"

# about what trials in oncology are planned to detect; its inverse where the finding is harm
BENEFIT = 0.7


def check_benefit(value: object) -> str | float:
    """Take "auto" or a hazard ratio."""
    if value == "auto":
        return "auto"
    number = check_number(value)
    if number <= 0:
        raise ValueError(
            f"{as_written(number)} is impossible; give a hazard ratio above 0, such as 0.7"
        )
    return number


class Settings(Table):
    """The table `[sensitivity.priors]`.

    The default benefit is on the side of the finding, so that the sceptic doubts it and the
    enthusiast believes in it: a hazard ratio of `BENEFIT`, or its inverse.
    """

    benefit: Annotated[Any, PlainValidator(check_benefit)] = Field(
        "auto", description="'auto' or a hazard ratio above 0 other than 1, such as 0.7"
    )
    tail: float = Field(
        0.05,
        ge=1e-6,
        lt=0.5,
        description="the sceptic's probability beyond the benefit, from 1e-6 to below 0.5",
    )
    vague_scale: float = Field(10.0, ge=1e-8, le=1e8, description="a scale from 1e-8 to 1e8")
    literature: dict[str, str] = Field(
        {}, description="a table of priors, such as 'hr(0.6, 0.4, 0.9)'"
    )
    means: Annotated[Any, ratios("prior medians of the hazard ratio")] = (
        0.5, 0.6, 0.7, 0.85, 1.0, 1.18, 1.43, 1.67, 2.0,
    )  # fmt: skip
    scales: Annotated[Any, ratios("prior scales")] = (0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0)


def check(plan: Plan, settings: Settings) -> None:
    """Refuse priors that cannot be read.

    Raises
    ------
    SensitivityError
    """
    with naming("sensitivity.priors"):
        choices(settings, BENEFIT if settings.benefit == "auto" else settings.benefit)


def benefit_of(settings: Settings, base: Mapping[str, Any]) -> float:
    """The stated benefit, or the default one on the side of the finding."""
    if settings.benefit != "auto":
        return settings.benefit
    return BENEFIT if base["median"] < 1 else 1 / BENEFIT


def choices(settings: Settings, benefit: float) -> dict[str, str]:
    """Priors of the treatment by name, as a spec writes them."""
    named = prior_choices(
        benefit, settings.literature, tail=settings.tail, vague_scale=settings.vague_scale
    )
    written = {
        name: f"normal({prior.mean!r}, {prior.sd!r})"
        for name, prior in named.items()
        if isinstance(prior, Normal)
    }
    return written | settings.literature


def analyse(context: Context, settings: Settings) -> Finding:
    """Refit under every prior, named ones first, then a grid of means and scales."""
    judge, benefit = context.judge, benefit_of(settings, context.base)
    named = choices(settings, benefit)
    rows, cells = refit_under(context, settings, named)
    found = [*rows, *cells]
    judge.add_states(found)
    changed = sum(judge.is_turned_by(row) for row in cells)
    width = len(settings.scales)
    curve = {"prior_median": list(settings.means), "prior_scale": list(settings.scales)} | {
        field: [[row[field] for row in cells[k : k + width]] for k in range(0, len(cells), width)]
        for field in CURVE_FIELDS
    }
    counted = [row for row in rows if judge.held != "undecided" or row["name"] != ENTHUSIAST]
    return finding(
        "priors",
        sentence(judge, rows, changed, len(cells)),
        judge.verdict(counted, "name"),
        result={"benefit": benefit, "rows": rows, "curve": curve},
        rows=[rows_of("priors", rows), rows_of("priors_grid", cells)],
        figures=figures_of(context, settings, rows, curve),
        notes=notes_of(context, settings, benefit, found),
        would_move=possible_changes_in_words(judge.held, rows, changed, len(cells)),
    )


def refit_under(
    context: Context, settings: Settings, named: Mapping[str, str]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Refit under the named priors, by one task, and those of the grid, by one task a mean."""
    cells = [
        {"prior_median": mean, "prior_scale": scale}
        for mean in settings.means
        for scale in settings.scales
    ]
    asked = [("named", text) for text in named.values()]
    for cell in cells:
        mean, scale = cell["prior_median"], float(cell["prior_scale"])
        asked.append((f"median {as_written(mean)}", f"normal({math.log(mean)!r}, {scale!r})"))
    changes = [(label, {"treatment_prior": text}) for label, text in asked]
    refits = context.refit_changes("priors", changes, parts=[])
    for (label, _), row in zip(asked, refits, strict=True):
        if row["failure"]:
            raise SensitivityError(f"sensitivity.priors: {label}: {row['failure']}")
    found = [{field: row[field] for field in FIELDS} for row in refits]
    rows = [
        {"name": name, "prior": text} | row
        for (name, text), row in zip(named.items(), found, strict=False)
    ]
    return rows, [a | b for a, b in zip(cells, found[len(rows) :], strict=True)]


def notes_of(
    context: Context, settings: Settings, benefit: float, found: Sequence[Mapping[str, Any]]
) -> list[str]:
    """What a reader should know of the priors and of their refits."""
    notes = [
        f"The sceptic gives {percent(settings.tail)} to hazard ratios beyond "
        f"{significant(benefit, 3)}.",
        *context.contrasts_note(),
    ]
    if (benefit < 1) != (context.base["median"] < 1):
        notes.append(
            f"The stated benefit, {significant(benefit, 3)}, lies on the other side of 1 than the "
            "finding: the enthusiast argues against it."
        )
    by_nuts = sum(row["engine"] == "nuts" for row in found)
    if by_nuts:
        notes.append(f"Fitted by NUTS: {by_nuts} of {count_of(len(found), 'refit')}.")
    notes += [f"Of {len(found)} refits, {each}" for each in verdicts.failing_note(found, "refit")]
    if context.judge.held == "undecided":
        notes.append(
            "The base analysis is undecided. An enthusiast, who begins with an effect, does "
            "not change that conclusion: belief decides any undecided result."
        )
    return notes


def possible_changes_in_words(
    held: str, rows: Sequence[Mapping[str, Any]], changed: int, n_cells: int
) -> str | None:
    """Name the beliefs that change the conclusion and are not those of readers to be convinced.

    Parameters
    ----------
    held : {"lower", "higher", "undecided"}
        What the base analysis concludes.
    rows : sequence of mapping
        Named priors, with their `conclusion`.
    changed, n_cells : int
        Priors of the grid that conclude otherwise, and all of them.
    """
    said = []
    if held == "undecided" and any(
        row["name"] == ENTHUSIAST and row["conclusion"] not in (None, held) for row in rows
    ):
        said.append("an enthusiast's prior")
    if changed:
        said.append(f"{changed} of {n_cells} priors of the grid")
    return " or ".join(said) or None


def sentence(
    judge: verdicts.Judge, rows: Sequence[Mapping[str, Any]], changed: int, n_cells: int
) -> str:
    """Say what each reader concludes."""
    phrase = "; ".join(
        f"{row['name']}: {verdicts.ratio_of(row)}, "
        f"{judge.side_probability_in_words(row)}{verdicts.STATE_WORDS[row['state']]}"
        for row in rows
    )
    change = "changes" if changed == 1 else "change"
    return (
        f"{phrase}. Of {count_of(n_cells, 'prior')} of the grid {changed} {change} the conclusion."
    )


def figures_of(
    context: Context,
    settings: Settings,
    rows: Sequence[Mapping[str, Any]],
    curve: Mapping[str, Any],
) -> list[Figure]:
    """A forest of the named priors, and P(HR < 1) over the grid."""
    judge, rule = context.judge, context.rule
    level, name = rule.probability, rule.probability_name("lower")
    changes = (
        f"an undecided conclusion changes at {significant(1 - level, 3)} and at "
        f"{significant(level, 3)}, of which the nearer is thick."
        if judge.held == "undecided"
        else "the conclusion changes at the thick line."
    )
    labels = ["the base analysis", *(f"{row['name']}: {short(row['prior'])}" for row in rows)]
    surface = {
        "x": settings.scales,
        "y": settings.means,
        "values": curve["prob_below_1" if rule.effect == 1 else "prob_below_effect"],
        "xlabel": "prior standard deviation of the log hazard ratio",
        "ylabel": "prior median of the hazard ratio",
        "levels": [1 - level, 0.5, 0.8, level, 0.99],
        "thick": judge.of_side(level),
        "quantity": name,
        "log_x": True,
        "log_y": True,
    }
    return [
        forest(
            "priors",
            "The hazard ratio under other readers' priors, which are of its logarithm.",
            [context.base, *rows],
            labels,
        ),
        Figure(
            "priors_grid",
            f"{name} over normal priors of the log hazard ratio; {changes}",
            plot_surface,
            surface,
        ),
    ]


def short(written: str) -> str:
    """A prior as a label: a normal's numbers with three digits, others as they are written."""
    prior = parse_prior(written, "treatment")
    if isinstance(prior, Normal) and written.startswith("normal("):
        mean, sd = (as_written(float(f"{each:.3g}")) for each in (prior.mean, prior.sd))
        return f"normal({mean}, {sd})"
    return written
