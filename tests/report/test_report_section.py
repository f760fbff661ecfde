"""What would change the answer stands in the report, whichever command ran last."""

import html
import json
import re
import shutil

import pytest
from runs import call
from sensitivity_runs import SPEC, write

from bayes_crlm.report.output_folder import is_of_run, is_of_sensitivity

SMALL = SPEC.split("[sensitivity.multiverse]")[0]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """A folder with a run and a sensitivity analysis of the same spec."""
    folder = tmp_path_factory.mktemp("both")
    spec = write(folder, '"reverse_bayes", "priors"', SMALL)
    for command, *options in (("sensitivity", "--jobs", 1), ("run", "--engine", "laplace")):
        done = call(command, spec, "--out", folder / "out", "--quiet", *options)
        assert done.returncode == 0, done.stderr
    return folder / "out"


def contents(folder):
    """What every file of a folder holds, by its place in it."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def section(folder):
    found = re.search(
        r'<section id="sensitivity">.*?</section>', (folder / "report.html").read_text(), re.DOTALL
    )
    return None if found is None else found[0]


def test_a_run_puts_an_earlier_sensitivity_analysis_into_its_report(both):
    summary = json.loads((both / "sensitivity.json").read_text())
    found = section(both)
    assert summary["conclusion"]["sentence"] in html.unescape(found)
    assert summary["priors"]["sentence"] in html.unescape(found)
    assert 'href="sensitivity.html#priors"' in found
    # the sentence that matters comes first
    assert re.search(r'</h2>\s*<p class="answer">(The hazard is|These data do not decide)', found)


def test_a_sensitivity_analysis_puts_itself_into_an_earlier_report(both, tmp_path):
    spec = write(tmp_path, '"reverse_bayes"', SMALL)
    shutil.copytree(both, tmp_path / "out")
    done = call("sensitivity", spec, "--out", tmp_path / "out", "--quiet", "--jobs", 1)
    assert done.returncode == 0, done.stderr
    found, before = section(tmp_path / "out"), section(both)
    # the same cohort in another place; the part that was not run again is gone
    assert 'href="sensitivity.html#reverse_bayes"' in found
    assert 'href="sensitivity.html#priors"' in before
    assert 'href="sensitivity.html#priors"' not in found
    kept = {name: text for name, text in contents(both).items() if is_of_run(name)}
    after = contents(tmp_path / "out")
    # its section is in the report
    del kept["report.html"]
    assert {name: after[name] for name in kept} == kept


def test_results_of_another_model_are_not_mixed(both, tmp_path):
    shutil.copytree(both, tmp_path / "out")
    spec = write(tmp_path, '"reverse_bayes"', SMALL)
    spec.write_text(spec.read_text().replace("age + node", "node"))
    done = call("run", spec, "--engine", "laplace", "--out", tmp_path / "out", "--quiet")
    assert done.returncode == 0, done.stderr
    assert "is of other data or another model" in section(tmp_path / "out")
    assert (tmp_path / "out" / "sensitivity.json").exists()


def test_every_file_of_one_command_survives_the_other(both, tmp_path):
    shutil.copytree(both, tmp_path / "out")
    spec = both.parent / "small.toml"
    done = call("run", spec, "--engine", "laplace", "--out", tmp_path / "out", "--quiet")
    assert done.returncode == 0, done.stderr
    before, after = contents(both), contents(tmp_path / "out")
    assert set(after) == set(before)
    kept = [name for name in before if is_of_sensitivity(name)]
    assert {"sensitivity.json", "tables/priors.csv", "figures/priors.svg"} <= set(kept)
    assert all(after[name] == before[name] for name in kept)
