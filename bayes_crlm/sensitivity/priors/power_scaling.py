"""How much the posterior depends on the prior and on the likelihood: both raised to a power.

A posterior that changes when its prior is raised to a power near 1 leans on that prior; one that
changes with the prior and with the likelihood alike may be torn between them. Draws of one fit are
reweighted for it, with Pareto smoothing.

References
----------
Kallioinen, Paananen, Buerkner & Vehtari (2024), Stat Comput 34:57; Vehtari, Simpson, Gelman, Yao
& Gabry (2024), JMLR 25(72).
"""

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bayes_crlm.likelihood.hazard_table import log_likelihood
from bayes_crlm.sensitivity.parts import Context, Finding, finding, rows_of
from bayes_crlm.sensitivity.posterior_draws import SmoothedWeights, summarise_weighted
from bayes_crlm.sensitivity.verdicts import Judge
from bayes_crlm.specification.lists import ratios
from bayes_crlm.specification.table import Table
from bayes_crlm.words.section import Figure
from bayes_crlm.words.shown import as_written, number
from bayes_crlm.words.wording import count_of, listed_first

if TYPE_CHECKING:
    import xarray as xr

    from bayes_crlm.fit.fit import Fit

# priors that are raised to a power together; all others are of the baseline hazard
EFFECT_PRIORS = {
    "treatment": ("treatment_effect",),
    "covariates": ("covariate_effect", "shrinkage_global"),
}
# beneath a scale that has a prior of its own, which is where a hierarchy begins
LOWER_LEVELS = ("unit_step", "covariate_unit_effect", "shrinkage_local")
QUANTITIES = {
    "survival": "survival",
    "rmst": "restricted mean survival",
    "median_survival": "median survival",
}
PRIOR, LIKELIHOOD = "treatment prior", "likelihood"
# powers of the prior that may change the conclusion: for a normal prior, a standard deviation from
# 0.89 to 1.12 of what it was; others ask what another prior would say
NEAR_1 = (0.8, 1.25)
WORDS = {
    (False, True): "the data decide it",
    (True, True): "prior and data may be in conflict",
    (True, False): "the prior is strong, or the data say little",
    (False, False): "neither prior nor data say much",
}


class Settings(Table):
    """The table `[sensitivity.power_scaling]`."""

    threshold: float = Field(0.05, gt=0, lt=1, description="a sensitivity between 0 and 1")
    powers: Annotated[Any, ratios("powers")] = (0.5, 0.8, 1.25, 2.0)


def analyse(context: Context, settings: Settings) -> Finding:
    """Measure sensitivities of effects and estimands, and scale the treatment's posterior."""
    import arviz_stats as azs

    fit = context.fit
    tree, left_out = quantities(context, fit)
    groups = prior_groups(tree)
    names = list(tree["posterior"].data_vars)
    # its advice on conflicts is in our words, in the result
    logging.getLogger(azs.psense_summary.__module__).setLevel(logging.ERROR)
    tables = {
        group: azs.psense_summary(
            tree,
            var_names=names,
            threshold=settings.threshold,
            prior_var_names=list(variables),
            round_to=6,
        )
        for group, variables in ({"all": sum(groups.values(), ())} | groups).items()
    }
    rows = [
        {
            "quantity": quantity,
            "prior": finite(tables["all"].loc[quantity, "prior"]),
            "likelihood": finite(tables["all"].loc[quantity, "likelihood"]),
        }
        | {f"{group}_prior": finite(tables[group].loc[quantity, "prior"]) for group in groups}
        for quantity in tables["all"].index
    ]
    for row in rows:
        row["verdict"] = sensitivity_in_words(row["prior"], row["likelihood"], settings.threshold)
    scaled = scaled_effects(context, fit, tree, settings.powers)
    context.judge.add_states(scaled)
    effect = rows[context.level - 1]
    return finding(
        "power_scaling",
        sentence(effect, rows, settings.threshold, context.plan.inputs.cohort.unit),
        context.judge.verdict([row for row in scaled if is_near(row)]),
        result={"rows": rows, "scaled": scaled, "threshold": settings.threshold},
        rows=[rows_of("power_scaling", rows), rows_of("power_scaling_effect", scaled)],
        figures=[
            Figure(
                "power_scaling",
                "The treatment's log hazard ratio when its prior (left) and the likelihood (right) "
                "are raised to powers near 1 (alpha).",
                plot_scaled,
                {"tree": tree, "term": fit.inputs.design.terms[context.level - 1]},
            )
        ],
        notes=notes_of(context, settings, scaled, left_out),
        would_move=possible_changes_in_words(context.judge, scaled),
    )


