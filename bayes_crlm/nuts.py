"""The no-U-turn sampler on the `pm.Model`'s own density, compiled once per structure.

The log density and its gradient are taken from the `pm.Model` and compiled with every
array, prior parameter and dimension's length as an input. A model of the same
structure on another cohort, with other cutpoints or other prior parameters, reuses the
compiled function; Numba keeps it on disk for the next process.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.model import ModelInputs, build_pymc_model, model_data
from bayes_crlm.parameters import draw_integrated, sampled_parameters
from bayes_crlm.priors import Horseshoe, RandomWalk

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["CompiledDensity", "NutsDraws", "compile_density", "sample_nuts"]

TARGET_ACCEPT = 0.9
# small random-walk scales make a funnel: at 0.95 a few transitions in 4,000 still diverge
TARGET_ACCEPT_RANDOM_WALK = 0.98
TARGET_ACCEPT_HORSESHOE = 0.99
# for a second try when transitions diverged
TARGET_ACCEPT_CAREFUL = 0.995
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
# starts are spread by this much around the centre of the prior of every unconstrained value
START_SPREAD = 0.5


@dataclass(frozen=True)
class CompiledDensity:
    """A compiled log density with gradient, and which data it wants in which order.

    Attributes
    ----------
    function : callable
        (vector, *data) to (log density, gradient).
    data_names : tuple of str
        `pm.Data` and dimension names in the order of `function`'s arguments.
    data_dtypes : tuple of str
        Their types.
    """

    function: Callable[..., tuple[NDArray, NDArray]]
    data_names: tuple[str, ...]
    data_dtypes: tuple[str, ...]

    def arguments(self, inputs: ModelInputs) -> tuple[NDArray, ...]:
        """Arrays of `inputs` in the order that `function` takes them."""
        available = model_data(inputs)
        for dim, labels in inputs.coords().items():
            available[dim] = np.asarray(len(labels))
        available["row"] = np.asarray(inputs.data.follow_up.n_rows)
        return tuple(
            np.asarray(available[name], dtype=dtype, order="C")
            for name, dtype in zip(self.data_names, self.data_dtypes, strict=True)
        )


@dataclass(frozen=True)
class NutsDraws:
    """Unconstrained draws and sampler statistics.

    Attributes
    ----------
    vectors : (chains, draws, total size) ndarray
        Draws in the order of `bayes_crlm.parameters.model_parameters`.
    sample_stats : xarray.Dataset
        Divergences, energies and what else the sampler records, dims (chain, draw).
    seconds_compile, seconds_sample : float
        Wall time.
    """

    vectors: NDArray[np.float64]
    sample_stats: "xr.Dataset"
    seconds_compile: float
    seconds_sample: float


compiled_densities: dict[tuple[Any, ...], CompiledDensity] = {}
compiling = threading.Lock()


def compile_density(inputs: ModelInputs) -> CompiledDensity:
    """Compile the `pm.Model`'s log density and gradient, or take it from this process's store.

    Parameters
    ----------
    inputs : ModelInputs
        Only its structure matters; its data are arguments of the result.
    """
    with compiling:
        if inputs.structure not in compiled_densities:
            compiled_densities[inputs.structure] = compile_model(inputs)
        return compiled_densities[inputs.structure]


def compile_model(inputs: ModelInputs) -> CompiledDensity:
    """Compile the log density of `inputs`' `pm.Model` with respect to one flat vector."""
    import pytensor
    import pytensor.tensor as pt
    from pytensor.graph.replace import clone_replace

    model = build_pymc_model(inputs)
    vector = pt.dvector("unconstrained")
    position: Any = 0
    parts = {}
    for value in model.value_vars:
        variable = model.values_to_rvs[value]
        if variable.ndim == 0:
            parts[value] = vector[position]
            position = position + 1
        else:
            (dim,) = model.named_vars_to_dims[variable.name]
            length = model.dim_lengths[dim]
            parts[value] = vector[position : position + length]
            position = position + length
    expected = [parameter.name for parameter in sampled_parameters(inputs)]
    found = [model.values_to_rvs[value].name for value in model.value_vars]
    if expected != found:
        raise AssertionError(f"the model's variables are {found}, not {expected}")
    log_density: Any = clone_replace(model.logp(), parts, rebuild_strict=False)
    gradient: Any = pt.grad(log_density, vector)
    compiled = pytensor.function([vector], [log_density, gradient], mode="NUMBA")
    shared = compiled.maker.fgraph.inputs[1:]
    return CompiledDensity(
        function=compiled.vm.jit_fn,
        data_names=tuple(variable.name for variable in shared),
        data_dtypes=tuple(variable.type.dtype for variable in shared),
    )


