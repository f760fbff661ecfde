"""Diagnostics of chains on plain arrays, and what chains have to reach before draws are used.

Every function takes draws of one or several quantities, (chains, draws, ...), and gives one number
a quantity: nan where there are fewer than four draws, and where draws are not finite.

References
----------
Vehtari, Gelman, Simpson, Carpenter & Bürkner (2021), Bayesian Anal 16:667-718; Geyer (1992), Stat
Sci 7:473-483 (initial sequences); Betancourt (2016), arXiv:1604.00695 (E-BFMI).
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.words.records import record
from bayes_crlm.words.shown import beside_limit
from bayes_crlm.words.wording import count_of

Floats = NDArray[np.float64]

R_HAT_MOST = 1.01
ESS_LEAST_PER_CHAIN = 100
FEWEST_DRAWS = 4
# limits of ArviZ's default interval
TAILS = (0.11, 0.89)
# Blom's offset of ranks
OFFSET = 3 / 8
# Wichura's rational functions: central, in the tails, far out; numerators before denominators
CENTRAL = (
    (
        2509.0809287301226727, 33430.575583588128105, 67265.770927008700853, 45921.953931549871457,
        13731.693765509461125, 1971.5909503065514427, 133.14166789178437745, 3.387132872796366608,
    ),
    (
        5226.495278852545925, 28729.085735721942674, 39307.89580009271061, 21213.794301586595867,
        5394.1960214247511077, 687.1870074920579083, 42.313330701600911252, 1.0,
    ),
)  # fmt: skip
TAIL = (
    (
        7.7454501427834140764e-4, 0.0227238449892691845833, 0.24178072517745061177,
        1.27045825245236838258, 3.64784832476320460504, 5.7694972214606914055,
        4.6303378461565452959, 1.42343711074968357734,
    ),
    (
        1.05075007164441684324e-9, 5.475938084995344946e-4, 0.0151986665636164571966,
        0.14810397642748007459, 0.68976733498510000455, 1.6763848301838038494,
        2.05319162663775882187, 1.0,
    ),
)  # fmt: skip
TAIL_FROM, CENTRAL_WIDTH, CENTRAL_MOST = 1.6, 0.425, 0.180625


def r_hat(draws: NDArray) -> Floats:
    """Larger of rank-normalised split R-hat and that of folded draws; nan for one chain."""
    if draws.shape[0] < 2:
        return np.full(draws.shape[2:], np.nan)

    def both(values: NDArray) -> Floats:
        halves = split(values)
        folded = np.abs(halves - np.median(halves, axis=(0, 1)))
        bulk, tail = (potential_scale(normal_scores(each)) for each in (halves, folded))
        # of two values in equal shares all distances from the median are the same
        return np.where(np.isnan(tail), bulk, np.maximum(bulk, tail))

    return where_valid(both, draws)


def ess_bulk(draws: NDArray) -> Floats:
    """Effective sample size of the rank-normalised draws."""
    return where_valid(lambda values: effective(normal_scores(split(values))), draws)


def ess_tail(draws: NDArray, tails: tuple[float, float] = TAILS) -> Floats:
    """Smaller effective sample size of two quantiles, as ArviZ takes them: 11% and 89%."""

    def smaller(values: NDArray) -> Floats:
        limits = np.quantile(values, tails, axis=(0, 1))
        return np.minimum(*(effective(split(values <= limit)) for limit in limits))

    return where_valid(smaller, draws)


def ess_mean(draws: NDArray) -> Floats:
    """Effective sample size of the mean."""
    return where_valid(lambda values: effective(split(values)), draws)


def mcse_mean(draws: NDArray) -> Floats:
    """Monte Carlo standard error of the mean."""
    return draws.std(axis=(0, 1), ddof=1) / np.sqrt(ess_mean(draws))


def bfmi(energy: NDArray) -> Floats:
    """Estimated Bayesian fraction of missing information of each chain, from its energies."""
    return np.square(np.diff(energy, axis=1)).mean(axis=1) / np.var(energy, axis=1, ddof=1)


@record
class Mixing:
    """Worst values over all quantities, nan when any is nan; and the number of chains."""

    r_hat: float
    ess_bulk: float
    ess_tail: float
    chains: int

    def failures(self, divergences: int, *, longer: str = "", smaller: str = "") -> list[str]:
        """Say why chains are not to be trusted: the one rule for all that are sampled by NUTS.

        Parameters
        ----------
        divergences : int
            Divergent transitions.
        longer, smaller : str
            What is to be done, after the sentences: about too few draws, about too large steps.
        """
        phrases, least = [], ESS_LEAST_PER_CHAIN * self.chains
        if self.chains > 1 and not self.r_hat <= R_HAT_MOST:
            phrases.append(
                f"R-hat is {beside_limit(self.r_hat, R_HAT_MOST, 3)}, above {R_HAT_MOST}: chains "
                f"have not mixed{longer}"
            )
        for kind, value in (("bulk", self.ess_bulk), ("tail", self.ess_tail)):
            if not value >= least:
                phrases.append(
                    f"smallest {kind} effective sample size is {beside_limit(value, least, 0)}, "
                    f"below {least} ({ESS_LEAST_PER_CHAIN} per chain){longer}"
                )
        if divergences:
            phrases.append(
                f"{count_of(divergences, 'divergent transition')}: part of the posterior was not "
                f"explored{smaller}"
            )
        return phrases


def worst_mixing(variables: Sequence[NDArray]) -> Mixing:
    """Find the worst values over all variables of draws.

    Parameters
    ----------
    variables : sequence of (chains, draws, ...) ndarray
        Draws of every variable that is looked at.
    """
    draws = np.concatenate([each.reshape(*each.shape[:2], -1) for each in variables], axis=2)
    return Mixing(
        float(r_hat(draws).max()),
        float(ess_bulk(draws).min()),
        float(ess_tail(draws).min()),
        len(draws),
    )


def where_valid(function: Callable[[NDArray], NDArray], draws: NDArray) -> Floats:
    """Apply a function to all quantities at once; nan for those whose draws are not finite."""
    shape = draws.shape[2:]
    flat = np.asarray(draws, dtype=float).reshape(*draws.shape[:2], -1)
    found = np.full(flat.shape[2], np.nan)
    is_valid = np.isfinite(flat).all(axis=(0, 1))
    if flat.shape[1] >= FEWEST_DRAWS and is_valid.any():
        found[is_valid] = function(flat[:, :, is_valid])
    return found.reshape(shape)


def split(draws: NDArray) -> Floats:
    """Halves of chains as chains; of an odd number of draws the middle one is left out."""
    half = draws.shape[1] // 2
    return np.concatenate([draws[:, :half], draws[:, -half:]]).astype(float)


def potential_scale(chains: NDArray) -> Floats:
    """R-hat of chains as they are."""
    n_draws = chains.shape[1]
    between = n_draws * chains.mean(axis=1).var(axis=0, ddof=1)
    within = chains.var(axis=1, ddof=1).mean(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.sqrt((between / within + n_draws - 1) / n_draws)


def normal_scores(chains: NDArray) -> Floats:
    """Normal quantiles of the draws' ranks among all chains'; equal draws have one rank."""
    flat = chains.reshape(-1, chains.shape[2])
    n, order = len(flat), np.argsort(flat, axis=0, kind="stable")
    ordered = np.take_along_axis(flat, order, axis=0)
    place = np.broadcast_to(np.arange(1.0, n + 1)[:, None], flat.shape)
    if (ordered[1:] == ordered[:-1]).any():
        place = np.column_stack([mean_ranks(each) for each in ordered.T])
    rank = np.empty_like(flat)
    np.put_along_axis(rank, order, place, axis=0)
    return normal_quantile((rank - OFFSET) / (n - 2 * OFFSET + 1)).reshape(chains.shape)


def mean_ranks(ordered: NDArray) -> Floats:
    """Ranks of ordered numbers, the mean of their ranks for equal ones."""
    is_first = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    first = np.flatnonzero(is_first)
    last = np.append(first[1:], len(ordered))
    return ((first + 1 + last) / 2)[np.cumsum(is_first) - 1]


def normal_quantile(probability: NDArray) -> Floats:
    """Quantile of the standard normal, of probabilities from 1e-11 on.

    References
    ----------
    Wichura (1988), Appl Stat 37:477-484, algorithm AS 241.
    """
    away = probability - 0.5
    tail = np.sqrt(-np.log(np.minimum(probability, 1 - probability)))
    square = CENTRAL_MOST - away**2
    is_central = np.abs(away) <= CENTRAL_WIDTH
    central = away * np.polyval(CENTRAL[0], square) / np.polyval(CENTRAL[1], square)
    outer = np.polyval(TAIL[0], tail - TAIL_FROM) / np.polyval(TAIL[1], tail - TAIL_FROM)
    return np.where(is_central, central, np.sign(away) * outer)


def effective(chains: NDArray) -> Floats:
    """Effective sample size by Geyer's initial monotone sequence, of every quantity."""
    n_chains, n_draws, n_quantities = chains.shape
    covariance = mean_autocovariance(chains)
    spread = np.ptp(chains, axis=(0, 1))
    within = covariance[0] * n_draws / (n_draws - 1.0)
    total = covariance[0].copy()
    if n_chains > 1:
        total += chains.mean(axis=1).var(axis=0, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = 1.0 - (within - covariance) / total
    found = np.empty(n_quantities)
    for k in range(n_quantities):
        is_constant = spread[k] < np.finfo(float).resolution
        found[k] = n_chains * n_draws
        if not is_constant:
            found[k] /= autocorrelation_time(correlation[:, k], n_chains * n_draws)
    return found


def mean_autocovariance(chains: NDArray) -> Floats:
    """Autocovariance at every lag, the mean of the chains'; shape (draws, quantities)."""
    n_draws = chains.shape[1]
    length = 1 << (2 * n_draws - 1).bit_length()
    spectrum = np.fft.rfft(chains - chains.mean(axis=1, keepdims=True), length, axis=1)
    power = (spectrum.real**2 + spectrum.imag**2).mean(axis=0)
    return np.fft.irfft(power, length, axis=0)[:n_draws] / n_draws


def autocorrelation_time(correlation: NDArray, n: int) -> float:
    """Integrated autocorrelation time from correlations at every lag; at least 1 / log10(n).

    Pairs of neighbouring lags are summed as long as their sums are positive, and made decreasing.
    """
    if not np.isfinite(correlation[1]):
        return np.nan
    correlation = correlation.copy()
    correlation[0] = 1.0
    last = max(-(-(len(correlation) - 2) // 2) - 1, 0)
    pairs = correlation[: 2 * last + 2].reshape(-1, 2).sum(axis=1)
    stops = np.flatnonzero(pairs <= 0)
    n_kept = int(stops[0]) if len(stops) else last
    # of the pair after those kept its even lag counts once
    after = float(correlation[2 * n_kept])
    if len(stops):
        after = max(after, 0.0)
    total = float(np.minimum.accumulate(pairs[:n_kept]).sum()) if n_kept else 0.0
    return max(-1.0 + 2.0 * total + after, 1 / np.log10(n))
