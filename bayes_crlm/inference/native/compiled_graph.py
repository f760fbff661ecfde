"""Log density of any `pm.Model`, compiled by PyTensor, for the sampler's callback.

The package's own model has a function of its own (`bayes_crlm.inference.native.log_posterior`).
Models made for one analysis, with a latent confounder or missing covariates in them, are compiled
from their graphs; a callback compiled once calls such a function by its address.
"""

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from bayes_crlm.inference.native.callbacks import (
    FAILED,
    LOG_DENSITY_TYPE,
    TABLE_SIZE,
    SamplerDensity,
    carray,
    gradient_in_coordinates,
    pointer_at,
)
from bayes_crlm.inference.native.coordinate_change import to_model
from bayes_crlm.inference.native.log_posterior import DensityData
from bayes_crlm.inference.native.machine_code import compiled, compiled_callback

__all__ = ["address_of", "call_compiled", "compile_graph", "take"]

VECTOR = types.Array(types.float64, 1, "C")
POSITIONS = types.Array(types.int64, 1, "C")
DENSITY_ARGUMENTS = types.Tuple((VECTOR, VECTOR, POSITIONS))
DENSITY_RESULT = types.Tuple((types.Array(types.float64, 0, "C"), VECTOR))


def compile_graph(
    log_density: Any, arguments: tuple[Any, Any, Any], size: int, data: DensityData
) -> SamplerDensity:
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

    gradient: Any = pt.grad(log_density, arguments[0])
    graph = pytensor.function(
        list(arguments),
        [log_density, gradient],
        # priors were checked where they were read
        mode=get_mode("NUMBA").including("local_remove_check_parameter"),
        on_unused_input="ignore",
    )
    function = graph.vm.jit_fn
    # the first call makes Numba compile, or load what it keeps on disk
    function(np.zeros(size), *data)
    return SamplerDensity(graph_callback, address_of(function), owner=function)


def take(source: Any, position: Any, shape: list[Any]) -> tuple[Any, Any]:
    """Take the next array of a flat vector; also where the one after it begins."""
    if not shape:
        return source[position], position + 1
    size = shape[0] if len(shape) == 1 else shape[0] * shape[1]
    part = source[position : position + size]
    return (part if len(shape) == 1 else part.reshape(tuple(shape))), position + size


def address_of(function: Any) -> int:
    """Address of the machine code of a compiled density.

    Parameters
    ----------
    function : numba dispatcher
        Called before with (vector, floats, integers), three contiguous arrays.

    Raises
    ------
    RuntimeError
        When it was compiled for other types: calling it through its address would be wrong.
    """
    for overload in function.overloads.values():
        takes, gives = overload.signature.args, overload.signature.return_type
        # PyTensor's functions take their arguments as one tuple
        if takes == (DENSITY_ARGUMENTS,) and gives == DENSITY_RESULT:
            return overload.library.get_pointer_to_function(overload.fndesc.llvm_func_name)
    raise RuntimeError(f"the density was compiled for {function.signatures}, not three vectors")


def density_call(typing_context: Any, address: Any, vector: Any, floats: Any, integers: Any) -> Any:
    """Call a compiled density through its address."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        arguments = context.make_tuple(builder, DENSITY_ARGUMENTS, values[1:])
        kind = context.call_conv.get_function_type(DENSITY_RESULT, (DENSITY_ARGUMENTS,))
        function = builder.inttoptr(values[0], kind.as_pointer())
        status, result = context.call_conv.call_function(
            builder, function, DENSITY_RESULT, (DENSITY_ARGUMENTS,), (arguments,)
        )
        with builder.if_then(status.is_error, likely=False):
            context.call_conv.return_status_propagate(builder, status)
        return result

    return DENSITY_RESULT(types.int64, VECTOR, VECTOR, POSITIONS), generate


call_density: Any = intrinsic(density_call)


@compiled
def call_compiled(address: Any, vector: Any, floats: Any, integers: Any) -> Any:
    """Log density and gradient of the compiled density at an address, in the model's own vector."""
    return call_density(address, vector, floats, integers)


@compiled
def compiled_at(point: Any, gradient: Any, table: Any) -> tuple[float, int]:
    """Log density and gradient in the sampler's coordinates, and nutpie's code."""
    floats = carray(pointer_at(table[0]), (table[1],), np.float64)
    integers = carray(pointer_at(table[2]), (table[3],), np.int64)
    map_floats = carray(pointer_at(table[4]), (table[5],), np.float64)
    map_integers = carray(pointer_at(table[6]), (table[7],), np.int64)
    vector = np.empty(point.size)
    log_jacobian = to_model(point, map_floats, map_integers, vector)
    value, slope = call_density(table[8], vector, floats, integers)
    total = value.item() + log_jacobian
    code = gradient_in_coordinates(total, point, vector, slope, map_floats, map_integers, gradient)
    return total, code


@compiled_callback(LOG_DENSITY_TYPE)
def graph_callback(size: Any, point: Any, gradient: Any, value: Any, table: Any) -> int:
    """Log density and gradient of a compiled graph at a point."""
    n = np.int64(size)
    try:
        total, code = compiled_at(
            carray(point, (n,)), carray(gradient, (n,)), carray(table, (TABLE_SIZE,), np.int64)
        )
        value[0] = total
    except Exception:
        return FAILED
    return code
