"""C callbacks for nutpie that run without Python: point in, log density and gradient out.

nutpie's sampler wants the addresses of two C functions. One pair, compiled once and
kept on disk by Numba, serves every model: a table of addresses says which compiled density to
call, on which data, in which coordinates (`bayes_crlm.coordinates`).
"""

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from bayes_crlm.coordinates import to_model, to_sampler_gradient

__all__ = [
    "address_of",
    "callback_table",
    "expand_callback",
    "log_density_callback",
    "model_density",
]

VECTOR = types.Array(types.float64, 1, "C")
POSITIONS = types.Array(types.int64, 1, "C")
DENSITY_ARGUMENTS = types.Tuple((VECTOR, VECTOR, POSITIONS))
DENSITY_RESULT = types.Tuple((types.Array(types.float64, 0, "C"), VECTOR))
# nutpie: 0 goes on, positive ends the trajectory as divergent, negative ends sampling
GOES_ON, FAILED, NOT_FINITE, WRONG_SIZE = 0, 1, 3, -1
TABLE_SIZE = 9


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
    for compiled in function.overloads.values():
        takes, gives = compiled.signature.args, compiled.signature.return_type
        # PyTensor's functions take their arguments as one tuple
        if takes == (DENSITY_ARGUMENTS,) and gives == DENSITY_RESULT:
            return compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)
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


def address_to_pointer(typing_context: Any, address: Any) -> Any:
    """Make an address a pointer."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.inttoptr(values[0], ir.IntType(8).as_pointer())

    return types.voidptr(types.int64), generate


call_density: Any = intrinsic(density_call)
pointer_at: Any = intrinsic(address_to_pointer)


def callback_table(address: int, arrays: tuple[NDArray, ...]) -> NDArray[np.int64]:
    """Write down where the callbacks find density, data and coordinates.

    Parameters
    ----------
    address : int
        Of the compiled density.
    arrays : tuple of ndarray
        Floats and integers of the density, floats and integers of the coordinates: contiguous,
        and kept alive by the caller as long as the table is used.

    Returns
    -------
    (9,) ndarray of int
    """
    table = [address]
    for array in arrays:
        table += [array.ctypes.data, array.size]
    return np.array(table, dtype=np.int64)


carray: Any = numba.carray


@numba.njit(cache=True)
def model_density(address: Any, vector: Any, floats: Any, integers: Any) -> Any:
    """Log density and gradient of the compiled density at an address, in the model's own vector."""
    return call_density(address, vector, floats, integers)


@numba.njit(cache=True)
def density_at(point: Any, gradient: Any, table: Any) -> tuple[float, int]:
    """Log density and gradient in the sampler's coordinates, and nutpie's code."""
    floats = carray(pointer_at(table[1]), (table[2],), np.float64)
    integers = carray(pointer_at(table[3]), (table[4],), np.int64)
    map_floats = carray(pointer_at(table[5]), (table[6],), np.float64)
    map_integers = carray(pointer_at(table[7]), (table[8],), np.int64)
    vector = np.empty(point.size)
    log_jacobian = to_model(point, map_floats, map_integers, vector)
    value, slope = call_density(table[0], vector, floats, integers)
    total = value.item() + log_jacobian
    to_sampler_gradient(point, vector, slope, map_floats, map_integers, gradient)
    if not np.isfinite(total):
        return total, NOT_FINITE
    for k in range(gradient.size):
        if not np.isfinite(gradient[k]):
            return total, NOT_FINITE
    return total, GOES_ON


@numba.cfunc(
    types.int64(
        types.uint64,
        types.CPointer(types.float64),
        types.CPointer(types.float64),
        types.CPointer(types.float64),
        types.voidptr,
    ),
    cache=True,
)
def log_density_callback(size: Any, point: Any, gradient: Any, value: Any, table: Any) -> int:
    """Log density and gradient at a point."""
    n = np.int64(size)
    addresses = carray(table, (TABLE_SIZE,), np.int64)
    try:
        total, code = density_at(carray(point, (n,)), carray(gradient, (n,)), addresses)
        value[0] = total
    except Exception:
        return FAILED
    return code


@numba.cfunc(
    types.int64(
        types.uint64,
        types.uint64,
        types.CPointer(types.float64),
        types.CPointer(types.float64),
        types.voidptr,
    ),
    cache=True,
)
def expand_callback(size: Any, expanded: Any, point: Any, kept: Any, table: Any) -> int:
    """The model's unconstrained vector that belongs to a point, then the log Jacobian."""
    n = np.int64(size)
    if np.int64(expanded) != n + 1:
        return WRONG_SIZE
    addresses = carray(table, (TABLE_SIZE,), np.int64)
    floats = carray(pointer_at(addresses[5]), (addresses[6],), np.float64)
    integers = carray(pointer_at(addresses[7]), (addresses[8],), np.int64)
    out = carray(kept, (n + 1,))
    out[n] = to_model(carray(point, (n,)), floats, integers, out[:n])
    return GOES_ON
