"""The native density on the models built by hand, in every instruction set of this processor."""

import numpy as np
import pytest
from slopes import log_density_slope

from bayes_crlm.inference.native import library
from bayes_crlm.inference.native.flat_density import native_density
from bayes_crlm.inference.native.library import kernels
from bayes_crlm.model.density import BlockModel
from models import MODELS


def has_level(level):
    try:
        return bool(kernels(level))
    except ValueError:
        return False


LEVELS = [each for each in (library.BASELINE, library.AVX2, library.AVX512) if has_level(each)]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", MODELS)
def test_value_and_slope_are_those_of_numpy(name, level):
    """NumPy's are those of the `pm.Model` in `test_hand_built_models`; rows pooled and not."""
    model = MODELS[name]()
    size = sum(parameter.size for parameter in model.sampled_parameters)
    for data in (model.data, model.data.pooled()):
        density = native_density(data, model.blocks, level)
        for vector in np.random.default_rng(2).normal(0, 0.5, (2, size)):
            expected, slope = log_density_slope(vector, BlockModel(model.blocks, data))
            value, found = density.value_and_slope(vector)
            assert value == pytest.approx(expected, rel=1e-10)
            np.testing.assert_allclose(found, slope, rtol=1e-10, atol=1e-10)


def test_a_library_of_other_sources_is_known(tmp_path):
    digest = library.load_library().crlm_sources().decode()
    assert not library.is_outdated(digest, library.SOURCES)
    assert not library.is_outdated("", tmp_path)
    for path in library.SOURCES.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert not library.is_outdated(digest, tmp_path)
    with (tmp_path / "density.h").open("a") as file:
        file.write("// changed\n")
    assert library.is_outdated(digest, tmp_path)