def sample_nuts(
    inputs: ModelInputs,
    *,
    draws: int,
    tune: int,
    chains: int,
    seed: int,
    target_accept: float | None = None,
    progress: bool = False,
) -> NutsDraws:
    """Sample the posterior with nutpie's NUTS.

    Parameters
    ----------
    inputs : ModelInputs
        A cohort as the model sees it.
    draws, tune, chains : int
        Kept and warm-up draws of each chain; number of chains.
    seed : int
        Fixes starts and draws.
    target_accept : float, optional
        Mean acceptance; see `default_target_accept`.
    progress : bool
        Show nutpie's progress bar.

    References
    ----------
    Hoffman & Gelman (2014), J Mach Learn Res 15:1593-1623; Seyboldt, Carlson & Carpenter
    (2026), Preconditioning Hamiltonian Monte Carlo by minimizing Fisher divergence.
    """
    import nutpie
    from nutpie.compiled_pyfunc import from_pyfunc

    if target_accept is None:
        target_accept = default_target_accept(inputs)
    started = time.perf_counter()
    density = compile_density(inputs)
    arguments = density.arguments(inputs)
    centre = prior_centre(inputs)
    # the first call makes Numba compile for these argument types
    density.function(centre, *arguments)
    compiled_at = time.perf_counter()
    size = len(centre)

    def make_log_density() -> Callable[[NDArray], tuple[float, NDArray]]:
        function = density.function

        def log_density(vector: NDArray) -> tuple[float, NDArray]:
            value, gradient = function(vector, *arguments)
            return float(value), gradient

        return log_density

    def make_expand(*_: object) -> Callable[[NDArray], dict[str, NDArray]]:
        def expand(vector: NDArray) -> dict[str, NDArray]:
            return {"unconstrained": np.array(vector, dtype=np.float64)}

        return expand

    def start(start_seed: int) -> NDArray:
        rng = np.random.default_rng(start_seed)
        return centre + rng.uniform(-START_SPREAD, START_SPREAD, size)

    sampler = from_pyfunc(
        ndim=size,
        make_logp_fn=make_log_density,
        make_expand_fn=make_expand,
        expanded_dtypes=[np.dtype(np.float64)],
        expanded_shapes=[(size,)],
        expanded_names=["unconstrained"],
        make_initial_point_fn=start,
    )
    trace: Any = nutpie.sample(
        sampler,
        draws=draws,
        tune=tune,
        chains=chains,
        # the density is called through Python, one chain at a time: more threads only wait for
        # each other, up to twice as long; draws are the same
        cores=1,
        seed=seed,
        target_accept=target_accept,
        progress_bar=progress,
        save_warmup=False,
    )
    vectors = np.asarray(trace["posterior"]["unconstrained"].values, dtype=float)
    if inputs.is_baseline_integrated:
        vectors = draw_integrated(vectors, inputs, np.random.default_rng([seed, 3]))
    return NutsDraws(
        vectors=vectors,
        sample_stats=arviz_names(trace["sample_stats"].to_dataset()),
        seconds_compile=compiled_at - started,
        seconds_sample=time.perf_counter() - compiled_at,
    )


def arviz_names(sample_stats: "xr.Dataset") -> "xr.Dataset":
    """Keep the numeric sampler statistics, under the names that ArviZ gives them."""
    kept = {
        nutpie_name: arviz_name
        for nutpie_name, arviz_name in ARVIZ_NAMES.items()
        if nutpie_name in sample_stats
    }
    return sample_stats[list(kept)].rename(kept)


def default_target_accept(inputs: ModelInputs) -> float:
    """Mean acceptance that a model's posterior needs: more where scales are sampled."""
    if inputs.n_covariate_terms and isinstance(inputs.covariate_prior, Horseshoe):
        return TARGET_ACCEPT_HORSESHOE
    if isinstance(inputs.baseline, RandomWalk) and inputs.intervals.n_intervals > 1:
        return TARGET_ACCEPT_RANDOM_WALK
    return TARGET_ACCEPT


def prior_centre(inputs: ModelInputs) -> NDArray[np.float64]:
    """Unconstrained point where every effect is 0 and every hazard the overall rate."""
    parts = []
    for parameter in sampled_parameters(inputs):
        at_rate = parameter.name in ("log_hazard", "log_hazard_level", "hazard")
        parts.append(np.full(parameter.size, inputs.log_rate if at_rate else 0.0))
    return np.concatenate(parts)
