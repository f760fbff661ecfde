"""Whether chains that started at several modes of a posterior went from one to another.

Chains that stay where they started give every mode the share of the chains that were sent there,
which says nothing of the posterior.
"""

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.fit.draws import PosteriorDraws
from bayes_crlm.inference.chains import ESS_LEAST_PER_CHAIN, R_HAT_MOST, ess_mean, r_hat
from bayes_crlm.inference.several_modes import Component, modes_for_chains
from bayes_crlm.words.shown import estimate

# a mode of a smaller share than this, in the draws and by Laplace's approximation, may be missed
LEAST_SHARE = 0.01


def no_exchange_in_words(fit: PosteriorDraws) -> str | None:
    """Say that chains do not go between modes, and what to do.

    Parameters
    ----------
    fit : PosteriorDraws
        Sampled by NUTS.

    Returns
    -------
    str or None
        None where the posterior has one mode, or the chains exchange often enough.
    """
    components = modes_for_chains(fit.inputs)
    if len(components) < 2:
        return None
    chains, draws = fit.vectors.shape[:2]
    label = mode_of_draws(fit.effect_draws, components).reshape(chains, draws)
    if all(is_weighed(label == k, each.share) for k, each in enumerate(components)):
        return None
    phrase = f"engine 'laplace' weighs {'both' if len(components) == 2 else 'them all'}"
    if any("NUTS was used instead" in note for note in fit.notes):
        phrase = "simplify the model, or give a normal prior"
    return (
        f"chains started at {len(components)} modes of the posterior "
        f"({places_in_words(fit, components)}) do not move between them, so that their draws do "
        f"not say how probable each mode is; {phrase}"
    )


def mode_of_draws(effect: NDArray, components: list[Component]) -> NDArray[np.intp]:
    """Which mode's normal approximation, times its share, is largest at each draw.

    Parameters
    ----------
    effect : (draws, terms) ndarray
        Log hazard ratios on the sampling scale.
    components : list of Component
        The posterior's modes, with their spreads and shares.

    Returns
    -------
    (draws,) ndarray of int
    """
    log_density = np.empty((len(components), len(effect)))
    for k, each in enumerate(components):
        factor = np.linalg.cholesky(each.spread)
        standard = np.linalg.solve(factor, (effect - each.effect).T)
        log_density[k] = np.log(each.share) - 0.5 * (standard**2).sum(axis=0)
        log_density[k] -= np.log(np.diag(factor)).sum()
    return log_density.argmax(axis=0)


def is_weighed(is_here: NDArray[np.bool], share: float) -> bool:
    """Whether the share of draws at a mode is known, shape of `is_here` (chains, draws)."""
    found = is_here.mean()
    if found == 0 or found == 1:
        return share < LEAST_SHARE if found == 0 else share > 1 - LEAST_SHARE
    if max(found, share) < LEAST_SHARE:
        return True
    # a chain that never moves has no R-hat, and fails
    mixed = float(r_hat(is_here)) if len(is_here) > 1 else 1.0
    return mixed <= R_HAT_MOST and float(ess_mean(is_here)) >= ESS_LEAST_PER_CHAIN * len(is_here)


def places_in_words(fit: PosteriorDraws, components: list[Component]) -> str:
    """Name the column in which the modes differ most, with its hazard ratio at each."""
    design = fit.inputs.design
    places = np.array([each.effect for each in components])
    k = int(np.argmax(np.ptp(places, axis=0)))
    ratios = [f"{estimate(np.exp(value / design.scale[k]), 2)}" for value in places[:, k]]
    listed = ", ".join(ratios[:-1]) + f" and {ratios[-1]}"
    return f"hazard ratio of {design.terms[k]} {listed}"
