"""Log density of any `pm.Model`, compiled by PyTensor and Numba, for the sampler's callback.

The package's own model is the native library's. Models made for one analysis, with a latent
confounder or missing covariates in them, are compiled from their graphs; the library's callback
calls such a density by its address, and changes coordinates around it. Numba is imported here and
in `bayes_crlm.inference.native.machine_code` alone, when such a model is sampled.
"""

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from bayes_crlm.inference.native.library import FlatArrays, NativeMap, NativeTarget, lay_target
from bayes_crlm.inference.native.machine_code import compiled_callback
from bayes_crlm.words.records import record

FOUND, FAILED = 0, 1
VECTOR = types.Array(types.float64, 1, "C")
POSITIONS = types.Array(types.int64, 1, "C")
DENSITY_ARGUMENTS = types.Tuple((VECTOR, VECTOR, POSITIONS))
DENSITY_RESULT = types.Tuple((types.Array(types.float64, 0, "C"), VECTOR))
# what the library calls: vector, slope, value, and where to find the rest
FOREIGN_TYPE = types.int64(*(types.CPointer(types.float64),) * 3, types.voidptr)
TABLE_SIZE = 6
carray: Any = numba.carray


@record
class GraphDensity:
    """A log density with gradient in machine code.

    Attributes
    ----------
    address : int
        Of the function.
    owner : object
        What must live as long as the address is used.
    """

    address: int
    owner: object


def compile_graph(
    log_density: Any, arguments: tuple[Any, Any, Any], size: int, data: FlatArrays
) -> GraphDensity:
    """Compile a log density and its gradient to machine code.

    Parameters
    ----------
    log_density : scalar tensor
        Of the arguments alone.
    arguments : tuple of tensor
        Vector, floats and integers.
    size : int
        Unknowns: the vector's length for the first call.
    data : FlatArrays
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
    function(np.zeros(size), data.floats, data.integers)
    return GraphDensity(address_of(function), function)


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


def address_to_pointer(typing_context: Any, address: Any) -> Any:
    """Make an address a pointer."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.inttoptr(values[0], ir.IntType(8).as_pointer())

    return types.voidptr(types.int64), generate


pointer_at: Any = intrinsic(address_to_pointer)


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


@compiled_callback(FOREIGN_TYPE)
def graph_density(vector: Any, slope: Any, value: Any, table: Any) -> int:
    """Log density and gradient of a compiled graph, as the library calls it."""
    where = carray(table, (TABLE_SIZE,), np.int64)
    size = where[0]
    floats = carray(pointer_at(where[1]), (where[2],), np.float64)
    integers = carray(pointer_at(where[3]), (where[4],), np.int64)
    try:
        found, gradient = call_density(where[5], carray(vector, (size,)), floats, integers)
        value[0] = found.item()
        for k in range(size):
            slope[k] = gradient[k]
    except Exception:
        return FAILED
    return FOUND


def graph_target(density: GraphDensity, data: FlatArrays, coordinates: NativeMap) -> NativeTarget:
    """Put a compiled graph and coordinates together for the sampler.

    Parameters
    ----------
    density : GraphDensity
        The compiled log density and its gradient.
    data : FlatArrays
        What it is handed beside the vector; contiguous.
    coordinates : NativeMap
        From the sampler's coordinates to the model's unknowns.
    """
    arrays = (data.floats, data.integers)
    places = [number for array in arrays for number in (array.ctypes.data, array.size)]
    table: NDArray[np.int64] = np.array([coordinates.size, *places, density.address])
    return lay_target(
        None, coordinates, graph_density.address, table.ctypes.data, (table, data, density)
    )
