"""Every spec in `models/` has a whole sensitivity analysis."""

import json
from pathlib import Path

import numpy as np
import pytest
from runs import call

from bayes_crlm import read_spec
from bayes_crlm.analysis.plan import plan_analysis
from bayes_crlm.sensitivity.choices.cutpoints import Settings, variants
from bayes_crlm.sensitivity.registry import PARTS

SPECS = sorted((Path(__file__).parents[2] / "models").glob("*.toml"))


@pytest.mark.parametrize("spec", SPECS, ids=lambda path: path.stem)
def test_every_set_of_intervals_has_a_name_of_its_own(spec):
    found = variants(plan_analysis(read_spec(spec)).inputs.cohort, Settings())
    assert len({(each.row["placement"], each.row["asked"]) for each in found}) == len(found)
    assert len({each.label for each in found}) == len(found)
    assert len({tuple(np.round(each.row["cutpoints"], 9)) for each in found}) == len(found)


@pytest.mark.slow
@pytest.mark.parametrize("spec", SPECS, ids=lambda path: path.stem)
def test_no_part_fails_and_every_file_has_the_name_of_its_part(spec, tmp_path):
    done = call("sensitivity", spec, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    found = json.loads((tmp_path / "out" / "sensitivity.json").read_text())
    assert {found[name]["status"] for name in PARTS} <= {"done", "not run"}
    for kind in ("tables", "figures"):
        for path in (tmp_path / "out" / kind).iterdir():
            assert path.name.startswith((*PARTS, "sensitivity_parts"))
