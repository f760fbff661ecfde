"""Missing covariates: the joint density as written by hand, and the part that reports it."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from runs import call
from scipy import stats

from bayes_crlm import PiecewiseExponential, read_cohort
from bayes_crlm.sensitivity.comparison_rows import fit_row
from bayes_crlm.sensitivity.missing.imputation import build_imputation, fit_imputation
from bayes_crlm.sensitivity.missing.missing_covariates import incomplete_design
from bayes_crlm.words.errors import SensitivityError

SPEC = """
title = "A simulated cohort with gaps"
[data]
source = "cohort.csv"
id = "patient"
time = "months"
event = "dead"
missing = "drop"
[model]
treatment = "arm"
reference = 0
covariates = "age + mutation + log(marker)"
[model.baseline]
cutpoints = 3
prior = "independent"
"""


def table_of(n=120, seed=6):
    rng = np.random.default_rng(seed)
    arm = np.arange(n) % 2
    age = rng.normal(60, 8, n).round()
    mutation = rng.binomial(1, 0.4, n).astype(float)
    log_marker = 1 + 0.8 * mutation + rng.normal(0, 1, n)
    death = rng.exponential(20 / np.exp(-0.7 * arm + 0.6 * mutation + 0.4 * log_marker))
    table = pd.DataFrame(
        {
            "patient": [f"p{k}" for k in range(n)],
            "arm": arm,
            "age": age,
            "mutation": mutation,
            "marker": np.exp(log_marker),
            "months": np.minimum(death, 30) + 0.01,
            "dead": (death < 30).astype(int),
        }
    )
    table.loc[rng.random(n) < 0.2, "mutation"] = np.nan
    table.loc[rng.random(n) < 0.15, "marker"] = np.nan
    return table


def design_of(table, covariates="age + mutation + log(marker)"):
    cohort = read_cohort(table, time="months", event="dead", id="patient", missing="drop")
    model = PiecewiseExponential("arm", 0, covariates, cutpoints=3, baseline="independent")
    return incomplete_design(model, cohort)


@pytest.mark.parametrize("shift", [0.0, 0.7])
def test_the_joint_density_is_the_sum_over_what_is_missing(shift):
    """Written anew: exponential pieces, a normal and a logistic regression, sums over binaries."""
    table = table_of(40)
    design = design_of(table)
    assert {each.column: each.kind for each in design.covariates} == {
        "marker": "continuous",
        "mutation": "binary",
    }
    order = [each.column for each in design.covariates]
    model = build_imputation(design, [shift if name == "marker" else 0.0 for name in order])
    rng = np.random.default_rng(2)
    point = {
        name: 0.3 * rng.normal(size=np.shape(value))
        for name, value in model.initial_point().items()
    }
    point["log_hazard"] = point["log_hazard"] - 3
    found = model.compile_logp(vars=[*model.observed_RVs, *model.potentials], sum=True)(point)

    by_column = {each.column: each for each in design.covariates}
    marker, mutation = by_column["marker"], by_column["mutation"]
    predictors = design.predictors
    labels = list(model.coords["imputation_term"])
    coefficient = dict(zip(labels, point["imputation_effect"], strict=True))
    intercept = dict(zip(order, point["imputation_intercept"], strict=True))
    sigma = float(np.exp(point["imputation_scale_log__"][0]))
    cells = dict(zip(model.coords["cell"], point["missing_value"], strict=True))
    # the columns of the model: centred and scaled by what is seen
    inputs = design.inputs
    center, scale = inputs.design.center, inputs.design.scale
    effects = np.r_[point["treatment_effect"], point["covariate_effect"]]
    edges, hazard = inputs.intervals.cutpoints, np.exp(point["log_hazard"])
    terms = list(inputs.design.terms)
    total = 0.0
    for k, row in table.iterrows():
        sums = []
        options = (0.0, 1.0) if np.isnan(row["mutation"]) else (row["mutation"],)
        value = (
            float(cells[f"marker of {row['patient']}"])
            if np.isnan(row["marker"])
            else (math.log(row["marker"]) - marker.shift) / marker.span
        )
        for option in options:
            values = {"marker": value, "mutation": option}
            columns = np.zeros(len(terms))
            columns[0] = row["arm"]
            columns[terms.index("age")] = row["age"]
            columns[terms.index("mutation")] = option
            columns[terms.index("log(marker)")] = marker.shift + marker.span * value
            linear = float(((columns - center) / scale) @ effects)
            spent = np.clip(row["months"] - edges[:-1], 0, np.diff(edges))
            place = int(np.searchsorted(edges, row["months"], side="left")) - 1
            log_density = row["dead"] * (point["log_hazard"][place] + linear)
            log_density -= float(spent @ hazard) * math.exp(linear)
            for position, name in enumerate(order):
                each = by_column[name]
                mean = intercept[name]
                mean += sum(
                    coefficient[f"{each.term} on {label}"] * predictors[k, column]
                    for column, label in enumerate(design.predictor_names)
                )
                mean += sum(
                    coefficient[f"{each.term} on {by_column[before].term}"] * values[before]
                    for before in order[:position]
                )
                if name == "marker":
                    mean += shift * np.isnan(row["marker"])
                    log_density += stats.norm.logpdf(value, mean, sigma)
                else:
                    log_density += stats.bernoulli.logpmf(option, 1 / (1 + math.exp(-mean)))
            sums.append(log_density)
        total += np.logaddexp.reduce(sums)
    assert mutation.is_missing.sum() >= 2
    assert marker.is_missing.sum() >= 2
    assert float(found) == pytest.approx(total, rel=1e-9)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("missing")
    table_of().to_csv(folder / "cohort.csv", index=False)
    (folder / "small.toml").write_text(f"{SPEC}[sensitivity.missing_data]\ndeltas = [-2, 2]\n")
    names = ("--only", "missing_data", "--out", folder / "out", "--jobs", 1)
    done = call("sensitivity", folder / "small.toml", *names)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "out" / "sensitivity.json").read_text())["missing_data"]


def test_everybody_stays_and_every_gap_is_filled(found):
    table = table_of()
    assert found["n_missing"] == {
        name: int(table[name].isna().sum()) for name in sorted(found["n_missing"])
    }
    assert all(row["n_patients"] == len(table) for row in found["rows"])
    assert all(row["is_reliable"] for row in found["rows"])
    assert len(found["imputed"]) == table["marker"].isna().sum() + table["mutation"].isna().sum()
    for each in found["imputed"]:
        assert each["patient"] in set(table["patient"])
        if each["column"] == "mutation":
            assert 0 < each["mean"] < 1
    assert found["rows"][0]["label"] == "missing at random"
    assert len(found["rows"]) == 1 + 2 * 2


def test_values_are_imputed_higher_where_follow_up_and_mutation_say_so(found):
    table = table_of().set_index("patient")
    imputed = pd.DataFrame(found["imputed"])
    marker = imputed[imputed["column"] == "marker"].set_index("patient")["mean"]
    died = table.loc[marker.index, "dead"] == 1
    mutated = table.loc[marker.index, "mutation"] == 1
    assert marker[died & mutated].mean() > marker[~died & ~mutated].mean()


def lost_with_early_deaths(seed, n=400):
    """A table, and what is left when values miss mostly of treated patients who die early."""
    rng = np.random.default_rng([seed, 23])
    arm = rng.integers(2, size=n)
    marker = rng.normal(size=n)
    death = rng.exponential(15 / np.exp(-0.5 * arm + 0.5 * marker))
    whole = pd.DataFrame(
        {
            "arm": arm,
            "marker": marker,
            "months": np.minimum(death, 40) + 0.01,
            "dead": (death < 40).astype(int),
        }
    )
    is_early = (arm == 1) & (death < 12)
    incomplete = whole.copy()
    incomplete.loc[rng.random(n) < np.where(is_early, 0.7, 0.03), "marker"] = np.nan
    return whole, incomplete


@pytest.mark.parametrize("seed", range(2))
def test_imputation_finds_what_all_values_say_where_complete_cases_do_not(seed):
    """Treated patients who die early drop out of the complete cases: treatment looks better."""
    model = PiecewiseExponential("arm", 0, "marker", cutpoints=4, baseline="independent")
    whole, incomplete = (
        read_cohort(table, time="months", event="dead", missing="drop")
        for table in lost_with_early_deaths(seed)
    )
    everything, complete = (fit_row(model, cohort, seed) for cohort in (whole, incomplete))
    fit = fit_imputation(incomplete_design(model, incomplete), draws=500, tune=500, seed=seed)
    (imputed,) = fit.hazard_ratios
    # what imputation may be away by, for want of the values that are missing: two of its standard
    # deviations more than all values leave, and Monte Carlo error
    more = imputed["sd_log"] ** 2 - everything["sd_log"] ** 2
    allowed = 2 * math.sqrt(max(more, 0.0)) + 0.1 * everything["sd_log"]
    assert abs(imputed["mean_log"] - everything["mean_log"]) < allowed
    assert everything["mean_log"] - complete["mean_log"] > 2 * allowed


def test_one_compiled_structure_serves_all_deltas(monkeypatch):
    """Compiling takes longer than sampling: values of delta must not make it start anew."""
    design, structures = design_of(table_of(40)), set()

    class Caught(Exception):
        pass

    def capture(model, *, structure, **settings):
        structures.add(structure)
        raise Caught

    monkeypatch.setattr("bayes_crlm.sensitivity.extended_model.sample_carefully", capture)
    for delta in ({}, {"marker": 1.0}, {"marker": -1.0}, {"mutation": 0.5}):
        with pytest.raises(Caught):
            fit_imputation(design, delta=delta, seed=1)
    assert len(structures) == 1


@pytest.mark.parametrize(
    ("covariates", "told"),
    [
        ("age", "there is nothing to impute"),
        ("bs(marker, df=4) + age", "no spline"),
        ("mutation * log(marker)", "product"),
    ],
)
def test_what_cannot_be_imputed_is_refused(covariates, told):
    with pytest.raises(SensitivityError, match=told):
        design_of(table_of(), covariates)


def test_a_cohort_without_gaps_says_so(tmp_path):
    table_of().fillna(1.0).to_csv(tmp_path / "cohort.csv", index=False)
    (tmp_path / "small.toml").write_text(SPEC)
    names = ("--only", "missing_data", "--out", tmp_path / "out")
    done = call("sensitivity", tmp_path / "small.toml", *names)
    assert done.returncode == 2
    assert "no covariate of the model has missing values" in done.stderr


@pytest.mark.parametrize("codes", [[1.0, 2.0, 3.0], ["g1", "g2", "g3"], [0.0, 5.0, 9.0]])
@pytest.mark.parametrize("formula", ["C(grade)", "age + C(grade)*arm_b"])
def test_a_category_of_several_levels_is_refused_however_it_is_coded(codes, formula):
    table = table_of().assign(arm_b=1.0 * (np.arange(120) % 3 == 0))
    table["grade"] = [codes[k % 3] for k in range(120)]
    table.loc[np.arange(120) % 7 == 0, "grade"] = None
    with pytest.raises(SensitivityError, match="'grade' has missing values and 3 levels"):
        design_of(table, formula)


def test_a_coded_category_of_two_levels_is_imputed():
    table = table_of()
    table["grade"] = np.where(np.arange(120) % 3 == 0, 2.0, 5.0)
    table.loc[np.arange(120) % 7 == 0, "grade"] = np.nan
    (grade,) = design_of(table, "age + C(grade)").covariates
    assert (grade.kind, grade.term) == ("binary", "C(grade)[T.5]")


def test_true_and_false_with_gaps_are_imputed_as_0_and_1_are():
    table = table_of()
    table["carrier"] = np.where(np.arange(120) % 7 == 0, np.nan, np.arange(120) % 3 == 0)
    numbers = design_of(table, "age*carrier")
    truths = table.assign(carrier=table["carrier"].astype("boolean"))
    found = design_of(truths, "age*carrier")
    (one,), (other,) = numbers.covariates, found.covariates
    assert other.kind == one.kind == "binary"
    assert other.value.tolist() == one.value.tolist()
    assert other.slope == pytest.approx(one.slope, abs=1e-12)
    assert found.inputs.data.design == pytest.approx(numbers.inputs.data.design, abs=1e-12)


def in_two_rows(table):
    """Every second patient's follow-up in two rows, the later of which misses the marker."""
    late = table.iloc[::2].assign(entry=0.005)
    early = late.assign(entry=0.0, months=0.005, dead=0)
    both = pd.concat([early, late.assign(marker=np.nan), table.iloc[1::2].assign(entry=0.0)])
    return both.reset_index(drop=True)


