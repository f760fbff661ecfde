"""The part `multiverse`: what cannot be fitted is refused with its key, what fails has no say."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from bayes_crlm import read_spec
from bayes_crlm.analysis.plan import plan_analysis
from bayes_crlm.sensitivity.choices.analysis_choices import (
    formula_terms,
    left_out_options,
    repeats_the_spec,
    specifications,
)
from bayes_crlm.sensitivity.choices.multiverse import MORE_DRAWS, Settings, analyse, check
from bayes_crlm.sensitivity.choices.variance_decomposition import decompose
from bayes_crlm.sensitivity.parts import Context, rows_of
from bayes_crlm.sensitivity.settings import read_settings
from bayes_crlm.tasks.run import TaskResult
from bayes_crlm.words.errors import SensitivityError

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
        ('covariates = ["months"]', "sensitivity.multiverse.covariates: 'months': "),
        (
            'covariates = ["age + log(months)"]',
            "sensitivity.multiverse.covariates: 'age + log(months)': covariates: 'months' holds "
            "the times; the outcome cannot explain itself",
        ),
        ('covariates = ["age*dead"]', "sensitivity.multiverse.covariates: 'age*dead': "),
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
        (
            "intervals = [3, 61]",
            "sensitivity.multiverse.intervals: 61 intervals for 60 events; give at most 60",
        ),
        (
            'intervals = [3, 55]\nexclusions = {old = [{column = "age", op = ">", value = 60}]}',
            "sensitivity.multiverse.intervals: 55 intervals for 21 events that the exclusion 'old' "
            "leaves; give at most 21",
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


def test_the_main_spec_has_hundreds_of_specifications():
    plan = plan_analysis(read_spec("os_repeat_local_vs_systemic"))
    assert len(specifications(plan, Settings())) >= 300


class Refits:
    """Answers tasks with rows that depend on the prior's scale and the number of draws."""

    def __init__(self, rows):
        self.rows, self.asked = rows, []

    def __call__(self, name, tasks):
        found = []
        for task in tasks:
            scales = [
                each["treatment_prior"].split(", ")[-1][:-1] for each in task.arguments["changes"]
            ]
            draws = task.arguments["draws"]
            self.asked += [(float(scale), draws) for scale in scales]
            rows = [self.row(self.rows(float(scale), draws), draws) for scale in scales]
            found.append(TaskResult(task.key, {"rows": rows}))
        return found

    def row(self, told, draws):
        row = {
            "median": 0.6, "eti95": [0.4, 0.9], "prob_below_1": 0.99, "mean_log": -0.5,
            "sd_log": 0.2, "mcse": 0.2 / draws**0.5, "engine": "laplace", "pareto_k": 0.2,
            "r_hat": None, "is_reliable": True, "note": None, "elpd_loo": -100.0,
            "loo_pareto_k": 0.1, "cox_hr": 0.6, "cox_ci95": [0.4, 0.9], "n_patients": 60,
            "n_events": 60, "n_intervals": 3, "failure": None,
        }  # fmt: skip
        return row | told


LINES = """
families = ["normal"]
scales = [0.5, 1.0, 2.5]
baselines = ["gamma", "independent"]
intervals = [3]
covariates = ["all"]
unusual = false
"""


def part_of(folder, rows):
    plan, settings = plan_of(folder, LINES)
    run = Refits(rows)
    base = {"median": 0.6, "prob_below_1": 0.99, "eti95": [0.4, 0.9]}
    context = Context(plan=plan, base=base, make_fit=None, level=1, seed=1, run=run)
    return analyse(context, settings), run.asked


def test_specifications_are_counted(tmp_path):
    part, _ = part_of(tmp_path, lambda scale, draws: {"prob_below_1": 0.8 if scale > 2 else 0.99})
    assert "Of 6 specifications 4 conclude as the base analysis does and 2 are weaker" in (
        part.sentence
    )
    assert part.moves is True


def test_specifications_that_fail_have_no_part_in_anything_but_the_table(tmp_path):
    def rows(scale, draws):
        wrong = {"median": 40.0, "prob_below_1": 0.0, "is_reliable": False}
        return wrong if scale > 2 else {"median": 0.6 if scale < 1 else 0.7}

    part, _ = part_of(tmp_path, rows)
    assert part.moves is False
    assert part.result["median_range"] == [0.6, 0.7]
    decomposition = part.result["decomposition"]
    assert decomposition["n"] == 4
    assert decomposition["sd"] == pytest.approx(np.log(0.7 / 0.6) / 2)
    assert decomposition["left_out"] == [["prior_scale", 2.5]]
    assert any("prior 2.5 is left out of the decomposition" in note.text for note in part.notes)
    assert len(part.rows[0].rows) == 6


def test_where_every_specification_fails_nothing_is_said_of_the_conclusion(tmp_path):
    part, _ = part_of(tmp_path, lambda scale, draws: {"is_reliable": False})
    assert part.moves is None
    assert part.sentence == "None of 6 specifications passes its diagnostics."
    assert part.result["share_lower"] is None
    assert part.result["decomposition"] is None
    assert [each.name for each in part.rows] == ["multiverse"]
    # hollow, with all choices beneath
    figure = part.figures[0].draw()
    said = [text.get_text() for text in figure.axes[1].texts]
    assert said == ["scale of the treatment's prior", "prior of the baseline hazard"]
    plt.close(figure)


