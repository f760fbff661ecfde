"""Does the posterior agree with Cox, and when not, why? Found by refitting."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.column_counts import FEW_EVENTS, Side, sides_of_columns
from bayes_crlm.parameters import constrain, effects, model_parameters
from bayes_crlm.priors import Independent, Normal
from bayes_crlm.shown_numbers import ratio_in_words, significant

if TYPE_CHECKING:
    from bayes_crlm.cox import Cox
    from bayes_crlm.fit import Fit
    from bayes_crlm.model import ModelInputs, PiecewiseExponential

__all__ = ["Contrast", "compare", "contrast"]

MOST_SE_APART = 0.5
WIDTH_RATIO = (0.8, 1.25)
# effects: a hazard ratio between 1e-9 and 1e9; log-hazards: likewise wide
VAGUE_EFFECT = Normal(0.0, 10.0)
VAGUE_BASELINE = Independent(10.0)
REFIT_DRAWS = 4000
UNTRUSTED = "not looked for: a diagnostic says not to trust the draws"
HALF_WIDTH_95 = 1.959963984540054


@dataclass(frozen=True)
class Contrast:
    """Posterior against Cox for every term, shape (terms,) each.

    Attributes
    ----------
    difference : ndarray
        Posterior mean minus Cox estimate of the log hazard ratio.
    difference_in_se : ndarray
        The same in Cox standard errors.
    width_ratio : ndarray
        Width of the posterior's 95% interval over Cox's, on the log scale.
    agrees : ndarray of bool
        Within half a standard error, and widths within a factor of 1.25.
    """

    difference: NDArray[np.float64]
    difference_in_se: NDArray[np.float64]
    width_ratio: NDArray[np.float64]
    agrees: NDArray[np.bool_]


def contrast(log_hazard_ratio: NDArray, cox: "Cox") -> Contrast:
    """Hold posterior draws of log hazard ratios against a Cox fit.

    Parameters
    ----------
    log_hazard_ratio : (draws, terms) ndarray
        In original units.
    cox : Cox
        Fit of the same terms.
    """
    low, high = np.quantile(log_hazard_ratio, [0.025, 0.975], axis=0)
    se = np.asarray(cox.se, dtype=float)
    difference = log_hazard_ratio.mean(axis=0) - np.asarray(cox.coef, dtype=float)
    in_se = difference / se
    ratio = (high - low) / (2 * HALF_WIDTH_95 * se)
    agrees = (
        (np.abs(in_se) <= MOST_SE_APART) & (ratio >= WIDTH_RATIO[0]) & (ratio <= WIDTH_RATIO[1])
    )
    return Contrast(difference, in_se, ratio, agrees)


def compare(fit: "Fit", *, explain: bool = True) -> list[dict[str, Any]]:
    """Give every term its verdict, refitting the model where it differs from Cox.

    Parameters
    ----------
    fit : Fit
        A fitted model.
    explain : bool
        Refit to find reasons; draws that cannot be trusted are not worth explaining.

    Returns
    -------
    list of dict
        term, difference_in_log_hr, difference_in_se, width_ratio, verdict
        ("agree" or "differ"), reason (None when they agree), and refit_hazard_ratio, refit_low,
        refit_high: median and 95% interval of the refit that agrees and so gives the reason, per
        unit of the column (None without one).
    """
    cox = fit.cox
    draws = fit.effect_draws / fit.inputs.design.scale
    measured = contrast(draws, cox)
    reasons = [Reason()] * len(fit.inputs.design.terms)
    if not measured.agrees.all():
        reasons = (
            find_reasons(fit, measured)
            if explain
            else [Reason(None if agrees else UNTRUSTED) for agrees in measured.agrees]
        )
    return [
        {
            "term": term,
            "difference_in_log_hr": float(measured.difference[k]),
            "difference_in_se": float(measured.difference_in_se[k]),
            "width_ratio": float(measured.width_ratio[k]),
            "verdict": "agree" if measured.agrees[k] else "differ",
            "reason": reasons[k].text,
            "refit_hazard_ratio": reasons[k].hazard_ratio,
            "refit_low": reasons[k].low,
            "refit_high": reasons[k].high,
        }
        for k, term in enumerate(fit.inputs.design.terms)
    ]


@dataclass(frozen=True)
class Reason:
    """Why a term differs from Cox, and the hazard ratio of the refit that shows it."""

    text: str | None = None
    hazard_ratio: float | None = None
    low: float | None = None
    high: float | None = None


def find_reasons(fit: "Fit", measured: Contrast) -> list[Reason]:
    """Refit under vague priors, with finer intervals and with both, until each term agrees."""
    terms, cox = fit.inputs.design.terms, fit.cox
    reasons = [Reason()] * len(terms)
    pending = [k for k in range(len(terms)) if not measured.agrees[k]]
    for k in list(pending):
        if terms[k] in cox.not_estimable:
            reasons[k] = Reason(
                "separation: the partial likelihood has no maximum for this term, so the prior "
                "and Firth's penalty, which differ, decide"
            )
            pending.remove(k)
    for model, name, how in trials(fit):
        if not pending:
            break
        draws = refit(fit, model)
        again = contrast(draws, cox)
        for k in list(pending):
            if again.agrees[k]:
                low, median, high = np.exp(np.quantile(draws[:, k], [0.025, 0.5, 0.975])).tolist()
                size = ratio_in_words(median, (low, high))
                text = f"{name}: {how} the fit agrees with Cox, at a hazard ratio of {size}"
                reasons[k] = Reason(text, median, low, high)
                pending.remove(k)
    sides = sides_of_columns(fit.inputs.cohort, fit.inputs.design) if pending else ()
    for k in pending:
        reasons[k] = Reason(unmoved_reason(fit, terms[k], sides))
    return reasons


def trials(fit: "Fit") -> "list[tuple[PiecewiseExponential, str, str]]":
    """List the models to refit: each with the reason that it gives, and what it changes."""
    vague = replace(
        fit.model,
        baseline=VAGUE_BASELINE,
        treatment_prior=VAGUE_EFFECT,
        covariate_prior=VAGUE_EFFECT,
    )
    n_intervals, n_events = fit.inputs.intervals.n_intervals, fit.inputs.cohort.n_events
    finer = min(max(3 * n_intervals, 20), max(n_intervals, n_events // 2))
    found: list[tuple[PiecewiseExponential, str, str]] = [
        (vague, "prior pull", "under vague priors")
    ]
    if finer > n_intervals:
        many = f"with {finer} intervals instead of {n_intervals}"
        found += [
            (replace(fit.model, cutpoints=finer), "coarse intervals", many),
            (
                replace(vague, cutpoints=finer),
                "prior pull and coarse intervals",
                f"under vague priors and with {finer} intervals",
            ),
        ]
    return found


def unmoved_reason(fit: "Fit", term: str, sides: tuple[Side, ...]) -> str:
    """Say why a term differs from Cox that no refit brings nearer.

    Parameters
    ----------
    fit : Fit
        A fitted model.
    term : str
        Its column.
    sides : tuple of Side
        Of all columns: an indicator rests on the events, and the others, of both of its sides.
    """
    from bayes_crlm.rounded_times import rounded_times

    part = (
        "the posterior mean and Cox's maximum part ways even under vague priors and with finer "
        "intervals"
    )
    inputs = fit.inputs
    n_events, n_terms = inputs.cohort.n_events, len(inputs.design.terms)
    each = f"{n_events} events for {n_terms} terms ({n_events / n_terms:.1f} each)"
    everybody = does_everybody_have_the_event(inputs)
    few = "few patients: Kaplan-Meier's curve reaches 0, " if everybody else "few events: "
    own = [side for side in sides if term in side.terms]
    rarest = min(own, key=lambda side: (side.n_events, side.name), default=None)
    if rarest is not None and rarest.n_events < FEW_EVENTS:
        return f"{few}{rarest.n_events} of {n_events} on {rarest.name}, {each}; {part}"
    if n_events < FEW_EVENTS * n_terms:
        return f"{few}{each}; {part}"
    scarce = min(own, key=lambda side: (side.n_without_event, side.name), default=None)
    if scarce is not None and not everybody and scarce.n_without_event <= 1:
        return (
            f"few without the event: {scarce.n_without_event} of the {scarce.n_patients} patients "
            f"on {scarce.name}; {part}"
        )
    rounded = rounded_times(inputs.cohort)
    if rounded is not None:
        return (
            f"rounded times: they look rounded to {significant(rounded.unit, 4)} "
            f"{inputs.cohort.unit or 'time units'}, {rounded.share:.0%} of the median survival, "
            "which Cox takes as ties and the model as exact; data.rounded repairs it"
        )
    return (
        "not explained: vague priors and finer intervals, alone and together, leave the difference"
    )


def does_everybody_have_the_event(inputs: "ModelInputs") -> bool:
    """Whether nobody is censored at the end: Kaplan-Meier's curve then reaches 0."""
    cohort = inputs.cohort
    at_end = cohort.time == cohort.time.max()
    return bool(np.asarray(cohort.event)[at_end].all())


def refit(fit: "Fit", model: "PiecewiseExponential") -> NDArray[np.float64]:
    """Draw log hazard ratios (draws, terms) of the same cohort under another model.

    Importance sampling takes milliseconds; where its weights cannot be trusted, NUTS draws.
    """
    from bayes_crlm.engines import approximate
    from bayes_crlm.nuts import sample_nuts

    inputs = model.prepare(fit.inputs.cohort)
    drawn = approximate(inputs, REFIT_DRAWS, fit.seed).drawn
    if drawn is not None:
        flat = drawn.vectors
    else:
        sampled = sample_nuts(inputs, draws=REFIT_DRAWS // 4, tune=1000, chains=4, seed=fit.seed)
        flat = sampled.vectors.reshape(-1, sampled.vectors.shape[-1])
    return effects(constrain(flat, model_parameters(inputs)), inputs) / inputs.design.scale
