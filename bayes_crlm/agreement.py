"""Does the posterior agree with Cox, and when not, why? Found by refitting."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.parameters import constrain, effects, model_parameters
from bayes_crlm.priors import Independent, Normal

if TYPE_CHECKING:
    from bayes_crlm.cox import Cox
    from bayes_crlm.fit import Fit
    from bayes_crlm.model import PiecewiseExponential

__all__ = ["Contrast", "compare", "contrast"]

MOST_SE_APART = 0.5
WIDTH_RATIO = (0.8, 1.25)
# effects: a hazard ratio between 1e-9 and 1e9; log-hazards: likewise wide
VAGUE_EFFECT = Normal(0.0, 10.0)
VAGUE_BASELINE = Independent(10.0)
FEW_EVENTS_PER_TERM = 10
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
        ("agree" or "differ") and reason (None when they agree).
    """
    cox = fit.cox
    draws = fit.effect_draws / fit.inputs.design.scale
    measured = contrast(draws, cox)
    reasons: list[str | None] = [None] * len(fit.inputs.design.terms)
    if not measured.agrees.all():
        reasons = (
            find_reasons(fit, measured)
            if explain
            else [None if agrees else UNTRUSTED for agrees in measured.agrees]
        )
    return [
        {
            "term": term,
            "difference_in_log_hr": float(measured.difference[k]),
            "difference_in_se": float(measured.difference_in_se[k]),
            "width_ratio": float(measured.width_ratio[k]),
            "verdict": "agree" if measured.agrees[k] else "differ",
            "reason": reasons[k],
        }
        for k, term in enumerate(fit.inputs.design.terms)
    ]


def find_reasons(fit: "Fit", measured: Contrast) -> list[str | None]:
    """Refit under vague priors, with finer intervals and with both, until each term agrees."""
    cox, terms = fit.cox, fit.inputs.design.terms
    reasons: list[str | None] = [None] * len(terms)
    pending = [k for k in range(len(terms)) if not measured.agrees[k]]
    for k in list(pending):
        if terms[k] in cox.not_estimable:
            reasons[k] = (
                "separation: the partial likelihood has no maximum for this term, so the prior "
                "and Firth's penalty, which differ, decide"
            )
            pending.remove(k)
    if not pending:
        return reasons
    vague = replace(
        fit.model,
        baseline=VAGUE_BASELINE,
        treatment_prior=VAGUE_EFFECT,
        covariate_prior=VAGUE_EFFECT,
    )
    n_intervals = fit.inputs.intervals.n_intervals
    n_events = fit.inputs.cohort.n_events
    finer = min(max(3 * n_intervals, 20), max(n_intervals, n_events // 2))
    trials: list[tuple[PiecewiseExponential, str]] = [
        (vague, "prior pull: under vague priors the same fit agrees with Cox")
    ]
    if finer > n_intervals:
        trials += [
            (
                replace(fit.model, cutpoints=finer),
                f"coarse intervals: with {finer} intervals instead of {n_intervals} "
                "the fit agrees with Cox",
            ),
            (
                replace(vague, cutpoints=finer),
                f"prior pull and coarse intervals: under vague priors and with {finer} intervals "
                "the fit agrees with Cox",
            ),
        ]
    for model, reason in trials:
        if not pending:
            break
        again = contrast(refit(fit, model), cox)
        for k in list(pending):
            if again.agrees[k]:
                reasons[k] = reason
                pending.remove(k)
    per_term = n_events / len(terms)
    for k in pending:
        if per_term < FEW_EVENTS_PER_TERM:
            reasons[k] = (
                f"few events: {n_events} events for {len(terms)} terms ({per_term:.1f} each); the "
                "posterior mean and Cox's maximum part ways even under vague priors and "
                "with finer intervals"
            )
        else:
            reasons[k] = (
                "not explained: vague priors and finer intervals, alone and together, "
                "leave the difference"
            )
    return reasons


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
