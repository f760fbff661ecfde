"""Hazards of a gamma process drawn given all else, where the density has them integrated out."""

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.native.draws import SEED_WORDS
from bayes_crlm.inference.native.library import NativeDensity, load_library
from bayes_crlm.model.density import BlockModel

Floats = NDArray[np.float64]


def complete_hazards(
    vectors: NDArray, model: BlockModel, density: NativeDensity, rng: np.random.Generator
) -> Floats:
    """Complete unconstrained vectors by draws of integrated hazards given all else.

    Parameters
    ----------
    vectors : (chains, draws, sampled size) ndarray
        In the order of `BlockModel.sampled_parameters`.
    model : BlockModel
        One with a gamma process that the sampler integrates out.
    density : NativeDensity
        Of this model.
    rng : numpy.random.Generator
        Gives every chain a stream of its own.

    Returns
    -------
    (chains, draws, total size) ndarray
        In the order of `BlockModel.parameters`.
    """
    process = model.integrated
    if process is None:
        return vectors
    log_hazards = [sample_process(density, each, process.size, rng) for each in vectors]
    first = 0
    for parameter in model.parameters:
        if parameter.name == process.name:
            break
        first += parameter.size
    before, after = np.split(vectors, [first], axis=-1)
    return np.concatenate([before, np.stack(log_hazards), after], axis=-1)


def sample_process(
    density: NativeDensity, vectors: NDArray, size: int, rng: np.random.Generator
) -> Floats:
    """Draw the log-hazards that belong to every vector of one chain.

    Parameters
    ----------
    density : NativeDensity
        With a gamma process integrated out.
    vectors : (draws, unknowns) ndarray
        What the sampler drew: the process' hazards are not among them.
    size : int
        Number of hazards, of all strata.
    rng : numpy.random.Generator
        Gives the chain's stream.

    Returns
    -------
    (draws, size) ndarray

    Raises
    ------
    MemoryError
        Where there is no memory to work in.
    """
    vectors = np.ascontiguousarray(vectors, dtype=float)
    seed = rng.integers(2**64, size=SEED_WORDS, dtype=np.uint64)
    log_hazards = np.empty((len(vectors), size))
    problem = load_library().crlm_sample_process(
        density.kernels.address,
        density.address,
        vectors.ctypes.data,
        len(vectors),
        seed.ctypes.data,
        log_hazards.ctypes.data,
    )
    if problem:
        raise MemoryError("there is no memory for the hazards' draws")
    return log_hazards
