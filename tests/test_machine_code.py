"""Machine code of compiled densities on disk: found again, or not used at all."""

import subprocess
import sys

import numpy as np
import pytest

from bayes_crlm import machine_code
from bayes_crlm.density import CompiledDensity, compile_density, density_data
from bayes_crlm.machine_code import find_machine_code, keep_machine_code
from bayes_crlm.model import PiecewiseExponential

# what a process that samples has imported, and its draws
SAMPLE = """
import sys
import numpy as np, pandas as pd
from bayes_crlm.cohort import read_cohort
from bayes_crlm.model import PiecewiseExponential
from bayes_crlm.nuts import sample_nuts
rng = np.random.default_rng(1)
table = pd.DataFrame({"arm": rng.integers(2, size=60), "x": rng.normal(size=60),
                      "time": rng.exponential(size=60), "event": rng.integers(2, size=60)})
model = PiecewiseExponential("arm", 0, "x", cutpoints=4, baseline="independent")
inputs = model.prepare(read_cohort(table, time="time", event="event"))
drawn = sample_nuts(inputs, draws=20, tune=50, chains=2, seed=3)
print("pymc" in sys.modules, repr(float(drawn.vectors.sum())))
"""


@pytest.fixture(scope="module")
def inputs(simulated_cohorts):
    model = PiecewiseExponential("arm", 0, "x", cutpoints=4, baseline="independent")
    return model.prepare(simulated_cohorts[3])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder of machine code."""
    monkeypatch.setattr(machine_code, "folder_of_machine_code", lambda: tmp_path / "kept")
    return tmp_path / "kept"


@pytest.fixture
def kept(inputs, folder, monkeypatch):
    """The file of a density that was just compiled."""
    monkeypatch.setattr("bayes_crlm.density.compiled_densities", {})
    compile_density(inputs)
    (file,) = folder.iterdir()
    return file


def test_what_is_loaded_is_what_was_compiled(inputs, kept):
    compiled = compile_density(inputs)
    assert compiled.owner is not None
    address = find_machine_code(inputs.structure)
    assert address is not None
    loaded = CompiledDensity(address)
    floats, integers = density_data(inputs)
    for seed in range(3):
        vector = np.random.default_rng(seed).normal(size=4 + len(inputs.design.terms))
        value, gradient = compiled.function(vector, floats, integers)
        again, slope = loaded.function(vector, floats, integers)
        assert float(again) == float(value) and np.isfinite(float(value))
        np.testing.assert_array_equal(slope, gradient)


def test_a_second_process_samples_the_same_without_pymc():
    first, second = (
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", SAMPLE],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split()
        for _ in range(2)
    )
    assert second[0] == "False"
    assert first[1] == second[1]


@pytest.mark.parametrize("damage", ["cut off", "one bit", "empty", "foreign"])
def test_a_damaged_file_is_not_used_and_is_written_anew(damage, inputs, kept, monkeypatch):
    whole = kept.read_bytes()
    flipped = bytearray(whole)
    flipped[-100] ^= 1
    kept.write_bytes(
        {"cut off": whole[:-10], "one bit": bytes(flipped), "empty": b"", "foreign": b"x" * 999}[
            damage
        ]
    )
    assert find_machine_code(inputs.structure) is None
    monkeypatch.setattr("bayes_crlm.density.compiled_densities", {})
    compile_density(inputs)
    assert find_machine_code(inputs.structure) is not None


def test_other_versions_other_structures_and_other_source_have_other_files(
    inputs, kept, monkeypatch
):
    assert find_machine_code((*inputs.structure, "other")) is None
    here = machine_code.circumstances()
    for k in range(len(here)):
        changed = (*here[:k], "other", *here[k + 1 :])
        monkeypatch.setattr(machine_code, "circumstances", lambda changed=changed: changed)
        assert find_machine_code(inputs.structure) is None
    monkeypatch.setattr(machine_code, "circumstances", lambda: here)
    assert find_machine_code(inputs.structure) is not None


def test_a_folder_that_cannot_be_written_costs_nothing_else(inputs, kept, tmp_path, monkeypatch):
    compiled = compile_density(inputs)
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(machine_code, "folder_of_machine_code", lambda: tmp_path / "file")
    keep_machine_code(compiled.owner, inputs.structure)
    assert find_machine_code(inputs.structure) is None
    assert (tmp_path / "file").read_text() == "in the way"
