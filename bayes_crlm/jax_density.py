"""The `pm.Model`'s log density as a JAX function, to be differentiated and vectorised.

The graph is that of `bayes_crlm.pymc_model.build_density_model`, translated by PyTensor: there is
no second definition of the model. Data and prior parameters are arguments.
"""

import math
import threading
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_crlm.pymc_model import build_density_model, density_model_data

if TYPE_CHECKING:
    from bayes_crlm.model import ModelInputs

__all__ = ["JaxDensity", "jax_log_density"]

JaxDensity = Callable[[Any, dict[str, Any]], Any]

translated: dict[tuple[Any, ...], JaxDensity] = {}
translating = threading.Lock()


def jax_log_density(inputs: "ModelInputs", example: dict[str, Any] | None = None) -> JaxDensity:
    """Translate the model's log density, or take it from this process's store.

    Parameters
    ----------
    inputs : ModelInputs
        Only its structure matters.
    example : dict of str to array, optional
        Data by `pm.Data` name, of which only lengths and types matter; those of `inputs`
        without it.

    Returns
    -------
    callable
        (unconstrained vector, data by `pm.Data` name) to the log posterior density, Jacobians of
        the model's transforms included. The vector's order is that of
        `bayes_crlm.parameters.sampled_parameters`; the data are arrays or numbers of the lengths
        that `example` has, as `bayes_crlm.pymc_model.density_model_data` gives them.

    Raises
    ------
    ImportError
        Without JAX.
    """
    data = density_model_data(inputs) if example is None else example
    shapes = tuple((name, data[name].shape) for name in sorted(data))
    key = (inputs.structure, len(inputs.design.levels), shapes)
    with translating:
        if key not in translated:
            translated[key] = translate(inputs, data)
        return translated[key]


def translate(inputs: "ModelInputs", data: dict[str, Any]) -> JaxDensity:
    """Translate the log density of `inputs`' `pm.Model`."""
    import pytensor.tensor as pt
    from pytensor.graph.fg import FunctionGraph
    from pytensor.graph.replace import clone_replace

    model = build_density_model(inputs)
    names = sorted(data)
    # static shapes, which JAX needs
    stands_for: dict[Any, Any] = {
        model[name]: pt.tensor(name, dtype=data[name].dtype, shape=data[name].shape)
        for name in names
    }
    lengths: dict[Any, Any] = {
        length: pt.constant(length.get_value(), dtype=length.dtype)
        for length in shared_lengths(model)
    }
    values = list(model.value_vars)
    start = model.initial_point()
    shapes = [np.shape(start[str(value.name)]) for value in values]
    sizes = [math.prod(shape) for shape in shapes]
    flat = [
        pt.tensor(value.name, dtype="float64", shape=s)
        for value, s in zip(values, shapes, strict=True)
    ]
    replaced: Any = stands_for | lengths | dict(zip(values, flat, strict=True))
    density: Any = model.logp()
    log_density: Any = clone_replace(density, replaced, rebuild_strict=False)
    graph = FunctionGraph([*flat, *stands_for.values()], [log_density], clone=True)
    function = funcify(graph)

    def evaluate(vector: Any, arrays: dict[str, Any]) -> Any:
        parts, position = [], 0
        for size, shape in zip(sizes, shapes, strict=True):
            parts.append(vector[position : position + size].reshape(shape))
            position += size
        return function(*parts, *(arrays[name] for name in names))[0]

    return evaluate


def shared_lengths(model: Any) -> list[Any]:
    """Lengths of the model's dimensions that are variables."""
    return [length for length in model.dim_lengths.values() if hasattr(length, "get_value")]


def funcify(graph: Any) -> Any:
    """Turn a graph into a JAX function, and leave the user's setting of JAX's precision alone."""
    import jax

    # Importing PyTensor's translation sets JAX's precision for the whole process; within
    # `jax.enable_x64` that setting would be shadowed by the context's.
    with jax.enable_x64(None):
        before = jax.config.read("jax_enable_x64")
        from pytensor.compile.mode import JAX
        from pytensor.link.jax.dispatch import jax_funcify

        jax.config.update("jax_enable_x64", before)
    with jax.enable_x64(True), warnings.catch_warnings():
        # checks such as "a standard deviation is above 0" have no place in a JAX function
        warnings.filterwarnings("ignore", "Skipping Check", UserWarning)
        JAX.optimizer.rewrite(graph)
        return jax_funcify(graph)
