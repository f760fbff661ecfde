"""The no-U-turn sampler on a native density, in coordinates that suit it."""

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.block_coordinates import sampler_coordinates
from bayes_crlm.inference.native.coordinates import Coordinates
from bayes_crlm.inference.native.flat_density import native_density
from bayes_crlm.inference.native.library import NativeDensity, lay_target
from bayes_crlm.inference.native.nutpie_part import SamplerSettings, sample_target
from bayes_crlm.inference.native.process import complete_hazards
from bayes_crlm.inference.several_modes import modes_for_chains
from bayes_crlm.model.baseline_priors import GammaProcess
from bayes_crlm.model.density import BlockModel
from bayes_crlm.model.prepared import PreparedCohort
from bayes_crlm.tasks.streams import Stream, numbered_seed, random_stream
from bayes_crlm.words.records import record

if TYPE_CHECKING:
    import xarray as xr

Statistics = dict[str, NDArray]
# log-hazards and effects near a mode, or None
ChainStart = NDArray[np.float64] | None

ARVIZ_NAMES = {
    "diverging": "diverging",
    "energy": "energy",
    "energy_error": "energy_error",
    "depth": "tree_depth",
    "maxdepth_reached": "reached_max_treedepth",
    "n_steps": "n_steps",
    "step_size": "step_size",
    "mean_tree_accept": "acceptance_rate",
    "logp": "lp",
}


@record
class NutsDraws:
    """Unconstrained draws and sampler statistics.

    Attributes
    ----------
    vectors : (chains, draws, total size) ndarray
        Draws in the order of `BlockModel.parameters`.
    statistics : dict of str to (chains, draws) ndarray
        Divergences, energies and what else the sampler records, by ArviZ's names.
    seconds_sample : float
        Wall time.
    """

    vectors: NDArray[np.float64]
    statistics: Statistics
    seconds_sample: float


def sample_nuts(
    inputs: PreparedCohort,
    *,
    draws: int,
    tune: int,
    chains: int,
    seed: int,
    target_accept: float = 0.8,
    progress: bool = False,
) -> NutsDraws:
    """Sample the posterior with nutpie's NUTS.

    Parameters
    ----------
    inputs : PreparedCohort
        A cohort as the model sees it. Hazards of a gamma process are integrated out, and drawn
        given the effects afterwards.
    draws, tune, chains : int
        Kept and warm-up draws of each chain; number of chains.
    seed : int
        Fixes starts and draws.
    target_accept : float
        Mean acceptance that the step size is tuned to.
    progress : bool
        Show nutpie's progress bar.

    References
    ----------
    Hoffman & Gelman (2014), J Mach Learn Res 15:1593-1623; Seyboldt, Carlson & Carpenter
    (2026), Preconditioning Hamiltonian Monte Carlo by minimizing Fisher divergence.
    """
    inputs = with_integrated_baseline(inputs)
    return sample_blocks(
        inputs.block_model,
        starts_of_chains(inputs, chains),
        draws=draws,
        tune=tune,
        seed=seed,
        target_accept=target_accept,
        progress=progress,
    )


def sample_blocks(
    model: BlockModel,
    starts: list[tuple[ChainStart, int]],
    *,
    draws: int,
    tune: int,
    seed: int,
    target_accept: float = 0.8,
    progress: bool = False,
) -> NutsDraws:
    """Sample the posterior of any model made of blocks.

    Parameters
    ----------
    model : BlockModel
        Blocks and rows.
    starts : list of (start, number of chains)
        Each start near a mode, as for `sampler_coordinates`, or None to find it.
    draws, tune, seed, target_accept, progress
        As for `sample_nuts`.
    """
    started = time.perf_counter()
    density = native_density(model.data, model.blocks)
    pieces = []
    for k, (start, count) in enumerate(starts):
        coordinates = sampler_coordinates(model, start)
        settings = SamplerSettings(
            draws=draws,
            tune=tune,
            chains=count,
            seed=seed_of_start(seed, k),
            target_accept=target_accept,
            start_spread=coordinates.start_spread,
            progress=progress,
        )
        pieces.append(sample_coordinates(density, coordinates, settings))
    vectors, statistics = pieces[0] if len(pieces) == 1 else dealt(pieces)
    rng = random_stream(seed, Stream.INTEGRATED_HAZARDS)
    vectors = complete_hazards(vectors, model, density, rng)
    return NutsDraws(vectors, statistics, time.perf_counter() - started)


def starts_of_chains(inputs: PreparedCohort, chains: int) -> list[tuple[ChainStart, int]]:
    """Say where chains start: all at one place, or shared out over the posterior's modes.

    Returns
    -------
    list of (start, number of chains)
        A start is log-hazards and effects, or None for what `sampler_coordinates` finds itself.
    """
    modes = modes_for_chains(inputs)[:chains]
    if not modes:
        return [(None, chains)]
    return [(each.mode.at[0], len(range(k, chains, len(modes)))) for k, each in enumerate(modes)]


def seed_of_start(seed: int, k: int) -> int:
    """Give the chains of each start a seed of their own; the first have the one asked for."""
    return numbered_seed(seed, k) if k else seed


def dealt(
    pieces: list[tuple[NDArray[np.float64], Statistics]],
) -> tuple[NDArray[np.float64], Statistics]:
    """Put chains of several starts together: the first of each start, then the second of each."""
    counts = [len(vectors) for vectors, _ in pieces]
    place = [(k, piece) for piece, count in enumerate(counts) for k in range(count)]
    order = sorted(range(len(place)), key=lambda each: place[each])
    statistics = {
        name: np.concatenate([each[name] for _, each in pieces])[order] for name in pieces[0][1]
    }
    return np.concatenate([each for each, _ in pieces])[order], statistics


def with_integrated_baseline(inputs: PreparedCohort) -> PreparedCohort:
    """Let the sampler move effects alone under a gamma process.

    The log-hazard of an interval with next to no events has a long tail to the left, in which
    chains would get lost; its integral is known.
    """
    if not isinstance(inputs.baseline, GammaProcess):
        return inputs
    return replace(inputs, baseline=replace(inputs.baseline, is_integrated=True))


def sample_coordinates(
    density: NativeDensity, coordinates: Coordinates, settings: SamplerSettings
) -> tuple[NDArray[np.float64], Statistics]:
    """Sample a native density in given coordinates; gives vectors and statistics."""
    target = lay_target(density, coordinates.lay_out())
    return named_samples(*sample_target(target, settings))


def named_samples(
    expanded: NDArray, statistics: Statistics
) -> tuple[NDArray[np.float64], Statistics]:
    """Split what `sample_target` gives into vectors and statistics under ArviZ's names."""
    vectors, log_jacobian = expanded[..., :-1], expanded[..., -1]
    named = {arviz_name: statistics[name] for name, arviz_name in ARVIZ_NAMES.items()}
    # density of the model's own unconstrained vector, whatever coordinates the sampler used
    named["lp"] = named["lp"] - log_jacobian
    return vectors, named


def labelled(statistics: Statistics) -> "xr.Dataset":
    """Give sampler statistics their dims."""
    import xarray as xr

    chains, draws = statistics["lp"].shape
    return xr.Dataset(
        {name: (("chain", "draw"), values) for name, values in statistics.items()},
        coords={"chain": np.arange(chains), "draw": np.arange(draws)},
    )
