"""Any `pm.Model` sampled as the package's own is: its graph in machine code, called from C.

What a model's density needs beside its unknowns - `pm.Data`, lengths of dimensions - becomes inputs
of the compiled function, in two flat vectors (see `bayes_crlm.inference.native.compiled_graph`). A
model of the same structure on other data, of other lengths, reuses the function when both name that
structure.
"""

import threading
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.native.coordinates import Coordinates, plain_coordinates
from bayes_crlm.inference.native.library import FlatArrays
from bayes_crlm.inference.native.nutpie_part import SamplerSettings, sample_target
from bayes_crlm.inference.nuts import labelled, named_samples
from bayes_crlm.inference.sample_diagnostics import n_divergences
from bayes_crlm.model.pytensor_place import give_pytensor_a_place
from bayes_crlm.words.records import record

if TYPE_CHECKING:
    import pymc as pm
    import xarray as xr

    from bayes_crlm.inference.native.compiled_graph import GraphDensity

# who imports this makes a model next
give_pytensor_a_place()

# transforms after which a variable has the shape that it had before
SAME_SHAPE = ("LogTransform", "LogOddsTransform", "IntervalTransform", "Interval", "LogExpM1")
# draws that are transformed together
BLOCK_DRAWS = 1000
# of NUTS, and for a second try when transitions diverged
TARGET_ACCEPT = (0.8, 0.99)


@record
class CompiledModel:
    """A `pm.Model`'s density and what is read off its draws, as functions of flat vectors.

    Attributes
    ----------
    density : GraphDensity
        Log density and gradient.
    expand : callable
        (draws x unknowns, floats, integers) to the arrays of `outputs`, draws first.
    outputs : tuple of (group, name)
        Posterior variables, then log-likelihoods of observed ones.
    inputs : tuple of str
        Names of the data and lengths that the functions take.
    """

    density: "GraphDensity"
    expand: Any
    outputs: tuple[tuple[str, str], ...]
    inputs: tuple[str, ...]


compiled_models: dict[Hashable, CompiledModel] = {}
compiling = threading.Lock()


def sample_model(
    model: "pm.Model",
    *,
    draws: int = 1000,
    tune: int = 1000,
    chains: int = 4,
    seed: int,
    target_accept: float = 0.8,
    coordinates: Coordinates | None = None,
    structure: Hashable | None = None,
    progress: bool = False,
) -> "xr.DataTree":
    """Sample a `pm.Model` with nutpie's NUTS on a density compiled once per structure.

    Parameters
    ----------
    model : pymc.Model
        Its free variables are continuous scalars, or have one or two named dims.
    draws, tune, chains : int
        Kept and warm-up draws of each chain; number of chains.
    seed : int
        Fixes starts and draws.
    target_accept : float
        Mean acceptance that the step size is tuned to.
    coordinates : Coordinates, optional
        In which the sampler moves; the model's own unconstrained ones, with starts between -2
        and 2, when not given.
    structure : hashable, optional
        Two models of one structure have the same graph, but for the values and lengths of
        their data: the second reuses what was compiled for the first. Compiled anew without it.
    progress : bool
        Show nutpie's progress bar.

    Returns
    -------
    xarray.DataTree
        Groups posterior (free variables on their own scale, deterministics), sample_stats,
        and log_likelihood of every observed variable.

    Raises
    ------
    TypeError
        For a discrete variable, one without named dims, or a transform that changes shapes.
    """
    import xarray as xr

    from bayes_crlm.inference.native.compiled_graph import graph_target

    compiled = compile_model(model, structure)
    data = flat_data(model, compiled.inputs)
    if coordinates is None:
        size = sum(int(np.prod(shape)) for shape in value_shapes(model))
        coordinates = plain_coordinates(np.zeros(size))
    settings = SamplerSettings(
        draws=draws,
        tune=tune,
        chains=chains,
        seed=seed,
        target_accept=target_accept,
        start_spread=coordinates.start_spread,
        progress=progress,
    )
    target = graph_target(compiled.density, data, coordinates.lay_out())
    vectors, statistics = named_samples(*sample_target(target, settings))
    return xr.DataTree.from_dict(
        {**named_draws(model, compiled, vectors, data), "sample_stats": labelled(statistics)}
    )