def notes_of(
    context: Context,
    settings: Settings,
    scaled: Sequence[Mapping[str, Any]],
    left_out: Sequence[str],
) -> list[str]:
    """What a reader should know of the sensitivities."""
    unreliable = sum(not row["is_reliable"] for row in scaled)
    notes = [
        "A sensitivity is the distance between a quantity's posteriors under powers just below "
        "and above 1 (cumulative Jensen-Shannon, from 0 for equal distributions to 1), for each "
        f"doubling of the power; above {as_written(settings.threshold)} it should be looked at.",
        "The prior is the joint prior of all parameters; the columns of single priors say which "
        "of them a quantity depends on.",
        f"Powers of the treatment's prior from {as_written(NEAR_1[0])} to {as_written(NEAR_1[1])} "
        "may change the conclusion. Larger ones are other priors, reported separately; powers of "
        "the likelihood are cohorts of another size, and never count.",
        *context.contrasts_note(),
    ]
    if unreliable:
        notes.append(
            "Too far from 1 for these draws (Pareto k or effective sample size), and not counted: "
            f"{count_of(unreliable, 'power')}."
        )
    if left_out:
        notes.append(
            f"Not examined, because it is not reached, or always the same, in some draws: "
            f"{', '.join(left_out)}."
        )
    return notes


def is_near(row: Mapping[str, Any]) -> bool:
    """Whether a row is of the treatment's prior under a power near 1."""
    return row["scaled"] == PRIOR and NEAR_1[0] - 1e-9 <= row["power"] <= NEAR_1[1] + 1e-9


def possible_changes_in_words(judge: Judge, scaled: Sequence[Mapping[str, Any]]) -> str | None:
    """Name the powers of the treatment's prior, far from 1, that change the conclusion."""
    powers = [
        as_written(row["power"])
        for row in scaled
        if row["scaled"] == PRIOR and not is_near(row) and judge.is_turned_by(row)
    ]
    if not powers:
        return None
    return f"the treatment's prior to the power of {' or '.join(powers)}"


def sensitivity_in_words(prior: float | None, likelihood: float | None, threshold: float) -> str:
    """Put two sensitivities in words.

    Parameters
    ----------
    prior, likelihood : float or None
        None where one could not be computed.
    threshold : float
        Above which a sensitivity counts.
    """
    if prior is None or likelihood is None:
        return "not computable"
    return WORDS[prior > threshold, likelihood > threshold]


def finite(value: Any) -> float | None:
    """A number, None where it is not finite."""
    number = float(value)
    return number if np.isfinite(number) else None


def prior_groups(tree: "xr.DataTree") -> dict[str, tuple[str, ...]]:
    """Priors by what they are of: treatment, covariates, baseline.

    Of a hierarchy only the top is raised to a power (Kallioinen et al. 2024): the scale of a
    random walk, not its standardised steps.
    """
    there = [str(name) for name in tree["log_prior"].data_vars if name not in LOWER_LEVELS]
    found = {
        group: tuple(name for name in names if name in there)
        for group, names in EFFECT_PRIORS.items()
    }
    effects = {name for names in EFFECT_PRIORS.values() for name in names}
    found["baseline"] = tuple(name for name in there if name not in effects)
    return {group: names for group, names in found.items() if names}


def quantities(context: Context, fit: "Fit") -> "tuple[xr.DataTree, list[str]]":
    """A tree of the draws of effects and estimands, with log priors and the cohort's likelihood.

    Also names estimands that are infinite, or the same, in some draws.
    """
    import xarray as xr

    plan, tree = context.plan, fit.posterior
    effects = tree["posterior"]["log_hazard_ratio"]
    shape = (effects.sizes["chain"], effects.sizes["draw"])
    estimands = plan.spec.estimands
    found: dict[str, Any] = {"log_hazard_ratio": effects}
    # all patients', where the tree of a large cohort holds a sample's
    of_draws = log_likelihood(fit.hazards, fit.inputs.density_data)
    left_out: list[str] = []

    def add(name: str, draws: "xr.DataArray", **dims: Any) -> None:
        values = draws.values.reshape(*shape, *draws.shape[1:])
        if np.all(np.isfinite(values)) and np.all(values.std(axis=(0, 1)) > 0):
            labels = ("treatment_level", *dims)
            found[name] = xr.DataArray(
                values,
                dims=("chain", "draw", *labels),
                coords={"treatment_level": [str(each) for each in plan.inputs.design.levels]}
                | dims,
            )
        else:
            left_out.append(name.replace("_", " "))

    if estimands.horizons:
        add("survival", fit.survival_draws(estimands.horizons), time=list(estimands.horizons))
    if estimands.rmst is not None:
        add("rmst", fit.rmst_draws(estimands.rmst))
    add("median_survival", fit.median_survival_draws())
    for name in ("survival", "rmst"):
        if name in found:
            values = found[name]
            difference = values.isel(treatment_level=slice(1, None)) - values.isel(
                treatment_level=0, drop=True
            )
            found[f"{name}_difference"] = difference.rename(treatment_level="contrast")
    groups = {
        "posterior": xr.Dataset(found),
        "log_prior": tree["log_prior"].to_dataset(),
        "log_likelihood": xr.Dataset(
            {"cohort": (("chain", "draw"), of_draws.reshape(shape))},
            coords=effects.coords.to_dataset()[["chain", "draw"]].coords,
        ),
    }
    return xr.DataTree.from_dict(groups), left_out


