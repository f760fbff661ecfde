"""Arrow arrays as NumPy arrays, by Arrow's C interface alone: neither pyarrow nor its relatives.

References
----------
Apache Arrow, "The Arrow C data interface": structures ArrowArray and ArrowSchema, format strings.
"""

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray


class ArrowArray(ctypes.Structure):
    """An array's buffers."""


class ArrowSchema(ctypes.Structure):
    """An array's type; what follows the format is not used here."""

    _fields_ = (("format", ctypes.c_char_p),)


ArrowArray._fields_ = [
    ("length", ctypes.c_int64),
    ("null_count", ctypes.c_int64),
    ("offset", ctypes.c_int64),
    ("n_buffers", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.POINTER(ctypes.POINTER(ArrowArray))),
]

# Arrow's format strings
NUMBERS = {b"g": np.float64, b"l": np.int64, b"L": np.uint64}
BITS, LIST_OF_FEW, LIST = b"b", b"+l", b"+L"


def column_values(column: Any) -> NDArray:
    """Copy a column's values; lists of numbers one after the other.

    Parameters
    ----------
    column : object
        Speaks Arrow's C interface (`__arrow_c_array__`).

    Raises
    ------
    TypeError
        For a column of anything but numbers, truth values and lists of numbers.
    """
    schema_capsule, array_capsule = column.__arrow_c_array__()
    schema = ArrowSchema.from_address(pointer_in(schema_capsule, b"arrow_schema"))
    array = ArrowArray.from_address(pointer_in(array_capsule, b"arrow_array"))
    first, last = array.offset, array.offset + array.length
    if schema.format == BITS:
        packed = buffer(array, 1, np.uint8, 0, -(-last // 8))
        return np.unpackbits(packed, bitorder="little")[first:last].astype(bool)
    if schema.format in (LIST, LIST_OF_FEW):
        kind = np.int64 if schema.format == LIST else np.int32
        ends = buffer(array, 1, kind, first, last + 1)
        inner = array.children[0].contents
        return buffer(inner, 1, np.float64, inner.offset + ends[0], inner.offset + ends[-1]).copy()
    if schema.format in NUMBERS:
        return buffer(array, 1, NUMBERS[schema.format], first, last).copy()
    raise TypeError(f"an Arrow column of format {schema.format!r} is not read here")


def pointer_in(capsule: Any, name: bytes) -> int:
    """Address that a capsule holds."""
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return get(capsule, name)


def buffer(array: Any, which: int, kind: type, first: int, last: int) -> NDArray:
    """Entries of a buffer, as long as the array lives."""
    size = np.dtype(kind).itemsize
    length = int(last - first) * size
    if not length:
        return np.empty(0, dtype=kind)
    start = array.buffers[which] + int(first) * size
    return np.frombuffer((ctypes.c_uint8 * length).from_address(start), dtype=kind)
