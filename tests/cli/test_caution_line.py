"""A spec's own caution, and any two arms of three, stand beside the answer wherever it does."""

import html
import json
import re

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from runs import call

CAUTION = "Patients were chosen by what came after treatment, so the ratio is no effect of it."


def squeezed(text):
    return re.sub(r"\s+", " ", text)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three arms, a caution, and results of `run` and `sensitivity` in one folder."""
    folder = tmp_path_factory.mktemp("caution")
    rng = np.random.default_rng(1)
    arm = rng.integers(3, size=240)
    death, end = rng.exponential(20 * 0.7**-arm), rng.uniform(10, 40, 240)
    table = pd.DataFrame({"arm": np.array(["a", "b", "c"])[arm], "time": np.minimum(death, end)})
    table.assign(event=(death <= end).astype(int)).to_csv(folder / "three.csv", index=False)
    for name, line in (("with", f'caution = "{CAUTION}"\n'), ("without", "")):
        (folder / f"{name}.toml").write_text(
            f'title = "Three arms"\n{line}[data]\nsource = "three.csv"\ntime = "time"\n'
            'event = "event"\n[model]\ntreatment = "arm"\nreference = "a"\n'
            "[model.baseline]\ncutpoints = 4\n"
        )
    return folder


@pytest.fixture(scope="module")
def told(folder):
    """What each command prints, by name; results lie in the folder `out`."""
    commands = {
        "check": ["check", "with.toml"],
        "run": ["run", "with.toml", "--engine", "laplace", "--out", "out"],
        "sensitivity": ["sensitivity", "with.toml", "--only", "priors", "--out", "out"],
        "bare": ["run", "without.toml", "--engine", "laplace", "--out", "bare"],
    }
    said = {}
    for name, arguments in commands.items():
        done = call(*arguments, cwd=folder)
        assert done.returncode == 0, done.stderr
        said[name] = squeezed(done.stdout)
    return said


@pytest.mark.parametrize("command", ["check", "run", "sensitivity"])
def test_every_command_prints_the_caution(told, command):
    assert f"caution {CAUTION}" in told[command]


def test_files_have_the_caution_beside_the_answer(folder, told):
    out = folder / "out"
    for name in ("summary.json", "sensitivity.json"):
        assert json.loads((out / name).read_text())["caution"] == CAUTION
    for name in ("report.html", "sensitivity.html"):
        page = squeezed((out / name).read_text())
        answer = page.index('<p class="answer">')
        assert 0 < page.index(f"<strong>Caution:</strong> {CAUTION}") - answer < 2000
    for group in ("posterior", "prior"):
        with xr.open_dataset(out / "posterior.nc", group=group) as draws:
            assert draws.attrs["caution"] == CAUTION


def test_without_a_caution_none_is_shown(folder, told):
    assert "caution" not in told["bare"]
    assert json.loads((folder / "bare" / "summary.json").read_text())["caution"] is None
    assert 'id="caution"' not in (folder / "bare" / "report.html").read_text()
    with xr.open_dataset(folder / "bare" / "posterior.nc", group="posterior") as draws:
        assert "caution" not in draws.attrs and draws.attrs["status"] == "ok"


def test_any_two_of_three_arms_stand_beside_the_answer(folder, told):
    out = folder / "out"
    answers = json.loads((out / "summary.json").read_text())["answers"]
    pairs = [(row["treatment"], row["reference"]) for row in answers]
    assert pairs == [("b", "a"), ("c", "a"), ("c", "b")]
    page = squeezed(html.unescape((out / "report.html").read_text()))
    for row in answers:
        assert f"arm {row['treatment']} against {row['reference']}" in told["run"]
        assert f"hazard ratio {row['median']:.2f}" in told["run"]
        assert row["sentence"] in page
    table = pd.read_csv(out / "tables" / "answers.csv")
    assert table[["treatment", "reference"]].apply(tuple, axis=1).tolist() == pairs
    np.testing.assert_allclose(table["median"], [row["median"] for row in answers])
