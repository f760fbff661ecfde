"""Models and keys that cannot be: exit status 2, one clear sentence on stderr, nothing written."""

from pathlib import Path

import pytest
from bad_input import SPEC, refused_spec, refused_table, table


# treatment and covariates
def test_one_treatment_level_is_refused(place, capsys):
    assert "'systemic'" in refused_table(capsys, table().assign(arm="systemic"))


def test_an_unknown_reference_names_the_levels(place, capsys):
    line = refused_spec(capsys, 'reference = "systemic"', 'reference = "sistemic"')
    assert "'sistemic'" in line
    assert "'systemic'" in line


def test_a_level_with_one_patient_is_refused(place, capsys):
    cohort = table()
    cohort.loc[0, "arm"] = "ablation"
    line = refused_table(capsys, cohort)
    assert "'ablation'" in line
    assert "1 patient" in line


def test_constant_and_collinear_covariates_are_named(place, capsys):
    assert "'age' is constant" in refused_table(capsys, table().assign(age=61))
    cohort = table()
    collinear = SPEC.replace('"age + sex"', '"age + age_years"')
    line = refused_table(capsys, cohort.assign(age_years=2 * cohort["age"] + 1), collinear)
    assert "'age_years'" in line
    assert "'age'" in line
    assert "collinear" in line


# cutpoints, priors, estimands, keys
@pytest.mark.parametrize(
    ("cutpoints", "word"),
    [
        ("[24, 12]", "cutpoints"),
        ("[12, 12]", "cutpoints"),
        ("[-1, 12]", "cutpoints"),
        ("[12, 5000]", "5000"),
        ("0", "cutpoints"),
        ("-3", "cutpoints"),
        ("41", "41"),
        ("1000000", "1000000"),
        ('"many"', "cutpoints"),
        ("[]", "cutpoints"),
        ("[nan]", "cutpoints"),
        ("true", "cutpoints"),
        ("2.5", "cutpoints"),
    ],
)
def test_impossible_cutpoints_are_refused(place, capsys, cutpoints, word):
    line = refused_spec(capsys, "[model]", f"[model.baseline]\ncutpoints = {cutpoints}\n[model]")
    assert word in line


@pytest.mark.parametrize(
    "prior",
    [
        "normal(0, -1)",
        "normal(0, 0)",
        "normal(0)",
        "normal(nan, 1)",
        "hr(0.5, 0.9, 0.7)",
        "hr(-1, 0.2, 3)",
        "student_t(0, 0, 1)",
        "laplace(0, -2)",
        "cauchy(0, 1)",
        "",
        "__import__('os').system('touch broken')",
    ],
)
@pytest.mark.parametrize("role", ["treatment", "covariates"])
def test_impossible_priors_are_refused(place, capsys, prior, role):
    line = refused_spec(capsys, "[model]", f'[model.priors]\n{role} = "{prior}"\n[model]')
    assert f"priors.{role}" in line


@pytest.mark.parametrize(
    "formula",
    [
        "__import__('os').system('touch broken')",
        "open('broken', 'w')",
        "age.__class__",
        "log(age).mean()",
        "eval('1')",
        "age + (lambda: 1)()",
        "[open('broken', 'w') for _ in 'a']",
        "exec(chr(120))",
        "{open('broken', 'w')}",
        "C(age, contr.treatment)",
        "Q('age')",
        "age ~ sex",
        "age +",
        "arm + age",
        "death + age",
    ],
)
def test_formulas_that_do_more_than_they_may_are_refused(place, capsys, formula):
    line = refused_spec(capsys, '"age + sex"', '"' + formula + '"')
    assert "formula" in line or "covariates" in line
    assert not Path("broken").exists()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('time = "months"', 'tme = "months"', ["tme", "time"]),
        ("[model]", "[modle]", ["modle", "model"]),
        ("[model]", "[sampling]\ndraw = 5\n[model]", ["draw", "draws"]),
        ("[model]", '[sampling]\ndraws = "5"\n[model]', ["sampling.draws", "'5'"]),
        ("[model]", "[sampling]\nchains = true\n[model]", ["sampling.chains"]),
        ("[model]", "[sampling]\nseed = -1\n[model]", ["sampling.seed"]),
        ("[model]", "[estimands]\nhorizons = [0]\n[model]", ["estimands.horizons"]),
        ("[model]", "[estimands]\nhorizons = [9999]\n[model]", ["estimands.horizons", "9999"]),
        ("[model]", "[estimands]\nrmst = 9999\n[model]", ["estimands.rmst", "9999"]),
        ("[model]", "[estimands]\nrmst = inf\n[model]", ["estimands.rmst"]),
        ("[model]", "[estimands]\nhr_thresholds = [0]\n[model]", ["hr_thresholds"]),
        ('time = "months"', "time = 3", ["data.time", "3"]),
        ('time = "months"', 'time = "death"', ["death"]),
        ('title = "A comparison"', "", ["title"]),
        ('reference = "systemic"', "reference = []", ["model.reference"]),
        (
            "[model]",
            'where = [{column = "age", op = "~", value = 3}]\n[model]',
            ["where", "'~'"],
        ),
        (
            "[model]",
            'where = [{column = "agee", op = ">", value = 3}]\n[model]',
            ["'agee'", "'age'"],
        ),
        (
            "[model]",
            'where = [{column = "age", op = ">", value = 900}]\n[model]',
            ["cohort.csv"],
        ),
    ],
)
def test_wrong_keys_types_and_values_are_named(place, capsys, old, new, words):
    line = refused_spec(capsys, old, new)
    for word in words:
        assert word in line
