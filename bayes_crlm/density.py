"""The `pm.Model`'s log density and gradient, compiled once per structure.

Every array, prior parameter and dimension's length is an input of the compiled function,
in two flat vectors: floats and integers. A model of the same structure on another cohort, with
other cutpoints or other prior parameters, reuses the function; Numba keeps it on disk
for the next process. All structures share one signature, so that one C callback serves them all.
"""

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.machine_code import find_machine_code, keep_machine_code
from bayes_crlm.model import ModelInputs
from bayes_crlm.parameters import sampled_parameters
from bayes_crlm.pymc_model import DATA_DIMS, build_density_model, density_model_data

if TYPE_CHECKING:
    import pymc as pm

__all__ = [
    "CompiledDensity",
    "DensityData",
    "compile_density",
    "compile_graph",
    "density_data",
    "take",
]


class DensityData(NamedTuple):
    """What a compiled density takes beside the point.

    Attributes
    ----------
    floats : (n,) ndarray of float
        Arrays and prior parameters, one after the other.
    integers : (m,) ndarray of int
        Lengths of the model's dimensions, then its arrays of positions.
    """

    floats: NDArray[np.float64]
    integers: NDArray[np.int64]


@dataclass(frozen=True)
class CompiledDensity:
    """A compiled log density with gradient.

    Attributes
    ----------
    address : int
        Where its machine code begins, for `bayes_crlm.callbacks`.
    owner : object
        What must live as long as the address is used.
    """

    address: int
    owner: object = None

    def function(
        self, vector: NDArray, floats: NDArray, integers: NDArray
    ) -> tuple[NDArray, NDArray]:
        """Log density and gradient; it holds nothing of its own, so threads may share it."""
        from bayes_crlm.callbacks import model_density

        return model_density(self.address, vector, floats, integers)


compiled_densities: dict[tuple[Any, ...], CompiledDensity] = {}
compiling = threading.Lock()


def compile_density(inputs: ModelInputs) -> CompiledDensity:
    """Compile the `pm.Model`'s log density and gradient, unless this machine did so before.

    Parameters
    ----------
    inputs : ModelInputs
        Only its structure matters; its data are arguments of the result.
    """
    with compiling:
        structure = inputs.structure
        if structure not in compiled_densities:
            address = find_machine_code(structure)
            if address is None:
                compiled = compile_model(inputs)
                keep_machine_code(compiled.owner, structure)
            else:
                compiled = CompiledDensity(address)
            compiled_densities[structure] = compiled
        return compiled_densities[structure]


def density_data(inputs: ModelInputs) -> DensityData:
    """Put the arrays of a cohort into the order in which the compiled density takes them."""
    data = density_model_data(inputs, is_native=True)
    lengths = dimension_lengths(inputs, data)
    floats = [data[name].ravel() for name in sorted(data) if data[name].dtype.kind == "f"]
    integers = [data[name].ravel() for name in sorted(data) if data[name].dtype.kind != "f"]
    return DensityData(
        floats=np.concatenate(floats, dtype=np.float64),
        integers=np.concatenate([list(lengths.values()), *integers], dtype=np.int64),
    )


def dimension_lengths(inputs: ModelInputs, data: dict[str, Any]) -> dict[str, int]:
    """Length of every dimension of the model's data and variables, by name, in fixed order."""
    lengths = {}
    for name, values in data.items():
        lengths |= dict(zip(DATA_DIMS.get(name, ()), np.shape(values), strict=True))
    for parameter in sampled_parameters(inputs):
        if parameter.dim is not None:
            lengths[parameter.dim] = parameter.size
    return dict(sorted(lengths.items()))


def compile_model(inputs: ModelInputs) -> CompiledDensity:
    """Compile the log density of `inputs`' `pm.Model` as a function of flat vectors."""
    import pytensor.tensor as pt
    from pytensor.graph.replace import clone_replace

    model = build_density_model(inputs, is_native=True)
    vector, floats = pt.dvector("unconstrained"), pt.dvector("floats")
    integers = pt.lvector("integers")
    parts = model_variables(model, inputs, vector, floats, integers)
    log_density: Any = clone_replace(model.logp(), parts, rebuild_strict=False)
    size = sum(parameter.size for parameter in sampled_parameters(inputs))
    return compile_graph(log_density, (vector, floats, integers), size, density_data(inputs))


def compile_graph(
    log_density: Any, arguments: tuple[Any, Any, Any], size: int, data: DensityData
) -> CompiledDensity:
    """Compile a log density and its gradient to machine code.

    Parameters
    ----------
    log_density : scalar tensor
        Of the arguments alone.
    arguments : tuple of tensor
        Vector, floats and integers.
    size : int
        Unknowns: the vector's length for the first call.
    data : DensityData
        Floats and integers of the first call.
    """
    import pytensor
    import pytensor.tensor as pt
    from pytensor.compile.mode import get_mode

    from bayes_crlm.callbacks import address_of

    gradient: Any = pt.grad(log_density, arguments[0])
    compiled = pytensor.function(
        list(arguments),
        [log_density, gradient],
        # priors were checked where they were read
        mode=get_mode("NUMBA").including("local_remove_check_parameter"),
        on_unused_input="ignore",
    )
    function = compiled.vm.jit_fn
    # the first call makes Numba compile, or load what it keeps on disk
    function(np.zeros(size), *data)
    return CompiledDensity(address_of(function), owner=function)


def model_variables(
    model: "pm.Model", inputs: ModelInputs, vector: Any, floats: Any, integers: Any
) -> dict[Any, Any]:
    """Say for each of the model's inputs which part of the flat vectors stands for it."""
    data = density_model_data(inputs, is_native=True)
    lengths = dimension_lengths(inputs, data)
    length: dict[str, Any] = {name: integers[k] for k, name in enumerate(lengths)}
    parts: dict[Any, Any] = {
        model.dim_lengths[name]: length[name] for name in lengths if name in model.dim_lengths
    }
    position: Any = 0
    for value in model.value_vars:
        variable = model.values_to_rvs[value]
        parts[value], position = take(vector, position, [length[d] for d in dims(model, variable)])
    expected = [parameter.name for parameter in sampled_parameters(inputs)]
    found = [model.values_to_rvs[value].name for value in model.value_vars]
    if expected != found:
        raise AssertionError(f"the model's variables are {found}, not {expected}")
    after = {"f": 0, "i": len(lengths)}
    for name in sorted(data):
        kind = "f" if data[name].dtype.kind == "f" else "i"
        variable = model[name]
        source = floats if kind == "f" else integers
        part, after[kind] = take(source, after[kind], [length[d] for d in dims(model, variable)])
        parts[variable] = part.astype(variable.type.dtype)
    return parts


def dims(model: "pm.Model", variable: Any) -> tuple[str, ...]:
    """Names of a variable's dimensions."""
    return model.named_vars_to_dims.get(variable.name, ()) or ()


def take(source: Any, position: Any, shape: list[Any]) -> tuple[Any, Any]:
    """Take the next array of a flat vector; also where the one after it begins."""
    if not shape:
        return source[position], position + 1
    size = shape[0] if len(shape) == 1 else shape[0] * shape[1]
    part = source[position : position + size]
    return (part if len(shape) == 1 else part.reshape(tuple(shape))), position + size
