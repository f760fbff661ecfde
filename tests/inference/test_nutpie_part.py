"""nutpie's compiled part and the whole package sample the same; draws are read as they are."""

import json
import subprocess
import sys

import numpy as np
import pyarrow
import pytest

from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
from bayes_crlm.inference.native import nutpie_part
from bayes_crlm.inference.native.arrow_columns import column_values
from bayes_crlm.inference.nuts import sample_nuts

SETTINGS = {"draws": 50, "tune": 60, "chains": 2, "seed": 4}


@pytest.fixture
def inputs(simulated_cohorts):
    return PiecewiseExponential("arm", 0, "x", cutpoints=4).prepare(simulated_cohorts[1])


@pytest.fixture(autouse=True)
def anew():
    yield
    nutpie_part.compiled_part.cache_clear()


def test_the_tested_nutpie_is_loaded_by_its_spec():
    assert nutpie_part.compiled_part() is not None


@pytest.mark.parametrize(
    "changed",
    [
        {"TESTED_VERSIONS": ("0.0",)},
        {"TESTED_SIGNATURES": {"PySampler.wait": "($self, until)"}},
        {"TESTED_SIGNATURES": {"PySampler.never_heard_of": "()"}},
    ],
    ids=["another version", "other arguments", "another name"],
)
def test_another_nutpie_is_imported_whole_and_draws_the_same(inputs, monkeypatch, changed):
    expected = sample_nuts(inputs, **SETTINGS)
    nutpie_part.compiled_part.cache_clear()
    for name, value in changed.items():
        monkeypatch.setattr(nutpie_part, name, value)
    assert nutpie_part.compiled_part() is None
    called = []
    original = nutpie_part.sample_by_package
    monkeypatch.setattr(
        nutpie_part, "sample_by_package", lambda *given: called.append(1) or original(*given)
    )
    found = sample_nuts(inputs, **SETTINGS)
    assert called
    np.testing.assert_array_equal(found.vectors, expected.vectors)
    for name, values in expected.statistics.items():
        np.testing.assert_array_equal(found.statistics[name], values)


# in a process of its own: what is loaded by its spec is found by a later import, and the reverse
BOTH = """
import json, sys
from bayes_crlm.inference.native.nutpie_part import compiled_part
part = compiled_part() if sys.argv[1] == "first" else None
before = "nutpie" in sys.modules
import nutpie
part = part or compiled_part()
import nutpie._lib
print(json.dumps([before, part is nutpie._lib, part is sys.modules["nutpie._lib"],
                  nutpie.sample.__module__]))
"""


@pytest.mark.parametrize("when", ["first", "last"])
def test_the_package_and_its_part_are_one(when):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", BOTH, when],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout) == [False, True, True, "nutpie.sample"]


def test_draws_are_the_same_whatever_the_number_of_threads(inputs, monkeypatch):
    found = []
    for processors in (1, 2, 7):
        monkeypatch.setattr(nutpie_part, "usable_processors", lambda n=processors: n)
        found.append(sample_nuts(inputs, draws=50, tune=60, chains=4, seed=4).vectors)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


@pytest.mark.parametrize(
    "values",
    [
        [True, False, True, True, False, True, False, False, True, True, True],
        [1.5, -2.0, float("nan")],
        [1, 2, -3],
        [[1.0, 2.0], [3.0], [], [4.0, 5.0]],
        [],
    ],
    ids=["truth values", "numbers", "whole numbers", "lists", "nothing"],
)
@pytest.mark.parametrize("kind", ["small", "large"])
def test_arrow_columns_are_read_from_wherever_they_begin(values, kind):
    array = pyarrow.array(values, type=pyarrow.float64() if not values else None)
    is_list = bool(values) and isinstance(values[0], list)
    if is_list and kind == "large":
        array = array.cast(pyarrow.large_list(pyarrow.float64()))
    for start in range(len(values) + 1):
        expected = values[start:]
        if is_list:
            expected = [each for some in expected for each in some]
        np.testing.assert_array_equal(column_values(array[start:]), expected)


def test_an_arrow_column_of_texts_is_refused():
    with pytest.raises(TypeError, match="format b'u'"):
        column_values(pyarrow.array(["a"]))
