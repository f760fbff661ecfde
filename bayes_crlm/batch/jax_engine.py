"""Importance-sampled draws of many cohorts with JAX, on CPUs or a GPU, in double precision.

The log density is the `pm.Model`'s own (`bayes_crlm.jax_density`). Effects and cube roots of
hazards, nearly normal together, are proposed from a multivariate t around their mode; under
the gamma process the hazards are integrated out, and effects alone are proposed. Everything runs
on the device; only summaries come back.

References
----------
Wilson & Hilferty (1931), PNAS 17:684-688 (cube roots of gamma variables); Vehtari, Simpson,
Gelman, Yao & Gabry (2024), JMLR 25(72); Zhang & Stephens (2009), Technometrics 51:316-325.
"""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from bayes_crlm.batch.draws import draw_block, may_have_several_modes
from bayes_crlm.batch.jax_weights import pareto_smooth, summaries
from bayes_crlm.batch.summary import BlockSummary, summarise
from bayes_crlm.effect_proposals import FAR, LEAST_FALL, PAIRS_PER_EFFECT
from bayes_crlm.errors import PriorError
from bayes_crlm.jax_density import JaxDensity, jax_log_density
from bayes_crlm.priors import GammaProcess, Laplace, RandomWalk, parse_prior
from bayes_crlm.pymc_model import prior_data

if TYPE_CHECKING:
    from bayes_crlm.batch.blocks import CohortBlock
    from bayes_crlm.model import PiecewiseExponential

__all__ = ["JaxEngine", "cohort_arrays", "has_gpu", "prior_arrays"]

# of the multivariate t; even, so that its chi-square is a sum of exponentials
DEGREES_OF_FREEDOM = 20
ROW_MULTIPLE = 32
MOST_STEPS, RISE_TOLERANCE, LARGEST_RIDGE = 60, 1e-6, 1e6
# a double-exponential prior's kink is averaged over the posterior's spread, found by repetition
ROUNDS_WITH_KINK = 6
# tables of draws x rows that are there at the same time
TABLES, MEMORY_SHARE = 4, 0.25
MOST_ON_CPU, MOST_ON_GPU = 64, 16384
SLAB_ON_CPU, SLAB_ON_GPU = 512, 32768


def has_gpu() -> bool:
    """Whether JAX finds a GPU."""
    return jax.default_backend() == "gpu"


