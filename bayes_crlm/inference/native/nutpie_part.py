"""nutpie's sampler on addresses of C functions, without what `import nutpie` loads beside it.

nutpie's compiled part is a module of its own, which is found and loaded without its package: the
package imports ArviZ and with it SciPy, Matplotlib and more, which takes longer than sampling a
small cohort. It is private: this is done for the versions and signatures that were tested alone;
with any other, nutpie's public function samples the same.
"""

import ctypes
import importlib.machinery
import importlib.util
import os
import sys
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.native.arrow_columns import column_values
from bayes_crlm.inference.native.library import NativeTarget
from bayes_crlm.tasks.streams import own_stream
from bayes_crlm.words.records import record
from bayes_crlm.words.versions import installed_version

TESTED_VERSIONS = ("0.16.11",)
TESTED_SIGNATURES = {
    "ExpandFunc": "(dim, expanded_dim, ptr, user_data_ptr, keep_alive)",
    "LogpFunc": "(ptr, user_data_ptr, keep_alive)",
    "PyMcModel": (
        "(density, expand, variables, dim, dim_sizes, coords, init_func, transform_adapter)"
    ),
    "PyNutsSettings.Diag": "(seed=None)",
    "PyNutsSettings.update": "($self, kwargs)",
    "PySampler.from_pymc": (
        "(settings, cores, model, progress_type, extra_callback, extra_callback_rate, store)"
    ),
    "PySampler.wait": "($self, timeout_seconds=None)",
    "PySampler.abort": "($self)",
    "PySampler.take_results": "($self)",
    "PyVariable.new_variables": "($cls, names, item_types, shapes, dim_sizes, dims)",
    "ProgressType.none": "()",
    "ProgressType.indicatif": "(rate)",
    "PyStorage.arrow": "()",
}
PROGRESS_MILLISECONDS = 100


@record
class SamplerSettings:
    """How nutpie is to sample.

    Attributes
    ----------
    draws, tune, chains : int
        Kept and warm-up draws of each chain; number of chains.
    seed : int
        Fixes starts and draws.
    target_accept : float
        Mean acceptance that the step size is tuned to.
    start_spread : float
        Half the range of uniform starts, in the sampler's coordinates.
    progress : bool
        Show nutpie's progress bar.
    """

    draws: int
    tune: int
    chains: int
    seed: int
    target_accept: float = 0.8
    start_spread: float = 2.0
    progress: bool = False


@cache
def compiled_part() -> ModuleType | None:
    """Load nutpie's compiled part alone; None for an untested version."""
    package = importlib.util.find_spec("nutpie")  # found, not run
    if package is None or installed_version("nutpie") not in TESTED_VERSIONS:
        return None
    module = sys.modules.get("nutpie._lib") or load_compiled_part(package)
    return module if module is not None and has_signatures(module) else None


def load_compiled_part(package: importlib.machinery.ModuleSpec) -> ModuleType | None:
    """Load the module, and leave it where `import nutpie` will find it."""
    found = importlib.machinery.PathFinder.find_spec(
        "nutpie._lib", package.submodule_search_locations
    )
    if found is None or found.loader is None:
        return None
    module = importlib.util.module_from_spec(found)
    sys.modules["nutpie._lib"] = module
    try:
        found.loader.exec_module(module)
    except BaseException:
        del sys.modules["nutpie._lib"]
        raise
    return module


def has_signatures(module: ModuleType) -> bool:
    """Whether all that is used of the module takes the arguments that were tested."""
    for name, signature in TESTED_SIGNATURES.items():
        found: Any = module
        for part in name.split("."):
            found = getattr(found, part, None)
        if getattr(found, "__text_signature__", None) != signature:
            return False
    return True


def sample_target(
    target: NativeTarget, settings: SamplerSettings
) -> tuple[NDArray[np.float64], dict[str, NDArray]]:
    """Sample with nutpie's NUTS.

    Parameters
    ----------
    target : NativeTarget
        Density and coordinates.
    settings : SamplerSettings
        Draws, chains, seed and steps.

    Returns
    -------
    expanded : (chains, draws, unknowns + 1) ndarray
        The model's unconstrained vectors, then the log Jacobian of the sampler's coordinates.
    statistics : dict of str to (chains, draws) ndarray
        By nutpie's names.

    Raises
    ------
    RuntimeError
        Where draws are missing or not finite.
    """
    compiled = None if settings.progress and in_notebook() else compiled_part()
    if compiled is None:
        traces = sample_by_package(target, settings)
    else:
        traces = sample_by_compiled_part(compiled, target, settings)
    draws, statistics = traces.get_arrow_trace()
    return read_traces(draws, statistics, target.size + 1, settings)


def in_notebook() -> bool:
    """Whether nutpie would draw its progress bar into a notebook."""
    return "IPython" in sys.modules


