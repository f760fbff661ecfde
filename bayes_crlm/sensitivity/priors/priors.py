"""What readers with other priors conclude: sceptics, enthusiasts, readers of the literature.

Every prior is refitted, none is only weighted.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, PlainValidator

from bayes_crlm.model.priors import Normal, parse_prior
from bayes_crlm.sensitivity.parts import Context, PartResult, contrasts_note
from bayes_crlm.sensitivity.prior_choices import prior_choices
from bayes_crlm.sensitivity.refit import refit_priors
from bayes_crlm.sensitivity.side_probability import say_side_probability
from bayes_crlm.sensitivity.table_rows import table_of_rows
from bayes_crlm.sensitivity.verdicts import (
    DEFAULT_RULE,
    STATE_WORDS,
    add_states,
    conclusion,
    failing,
    judge,
    side_of,
)
from bayes_crlm.specification.lists import ratios
from bayes_crlm.specification.table import Table
from bayes_crlm.specification.values import check_number
from bayes_crlm.tasks.run import Task
from bayes_crlm.words.errors import BayesCRLMError, SensitivityError
from bayes_crlm.words.shown import as_written, significant
from bayes_crlm.words.success import SuccessRule
from bayes_crlm.words.wording import count_of

if TYPE_CHECKING:
    from bayes_crlm.analysis.run import Plan

__all__ = ["Settings", "analyse", "check"]

FIELDS = (
    "median", "eti95", "prob_below_1", "prob_below_effect", "mean_log", "sd_log", "mcse", "engine",
    "pareto_k", "r_hat", "is_reliable", "note",
)  # fmt: skip
JUDGED = (*FIELDS, "conclusion", "state")
CURVE_FIELDS = (
    *("prob_below_1", "prob_below_effect", "median", "engine", "pareto_k", "r_hat"),
    *("is_reliable", "conclusion"),
)
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

    benefit: Annotated[
        Any,
        PlainValidator(check_benefit),
        Field(description="'auto' or a hazard ratio above 0 other than 1, such as 0.7"),
    ] = "auto"
    tail: Annotated[
        float,
        Field(
            ge=1e-6,
            lt=0.5,
            description="the sceptic's probability beyond the benefit, from 1e-6 to below 0.5",
        ),
    ] = 0.05
    vague_scale: Annotated[
        float, Field(ge=1e-8, le=1e8, description="a scale from 1e-8 to 1e8")
    ] = 10.0
    literature: Annotated[
        dict[str, str], Field(description="a table of priors, such as 'hr(0.6, 0.4, 0.9)'")
    ] = {}  # noqa: RUF012  (pydantic copies it)
    means: Annotated[Any, ratios("prior medians of the hazard ratio")] = (
        0.5, 0.6, 0.7, 0.85, 1.0, 1.18, 1.43, 1.67, 2.0,
    )  # fmt: skip
    scales: Annotated[Any, ratios("prior scales")] = (0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0)


def check(plan: "Plan", settings: Settings) -> None:
    """Refuse priors that cannot be read.

    Raises
    ------
    SensitivityError
    """
    try:
        choices(settings, BENEFIT if settings.benefit == "auto" else settings.benefit)
    except BayesCRLMError as problem:
        raise SensitivityError(f"sensitivity.priors: {problem}") from None


def benefit_of(settings: Settings, base: Mapping[str, Any]) -> float:
    """The stated benefit, or the default one on the side of the finding."""
    if settings.benefit != "auto":
        return settings.benefit
    return BENEFIT if base["median"] < 1 else 1 / BENEFIT


def choices(settings: Settings, benefit: float) -> dict[str, str]:
    """Priors of the treatment by name, as a spec writes them."""
    named = prior_choices(
        benefit,
        settings.literature,
        tail=settings.tail,
        vague_scale=settings.vague_scale,
    )
    written = {
        name: f"normal({prior.mean!r}, {prior.sd!r})"
        for name, prior in named.items()
        if isinstance(prior, Normal)
    }
    return written | settings.literature


def analyse(context: Context, settings: Settings) -> PartResult:
    """Refit under every prior, named ones first, then a grid of means and scales."""
    rule = context.rule
    benefit, side = benefit_of(settings, context.base), side_of(context.base, rule)
    named = choices(settings, benefit)
    grid = [
        f"normal({math.log(mean)!r}, {float(scale)!r})"
        for mean in settings.means
        for scale in settings.scales
    ]
    width = len(settings.scales)
    groups = [list(named.values()), *(grid[k : k + width] for k in range(0, len(grid), width))]
    tasks = [
        Task(
            f"priors: {'named' if k == 0 else f'median {as_written(settings.means[k - 1])}'}",
            refit_priors,
            {
                "priors": [{"treatment_prior": text} for text in group],
                "seed": context.seed,
                "parts": [],
            },
        )
        for k, group in enumerate(groups)
    ]
    found: list[Mapping[str, Any]] = []
    for result in context.run("priors", tasks):
        if result.value is None:
            raise SensitivityError(f"sensitivity.priors: {result.failure}")
        found += result.value["rows"]
    rows = [
        {"name": name, "prior": text} | {field: row[field] for field in FIELDS}
        for (name, text), row in zip(named.items(), found, strict=False)
    ]
    cells = [dict(row) for row in found[len(rows) :]]
    add_states([*rows, *cells], context.base, rule)
    table = [cells[k : k + width] for k in range(0, len(cells), width)]
    curve = {"prior_median": list(settings.means), "prior_scale": list(settings.scales)} | {
        field: [[row[field] for row in line] for line in table] for field in CURVE_FIELDS
    }
    held = conclusion(context.base, rule)
    turned = sum(row["conclusion"] not in (None, held) for row in cells)
    unreliable = sum(not row["is_reliable"] for row in found)
    by_nuts = sum(row["engine"] == "nuts" for row in found)
    notes = [
        f"The sceptic gives {settings.tail:.0%} to hazard ratios beyond {significant(benefit, 3)}.",
        *contrasts_note(context),
    ]
    if (benefit < 1) != (context.base["median"] < 1):
        notes.append(
            f"The stated benefit, {significant(benefit, 3)}, lies on the other side of 1 than the "
            "finding: the enthusiast argues against it."
        )
    if by_nuts:
        notes.append(f"Made by NUTS: {by_nuts} of {count_of(len(found), 'refit')}.")
    if unreliable:
        notes.append(
            f"Of {count_of(len(found), 'refit')} {failing(unreliable)} marked, and can move "
            "nothing."
        )
    counted = rows
    if held == "undecided":
        counted = [row for row in rows if row["name"] != ENTHUSIAST]
        notes.append(
            "The base analysis is undecided. An enthusiast, who begins with an effect, does "
            "not move that conclusion: belief turns any undecided result."
        )
    return PartResult(
        result={"benefit": benefit, "rows": rows, "curve": curve},
        sentence=sentence(rows, side, turned, len(cells), rule),
        **judge(context.base, counted, rule, "name"),
        tables=tables_of(rows, settings, table),
        figures=figures_of(context, settings, rows, curve),
        notes=tuple(notes),
        would_move=say_would_move(held, rows, turned, len(cells)),
    )


def say_would_move(
    held: str, rows: Sequence[Mapping[str, Any]], turned: int, n_cells: int
) -> str | None:
    """Name the beliefs that turn the conclusion and are not those of readers to be convinced.

    Parameters
    ----------
    held : {"lower", "higher", "undecided"}
        What the base analysis concludes.
    rows : sequence of mapping
        Named priors, with their `conclusion`.
    turned, n_cells : int
        Priors of the grid that conclude otherwise, and all of them.
    """
    said = []
    if held == "undecided" and any(
        row["name"] == ENTHUSIAST and row["conclusion"] not in (None, held) for row in rows
    ):
        said.append("an enthusiast's prior")
    if turned:
        said.append(f"{turned} of {n_cells} priors of the grid")
    return " or ".join(said) or None


def sentence(
    rows: Sequence[Mapping[str, Any]],
    side: str,
    turned: int,
    n_cells: int,
    rule: SuccessRule = DEFAULT_RULE,
) -> str:
    """Say what each reader concludes."""
    told = "; ".join(
        f"{row['name']}: {row['median']:.2f} ({row['eti95'][0]:.2f} to {row['eti95'][1]:.2f}), "
        f"{say_side_probability(row, side, rule)}{STATE_WORDS[row['state']]}"
        for row in rows
    )
    turn = "turns" if turned == 1 else "turn"
    return f"{told}. Of {count_of(n_cells, 'prior')} of the grid {turned} {turn} the conclusion."


def tables_of(
    rows: Sequence[Mapping[str, Any]],
    settings: Settings,
    table: Sequence[Sequence[Mapping[str, Any]]],
) -> dict[str, Any]:
    """Named priors, and the grid with a row for each cell."""
    grid = [
        {"prior_median": mean, "prior_scale": scale} | {field: row[field] for field in JUDGED}
        for mean, line in zip(settings.means, table, strict=True)
        for scale, row in zip(settings.scales, line, strict=True)
    ]
    return {"priors": table_of_rows(rows), "priors_grid": table_of_rows(grid)}


def figures_of(
    context: Context,
    settings: Settings,
    rows: Sequence[Mapping[str, Any]],
    curve: Mapping[str, Any],
) -> dict[str, Any]:
    """A forest of the named priors, and P(HR < 1) over the grid."""
    from bayes_crlm.sensitivity.figures import plot_forest_rows, plot_surface

    rule = context.rule
    level, name = rule.probability, rule.probability_name("lower")
    turns = (
        f"an undecided conclusion turns at {significant(1 - level, 3)} and at "
        f"{significant(level, 3)}, of which the nearer is thick."
        if conclusion(context.base, rule) == "undecided"
        else "the conclusion turns at the thick line."
    )
    labels = ["the base analysis", *(f"{row['name']}: {short(row['prior'])}" for row in rows)]
    return {
        "priors": (
            "The hazard ratio under other readers' priors, which are of its logarithm.",
            lambda: plot_forest_rows(context, [context.base, *rows], labels),
        ),
        "priors_grid": (
            f"{name} over normal priors of the log hazard ratio; {turns}",
            lambda: plot_surface(
                context,
                settings.scales,
                settings.means,
                curve["prob_below_1" if rule.effect == 1 else "prob_below_effect"],
                xlabel="prior standard deviation of the log hazard ratio",
                ylabel="prior median of the hazard ratio",
                levels=sorted({1 - level, 0.5, 0.8, level, 0.99}),
                thick=level if side_of(context.base, rule) == "below" else 1 - level,
                label=lambda each: f"{significant(each, 3)}",
                quantity=name,
                log_x=True,
                log_y=True,
            ),
        ),
    }


def short(written: str) -> str:
    """A prior as a label: a normal's numbers with three digits, others as they are written."""
    prior = parse_prior(written, "treatment")
    if isinstance(prior, Normal) and written.startswith("normal("):
        mean, sd = (as_written(float(f"{each:.3g}")) for each in (prior.mean, prior.sd))
        return f"normal({mean}, {sd})"
    return written
