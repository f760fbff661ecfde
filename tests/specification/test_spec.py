"""Specs: what is read, with which defaults, and how it is written again."""

import subprocess
import sys
import tomllib

import pytest
from hypothesis import given, settings
from pydantic import ValidationError
from spec_files import FULL, MINIMAL, in_order_of_keys, toml_tables
from tomli_w import dumps as write_toml

from bayes_crlm import read_spec
from bayes_crlm.specification.spec import without_cutpoints_used
from bayes_crlm.words.errors import SpecError


def test_a_resolved_spec_says_what_auto_came_to(write):
    spec = read_spec(write(MINIMAL))
    resolved = spec.with_cutpoints_used([0.5, 12.25])
    assert 'cutpoints = "auto"  # here: [0.5, 12.25]\n' in resolved.to_toml()
    assert without_cutpoints_used(resolved.to_toml()) == spec.to_toml()
    assert without_cutpoints_used(spec.to_toml()) == spec.to_toml()
    assert "# here: 1\n" in spec.with_cutpoints_used([]).to_toml()
    assert tomllib.loads(resolved.to_toml()) == tomllib.loads(spec.to_toml())
    given = read_spec(write(MINIMAL + "[model.baseline]\ncutpoints = 4\n", "given.toml"))
    assert given.with_cutpoints_used([0.5]).to_toml() == given.to_toml()


def test_a_minimal_spec_has_the_documented_defaults(write):
    spec = read_spec(write(MINIMAL))
    assert spec.name == "analysis"
    assert spec.question is None
    assert spec.data.where == ()
    assert spec.data.missing == "error"
    assert spec.model.covariates == ""
    assert spec.model.baseline.cutpoints == "auto"
    assert spec.model.baseline.prior == "log_time_walk"
    assert spec.model.baseline.weight == 1.0
    assert spec.model.priors.treatment == "normal(0, 1)"
    assert spec.model.priors.covariates == "normal(0, 1)"
    assert spec.sampling.model_dump() == {
        "chains": 4,
        "tune": 1000,
        "draws": 1000,
        "seed": 20211201,
        "target_accept": 0.8,
    }
    assert spec.estimands.horizons is None
    assert spec.estimands.rmst is None
    assert spec.estimands.hr_thresholds == (1.0, 0.8)


def test_every_key_is_read_as_its_type(write):
    spec = read_spec(write(FULL))
    assert spec.data.where[0].value == 12
    assert spec.data.where[1].value == ("A", "B")
    assert spec.model.baseline.cutpoints == (0.0, 6.0, 12.5, 24.0)
    assert spec.model.baseline.weight == 2.0
    assert spec.estimands.horizons == (12.0, 36.0, 60.0)
    assert spec.estimands.hr_thresholds == (1.0, 0.8, 1.25)
    assert spec.sensitivity == {"parts": ["multiverse"], "multiverse": {"scales": [0.5, 1.0]}}


@pytest.mark.parametrize("reference", ["0", "1.5", "true", '"systemic"'])
def test_a_reference_keeps_its_type(write, reference):
    spec = read_spec(write(MINIMAL.replace("reference = 0", f"reference = {reference}")))
    expected = tomllib.loads(f"x = {reference}")["x"]
    assert spec.model.reference == expected
    assert type(spec.model.reference) is type(expected)


def test_a_spec_never_changes(write):
    spec = read_spec(write(MINIMAL))
    with pytest.raises(ValidationError):
        spec.title = "Another"
    with pytest.raises(ValidationError):
        spec.sampling.draws = 1


@pytest.mark.parametrize("text", [MINIMAL, FULL])
def test_a_written_spec_reads_back_the_same_with_every_default(write, text):
    spec = read_spec(write(text))
    again = read_spec(write(spec.to_toml(), "again.toml"))
    assert again.model_dump() == spec.model_dump()
    assert again.to_toml() == spec.to_toml()
    for key in ("missing", "cutpoints", "covariates", "tune", "hr_thresholds"):
        assert f"{key} = " in spec.to_toml()


def test_options_replace_what_the_spec_says(write, tmp_path, monkeypatch):
    spec = read_spec(write(FULL))
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    other = spec.with_options(source="mine.csv", seed=7, draws=9, chains=1)
    assert other.data_path() == folder / "mine.csv"
    assert (other.sampling.seed, other.sampling.draws, other.sampling.chains) == (7, 9, 1)
    assert other.path == spec.path
    assert other.model == spec.model
    assert spec.sampling.seed == 4294967295
    assert spec.with_options(source="crlm-synthetic").data_path() == "crlm-synthetic"
    with pytest.raises(SpecError, match="sampling.draws is 0; give a whole number"):
        spec.with_options(draws=0)


def test_importing_and_reading_a_spec_brings_in_neither_pandas_nor_pymc(write):
    code = (
        "import sys; from bayes_crlm import read_spec; "
        "print([m for m in ('pandas', 'pymc', 'formulaic', 'arviz') if m in sys.modules]); "
        f"read_spec({str(write(FULL))!r}); "
        "print([m for m in ('pandas', 'pymc', 'formulaic', 'arviz') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "[]"]


@settings(deadline=None)
@given(toml_tables)
def test_tables_written_as_toml_read_back_the_same(tables):
    # repr tells nan from nan and 1 from 1.0 and True, which == does not
    read = tomllib.loads(write_toml(tables))
    assert repr(in_order_of_keys(read)) == repr(in_order_of_keys(tables))