@dataclass(frozen=True, eq=False)
class JaxEngine:
    """Draws by JAX on its default device.

    Attributes
    ----------
    model : PiecewiseExponential
        No random walk, no horseshoe.
    draws : int
        Of each cohort, an even number.
    thresholds : tuple of float
        Hazard ratios.
    """

    model: "PiecewiseExponential"
    draws: int
    thresholds: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn this way."""
        if isinstance(self.model.baseline, RandomWalk):
            raise PriorError(
                "fit_many: engine 'jax' draws independent and gamma baselines; give engine 'numpy' "
                "for a random walk"
            )
        if isinstance(self.model.baseline, GammaProcess):
            integrated = replace(self.model.baseline, is_integrated=True)
            object.__setattr__(self, "model", replace(self.model, baseline=integrated))

    @property
    def name(self) -> str:
        """What results call it."""
        return "jax"

    @property
    def slab(self) -> int:
        """Cohorts to prepare together."""
        return SLAB_ON_GPU if has_gpu() else SLAB_ON_CPU

    def parts(self, block: "CohortBlock") -> "list[CohortBlock]":
        """Cut a block into parts that fit into memory."""
        size = batch_size(self.draws, padded_rows(block.n_rows))
        return [block.part(slice(first, first + size)) for first in range(0, len(block), size)]

    def summary(self, block: "CohortBlock", seeds: NDArray[np.int64]) -> BlockSummary:
        """Draw and summarise; a part of another size than before is compiled once more."""
        arrays, shared = cohort_arrays(block), prior_arrays(block, self.model)
        # powers of two: few sizes to compile for
        size = 1 << (len(block) - 1).bit_length()
        filled = np.minimum(np.arange(size), len(block) - 1)
        arrays = {name: values[filled] for name, values in arrays.items()}
        with jax.enable_x64(True):
            draw = self.compiled(block, arrays, shared)
            found = draw(arrays, shared, seeds[filled], block.scale[filled])
            result = [np.asarray(each)[: len(block)] for each in found]
        *numbers, converged = result
        gaps = [
            np.where(converged.reshape(-1, *[1] * (each.ndim - 1)), each, np.nan)
            for each in numbers
        ]
        return self.with_several_modes(block, seeds, BlockSummary(*gaps, converged=converged))

    def with_several_modes(
        self, block: "CohortBlock", seeds: NDArray[np.int64], summary: BlockSummary
    ) -> BlockSummary:
        """Draw anew, by NumPy, where a Student t prior may have made several modes."""
        which = np.flatnonzero(may_have_several_modes(block, self.model))
        if not len(which):
            return summary
        drawn = draw_block(block.part(which), self.model, self.draws, seeds[which])
        quality = (drawn.pareto_k, drawn.ess, drawn.converged)
        scale = block.scale[which]
        other = summarise(drawn.effect, drawn.weight, scale, self.thresholds, quality)
        merged = {each.name: getattr(summary, each.name).copy() for each in fields(summary)}
        for name, values in merged.items():
            values[which] = getattr(other, name)
        return BlockSummary(**merged)

    def compiled(
        self, block: "CohortBlock", arrays: dict[str, NDArray], shared: dict[str, NDArray]
    ) -> Any:
        """Give the compiled function for cohorts of this shape."""
        # whether entry is delayed is part of the model's structure
        k = int(np.argmax(block.entry.any(axis=1)))
        example = {name: values[0] for name, values in arrays.items()} | shared
        n_treatment, n_terms = block.n_treatment_terms, len(block.terms)
        kinks = []
        for prior, first, last in (
            (parse_prior(self.model.treatment_prior), 0, n_treatment),
            (parse_prior(self.model.covariate_prior), n_treatment, n_terms),
        ):
            if isinstance(prior, Laplace) and first < last:
                kinks.append(Kink(first, last, prior.location, prior.scale))
        return compiled_draws(
            jax_log_density(block.inputs(k, self.model), example),
            n_terms,
            tuple(kinks),
            self.draws,
            self.thresholds,
        )


@dataclass(frozen=True)
class Kink:
    """A double-exponential prior of the effects from `first` to before `last`."""

    first: int
    last: int
    location: float
    scale: float

    def smoothed(self, effect: Any, spread: Any) -> Any:
        """What averaging the log density over normals adds to it; see `bayes_crlm.laplace`."""
        distance = effect[self.first : self.last] - self.location
        spread = spread[self.first : self.last]
        ratio = distance / spread
        density = jnp.exp(-0.5 * ratio**2) / math.sqrt(2 * math.pi)
        averaged = spread * (2 * density + ratio * jax.scipy.special.erf(ratio / math.sqrt(2)))
        return ((jnp.abs(distance) - averaged) / self.scale).sum()


def padded_rows(n_rows: int) -> int:
    """Rows with those that only fill up: few lengths to compile for."""
    return -(-n_rows // ROW_MULTIPLE) * ROW_MULTIPLE


def batch_size(draws: int, n_rows: int) -> int:
    """Cohorts that are drawn at the same time, by the device's memory."""
    device = jax.devices()[0]
    if device.platform == "cpu":
        memory, most = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), MOST_ON_CPU
    else:
        statistics = device.memory_stats() or {}
        memory, most = statistics.get("bytes_limit", 2**32), MOST_ON_GPU
    fits = int(MEMORY_SHARE * memory) // (8 * TABLES * draws * n_rows)
    return 1 << (max(1, min(fits, most)).bit_length() - 1)


