"""The no-U-turn sampler on a native density, in coordinates that suit it."""

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.native.coordinates import Coordinates, sampler_coordinates
from bayes_crlm.inference.native.log_posterior import DensityData, density_data
from bayes_crlm.inference.several_modes import modes_for_chains
from bayes_crlm.inference.streams import Stream, random_stream
from bayes_crlm.model.baseline_priors import GammaProcess
from bayes_crlm.model.prepared import PreparedCohort
from bayes_crlm.model.unknowns import draw_integrated

if TYPE_CHECKING:
    import xarray as xr

    from bayes_crlm.inference.native.callbacks import SamplerDensity

__all__ = ["NutsDraws", "sample_density", "sample_nuts"]

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


@dataclass(frozen=True)
class NutsDraws:
    """Unconstrained draws and sampler statistics.

    Attributes
    ----------
    vectors : (chains, draws, total size) ndarray
        Draws in the order of `bayes_crlm.model.unknowns.model_parameters`.
    sample_stats : xarray.Dataset
        Divergences, energies and what else the sampler records, dims (chain, draw).
    seconds_compile, seconds_sample : float
        Wall time.
    """

    vectors: NDArray[np.float64]
    sample_stats: "xr.Dataset"
    seconds_compile: float
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
    # importing is neither compiling nor sampling
    import nutpie  # noqa: F401

    inputs = with_integrated_baseline(inputs)
    started = time.perf_counter()
    # Numba compiles the callbacks where they are defined, or loads what it keeps on disk
    from bayes_crlm.inference.native.callbacks import POSTERIOR

    compiled_at = time.perf_counter()
    density, pieces = density_data(inputs), []
    around = starts_of_chains(inputs, chains)
    for k, (start, count) in enumerate(around):
        pieces.append(
            sample_density(
                POSTERIOR,
                density,
                sampler_coordinates(inputs, start),
                draws=draws,
                tune=tune,
                chains=count,
                seed=seed_of_start(seed, k),
                target_accept=target_accept,
                progress=progress,
            )
        )
    vectors, statistics = pieces[0] if len(pieces) == 1 else dealt(pieces)
    if inputs.is_baseline_integrated:
        vectors = draw_integrated(vectors, inputs, random_stream(seed, Stream.INTEGRATED_HAZARDS))
    return NutsDraws(
        vectors=vectors,
        sample_stats=statistics,
        seconds_compile=compiled_at - started,
        seconds_sample=time.perf_counter() - compiled_at,
    )


def starts_of_chains(
    inputs: PreparedCohort, chains: int
) -> list[tuple[tuple[NDArray, NDArray] | None, int]]:
    """Say where chains start: all at one place, or shared out over the posterior's modes.

    Returns
    -------
    list of (start, number of chains)
        A start is log-hazards and effects, or None for what `sampler_coordinates` finds itself.
    """
    modes = modes_for_chains(inputs)[:chains]
    if not modes:
        return [(None, chains)]
    return [
        ((each.log_hazard, each.effect), len(range(k, chains, len(modes))))
        for k, each in enumerate(modes)
    ]


def seed_of_start(seed: int, k: int) -> int:
    """Give the chains of each start a seed of their own; the first have the one asked for."""
    return int(np.random.SeedSequence([seed, k]).generate_state(1)[0]) if k else seed


def dealt(
    pieces: "list[tuple[NDArray[np.float64], xr.Dataset]]",
) -> "tuple[NDArray[np.float64], xr.Dataset]":
    """Put chains of several starts together: the first of each start, then the second of each."""
    import xarray as xr

    counts = [len(vectors) for vectors, _ in pieces]
    place = [(k, piece) for piece, count in enumerate(counts) for k in range(count)]
    order = sorted(range(len(place)), key=lambda each: place[each])
    statistics = xr.concat([each for _, each in pieces], dim="chain").isel(chain=order)
    vectors = np.concatenate([each for each, _ in pieces])[order]
    return vectors, statistics.assign_coords(chain=np.arange(len(order)))


def with_integrated_baseline(inputs: PreparedCohort) -> PreparedCohort:
    """Let the sampler move effects alone under a gamma process.

    The log-hazard of an interval with next to no events has a long tail to the left, in which
    chains would get lost; its integral is known.
    """
    if not isinstance(inputs.baseline, GammaProcess):
        return inputs
    return replace(inputs, baseline=replace(inputs.baseline, is_integrated=True))


