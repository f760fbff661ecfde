"""Does the posterior agree with Cox, and when not, why? Found by refitting."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.cohort.outcome.rounded_times import RoundedTimes, Rounding
from bayes_crlm.fit.draws import PosteriorDraws
from bayes_crlm.frequentist.cox import Cox
from bayes_crlm.inference.ratio_summary import RatioSummary
from bayes_crlm.likelihood.kaplan_meier import reaches_zero
from bayes_crlm.model.baseline_priors import Independent
from bayes_crlm.model.column_counts import FEW_EVENTS, Side, sides_of_columns
from bayes_crlm.model.definition import ModelDefinition
from bayes_crlm.model.density import hazards_of_vectors
from bayes_crlm.model.prepared import PreparedCohort
from bayes_crlm.model.priors import HALF_WIDTH_95, Normal
from bayes_crlm.words.records import record
from bayes_crlm.words.shown import number, ratio_in_words, significant, whole_percent
from bayes_crlm.words.wording import count_of

MOST_SE_APART = 0.5
WIDTH_RATIO = (0.8, 1.25)
# effects: a hazard ratio between 1e-9 and 1e9; log-hazards: likewise wide
VAGUE_EFFECT = Normal(0.0, 10.0)
VAGUE_BASELINE = Independent(10.0)
# intervals of the refit that shows what coarse ones did, where events are enough
FINER_LEAST = 20
REFIT_DRAWS = 4000
UNTRUSTED = "not looked for: a diagnostic says not to trust the draws"


@record
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


def contrast(log_hazard_ratio: NDArray, cox: Cox) -> Contrast:
    """Hold posterior draws of log hazard ratios against a Cox fit.

    Parameters
    ----------
    log_hazard_ratio : (draws, terms) ndarray
        In original units.
    cox : Cox
        Fit of the same terms.
    """
    low, _, high = RatioSummary(log_hazard_ratio).quantiles
    se = np.asarray(cox.se, dtype=float)
    difference = log_hazard_ratio.mean(axis=0) - np.asarray(cox.coef, dtype=float)
    in_se = difference / se
    ratio = (high - low) / (2 * HALF_WIDTH_95 * se)
    agrees = (
        (np.abs(in_se) <= MOST_SE_APART) & (ratio >= WIDTH_RATIO[0]) & (ratio <= WIDTH_RATIO[1])
    )
    return Contrast(difference, in_se, ratio, agrees)


def compare(fit: PosteriorDraws, *, explain: bool = True) -> list[dict[str, Any]]:
    """Give every term its verdict, refitting the model where it differs from Cox.

    Parameters
    ----------
    fit : PosteriorDraws
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


@record
class Reason:
    """Why a term differs from Cox, and the hazard ratio of the refit that shows it."""

    text: str | None = None
    hazard_ratio: float | None = None
    low: float | None = None
    high: float | None = None


def find_reasons(fit: PosteriorDraws, measured: Contrast) -> list[Reason]:
    """Refit with times drawn within their unit, vague priors, finer intervals, until all agree."""
    from bayes_crlm.cohort.coarse_times import rounded_times
    from bayes_crlm.frequentist.cox import cox_of

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
    rounded = rounded_times(fit.inputs.cohort) if pending else None
    for trial in trials(fit, rounded):
        if not pending:
            break
        draws, fitted = refit(fit, trial)
        again = contrast(draws, cox if fitted is fit.inputs else cox_of(fitted))
        for k in list(pending):
            if again.agrees[k]:
                median, low, high = RatioSummary(draws).ratios[k]
                size = ratio_in_words(median, (low, high))
                text = f"{trial.reason} the fit agrees with Cox, at a hazard ratio of {size}"
                reasons[k] = Reason(text + trial.more, median, low, high)
                pending.remove(k)
    sides = sides_of_columns(fit.inputs.cohort, fit.inputs.design) if pending else ()
    for k in pending:
        reasons[k] = Reason(unmoved_reason(fit, terms[k], sides, rounded))
    return reasons


@record
class Trial:
    """A refit that may explain a difference.

    Attributes
    ----------
    reason : str
        How the reason begins when a term then agrees: its name, and what the refit changes.
    model : ModelDefinition
        What is fitted.
    rounding : Rounding, optional
        Every time is first drawn once within this unit.
    more : str
        What is said after the size.
    """

    reason: str
    model: ModelDefinition
    rounding: Rounding | None = None
    more: str = ""