def cohort_arrays(block: "CohortBlock") -> dict[str, NDArray]:
    """Arrays of a block by the names of `density_model_data`, cohorts first.

    Rows are filled up by ones that stand for nobody: their count and times are 0.
    """
    fill = padded_rows(block.n_rows) - block.n_rows

    def padded(values: NDArray) -> NDArray:
        return np.pad(values, [(0, 0), (0, fill)] + [(0, 0)] * (values.ndim - 2))

    design = block.design
    arrays = {
        "design": padded(design),
        "stop_interval": padded(block.stop_interval.astype(np.int64)),
        "stop_within": padded(block.stop_within),
        "row_count": padded(np.ones(block.time.shape)),
        "interval_width": block.width,
        "interval_events": block.interval_events,
        "event_design": (block.event[:, None, :] @ design)[:, 0],
        "log_rate": block.log_rate,
    }
    if block.entry.any():
        arrays["entry_interval"] = padded(block.entry_interval.astype(np.int64))
        arrays["entry_within"] = padded(block.entry_within)
    return arrays


def prior_arrays(block: "CohortBlock", model: "PiecewiseExponential") -> dict[str, NDArray]:
    """Prior parameters by the names of `density_model_data`: the same for all cohorts."""
    values = prior_data(block.inputs(0, model))
    return {name: np.asarray(value, float) for name, value in values.items() if name != "log_rate"}


