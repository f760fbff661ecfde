"""The part `multiverse` before anything is fitted: what cannot be, is refused with its key."""

import numpy as np
import pandas as pd
import pytest

from bayes_crlm.analysis import plan_analysis
from bayes_crlm.errors import SensitivityError
from bayes_crlm.sensitivity.analysis_choices import specifications
from bayes_crlm.sensitivity.multiverse import check
from bayes_crlm.sensitivity.settings import read_settings
from bayes_crlm.spec import read_spec

SPEC = """
title = "A small simulated cohort"
[data]
source = "cohort.csv"
time = "months"
event = "dead"
[model]
treatment = "arm"
reference = 0
covariates = "age"
[sensitivity.multiverse]
"""


def plan_of(folder, lines):
    rng = np.random.default_rng(5)
    table = pd.DataFrame(
        {
            "arm": np.arange(60) % 2,
            "age": rng.normal(60, 9, 60).round(),
            "size": rng.normal(3, 1, 60).round(1),
            "site": 1,
            "months": rng.exponential(20, 60).round(2) + 0.01,
            "dead": 1,
        }
    )
    table.loc[3, "size"] = np.nan
    table.to_csv(folder / "cohort.csv", index=False)
    (folder / "small.toml").write_text(SPEC + lines)
    plan = plan_analysis(read_spec(folder / "small.toml"))
    return plan, read_settings(plan.spec.sensitivity, ["multiverse"]).tables["multiverse"]


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (
            'covariates = ["all", "agee"]',
            "sensitivity.multiverse.covariates: 'agee': there is no column 'agee'; did you mean "
            "'age'?",
        ),
        (
            'covariates = ["all", "age + size"]',
            "sensitivity.multiverse.covariates: 'age + size': ",
        ),
        ('covariates = ["arm"]', "sensitivity.multiverse.covariates: 'arm': "),
        ('covariates = ["site"]', "sensitivity.multiverse.covariates: 'site': "),
        (
            'exclusions = {young = [{column = "agee", op = ">", value = 50}]}',
            "sensitivity.multiverse.exclusions.young: ",
        ),
        (
            'exclusions = {young = [{column = "age", op = ">", value = "old"}]}',
            "sensitivity.multiverse.exclusions.young: ",
        ),
        (
            'exclusions = {one = [{column = "arm", op = "==", value = 1}]}',
            "sensitivity.multiverse.exclusions.one: ",
        ),
        (
            'exclusions = {nobody = [{column = "age", op = ">", value = 200}]}',
            "sensitivity.multiverse.exclusions.nobody: ",
        ),
    ],
)
def test_what_cannot_be_fitted_is_refused_with_its_key(lines, told, tmp_path):
    plan, settings = plan_of(tmp_path, lines)
    with pytest.raises(SensitivityError) as refusal:
        check(plan, settings)
    said = str(refusal.value)
    assert said.startswith(told) and "\n" not in said
    assert "where: " not in said and "model.covariates" not in said


def test_what_can_be_fitted_is_not_refused(tmp_path):
    lines = 'covariates = ["all", "none", "log(age)"]\n'
    lines += 'exclusions = {young = [{column = "age", op = ">", value = 50}]}'
    plan, settings = plan_of(tmp_path, lines)
    check(plan, settings)
    found = {choices["exclusions"] for choices, _ in specifications(plan, settings)}
    assert {"none", "young"} <= found
