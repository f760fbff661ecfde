"""Log-hazards drawn nearly or exactly from their posterior given the effects.

Given the effects, interval j holds D_j events and a weighted exposure S_j. Under the gamma process
its hazard has a gamma posterior. Under an independent normal prior a gamma distribution with the
same mode and nearly the same curvature is close to it. Walks are drawn given the step scale too.

References
----------
Kalbfleisch (1978), J R Stat Soc B 40:214-221.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.conditional_walks import LOG_2PI, fit_walk, redraw_from, walk_log_target
from bayes_crlm.inference.step_scales import SEARCH_STEPS, StepScales
from bayes_crlm.model.baseline_priors import GammaProcess, Independent, WalkPrior
from bayes_crlm.model.integrated_hazards import LEAST_LOG_HAZARD, sample_log_gamma

if TYPE_CHECKING:
    from bayes_crlm.inference.mode import Modes
    from bayes_crlm.inference.targets import Targets

Floats = NDArray[np.float64]
Sources = list[np.random.Generator] | None

TINY = np.finfo(float).tiny
# with fewer events expected in an interval, a gamma distribution lacks the right tail
THIN = 0.75
DRAW_STEPS = 1


@dataclass(frozen=True, eq=False)
class Walks:
    """Walks of log-hazards given effects and step scales.

    Attributes
    ----------
    targets : Targets
        The cohorts.
    scales : StepScales
        Whose cells' modes the walks are near.
    are_kept : bool
        Whether log-hazards are wanted.
    """

    targets: "Targets"
    scales: StepScales
    are_kept: bool

    def part(self, which: NDArray[np.intp]) -> "Walks":
        """Those of some cohorts."""
        return Walks(self.targets.part(which), self.scales.part(which), self.are_kept)

    def draw(
        self, weighted: Floats, part: NDArray[np.intp], log_scale: Floats | None, rngs: Sources
    ) -> tuple[Floats | None, Floats]:
        """Draw walks in mirrored pairs; see `IndependentHazards.draw`.

        Parameters
        ----------
        weighted : (intervals, cohorts, 2, pairs) ndarray
        part : (cohorts, 1 or 2, pairs) ndarray of int
        log_scale : (cohorts, pairs) ndarray
            Logs of the step scales.
        rngs : list of numpy.random.Generator or None
        """
        n_intervals, count, _, pairs = weighted.shape
        normal = np.zeros((count, n_intervals, pairs))
        for k, rng in enumerate(rngs or []):
            rng.standard_normal(out=normal[k])
        normal = normal.transpose(1, 0, 2)
        if log_scale is None:
            raise ValueError("walks are drawn given their step scales")
        cases, log_scale = self.targets.walk_cases(2), log_scale[:, None]
        start = self.scales.starts(part, self.scales.cell_of(log_scale))
        # the cell's mode, moved to the level at which as many events are expected as there were
        strata = len(cases.level_intervals)
        expected, events = (
            each.reshape(strata, -1, *each.shape[1:]).sum(axis=1)
            for each in (weighted * np.exp(start), cases.events)
        )
        has_events = events > 0
        move = np.log(np.where(has_events, events, 1.0) / np.where(has_events, expected, 1.0))
        start = start + np.repeat(move, n_intervals // strata, axis=0)
        steps = SEARCH_STEPS if rngs is None else DRAW_STEPS
        walk = fit_walk(start, weighted, log_scale, cases, steps)
        redraw = None if rngs is None else redraw_from(rngs)
        log_hazard, log_walk = walk.draw(np.stack([normal, -normal], axis=2), redraw)
        log_ratio = walk_log_target(log_hazard, weighted, log_scale, cases)
        return log_hazard if self.are_kept else None, log_ratio - log_walk


@dataclass(frozen=True, eq=False)
class IndependentHazards:
    """Log-hazards that are independent given the effects.

    Attributes
    ----------
    targets : Targets
        With independent log-hazards, a gamma process, or a walk over one interval.
    modes : Modes
        Of the posteriors, one for each part: the parts of the first cohort, then of the next.
    are_kept : bool
        Whether log-hazards are wanted. If not, those of a gamma process are not drawn, since the
        ratio is exact whatever they are.
    """

    targets: "Targets"
    modes: "Modes"
    are_kept: bool

    def part(self, which: NDArray[np.intp]) -> "IndependentHazards":
        """Those of some cohorts."""
        parts = len(self.modes.converged) // len(self.targets)
        of_parts = (which[:, None] * parts + np.arange(parts)).ravel()
        return IndependentHazards(
            self.targets.part(which), self.modes.part(of_parts), self.are_kept
        )

    def draw(
        self, weighted: Floats, part: NDArray[np.intp], log_scale: Floats | None, rngs: Sources
    ) -> tuple[Floats | None, Floats]:
        """Draw log-hazards given effects.

        Parameters
        ----------
        weighted : (intervals, cohorts, 2, pairs) ndarray
            Exposures weighted by relative hazards.
        part : (cohorts, 1 or 2, pairs) ndarray of int
            Around which part's mode.
        log_scale : None
            There is no step scale.
        rngs : list of numpy.random.Generator or None
            One for each cohort; without them hazards are put where their distributions are centred.

        Returns
        -------
        log_hazard : (intervals, cohorts, 2, pairs) ndarray or None
        log_ratio : (cohorts, 2, pairs) ndarray
            Log of (prior x likelihood of the hazards' part / density of the draw); but for a
            constant of each cohort, where log-hazards are not wanted.
        """
        if isinstance(self.targets.baseline, GammaProcess):
            return self.gamma_hazards(self.targets.baseline, weighted, rngs)
        sums = self.targets.sums
        sd = self.sd
        parts = len(self.modes.converged) // len(sums)
        of_part = sums if parts == 1 else sums.part(np.repeat(np.arange(len(sums)), parts))
        # at the mode: events expected, and the gamma distribution's shape with the same curvature
        expected = np.exp(self.modes.log_hazard) * of_part.weighted_exposure(self.modes.effect)
        shape = expected + sd**-2
        # where nobody is at risk the logarithm has no share
        expected, weighted = np.maximum(expected, TINY), np.maximum(weighted, TINY)
        # to first order the conditional mode follows the logarithm of the weighted exposure
        share = expected / shape
        constant = self.modes.log_hazard - share * (self.modes.log_hazard - np.log(expected))

        def of_draws(values: NDArray) -> NDArray:
            """From (cohorts x parts, intervals) to (intervals, cohorts, 1 or 2, 1 or pairs)."""
            if parts == 1:
                return np.ascontiguousarray(values.T)[:, :, None, None]
            place = np.arange(len(sums))[:, None, None] * parts + part
            return np.moveaxis(values[place], -1, 0)

        shape_of_draw, is_thin = of_draws(shape), (expected < THIN).any()
        log_gamma_draw = np.empty_like(weighted)
        if rngs is None:
            log_gamma_draw[:] = np.log(shape_of_draw)
        for k, rng in enumerate(rngs or []):
            log_gamma_draw[:, k] = np.log(
                rng.standard_gamma(shape_of_draw[:, k], log_gamma_draw[:, k].shape)
            )
        log_proposal = 0.0
        if is_thin:
            sample_thin(log_gamma_draw, shape_of_draw, of_draws(expected < THIN), sd, rngs)
            thin = np.broadcast_to(of_draws(expected < THIN), weighted.shape)
            log_proposal = thin_correction(log_gamma_draw, shape_of_draw, thin, sd)
        log_hazard = np.log(weighted)
        log_hazard *= -of_draws(share)
        log_hazard += log_gamma_draw
        log_hazard += of_draws(constant - np.log(shape))
        terms = np.ascontiguousarray(sums.events.T)[:, :, None, None] * log_hazard
        terms -= shape_of_draw * log_gamma_draw
        terms += np.exp(log_gamma_draw)
        terms -= 0.5 * ((log_hazard - self.targets.log_rate[:, None, None]) / sd) ** 2
        terms -= np.exp(log_hazard) * weighted
        normaliser = of_draws(log_gamma(shape).sum(axis=1, keepdims=True))[0]
        normaliser = normaliser - len(weighted) * (math.log(sd) + 0.5 * LOG_2PI)
        log_ratio = terms.sum(axis=0) + normaliser + log_proposal
        return log_hazard if self.are_kept else None, log_ratio

    @property
    def sd(self) -> float:
        """Standard deviation of a log-hazard under its normal prior."""
        prior = self.targets.baseline
        if isinstance(prior, Independent):
            return prior.sd
        if isinstance(prior, WalkPrior):
            return prior.level_sd
        raise TypeError(f"log-hazards have no normal prior: {prior.describe()}")

    def gamma_hazards(
        self, prior: GammaProcess, weighted: Floats, rngs: Sources
    ) -> tuple[Floats | None, Floats]:
        """Draw hazards of a gamma process; the ratio is exact whatever the draw."""
        sums = self.targets.sums
        rate = prior.weight * self.targets.widths
        shape = rate * np.exp(self.targets.log_rate)[:, None]
        total = shape + sums.events

        def of_draws(values: Floats) -> Floats:
            return np.ascontiguousarray(values.T)[:, :, None, None]

        rate_after = np.log(of_draws(rate) + weighted)
        log_ratio = -(of_draws(total) * rate_after).sum(axis=0)
        if not self.are_kept:
            return None, log_ratio
        log_hazard = np.empty_like(weighted)
        if rngs is None:
            log_hazard[:] = np.log(of_draws(total))
        for k, rng in enumerate(rngs or []):
            size = (*weighted.shape[2:], len(weighted))
            log_hazard[:, k] = np.moveaxis(sample_log_gamma(total[k], size, rng), -1, 0)
        constant = self.targets.baseline_constant + log_gamma(total).sum(axis=1)
        log_ratio += constant[:, None, None]
        return np.maximum(log_hazard - rate_after, LEAST_LOG_HAZARD), log_ratio


def sample_thin(
    log_gamma_draw: Floats, shape: Floats, is_thin: NDArray[np.bool], sd: float, rngs: Sources
) -> None:
    """Replace, in place, every other draw of intervals with hardly an event by the prior's spread.

    There the posterior is nearly the normal prior, whose right tail no gamma distribution has.

    Parameters
    ----------
    log_gamma_draw : (intervals, cohorts, 2, pairs) ndarray
        Logarithms of gamma variables of the shapes given.
    shape, is_thin : (intervals, cohorts, 1 or 2, 1 or pairs) ndarray
    sd : float
        Of the prior.
    rngs : list of numpy.random.Generator or None
        Without them nothing is replaced.
    """
    for k, rng in enumerate(rngs or []):
        thin = np.flatnonzero(is_thin[:, k].any(axis=(1, 2)))
        if not len(thin):
            continue
        size = (len(thin), *log_gamma_draw.shape[2:])
        normal = np.log(shape[thin, k]) + sd * rng.standard_normal(size)
        is_replaced = (rng.random(size) < 0.5) & is_thin[thin, k]
        log_gamma_draw[thin, k] = np.where(is_replaced, normal, log_gamma_draw[thin, k])


def thin_correction(
    log_gamma_draw: Floats, shape: Floats, is_thin: NDArray[np.bool], sd: float
) -> Floats:
    """Log density of gamma variables over that of their mixture with the prior's spread, summed.

    Returns
    -------
    (cohorts, 2, pairs) ndarray
    """
    some = np.flatnonzero(is_thin.any(axis=(1, 2, 3)))
    draw, shape = log_gamma_draw[some], shape[some]
    of_gamma = shape * draw - np.exp(draw) - log_gamma(shape)
    of_normal = -0.5 * ((draw - np.log(shape)) / sd) ** 2 - math.log(sd) - 0.5 * LOG_2PI
    ratio = of_gamma - np.logaddexp(of_gamma, of_normal) + math.log(2)
    return np.where(is_thin[some], ratio, 0.0).sum(axis=0)


def log_gamma(values: Floats) -> Floats:
    """Log gamma function, elementwise."""
    distinct, place = np.unique(values, return_inverse=True)
    return np.array([math.lgamma(each) for each in distinct.tolist()])[place].reshape(values.shape)
