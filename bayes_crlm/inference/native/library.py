"""The native library, called through ctypes: densities and coordinates laid out in C's memory.

The library holds every kernel for several instruction sets and takes the best that the processor
has; `kernels` gives another one by its number. It is made when the package is built
(`hatch_build.py`).
"""

import ctypes
import hashlib
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.words.errors import BayesCRLMError
from bayes_crlm.words.records import record

BEST, BASELINE, AVX2, AVX512 = 0, 1, 2, 3
SUFFIX = {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")
ALIGNMENT = 64
# bytes of the largest table that comes and goes in a fit of some thousand draws
KEPT_BLOCK = 2**22

POINTER, INTEGER, NUMBER = ctypes.c_void_p, ctypes.c_int64, ctypes.c_double
# of a source folder, whose library may be older than its sources; an installed package has none
SOURCES, CODE = Path(__file__).parents[3] / "native", (".cpp", ".h", ".inc")
SIGNATURES = {
    "crlm_sources": (ctypes.c_char_p, []),
    "crlm_kernels": (POINTER, [ctypes.c_int]),
    "crlm_name": (ctypes.c_char_p, [POINTER]),
    "crlm_log_density": (NUMBER, [POINTER] * 4),
    "crlm_to_model": (NUMBER, [POINTER] * 4),
    "crlm_to_sampler_gradient": (None, [POINTER] * 6),
    "crlm_log_density_callback": (POINTER, [POINTER]),
    "crlm_expand_callback": (POINTER, [POINTER]),
    "crlm_exponentials": (None, [POINTER, POINTER, POINTER, INTEGER]),
    "crlm_find_modes": (None, [POINTER, POINTER, POINTER, INTEGER, INTEGER]),
    "crlm_weigh_without_groups": (None, [POINTER] * 5),
    "crlm_log_integrals": (None, [*[POINTER] * 4, INTEGER, INTEGER, POINTER]),
    "crlm_sample_groups": (None, [*[POINTER] * 5, INTEGER, INTEGER, POINTER]),
    "crlm_pareto_smooth": (INTEGER, [*[POINTER] * 2, *[INTEGER] * 3, *[POINTER] * 2]),
    "crlm_repeat": (NUMBER, [POINTER, POINTER, POINTER, POINTER, INTEGER]),
    "crlm_sample_process": (INTEGER, [POINTER, POINTER, POINTER, INTEGER, POINTER, POINTER]),
    "crlm_sample_hazards": (INTEGER, [POINTER, POINTER]),
    "crlm_sample_effects": (INTEGER, [POINTER, POINTER]),
    "crlm_weigh_effects": (INTEGER, [POINTER, POINTER]),
    "crlm_summarise": (INTEGER, [POINTER, POINTER]),
    "crlm_left_out": (INTEGER, [POINTER, POINTER]),
    "crlm_lay_density": (INTEGER, [POINTER] * 5),
    "crlm_lay_map": (INTEGER, [POINTER, POINTER, POINTER]),
    "crlm_lay_target": (INTEGER, [POINTER] * 5),
    "crlm_lay_cohorts": (INTEGER, [POINTER] * 2),
}


@cache
def load_library() -> ctypes.CDLL:
    """Load the library, once in a process.

    Raises
    ------
    BayesCRLMError
        Where it is missing, or was made from other sources than those beside the package:
        arrays laid out in another way would be read as what they are not.
    """
    path = Path(__file__).with_name(f"_library{SUFFIX}")
    try:
        library = ctypes.CDLL(str(path))
    except OSError as problem:
        raise BayesCRLMError(
            f"the native library {path.name} cannot be loaded ({problem}); "
            "install the package again, or in its source folder run make setup"
        ) from None
    for name, (result, arguments) in SIGNATURES.items():
        function = getattr(library, name, None)
        if function is None:
            raise BayesCRLMError(outdated(path))
        function.restype, function.argtypes = result, arguments
    if is_outdated(library.crlm_sources().decode(), SOURCES):
        raise BayesCRLMError(outdated(path))
    # glibc hands back to the system at once what is larger than any block freed before: tables of
    # draws, which come and go in every fit, are not to be. This one is made, and freed.
    np.empty(KEPT_BLOCK, dtype=np.uint8)
    return library


def is_outdated(digest: str, sources: Path) -> bool:
    """Whether a library was made from other sources than those in a folder; not without one."""
    if not (sources / "library.cpp").is_file():
        return False
    found = hashlib.sha256()
    for path in sorted(each for each in sources.iterdir() if each.suffix in CODE):
        found.update(path.read_bytes())
    return found.hexdigest() != digest


def outdated(path: Path) -> str:
    """Say that a library does not belong to the code."""
    return (
        f"the native library {path.name} was made from other sources than those of this folder; "
        "run make setup"
    )


@record
class Kernels:
    """Kernels of one instruction set.

    Attributes
    ----------
    address : int
        Where the library keeps them.
    name : str
        "baseline", "avx2" or "avx512".
    """

    address: int
    name: str

    @property
    def callbacks(self) -> tuple[int, int]:
        """Addresses of nutpie's callbacks: log density with gradient, and expanded draws."""
        library = load_library()
        return (
            library.crlm_log_density_callback(self.address),
            library.crlm_expand_callback(self.address),
        )


@cache
def kernels(level: int = BEST) -> Kernels:
    """Kernels of an instruction set.

    Parameters
    ----------
    level : int
        `BEST` for the best that the processor has, `BASELINE`, `AVX2` or `AVX512`.

    Raises
    ------
    ValueError
        Where the processor lacks it.
    """
    library = load_library()
    address = library.crlm_kernels(level)
    if not address:
        raise ValueError(f"this processor has no instruction set number {level}")
    return Kernels(address, library.crlm_name(address).decode())


@record
class FlatArrays:
    """Numbers one after the other, in the order in which the library reads them.

    Attributes
    ----------
    floats : (n,) ndarray of float
        All that are real.
    integers : (m,) ndarray of int
        All that are whole, such as kinds, places and counts.
    """

    floats: NDArray[np.float64]
    integers: NDArray[np.int64]

    @property
    def addresses(self) -> tuple[int, int]:
        """Where both begin."""
        return self.floats.ctypes.data, self.integers.ctypes.data


@record
class Laid:
    """What the library laid out in memory that Python owns.

    Attributes
    ----------
    address : int
        Of the C structure.
    size : int
        Number of unknowns.
    kernels : Kernels
        That work on it.
    owned : tuple
        What must live as long as the address is used.
    """

    address: int
    size: int
    kernels: Kernels
    owned: tuple[object, ...]


class NativeDensity(Laid):
    """A log density of the model's unconstrained vector."""

    def value(self, vector: NDArray) -> float:
        """Log density of a vector, log Jacobian included."""
        return self.value_and_slope(vector)[0]

    def value_and_slope(self, vector: NDArray) -> tuple[float, NDArray[np.float64]]:
        """Log density of a vector and its gradient, shape (unknowns,)."""
        vector = contiguous(vector, self.size)
        slope = np.empty(self.size)
        value = load_library().crlm_log_density(
            self.kernels.address, self.address, vector.ctypes.data, slope.ctypes.data
        )
        return value, slope


class NativeMap(Laid):
    """A change of coordinates from the sampler's point to the model's vector."""

    def to_model(self, point: NDArray) -> tuple[NDArray[np.float64], float]:
        """Vector of the model that belongs to a point; log Jacobian but for its constant."""
        point, vector = contiguous(point, self.size), np.empty(self.size)
        log_jacobian = load_library().crlm_to_model(
            self.kernels.address, self.address, point.ctypes.data, vector.ctypes.data
        )
        return vector, log_jacobian

    def gradient(self, point: NDArray, vector: NDArray, slope: NDArray) -> NDArray[np.float64]:
        """Gradient at a point of the sampler's from that at the vector that belongs to it.

        The log Jacobian's is included.
        """
        arrays = [contiguous(each, self.size) for each in (point, vector, slope)]
        gradient = np.empty(self.size)
        load_library().crlm_to_sampler_gradient(
            self.kernels.address,
            self.address,
            *(array.ctypes.data for array in arrays),
            gradient.ctypes.data,
        )
        return gradient


class NativeTarget(Laid):
    """What nutpie samples: a density in coordinates, as its callbacks see it."""

    def value_and_gradient(self, point: NDArray) -> tuple[float, NDArray[np.float64], int]:
        """Log density at a point of the sampler's, gradient, and the code that nutpie is given."""
        callback = ctypes.CFUNCTYPE(INTEGER, ctypes.c_uint64, *[POINTER] * 4)(
            self.kernels.callbacks[0]
        )
        point, gradient, value = contiguous(point, self.size), np.empty(self.size), np.empty(1)
        code = callback(
            self.size, point.ctypes.data, gradient.ctypes.data, value.ctypes.data, self.address
        )
        return float(value[0]), gradient, code

    def repeat(self, point: NDArray, times: int) -> float:
        """Call the callback many times without Python in between, to time it."""
        point, gradient = contiguous(point, self.size).copy(), np.empty(self.size)
        return load_library().crlm_repeat(
            self.kernels.address, self.address, point.ctypes.data, gradient.ctypes.data, times
        )


def lay_density(flat: FlatArrays, rows: FlatArrays, size: int, level: int = BEST) -> NativeDensity:
    """Lay out a density of `bayes_crlm.inference.native.flat_density`.

    Parameters
    ----------
    flat : FlatArrays
        Lengths, events, blocks and priors.
    rows : FlatArrays
        Rows sorted by cell, which are copied.
    size : int
        Number of unknowns.
    level : int
        Instruction set, as for `kernels`.
    """
    owned = aligned(load_library().crlm_lay_density, *flat.addresses, *rows.addresses)
    return NativeDensity(owned[0], size, kernels(level), (*owned[1:], flat))


def lay_map(flat: FlatArrays, size: int, level: int = BEST) -> NativeMap:
    """Lay out a change of coordinates of so many unknowns, for an instruction set."""
    owned = aligned(load_library().crlm_lay_map, *flat.addresses)
    return NativeMap(owned[0], size, kernels(level), (*owned[1:], flat))


def lay_target(
    density: NativeDensity | None,
    coordinates: NativeMap,
    foreign: int = 0,
    foreign_data: int = 0,
    owner: object = None,
) -> NativeTarget:
    """Put a density and coordinates together for the sampler.

    Parameters
    ----------
    density : NativeDensity or None
        None for another function's.
    coordinates : NativeMap
        From the sampler's coordinates to the model's unknowns.
    foreign, foreign_data : int
        Address of such a function, and of what it is handed.
    owner : object
        What must live as long as these are used.
    """
    library = load_library()
    memory = np.zeros(library.crlm_lay_target(None, None, None, None, None), dtype=np.uint8)
    library.crlm_lay_target(
        memory.ctypes.data,
        density.address if density else None,
        coordinates.address,
        foreign or None,
        foreign_data or None,
    )
    return NativeTarget(
        memory.ctypes.data,
        coordinates.size,
        coordinates.kernels,
        (memory, density, coordinates, owner),
    )


def aligned(lay_out: Callable[..., int], *given: int) -> tuple[int, NDArray[np.uint8]]:
    """Let the library fill memory of the size that it asks for; gives address and memory.

    Parameters
    ----------
    lay_out : callable
        Function of the library.
    *given : int
        Addresses of what it reads.
    """
    memory = np.zeros(lay_out(None, *given) + ALIGNMENT, dtype=np.uint8)
    address = memory.ctypes.data
    address += -address % ALIGNMENT
    lay_out(address, *given)
    return address, memory


def contiguous(array: NDArray, size: int) -> NDArray[np.float64]:
    """Numbers one after the other, as many as there are unknowns."""
    array = np.ascontiguousarray(array, dtype=float)
    if array.shape != (size,):
        raise ValueError(f"the vector has shape {array.shape}, and there are {size} unknowns")
    return array
