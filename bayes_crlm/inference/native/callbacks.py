"""C callbacks for nutpie that run without Python: point in, log density and gradient out.

nutpie's sampler wants the addresses of two C functions. One pair, compiled once and kept on disk by
Numba, serves every model of the package: a table of addresses says on which data to work, in which
coordinates (`bayes_crlm.inference.native.coordinates`). Importing this module compiles them, or
loads them.
"""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from bayes_crlm.inference.native.coordinate_change import to_model, to_sampler_gradient
from bayes_crlm.inference.native.log_posterior import log_posterior
from bayes_crlm.inference.native.machine_code import compiled, compiled_callback

__all__ = [
    "POSTERIOR",
    "SamplerDensity",
    "callback_table",
    "expand_callback",
    "gradient_in_coordinates",
    "posterior_callback",
]

# nutpie: 0 goes on, positive ends the trajectory as divergent, negative ends sampling
GOES_ON, FAILED, NOT_FINITE, WRONG_SIZE = 0, 1, 3, -1
TABLE_SIZE = 9
LOG_DENSITY_TYPE = types.int64(
    types.uint64,
    types.CPointer(types.float64),
    types.CPointer(types.float64),
    types.CPointer(types.float64),
    types.voidptr,
)
EXPAND_TYPE = types.int64(
    types.uint64,
    types.uint64,
    types.CPointer(types.float64),
    types.CPointer(types.float64),
    types.voidptr,
)


@dataclass(frozen=True)
class SamplerDensity:
    """A log density with gradient that the sampler can call.

    Attributes
    ----------
    callback : numba.cfunc
        What nutpie calls.
    address : int
        Of a function that the callback calls in turn; 0 where it knows what to call.
    owner : object
        What must live as long as the address is used.
    """

    callback: Any
    address: int = 0
    owner: object = None


def address_to_pointer(typing_context: Any, address: Any) -> Any:
    """Make an address a pointer."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.inttoptr(values[0], ir.IntType(8).as_pointer())

    return types.voidptr(types.int64), generate


pointer_at: Any = intrinsic(address_to_pointer)
carray: Any = numba.carray


def callback_table(arrays: tuple[NDArray, ...], address: int = 0) -> NDArray[np.int64]:
    """Write down where the callbacks find data, coordinates and, of another model, its density.

    Parameters
    ----------
    arrays : tuple of ndarray
        Floats and integers of the density, floats and integers of the coordinates: contiguous,
        and kept alive by the caller as long as the table is used.
    address : int
        Of a compiled density other than `log_posterior`.

    Returns
    -------
    (9,) ndarray of int
    """
    table = []
    for array in arrays:
        table += [array.ctypes.data, array.size]
    return np.array([*table, address], dtype=np.int64)


@compiled
def gradient_in_coordinates(
    total: float, point: Any, vector: Any, slope: Any, floats: Any, integers: Any, gradient: Any
) -> int:
    """Turn the model's gradient into the sampler's; returns nutpie's code."""
    to_sampler_gradient(point, vector, slope, floats, integers, gradient)
    if not np.isfinite(total):
        return NOT_FINITE
    for k in range(gradient.size):
        if not np.isfinite(gradient[k]):
            return NOT_FINITE
    return GOES_ON


@compiled
def posterior_at(point: Any, gradient: Any, table: Any) -> tuple[float, int]:
    """Log posterior density and gradient in the sampler's coordinates, and nutpie's code."""
    floats = carray(pointer_at(table[0]), (table[1],), np.float64)
    integers = carray(pointer_at(table[2]), (table[3],), np.int64)
    map_floats = carray(pointer_at(table[4]), (table[5],), np.float64)
    map_integers = carray(pointer_at(table[6]), (table[7],), np.int64)
    vector, slope = np.empty(point.size), np.empty(point.size)
    log_jacobian = to_model(point, map_floats, map_integers, vector)
    total = log_posterior(vector, floats, integers, slope) + log_jacobian
    code = gradient_in_coordinates(total, point, vector, slope, map_floats, map_integers, gradient)
    return total, code


@compiled_callback(LOG_DENSITY_TYPE)
def posterior_callback(size: Any, point: Any, gradient: Any, value: Any, table: Any) -> int:
    """Log posterior density and gradient at a point."""
    n = np.int64(size)
    total, code = posterior_at(
        carray(point, (n,)), carray(gradient, (n,)), carray(table, (TABLE_SIZE,), np.int64)
    )
    value[0] = total
    return code


@compiled_callback(EXPAND_TYPE)
def expand_callback(size: Any, expanded: Any, point: Any, kept: Any, table: Any) -> int:
    """The model's unconstrained vector that belongs to a point, then the log Jacobian."""
    n = np.int64(size)
    if np.int64(expanded) != n + 1:
        return WRONG_SIZE
    addresses = carray(table, (TABLE_SIZE,), np.int64)
    floats = carray(pointer_at(addresses[4]), (addresses[5],), np.float64)
    integers = carray(pointer_at(addresses[6]), (addresses[7],), np.int64)
    out = carray(kept, (n + 1,))
    out[n] = to_model(carray(point, (n,)), floats, integers, out[:n])
    return GOES_ON


POSTERIOR = SamplerDensity(posterior_callback)