def sample_density(
    density: "SamplerDensity",
    data: DensityData,
    coordinates: Coordinates,
    *,
    draws: int,
    tune: int,
    chains: int,
    seed: int,
    target_accept: float = 0.8,
    progress: bool = False,
) -> "tuple[NDArray[np.float64], xr.Dataset]":
    """Sample any compiled density with nutpie's NUTS; settings as for `sample_nuts`.

    Returns
    -------
    vectors : (chains, draws, unknowns) ndarray
        Unconstrained draws in the density's own order.
    statistics : xarray.Dataset
        What the sampler records, under ArviZ's names, dims (chain, draw).
    """
    import nutpie

    sampler: Any = nutpie.sample(
        native_sampler(density, data, coordinates),
        draws=draws,
        tune=tune,
        chains=chains,
        seed=seed,
        target_accept=target_accept,
        progress_bar=progress,
        save_warmup=False,
        # labels cost more than the draws of a small cohort, and are given later
        return_raw_trace=True,
        # waiting itself, nutpie would take an interrupt for the end of sampling
        blocking=False,
    )
    try:
        results = sampler.wait()
    except BaseException:
        sampler.cancel()
        raise
    draw_batches, statistic_batches = results.get_arrow_trace()
    is_kept = [~column(batch, "tuning") for batch in statistic_batches]
    lengths = [int(kept.sum()) for kept in is_kept]
    if lengths != [draws] * chains:
        raise RuntimeError(f"the sampler gave {lengths} draws of {chains} chains, not {draws} each")
    expanded = np.stack(
        [
            column(batch, "expanded").reshape(batch.num_rows, -1)[kept]
            for batch, kept in zip(draw_batches, is_kept, strict=True)
        ]
    )
    if not np.isfinite(expanded).all():
        raise RuntimeError("the sampler gave draws that are no numbers")
    vectors, log_jacobian = expanded[..., :-1], expanded[..., -1]
    statistics = {
        arviz_name: np.stack(
            [
                column(batch, name)[kept]
                for batch, kept in zip(statistic_batches, is_kept, strict=True)
            ]
        )
        for name, arviz_name in ARVIZ_NAMES.items()
    }
    # density of the model's own unconstrained vector, whatever coordinates the sampler used
    statistics["lp"] = statistics["lp"] - log_jacobian
    return vectors, labelled(statistics)


def native_sampler(density: "SamplerDensity", data: DensityData, coordinates: Coordinates) -> Any:
    """Make what nutpie samples: two C callbacks, and the addresses they work on."""
    from nutpie.compile_pymc import CompiledPyMCModel

    from bayes_crlm.inference.native.callbacks import callback_table, expand_callback

    size = coordinates.size
    arrays = (*data, coordinates.floats, coordinates.integers)

    def start(seed: int | None) -> NDArray[np.float64]:
        spread = coordinates.start_spread
        return np.random.default_rng(seed).uniform(-spread, spread, size)

    return CompiledPyMCModel(
        dims={"expanded": ("entry",)},
        _n_dim=size,
        _coords={"entry": np.arange(size + 1)},
        _shapes={"expanded": (size + 1,)},
        compiled_logp_func=density.callback,
        compiled_expand_func=expand_callback,
        initial_point_func=start,
        # nutpie holds on to these, so that the addresses in the table stay valid
        shared_data={str(k): array for k, array in enumerate(arrays)},
        shared_var_keys={},
        user_data=callback_table(arrays, density.address),
        n_expanded=size + 1,
        shape_info=(["expanded"], [slice(0, size + 1)], [(size + 1,)]),
        logp_func=density,
        expand_func=None,
    )


def column(batch: Any, name: str) -> NDArray:
    """One column of an Arrow record batch, lists of numbers one after the other."""
    import pyarrow

    values = pyarrow.array(batch.column(name))
    if hasattr(values, "flatten"):
        values = values.flatten()
    return values.to_numpy(zero_copy_only=False)


def labelled(statistics: dict[str, NDArray]) -> "xr.Dataset":
    """Give sampler statistics their dims."""
    import xarray as xr

    chains, draws = statistics["lp"].shape
    return xr.Dataset(
        {name: (("chain", "draw"), values) for name, values in statistics.items()},
        coords={"chain": np.arange(chains), "draw": np.arange(draws)},
    )