def scaled_effects(
    context: Context, fit: "Fit", tree: "xr.DataTree", powers: Sequence[float]
) -> list[dict[str, Any]]:
    """The treatment's hazard ratio under powers of its own prior and of the likelihood.

    `pareto_k` is of the weights to the power; `engine` and `fit_pareto_k` are of the fit whose
    draws are weighted.

    Parameters
    ----------
    context : Context
        The base analysis, and how refits are made.
    fit : Fit
        Whose draws are looked at.
    tree : xarray.DataTree
        From `quantities`.
    powers : sequence of float
        Above 0; 1 changes nothing.
    """
    log_ratio = fit.log_hazard_ratio_values[:, context.level - 1]
    prior = np.asarray(tree["log_prior"]["treatment_effect"]).reshape(len(log_ratio), -1)
    logs = {
        PRIOR: prior.sum(axis=1),
        LIKELIHOOD: np.asarray(tree["log_likelihood"]["cohort"]).ravel(),
    }
    drawn = {
        "engine": fit.engine,
        "fit_pareto_k": None if fit.importance is None else finite(fit.importance.pareto_k),
    }
    return [
        {"label": f"{name} to the power of {as_written(power)}", "scaled": name, "power": power}
        | scaled_row(log_ratio, (power - 1) * log_value, context.rule.effect)
        | drawn
        for name, log_value in logs.items()
        for power in powers
    ]


def scaled_row(log_ratio: NDArray, log_weight: NDArray, effect: float = 1.0) -> dict[str, Any]:
    """Summarise reweighted draws."""
    smoothed = SmoothedWeights.of(log_weight)
    return summarise_weighted(log_ratio, smoothed.weight, effect) | {
        "pareto_k": smoothed.pareto_k,
        "ess": smoothed.ess,
        "is_reliable": smoothed.problem is None,
    }


def sentence(
    effect: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    threshold: float,
    unit: str | None = None,
) -> str:
    """Say what the treatment's effect, and other quantities, lean on."""
    leaning = [
        quantity_in_words(row["quantity"], unit)
        for row in rows
        if row is not effect and row["prior"] is not None and row["prior"] > threshold
    ]
    prior, likelihood = effect["prior"], effect["likelihood"]
    if prior is None or likelihood is None:
        return "How far the treatment's effect depends on the priors could not be computed."
    text = (
        f"The treatment's effect has a sensitivity of {number(prior, 3)} to the priors and of "
        f"{number(likelihood, 3)} to the likelihood: {effect['verdict']}"
    )
    if not leaning:
        return f"{text}; no other quantity depends on a prior."
    shown = listed_first(leaning[:3], len(leaning) - 3)
    lean = "quantity depends" if len(leaning) == 1 else "quantities depend"
    return f"{text}; {len(leaning)} other {lean} on a prior: {shown}."


def quantity_in_words(name: str, unit: str | None) -> str:
    """Put the name of a quantity in words.

    Parameters
    ----------
    name : str
        Such as "survival_difference[treated, 60.0]".
    unit : str or None
        Of time.
    """
    kind, _, label = name.removesuffix("]").partition("[")
    if kind == "log_hazard_ratio":
        return f"the log hazard ratio of {label}"
    words, at = QUANTITIES[kind.removesuffix("_difference")], ""
    if kind.startswith("survival"):
        label, _, time = label.rpartition(", ")
        at = (
            f" at {as_written(float(time))} {unit}"
            if unit
            else f" at time {as_written(float(time))}"
        )
    change = "the difference in " if kind.endswith("_difference") else ""
    return f"{change}{words}{at} with {label}"


def plot_scaled(tree: "xr.DataTree", term: str) -> Any:
    """Draw `arviz_plots.plot_psense_dist` of the log hazard ratio of a term."""
    import arviz_plots as azp

    from bayes_crlm.figures.drawing import styled

    with styled():
        plotted = azp.plot_psense_dist(
            tree,
            var_names=["log_hazard_ratio"],
            coords={"term": [term]},
            prior_var_names=["treatment_effect"],
            backend="matplotlib",
            figure_kwargs={"figsize": (8.0, 3.6)},
        )
        for ax in plotted.viz["plot"]["log_hazard_ratio"].values.ravel():
            ax.set_xlabel("log hazard ratio")
    return plotted.viz["figure"].item()