def sample_carefully(model: "pm.Model", **settings: Any) -> "tuple[xr.DataTree, float]":
    """Sample as `sample_model` does, once more with smaller steps when transitions diverged.

    Returns
    -------
    tree : xarray.DataTree
    target_accept : float
        With which it was drawn.
    """
    first, careful = TARGET_ACCEPT
    tree = sample_model(model, target_accept=first, **settings)
    if not n_divergences(tree):
        return tree, first
    return sample_model(model, target_accept=careful, **settings), careful


def compile_model(model: "pm.Model", structure: Hashable | None = None) -> CompiledModel:
    """Compile a model, or take it from this process's store."""
    if structure is None:
        return compile_functions(model)
    with compiling:
        if structure not in compiled_models:
            compiled_models[structure] = compile_functions(model)
        return compiled_models[structure]


def compile_functions(model: "pm.Model") -> CompiledModel:
    """Compile density and outputs of a model as functions of flat vectors."""
    import pytensor
    import pytensor.tensor as pt
    from pytensor.graph.replace import clone_replace, vectorize_graph

    from bayes_crlm.inference.native.compiled_graph import compile_graph

    check_variables(model)
    read = [*model.free_RVs, *model.deterministics]
    likelihoods: Any = model.logp(vars=model.observed_RVs, sum=False) if model.observed_RVs else []
    graphs: Any = [model.logp(), *model.replace_rvs_by_values(read), *likelihoods]
    shared = shared_inputs(graphs)
    vector, floats = pt.dvector("unconstrained"), pt.dvector("floats")
    integers = pt.lvector("integers")
    parts = flat_parts(model, shared, vector, floats, integers)
    log_density, *outputs = clone_replace(graphs, parts, rebuild_strict=False)
    names = tuple(variable.name for variable in shared)
    data = flat_data(model, names)
    size = sum(int(np.prod(shape)) for shape in value_shapes(model))
    draws = pt.dmatrix("draws")
    expand = pytensor.function(
        [draws, floats, integers],
        vectorize_graph(outputs, {vector: draws}),
        mode="FAST_COMPILE",
        on_unused_input="ignore",
    )
    return CompiledModel(
        density=compile_graph(log_density, (vector, floats, integers), size, data),
        expand=expand,
        outputs=(
            *(("posterior", variable.name) for variable in read),
            *(("log_likelihood", variable.name) for variable in model.observed_RVs),
        ),
        inputs=names,
    )


def check_variables(model: "pm.Model") -> None:
    """Refuse free variables that the sampler cannot move."""
    for variable in model.free_RVs:
        transform = model.rvs_to_transforms[variable]
        if variable.dtype not in ("float64", "float32"):
            raise TypeError(f"variable {variable.name!r} is discrete; marginalise it")
        if transform is not None and type(transform).__name__ not in SAME_SHAPE:
            raise TypeError(
                f"variable {variable.name!r} has a {type(transform).__name__}; give it a "
                f"prior whose transform is one of {', '.join(SAME_SHAPE)}"
            )
        if len(model.named_vars_to_dims.get(variable.name, ())) != variable.ndim:
            raise TypeError(f"variable {variable.name!r} has no named dims; give it dims=...")


def shared_inputs(graphs: list[Any]) -> list[Any]:
    """Shared variables that graphs are computed from, by name."""
    from pytensor.compile.sharedvalue import SharedVariable
    from pytensor.graph.traversal import graph_inputs

    found = {each for each in graph_inputs(graphs) if isinstance(each, SharedVariable)}
    return sorted(found, key=lambda variable: str(variable.name))