def starts(target: NativeTarget, settings: SamplerSettings) -> Any:
    """Give nutpie's function of a seed that says where a chain starts."""

    def start(seed: int | None) -> NDArray[np.float64]:
        spread = settings.start_spread
        return own_stream(seed).uniform(-spread, spread, target.size)

    return start


def sample_by_compiled_part(compiled: Any, target: NativeTarget, settings: SamplerSettings) -> Any:
    """Sample as `nutpie.sample` does, with its compiled part alone."""
    n, (log_density, expand) = target.size, target.kernels.callbacks
    lengths, shape = {"entry": n + 1}, (n + 1,)
    model = compiled.PyMcModel(
        compiled.LogpFunc(log_density, target.address, target),
        compiled.ExpandFunc(n, n + 1, expand, target.address, target),
        compiled.PyVariable.new_variables(
            ["expanded"], ["float64"], [shape], lengths, {"expanded": ("entry",)}
        ),
        n,
        lengths,
        {"entry": np.arange(n + 1)},
        starts(target, settings),
        None,
    )
    of_nuts = compiled.PyNutsSettings.Diag(settings.seed)
    of_nuts.update(
        {
            "num_tune": settings.tune,
            "num_draws": settings.draws,
            "num_chains": settings.chains,
            "target_accept": settings.target_accept,
        }
    )
    progress = compiled.ProgressType
    sampler = compiled.PySampler.from_pymc(
        of_nuts,
        min(settings.chains, usable_processors()),
        model,
        progress.indicatif(PROGRESS_MILLISECONDS) if settings.progress else progress.none(),
        None,
        PROGRESS_MILLISECONDS,
        compiled.PyStorage.arrow(),
    )
    try:
        sampler.wait(None)
    except BaseException:
        sampler.abort()
        raise
    return sampler.take_results()


def usable_processors() -> int:
    """Number of processors that this process may use."""
    count = getattr(os, "process_cpu_count", os.cpu_count)
    return count() or 1


def sample_by_package(target: NativeTarget, settings: SamplerSettings) -> Any:
    """Sample by nutpie's public function, whatever its version."""
    import nutpie
    from nutpie import compile_pymc

    @dataclass(frozen=True)
    class Callback:
        address: int

    n, (log_density, expand) = target.size, target.kernels.callbacks
    address = np.frombuffer((ctypes.c_uint8 * 1).from_address(target.address), dtype=np.uint8)
    model_of: Any = compile_pymc.CompiledPyMCModel
    model = model_of(
        dims={"expanded": ("entry",)},
        _n_dim=n,
        _coords={"entry": np.arange(n + 1)},
        _shapes={"expanded": (n + 1,)},
        compiled_logp_func=Callback(log_density),
        compiled_expand_func=Callback(expand),
        initial_point_func=starts(target, settings),
        # nutpie holds on to these, so that the addresses stay valid
        shared_data={"target": target},
        shared_var_keys={},
        user_data=address,
        n_expanded=n + 1,
        shape_info=(["expanded"], [slice(0, n + 1)], [(n + 1,)]),
        logp_func=target,
        expand_func=None,
    )
    sampler: Any = nutpie.sample(
        model,
        draws=settings.draws,
        tune=settings.tune,
        chains=settings.chains,
        seed=settings.seed,
        target_accept=settings.target_accept,
        progress_bar=settings.progress,
        save_warmup=False,
        # labels cost more than the draws of a small cohort, and are given later
        return_raw_trace=True,
        # waiting itself, nutpie would take an interrupt for the end of sampling
        blocking=False,
    )
    try:
        return sampler.wait()
    except BaseException:
        sampler.cancel()
        raise


STATISTICS = (
    "diverging", "energy", "energy_error", "depth", "maxdepth_reached", "n_steps", "step_size",
    "mean_tree_accept", "logp",
)  # fmt: skip


def read_traces(
    draws: list[Any], statistics: list[Any], size: int, settings: SamplerSettings
) -> tuple[NDArray[np.float64], dict[str, NDArray]]:
    """Read what is kept of nutpie's Arrow tables, one of draws and of statistics a chain."""
    n_kept = [int((~column_values(batch.column("tuning"))).sum()) for batch in statistics]
    if n_kept != [settings.draws] * settings.chains:
        raise RuntimeError(
            f"the sampler gave {n_kept} draws of {settings.chains} chains, "
            f"not {settings.draws} each"
        )
    # warm-up comes first
    expanded = np.stack(
        [
            column_values(batch.column("expanded")).reshape(-1, size)[-settings.draws :]
            for batch in draws
        ]
    )
    if not np.isfinite(expanded).all():
        raise RuntimeError("the sampler gave draws that are not finite numbers")
    named = {
        name: np.stack(
            [column_values(batch.column(name))[-settings.draws :] for batch in statistics]
        )
        for name in STATISTICS
    }
    return expanded, named
