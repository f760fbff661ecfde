"""Write the arrays of the models built by hand, with their densities here: densities.py FILE."""

import sys
from pathlib import Path
from unittest.mock import patch

import numpy as np

from bayes_crlm.inference.native import flat_density
from models import MODELS

POINTS = 3


def main() -> None:
    """Write lengths, arrays, then points with log density and gradient, model by model."""
    with Path(sys.argv[1]).open("wb") as file:
        np.array([len(MODELS)], dtype=np.int64).tofile(file)
        for make in MODELS.values():
            model = make()
            size = sum(parameter.size for parameter in model.sampled_parameters)
            with patch.object(
                flat_density, "lay_density", wraps=flat_density.lay_density
            ) as lay_density:
                density = flat_density.native_density(model.data, model.blocks)
            flat, rows = lay_density.call_args.args[:2]
            arrays = (flat.floats, flat.integers, rows.floats, rows.integers)
            lengths = [*(array.size for array in arrays), size, POINTS]
            np.array(lengths, dtype=np.int64).tofile(file)
            for array in arrays:
                np.ascontiguousarray(array).tofile(file)
            for vector in np.random.default_rng(3).normal(0, 0.5, (POINTS, size)):
                value, slope = density.value_and_slope(vector)
                np.array([*vector, value, *slope]).tofile(file)


if __name__ == "__main__":
    main()