def value_shapes(model: "pm.Model") -> list[tuple[int, ...]]:
    """Shape of every free variable, in the order of the unconstrained vector."""
    lengths: Any = model.dim_lengths
    return [
        tuple(
            int(lengths[dim].get_value())
            for dim in model.named_vars_to_dims.get(model.values_to_rvs[value].name, ())
        )
        for value in model.value_vars
    ]


def flat_parts(
    model: "pm.Model", shared: list[Any], vector: Any, floats: Any, integers: Any
) -> dict[Any, Any]:
    """Say for every input of the model's graphs which part of the flat vectors stands for it."""
    # compiles, or loads, the callback
    from bayes_crlm.inference.native.compiled_graph import take

    parts: dict[Any, Any] = {}
    after = {"v": 0, "f": 0, "i": 0}
    # every length comes first among the integers, in the order of `flat_data`
    lengths = iter(range(sum(variable.ndim for variable in [*model.value_vars, *shared])))
    shapes = {
        variable: [integers[next(lengths)] for _ in range(variable.ndim)]
        for variable in [*model.value_vars, *shared]
    }
    after["i"] = sum(map(len, shapes.values()))
    for value in model.value_vars:
        parts[value], after["v"] = take(vector, after["v"], shapes[value])
    for variable in shared:
        kind = "f" if np.dtype(variable.dtype).kind == "f" else "i"
        source = floats if kind == "f" else integers
        part, after[kind] = take(source, after[kind], shapes[variable])
        parts[variable] = part.astype(variable.type.dtype)
    return parts


def flat_data(model: "pm.Model", names: tuple[str, ...]) -> FlatArrays:
    """Put a model's data and lengths into the order in which its functions take them."""
    values = []
    for name in names:
        variable: Any = model.dim_lengths[name] if name in model.dim_lengths else model[name]
        values.append(np.asarray(variable.get_value(borrow=True)))
    lengths = [length for shape in value_shapes(model) for length in shape]
    lengths += [length for value in values for length in value.shape]
    floats = [value.ravel() for value in values if value.dtype.kind == "f"]
    integers = [value.ravel() for value in values if value.dtype.kind != "f"]
    return FlatArrays(
        floats=np.concatenate([*floats, np.zeros(1)], dtype=np.float64),
        integers=np.concatenate([lengths, *integers, np.zeros(1)]).astype(np.int64),
    )


def named_draws(
    model: "pm.Model", compiled: CompiledModel, vectors: NDArray, data: FlatArrays
) -> "dict[str, xr.Dataset]":
    """Read variables and log-likelihoods off unconstrained draws, by group."""
    import xarray as xr

    chains, draws, size = vectors.shape
    flat = vectors.reshape(-1, size)
    blocks = [
        compiled.expand(flat[start : start + BLOCK_DRAWS], data.floats, data.integers)
        for start in range(0, len(flat), BLOCK_DRAWS)
    ]
    groups: dict[str, dict[str, Any]] = {"posterior": {}, "log_likelihood": {}}
    used = set()
    for (group, name), *parts in zip(compiled.outputs, *blocks, strict=True):
        values = np.concatenate(
            [np.broadcast_to(part, (len(block[0]), *part.shape[1:]))
             for part, block in zip(parts, blocks, strict=True)]
        )  # fmt: skip
        dims = model.named_vars_to_dims.get(name) or tuple(
            f"{name}_dim_{k}" for k in range(values.ndim - 1)
        )
        used.update(dims)
        groups[group][name] = (
            ("chain", "draw", *dims),
            values.reshape(chains, draws, *values.shape[1:]),
        )
    labels = {
        name: list(labels)
        for name, labels in model.coords.items()
        if labels is not None and name in used
    }
    coords = labels | {"chain": np.arange(chains), "draw": np.arange(draws)}
    datasets = {}
    for group, variables in groups.items():
        if variables:
            dims = {dim for given, _ in variables.values() for dim in given}
            kept = {name: values for name, values in coords.items() if name in dims}
            datasets[group] = xr.Dataset(variables, coords=kept)
    return datasets