@lru_cache(maxsize=64)
def compiled_draws(
    density: JaxDensity,
    n_terms: int,
    kinks: tuple[Kink, ...],
    draws: int,
    thresholds: tuple[float, ...],
) -> Any:
    """Compile drawing and summarising for many cohorts, or take it from this process's store.

    Returns
    -------
    callable
        (arrays, cohorts first; arrays for all; seeds; scales) to the fields of `BlockSummary`.
    """

    def one(arrays: Any, shared: Any, seed: Any, scale: Any) -> Any:
        data = arrays | shared

        def log_density(vector: Any) -> Any:
            return density(vector, data)

        # a gamma process' hazards are integrated out
        n_hazards = 0 if "baseline_weight" in data else len(data["interval_width"])
        start = jnp.concatenate([jnp.zeros(n_terms), jnp.full(n_hazards, data["log_rate"])])
        at, information, converged = mode_of(log_density, start, n_terms, kinks)
        effect, log_ratio, reached = draw_around(
            log_density, at, information, n_terms, draws, jax.random.key(seed)
        )
        possible = jnp.isfinite(log_ratio)
        converged &= reached & (possible.sum() >= max(10, draws // 10))
        order, weight, pareto_k = pareto_smooth(jnp.where(possible, log_ratio, -jnp.inf))
        summary = summaries(effect[order] / scale, weight, thresholds)
        *about, ess_tail = summary
        return (*about, pareto_k, 1 / (weight**2).sum(), ess_tail, converged)

    return jax.jit(jax.vmap(one, in_axes=(0, None, 0, 0)))


def mode_of(
    log_density: Callable[[Any], Any], start: Any, n_terms: int, kinks: tuple[Kink, ...]
) -> tuple[Any, Any, Any]:
    """Find the mode of effects and cube-root hazards; vector, information, whether it is one.

    The vector holds effects, then log-hazards; the information is that of effects and log-hazards
    for the density of cube roots.
    """

    def climb_with(spread: Any, begin: Any) -> tuple[Any, Any, Any]:
        def objective(vector: Any) -> Any:
            # the Jacobian of the cube root
            value = log_density(vector) - vector[n_terms:].sum() / 3
            for kink in kinks:
                value += kink.smoothed(vector[:n_terms], spread)
            return value

        return climb(objective, begin)

    spread = jnp.ones(n_terms)
    for kink in kinks:
        spread = spread.at[kink.first : kink.last].set(kink.scale)
    at, information, converged = climb_with(spread, start)
    for _ in range(ROUNDS_WITH_KINK if kinks else 0):
        spread = jnp.sqrt(jnp.diag(jnp.linalg.inv(information))[:n_terms])
        at, information, again = climb_with(spread, at)
        converged &= again
    return at, information, converged


def climb(objective: Callable[[Any], Any], start: Any) -> tuple[Any, Any, Any]:
    """Take Newton steps, with a ridge where they would not climb."""
    gradient_of, hessian_of = jax.grad(objective), jax.hessian(objective)

    def goes_on(state: Any) -> Any:
        *_, is_done, _, steps = state
        return ~is_done & (steps < MOST_STEPS)

    def step(state: Any) -> Any:
        at, value, gradient, information, ridge, _, _, steps = state
        diagonal = jnp.abs(jnp.diag(information)) + 1e-12
        factor = jnp.linalg.cholesky(information + ridge * jnp.diag(diagonal))
        move = jax.scipy.linalg.cho_solve((factor, True), gradient)
        rise = gradient @ move
        is_mode = (rise < RISE_TOLERANCE) & (ridge == 0)
        candidate = at + move
        reached = objective(candidate)
        # not a number, from a matrix without a factor, is no rise
        is_risen = (reached >= value - 1e-10 * (1 + jnp.abs(value))) & ~is_mode
        at = jnp.where(is_risen, candidate, at)
        smaller = jnp.where(ridge > 1e-3, ridge / 10, 0.0)
        ridge = jnp.where(is_risen, smaller, jnp.maximum(1e-3, 10 * ridge))
        is_done = is_mode | (ridge > LARGEST_RIDGE)
        return (
            at,
            jnp.where(is_risen, reached, value),
            jnp.where(is_risen, gradient_of(at), gradient),
            jnp.where(is_risen, -hessian_of(at), information),
            ridge,
            is_done,
            is_mode,
            steps + 1,
        )

    value = objective(start)
    first = (start, value, gradient_of(start), -hessian_of(start), 0.0, False, False, 0)
    at, value, _, information, _, _, is_mode, _ = jax.lax.while_loop(goes_on, step, first)
    return at, information, is_mode & jnp.isfinite(value)


def draw_around(
    log_density: Callable[[Any], Any],
    at: Any,
    information: Any,
    n_terms: int,
    draws: int,
    key: Any,
) -> tuple[Any, Any, Any]:
    """Draw effects and cube-root hazards in mirrored pairs, and weigh them.

    Returns
    -------
    (draws, terms), (draws,), bool
        Effects, log ratios, and whether the density falls off where no draws go.
    """
    size, nu = len(at), DEGREES_OF_FREEDOM
    root = jnp.exp(at[n_terms:] / 3)
    per_root = jnp.concatenate([jnp.ones(n_terms), 3 / root])
    factor = jnp.linalg.cholesky(jnp.linalg.inv(per_root[:, None] * information * per_root))
    centre = jnp.concatenate([at[:n_terms], root])

    def log_target(point: Any) -> Any:
        roots = point[n_terms:]
        log_root = jnp.log(jnp.where(roots > 0, roots, 1.0))
        value = log_density(jnp.concatenate([point[:n_terms], 3 * log_root])) - log_root.sum()
        return jnp.where((roots > 0).all(), value, -jnp.inf)

    of_normal, of_scale = jax.random.split(key)
    normal = jax.random.normal(of_normal, (draws // 2, size))
    if draws // 2 >= PAIRS_PER_EFFECT * size:
        # exact second moments: means and standard deviations have hardly an error from them
        whole = jnp.linalg.cholesky(normal.T @ normal / (draws // 2))
        normal = jax.scipy.linalg.solve_triangular(whole, normal.T, lower=True).T
    uniform = jax.random.uniform(of_scale, (draws // 2, nu // 2), minval=jnp.finfo(float).tiny)
    standard = normal / jnp.sqrt(-2 * jnp.log(uniform).sum(axis=1) / nu)[:, None]
    log_proposal = -0.5 * (nu + size) * jnp.log1p((standard**2).sum(axis=1) / nu)
    deviation = standard @ factor.T
    points = jnp.concatenate([centre + deviation, centre - deviation])
    log_ratio = jax.vmap(log_target)(points) - jnp.concatenate([log_proposal, log_proposal])
    far = FAR * factor.T[:n_terms]
    fall = log_target(centre) - jax.vmap(log_target)(jnp.concatenate([centre + far, centre - far]))
    return points[:, :n_terms], log_ratio, ~(fall < LEAST_FALL).any()
