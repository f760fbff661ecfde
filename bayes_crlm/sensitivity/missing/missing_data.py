"""Missing covariates: imputed inside the model, against complete cases and against other beliefs.

The model is fitted jointly with regressions of the incomplete covariates, so that patients with
missing values stay in it (missing at random). Then what misses is taken to be higher, or lower,
than what is seen of like patients, one covariate after the other (missing not at random).

References
----------
Ibrahim, Chen & Lipsitz (1999), Biometrics 55:591-596; White & Carlin (2010), Stat Med
29:2920-2931 (when complete cases are biased); Carpenter & Kenward (2013), Multiple Imputation and
its Application, chapter 10.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field

from bayes_crlm.analysis.plan import Plan
from bayes_crlm.sensitivity.missing.imputation import Errors, fit_imputation
from bayes_crlm.sensitivity.missing.missing_covariates import IncompleteDesign, incomplete_design
from bayes_crlm.sensitivity.parts import (
    Beliefs,
    Context,
    Finding,
    Variant,
    finding,
    forest,
    rows_of,
    unreliable_note,
)
from bayes_crlm.sensitivity.refit import Shared, changed_inputs
from bayes_crlm.sensitivity.verdicts import (
    Values,
    mover_in_words,
    range_in_words,
    ratio_of,
    reliable,
)
from bayes_crlm.specification.lists import number_list
from bayes_crlm.words.errors import SensitivityError
from bayes_crlm.words.shown import as_written, number
from bayes_crlm.words.wording import count_of

AT_RANDOM = "missing at random"
# columns of the table
SHOWN = (
    "label", "column", "delta", "median", "eti95", "prob_below_1", "prob_below_effect",
    "conclusion", "state", "mean_log", "sd_log", "mcse", "engine", "pareto_k", "r_hat",
    "is_reliable", "note", "n_patients", "n_events",
)  # fmt: skip


class Settings(Beliefs):
    """The table `[sensitivity.missing_data]`."""

    BELIEFS: ClassVar[tuple[str, ...]] = ("deltas",)

    deltas: Annotated[Any, number_list("deltas")] = (-1.0, -0.5, 0.5, 1.0)
    errors: Errors = Field("normal", description="'normal' or 'student_t'")
    draws: int = Field(1000, ge=500, le=20_000, description="a whole number from 500 to 20000")


def check(plan: Plan, settings: Settings) -> None:
    """Refuse cohorts in which nothing misses, or what misses cannot be imputed."""
    design_of(plan)


def design_of(plan: Plan) -> IncompleteDesign:
    """The cohort with its missing values.

    Raises
    ------
    SensitivityError
        When no covariate of the model misses a value, or one cannot be imputed, and for a model
        whose rows have classes or groups.
    """
    if plan.inputs.data.n_classes > 1 or plan.inputs.data.groups:
        raise SensitivityError(
            "values are imputed without terms that have groups or hazards of their own; leave them "
            "out of the spec to see this part"
        )
    return incomplete_design(plan.model, plan.full_cohort)


def impute(
    shared: Shared, *, delta: Mapping[str, float], errors: Errors, draws: int, seed: int
) -> dict[str, Any]:
    """Fit the model with imputation inside, as a task.

    Parameters
    ----------
    shared : Shared
        What all refits of the part need.
    delta : mapping
        See `bayes_crlm.sensitivity.missing.imputation.fit_imputation`.
    errors : {"normal", "student_t"}
        Distribution of a continuous covariate given all others.
    draws : int
        Kept draws of each of four chains.
    seed : int
        Of the random draws: the same seed gives the same numbers.

    Returns
    -------
    dict
        `row`, `coefficients`, `imputed` (a list of dict).
    """
    model, _ = changed_inputs(shared, {})
    design = incomplete_design(model, shared.full_cohort)
    fit = fit_imputation(
        design,
        delta=dict(delta),
        errors=errors,
        draws=draws,
        seed=seed,
    )
    ratio, diagnostics = fit.ratios[shared.level - 1], fit.diagnostics
    cohort = design.inputs.cohort
    row = {
        name: ratio[name] for name in ("median", "eti95", "prob_below_1", "mean_log", "sd_log")
    } | {
        "prob_below_effect": fit.prob_below(shared.effect)[shared.level - 1],
        "mcse": ratio["mcse_mean_log"],
        "engine": "nuts",
        "pareto_k": None,
        "r_hat": diagnostics.max_r_hat,
        "is_reliable": diagnostics.is_trustworthy,
        "note": "; ".join(diagnostics.failures) or None,
        "n_patients": cohort.n_patients,
        "n_events": cohort.n_events,
    }
    return {
        "row": row,
        "coefficients": fit.coefficients,
        "imputed": fit.imputed.to_dict(orient="records"),
    }


def analyse(context: Context, settings: Settings) -> Finding:
    """Impute at random, then under every shift of every incomplete covariate."""
    design = design_of(context.plan)
    variants = shifts_of(design, settings.deltas)
    settled = {"errors": settings.errors, "draws": settings.draws}
    found, failures = context.refit_variants("missing_data", impute, variants, **settled)
    at_random = found[0]
    if at_random["label"] != AT_RANDOM:
        raise SensitivityError(f"sensitivity.missing_data: {failures[0]}")
    base = context.base | {"label": "complete cases", "column": None, "delta": None}
    rows = [{key: each[key] for key in SHOWN[:3]} | each["row"] for each in found]
    context.judge.add_states(rows)
    counted = rows if settings.is_stated else rows[:1]
    counts = {each.column: int(each.is_missing.sum()) for each in design.covariates}
    return finding(
        "missing_data",
        sentence(base, rows),
        context.judge.verdict(counted),
        result={
            "rows": rows,
            "n_missing": counts,
            "n_incomplete": int(design.is_incomplete.sum()),
            "coefficients": at_random["coefficients"],
            "imputed": at_random["imputed"],
        },
        rows=[
            rows_of(
                "missing_data", [{key: row.get(key) for key in SHOWN} for row in [base, *rows]]
            ),
            rows_of("missing_data_imputed", at_random["imputed"]),
        ],
        figures=[
            forest(
                "missing_data",
                "The hazard ratio with complete cases, with missing covariates imputed in the "
                "model, and when missing values differ from those seen.",
                [base, *rows],
            )
        ],
        notes=notes_of(design, counts, is_stated=settings.is_stated)
        + unreliable_note(rows)
        + [f"Not fitted: {each}" for each in failures],
        would_move=possible_changes_in_words(rows[len(counted) :]),
    )


def shifts_of(design: IncompleteDesign, deltas: Sequence[float]) -> list[Variant]:
    """Missing at random, then every shift of every incomplete covariate: "cea +0.5 sd"."""
    found = [Variant(AT_RANDOM, {"delta": {}}, {"label": AT_RANDOM, "column": None, "delta": 0.0})]
    for each in design.covariates:
        unit = "sd" if each.kind == "continuous" else "log odds"
        for delta in sorted(set(deltas) - {0}):
            sign = "-" if delta < 0 else "+"
            label = f"{each.column} {sign}{as_written(abs(delta))} {unit}"
            row = {"label": label, "column": each.column, "delta": delta}
            found.append(Variant(label, {"delta": {each.column: delta}}, row))
    return found


def notes_of(design: IncompleteDesign, counts: Mapping[str, int], *, is_stated: bool) -> list[str]:
    """What is missing, and whose the deltas are."""
    missing = ", ".join(f"{number} of {column}" for column, number in counts.items())
    notes = [
        f"Missing values: {missing}, in {int(design.is_incomplete.sum())} of "
        f"{count_of(design.inputs.cohort.n_patients, 'patient')}.",
        "A delta is how much higher missing values are than seen ones of patients with the same "
        "other covariates: standard deviations of a continuous covariate, log odds of a binary "
        "one.",
    ]
    if not is_stated:
        notes.append(
            "The deltas are defaults, not the spec's: what they do is reported separately, and "
            "does not count as a change of the conclusion. State them as "
            "sensitivity.missing_data.deltas."
        )
    return notes


def possible_changes_in_words(rows: Sequence[Values]) -> str | None:
    """Name the default shift that changes the conclusion most, and count the others."""
    turned = [row for row in rows if row["state"] in ("weaker", "changes")]
    if not turned:
        return None
    shifts = count_of(len(turned), "default shift")
    return f"{shifts} of missing values (such as {mover_in_words(turned[0])})"


def sentence(base: Values, rows: Sequence[Values]) -> str:
    """Compare complete cases, missing at random, and not at random.

    Parameters
    ----------
    base : mapping
        The base analysis's row.
    rows : sequence of mapping
        Missing at random first; of the others only reliable ones are spoken of.
    """
    at_random, shifted = rows[0], reliable(rows[1:])
    text = (
        f"With missing covariates imputed in the model the hazard ratio is {ratio_of(at_random)}, "
        f"with complete cases alone {number(base['median'])}"
    )
    if not at_random["is_reliable"]:
        text += " (imputation at random fails its diagnostics, so do not rely on it)"
    if not shifted:
        return f"{text}."
    return f"{text}; when values are not missing at random it {range_in_words(shifted)}."