@pytest.mark.parametrize(("below", "moves"), [(0.978, False), (0.972, True)])
def test_noise_does_not_move_the_conclusion(below, moves, tmp_path):
    """Of 1,000 draws 97% are within the noise of 97.5%; of 20,000 they are not."""

    def rows(scale, draws):
        if scale < 1:
            return {"prob_below_1": 0.97 if draws == 1000 else below}
        # by NUTS there are more draws already; 0.999 is far from 0.975
        return {"prob_below_1": 0.98, "engine": "nuts"} if scale > 2 else {}

    part, asked = part_of(tmp_path, rows)
    assert [each for each in asked if each[1] > 1000] == [(0.5, MORE_DRAWS)] * 2
    assert part.moves is moves
    again = [row for row in part.result["rows"] if row["prob_below_1"] == below]
    assert len(again) == 2
    # what is of the cohort stays
    assert all(row["elpd_loo"] == -100.0 and row["cox_hr"] == 0.6 for row in again)
    assert all(row["mcse"] == pytest.approx(0.2 / MORE_DRAWS**0.5) for row in again)
    assert any("2 specifications was within 3 Monte Carlo" in note.text for note in part.notes)


def test_a_choice_of_one_option_is_not_left_out_while_others_have_several():
    choices = [{"a": a, "b": b, "c": 0} for a in (0, 1) for b in (0, 1)]
    found = decompose(choices, [None, 1.0, 1.0, None])
    assert found.n == 1 and found.mean == 1.0


def test_columns_are_called_after_their_interval():
    row = {"n": 1, "eti95": [0.5, 0.9], "cox_ci95": None, "chains": {"max_r_hat": 1.0}}
    table = rows_of("multiverse", [row]).to_frame()
    assert list(table) == [
        "n",
        "eti95_low",
        "eti95_high",
        "cox_ci95_low",
        "cox_ci95_high",
        "max_r_hat",
    ]


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("sex*x", {"sex": "x", "x": "sex", "sex:x": "sex + x"}),
        ("sex + sex:x", {"sex": "", "x": "sex", "sex:x": "sex"}),
        ("age + log(cea)", {"age": "log(cea)", "log(cea)": "age"}),
        ("x + I(x**2) + sex", {"x": "sex", "sex": "x + I(x ** 2)"}),
        (
            "log(x)*sex + z",
            {
                "x": "sex + z",
                "sex": "log(x) + z",
                "z": "log(x) + sex + log(x):sex",
                "log(x):sex": "log(x) + sex + z",
            },
        ),
        (
            "a*b*c",
            {
                "a": "b + c + b:c",
                "b": "a + c + a:c",
                "c": "a + b + a:b",
                "a:b:c": "a + b + c + a:b + a:c + b:c",
            },
        ),
    ],
)
def test_a_covariate_is_left_out_with_its_products(formula, expected):
    found = left_out_options(formula_terms(formula))
    assert found == {f"without {name}": rest for name, rest in expected.items()}


def test_leaving_a_covariate_out_gives_the_model_without_it():
    """Cox regression of the columns that are left, from outside of the package's formulas."""
    from survival import coxph

    from bayes_crlm import PiecewiseExponential, read_cohort
    from bayes_crlm.sensitivity.refit import cox_row

    rng = np.random.default_rng(8)
    n = 300
    x, sex = rng.normal(size=n), rng.choice(["f", "m"], n)
    arm = (rng.random(n) < 1 / (1 + np.exp(-1.5 * x))).astype(int)
    death = rng.exponential(20 * np.exp(0.7 * arm - x * np.where(sex == "f", 1.2, 0.6)))
    table = pd.DataFrame({"time": death + 0.01, "event": 1, "arm": arm, "x": x, "sex": sex})
    cohort = read_cohort(table, time="time", event="event")
    options = left_out_options(formula_terms("sex*x"))
    right = {"without x": "arm + sex", "without sex": "arm + x", "without sex:x": "arm + sex + x"}
    found = {}
    for label, formula in right.items():
        model = PiecewiseExponential("arm", 0, options[label], cutpoints=3)
        found[label] = cox_row(model.prepare(cohort), 1)["cox_hr"]
        expected = np.exp(coxph(f"Surv(time, event) ~ {formula}", table).coefficients[0])
        assert found[label] == pytest.approx(expected, rel=1e-4)
    assert found["without x"] > 1.3 * found["without sex"]


@pytest.mark.parametrize(
    ("lines", "is_there"),
    [
        ("", True),
        ("[model.baseline]\ncutpoints = 7", True),
        ("[model.baseline]\ncutpoints = [5, 20]", True),
        ('[model.priors]\ntreatment = "normal(0.0, 0.5)"', True),
        ('[model.priors]\ntreatment = "normal(0.1, 0.5)"', False),
        ('[model.priors]\ntreatment = "normal(0, 0.7)"', False),
    ],
)
def test_at_most_one_specification_is_the_specs_own(lines, is_there, tmp_path):
    plan, settings = plan_of(tmp_path, lines)
    found = specifications(plan, settings)
    own = [choices for choices, changes in found if repeats_the_spec(plan, changes)]
    assert len(own) == is_there
    for choices in own:
        assert choices["covariates"] == "all" and choices["exclusions"] == "none"
        assert choices["baseline"] == "log_time_walk"
        assert choices["prior_family"] == "normal"
        assert choices["prior_scale"] == plan.inputs.treatment_prior.sd