def trials(fit: PosteriorDraws, rounded: RoundedTimes | None) -> list[Trial]:
    """List what is tried, in this order; times that are rounded come before everything else.

    A pull of the prior that is one of rounded times would else be called the prior's: what
    moves a posterior towards Cox need not be what holds it away.
    """
    from bayes_crlm.cohort.outcome.rounded_times import Rounding

    vague = replace(
        fit.model,
        baseline=VAGUE_BASELINE,
        treatment_prior=VAGUE_EFFECT,
        covariate_prior=VAGUE_EFFECT,
    )
    n_intervals, n_events = fit.inputs.intervals.n_intervals, fit.inputs.cohort.n_events
    finer = min(max(2 * n_intervals, FINER_LEAST), n_events)
    found, also = [Trial("prior pull: under vague priors", vague)], also_rounded(fit, rounded)
    if rounded is not None:
        once, repairs = Rounding(rounded.unit, "nearest"), "; data.rounded corrects for it"
        phrase = f"{rounded_in_words(fit, rounded)}; with each drawn once within it"
        both = f"rounded times and prior pull: {phrase} and under vague priors"
        found = [
            Trial(f"rounded times: {phrase}", fit.model, once, repairs),
            replace(found[0], more=also),
            Trial(both, vague, once, "; data.rounded corrects for the first of them"),
        ]
    if finer > n_intervals:
        many = f"with {finer} intervals"
        coarse = f"coarse intervals: {many} instead of {n_intervals}"
        both = f"prior pull and coarse intervals: under vague priors and {many}"
        found += [
            Trial(coarse, replace(fit.model, cutpoints=finer), None, also),
            Trial(both, replace(vague, cutpoints=finer), None, also),
        ]
    return found


def rounded_in_words(fit: PosteriorDraws, rounded: RoundedTimes) -> str:
    """Say to which unit times are rounded."""
    return (
        f"they look rounded to {significant(rounded.unit, 4)} "
        f"{fit.inputs.cohort.unit or 'time units'}, {whole_percent(rounded.share)} of the median "
        "survival, which Cox takes as ties and the model as exact"
    )


def also_rounded(fit: PosteriorDraws, rounded: RoundedTimes | None) -> str:
    """Say beside another reason that times are rounded; nothing where they are not."""
    if rounded is None:
        return ""
    return (
        f"; times are rounded too ({rounded_in_words(fit, rounded).removeprefix('they look ')}), "
        "and drawing them within their unit was not enough"
    )


def unmoved_reason(
    fit: PosteriorDraws, term: str, sides: tuple[Side, ...], rounded: RoundedTimes | None = None
) -> str:
    """Say why a term differs from Cox that no refit brings nearer.

    Parameters
    ----------
    fit : PosteriorDraws
        A fitted model.
    term : str
        Its column.
    sides : tuple of Side
        Of all columns: an indicator rests on the events, and the others, of both of its sides.
    rounded : RoundedTimes, optional
        Where times are rounded.
    """
    part = (
        "the posterior mean and Cox's maximum differ even under vague priors and with finer "
        "intervals"
    )
    inputs = fit.inputs
    n_events, n_terms = inputs.cohort.n_events, len(inputs.design.terms)
    each = f"{count_of(n_events, 'event')} for {count_of(n_terms, 'term')} "
    each += f"({number(n_events / n_terms, 1)} each)"
    also = also_rounded(fit, rounded)
    cohort = inputs.cohort
    everybody = reaches_zero(cohort.entry, cohort.time, cohort.event)
    few = "few patients: Kaplan-Meier's curve reaches 0, " if everybody else "few events: "
    own = [side for side in sides if term in side.terms]
    rarest = min(own, key=lambda side: (side.n_events, side.name), default=None)
    if rarest is not None and rarest.n_events < FEW_EVENTS:
        if rarest.reaches_zero and not everybody:
            few = f"few patients: Kaplan-Meier's curve of {rarest.name} reaches 0, "
        return f"{few}{rarest.n_events} of {n_events} on {rarest.name}, {each}; {part}{also}"
    if n_events < FEW_EVENTS * n_terms:
        return f"{few}{each}; {part}{also}"
    scarce = min(own, key=lambda side: (side.n_without_event, side.name), default=None)
    if scarce is not None and not everybody and scarce.n_without_event <= 1:
        return (
            f"few without the event: {scarce.n_without_event} of "
            f"{count_of(scarce.n_patients, 'patient')} "
            f"on {scarce.name}; {part}{also}"
        )
    if rounded is not None:
        return f"rounded times: {rounded_in_words(fit, rounded)}; data.rounded may correct for it"
    return (
        "not explained: vague priors and finer intervals, alone and together, leave the difference"
    )


def refit(fit: PosteriorDraws, trial: Trial) -> tuple[NDArray[np.float64], PreparedCohort]:
    """Draw log hazard ratios (draws, terms) of the same patients under another model.

    Importance sampling takes milliseconds; where its weights cannot be trusted, NUTS draws.

    Returns
    -------
    draws : (draws, terms) ndarray
        In original units.
    inputs : PreparedCohort
        What Cox is to be fitted to: those of `fit`, unless times were drawn.
    """
    from bayes_crlm.cohort.coarse_times import sampled_once
    from bayes_crlm.fit.fitting import approximate
    from bayes_crlm.inference.nuts import sample_nuts

    cohort = fit.inputs.cohort
    if trial.rounding is not None:
        cohort = sampled_once(cohort, trial.rounding, fit.seed)
    inputs = trial.model.prepare(cohort)
    drawn = approximate(inputs, REFIT_DRAWS, fit.seed).drawn
    if drawn is not None:
        flat = drawn.vectors
    else:
        sampled = sample_nuts(inputs, draws=REFIT_DRAWS // 4, tune=1000, chains=4, seed=fit.seed)
        flat = sampled.vectors.reshape(-1, sampled.vectors.shape[-1])
    effect = hazards_of_vectors(flat, inputs.block_model).effect
    return effect / inputs.design.scale, fit.inputs if trial.rounding is None else inputs