def cohort_in_rows(table):
    return read_cohort(
        table, time="months", event="dead", entry="entry", id="patient", missing="drop"
    )


def test_what_misses_in_a_later_row_is_known_from_an_earlier_one():
    rows = in_two_rows(table_of())
    model = PiecewiseExponential("arm", 0, "age + mutation + log(marker)", cutpoints=3)
    found = incomplete_design(model, cohort_in_rows(rows))
    whole = design_of(table_of())
    by_column = {each.column: each for each in found.covariates}
    for each in whole.covariates:
        assert by_column[each.column].is_missing.sum() == each.is_missing.sum()


def test_gaps_that_other_rows_fill_are_nothing_to_impute():
    table = table_of().dropna(subset=["mutation", "marker"])
    model = PiecewiseExponential("arm", 0, "age + log(marker)", cutpoints=3)
    with pytest.raises(SensitivityError, match="stand in other rows of the same patients"):
        incomplete_design(model, cohort_in_rows(in_two_rows(table)))


@pytest.mark.parametrize(
    ("later", "told"),
    [
        ([2.0, None], "stand in other rows of the same patients"),
        ([3.0, None], "changes over the rows of a patient"),
    ],
)
def test_a_gap_in_a_later_row_is_settled_in_check_before_anything_is_fitted(tmp_path, later, told):
    rng = np.random.default_rng(2)
    rows = []
    for k in range(40):
        x = 2.0 if k < 8 else round(float(rng.normal()), 3)
        time, dead = 5 + float(rng.exponential(9)), int(k % 3 > 0)
        if k < 8:
            rows.append((k, 0.0, 2.0, 0, k % 2, x))
            rows.append((k, 2.0, 4.0, 0, k % 2, later[0]))
            rows.append((k, 4.0, time, dead, k % 2, later[1] if k < 3 else later[0]))
        else:
            rows.append((k, 0.0, time, dead, k % 2, x))
    names = ["patient", "begin", "months", "dead", "arm", "age"]
    pd.DataFrame(rows, columns=names).to_csv(tmp_path / "cohort.csv", index=False)
    text = SPEC.replace('id = "patient"', 'id = "patient"\nentry = "begin"')
    text = text.replace("age + mutation + log(marker)", "age")
    (tmp_path / "gaps.toml").write_text(f'{text}[sensitivity]\nparts = ["missing_data"]\n')
    for command in ("check", "sensitivity"):
        done = call(command, tmp_path / "gaps.toml")
        assert done.returncode == 2 and told in done.stderr, done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
    plain = text.replace('missing = "drop"', "")
    (tmp_path / "gaps.toml").write_text(plain)
    done = call("check", tmp_path / "gaps.toml")
    assert done.returncode == 2 and "'age' in 3" in done.stderr
