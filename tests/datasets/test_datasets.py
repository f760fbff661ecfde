"""The shipped data sets: published numbers, provenance, and the script that makes them."""

import csv
import hashlib
import math
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from survival import cox_zph, coxph, quantile, survfit

from bayes_crlm import read_spec
from bayes_crlm.datasets import DATASETS, load_dataset

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "synthetic_cohort"))

from make_crlm_synthetic import (
    MISSING_PER_COLUMN,
    SHIPPED_SEED,
    csv_text,
    make_cohort,
    published_table,
    sample_missing,
)
from published import OS_COVARIATES, PFS_COVARIATES, PUBLISHED, reproduce

SHARED_COLON = Path(__file__).parents[3] / "shared" / "data" / "colon_early_recurrence.csv"
COLON_SHA256 = "0317a0c5188d7b653ee324c1fe6c0147c8d0174900584a09aec186e37650ca7d"

MEDIAN_TOLERANCE, HAZARD_RATIO_TOLERANCE, LIMIT_TOLERANCE = 0.5, 0.01, 0.03


@pytest.fixture(scope="module")
def synthetic():
    return load_dataset("crlm-synthetic")[0]


@pytest.fixture(scope="module")
def missing():
    return load_dataset("crlm-synthetic-missing")[0]


def columns_of(table):
    return {name: table[name].to_numpy() for name in table}


def kaplan_meier_median(rows):
    curve = survfit("Surv(os_months, death) ~ 1", columns_of(rows))
    return quantile(curve, [0.5]).quantile[0][0]


def adjusted_cox(table, time, event, treatment, covariates):
    model = coxph(f"Surv({time}, {event}) ~ {treatment} + {covariates}", columns_of(table))
    coefficient, standard_error = model.coefficients[0], math.sqrt(model.var[0][0])
    limits = np.exp(coefficient + np.array([-1, 1]) * 1.959964 * standard_error)
    p_value = math.erfc(abs(coefficient) / standard_error / math.sqrt(2))
    return math.exp(coefficient), *limits, p_value, model


def os_cox(table):
    return adjusted_cox(table, "os_months", "death", "repeat_local", OS_COVARIATES)


def pfs_cox(table):
    early = table[(table["early4"] == 1) & (table["strategy"] != "systemic")]
    early = early.assign(neoadjuvant=(early["strategy"] == "neoadjuvant_local").astype(float))
    return adjusted_cox(early, "pfs_months", "progression", "neoadjuvant", PFS_COVARIATES)


def test_all_135_patients_recur_within_12_months(synthetic):
    assert len(synthetic) == synthetic["patient"].nunique() == 135
    assert synthetic["recurrence_months"].between(0, 12, inclusive="right").all()


@pytest.mark.parametrize(
    ("repeat_local", "median", "shortest", "longest"), [(1, 41, 4, 135), (0, 24, 1, 55)]
)
def test_overall_survival_has_published_median_and_range(
    synthetic, repeat_local, median, shortest, longest
):
    rows = synthetic[synthetic["repeat_local"] == repeat_local]
    assert kaplan_meier_median(rows) == pytest.approx(median, abs=MEDIAN_TOLERANCE)
    assert rows["os_months"].min() == shortest
    assert rows["os_months"].max() == longest


@pytest.mark.parametrize(
    ("fit", "published"),
    [(os_cox, (0.42, 0.25, 0.72, 0.002)), (pfs_cox, (0.36, 0.15, 0.86, 0.021))],
)
def test_adjusted_cox_gives_published_hazard_ratio_limits_and_p(synthetic, fit, published):
    hazard_ratio, lower, upper, p_value, _ = fit(synthetic)
    assert hazard_ratio == pytest.approx(published[0], abs=HAZARD_RATIO_TOLERANCE)
    assert lower == pytest.approx(published[1], abs=LIMIT_TOLERANCE)
    assert upper == pytest.approx(published[2], abs=LIMIT_TOLERANCE)
    # as printed in the article, so the tolerance is its rounding
    assert round(p_value, 3) == published[3]
    assert tuple(round(x, 2) for x in (hazard_ratio, lower, upper)) == published[:3]


def test_script_and_test_compute_the_same_published_numbers(synthetic):
    achieved = reproduce(columns_of(synthetic))
    assert list(achieved) == [number.name for number in PUBLISHED]
    for number in PUBLISHED:
        assert achieved[number.name] == pytest.approx(number.value, abs=number.tolerance)
    assert [*achieved.values()][-8:-4] == pytest.approx(os_cox(synthetic)[:4], abs=1e-6)
    assert [*achieved.values()][-4:] == pytest.approx(pfs_cox(synthetic)[:4], abs=1e-6)


@pytest.mark.parametrize(
    ("spec", "covariates"),
    [
        ("os_repeat_local_vs_systemic", OS_COVARIATES),
        ("os_three_strategies", OS_COVARIATES),
        ("pfs_neoadjuvant_vs_upfront_early4", PFS_COVARIATES),
    ],
)
def test_specs_adjust_for_what_the_cohort_was_calibrated_on(spec, covariates):
    assert read_spec(spec).model.covariates == covariates


@pytest.mark.parametrize("fit", [os_cox, pfs_cox])
def test_covariates_act_as_expected_and_hazards_are_proportional(synthetic, fit):
    *_, model = fit(synthetic)
    assert all(coefficient > 0 for coefficient in model.coefficients[1:])
    assert all(row["p"] > 0.05 for row in cox_zph(model).table)


def test_columns_agree_with_one_another(synthetic):
    is_local = synthetic["strategy"] != "systemic"
    is_progressed = synthetic["pfs_months"] < synthetic["os_months"]
    assert (is_local == (synthetic["repeat_local"] == 1)).all()
    assert ((synthetic["recurrence_months"] <= 4) == (synthetic["early4"] == 1)).all()
    assert (synthetic["decision_months"] > 0).all()
    assert (synthetic["decision_months"] < synthetic["pfs_months"]).all()
    assert (synthetic["pfs_months"] <= synthetic["os_months"]).all()
    # the event of progression-free survival is progression or death
    assert ((synthetic["progression"] == 1) == (is_progressed | (synthetic["death"] == 1))).all()


def test_neoadjuvant_patients_start_local_treatment_later(synthetic):
    start = synthetic.groupby("strategy")["decision_months"]
    assert start.min()["neoadjuvant_local"] > start.max()["upfront_local"]


def test_systemic_patients_have_the_worse_disease(synthetic):
    mean = synthetic.groupby("repeat_local").mean(numeric_only=True)
    for column in ("age", "number_of_metastases", "largest_diameter_cm", "cea", "extrahepatic"):
        assert mean.loc[0, column] > mean.loc[1, column]


@pytest.mark.parametrize("group", ["strategy", "node_positive", "ras_mutation", "extrahepatic"])
def test_no_level_separates_the_deaths(synthetic, group):
    deaths = synthetic.groupby(group)["death"].agg(["sum", "count"])
    assert (deaths["sum"] >= 10).all()
    assert (deaths["sum"] < deaths["count"]).all()


def test_both_treatments_occur_at_every_level_of_the_binary_covariates(synthetic):
    for column in ("male", "right_sided", "node_positive", "ras_mutation", "extrahepatic"):
        assert (pd.crosstab(synthetic[column], synthetic["repeat_local"]) >= 5).to_numpy().all()


def test_missing_variant_only_lacks_a_few_covariate_values(synthetic, missing):
    blanks = missing.isna().sum()
    assert blanks[blanks > 0].to_dict() == MISSING_PER_COLUMN
    pd.testing.assert_frame_equal(
        missing.fillna(synthetic).astype(synthetic.dtypes.to_dict()), synthetic
    )


def test_script_makes_the_shipped_files_byte_for_byte():
    seed, simulated, cohort = make_cohort([SHIPPED_SEED])
    for name, text in (
        ("crlm-synthetic", csv_text(cohort)),
        ("crlm-synthetic-missing", csv_text(cohort, sample_missing(cohort))),
    ):
        assert hashlib.sha256(text.encode()).hexdigest() == load_dataset(name)[1]
    assert seed == SHIPPED_SEED
    np.testing.assert_array_equal(simulated["death"], cohort["death"])


def test_documentation_shows_the_table_that_the_script_prints(synthetic):
    page = Path(__file__).parents[2] / "docs" / "synthetic_cohort.md"
    assert published_table(columns_of(synthetic)) in page.read_text(encoding="utf-8")


def test_seed_without_a_near_cohort_is_refused():
    with pytest.raises(RuntimeError, match="no seed's cohort comes near enough"):
        make_cohort([])


def test_synthetic_data_sets_say_that_they_are(synthetic, missing):
    for name in ("crlm-synthetic", "crlm-synthetic-missing"):
        assert DATASETS[name].is_synthetic
        assert DATASETS[name].statement == "synthetic, not patient data"
    for table in (synthetic, missing):
        assert table["patient"].str.startswith("synthetic-").all()
    assert not DATASETS["colon-early-recurrence"].is_synthetic


def test_colon_data_are_the_reference_file():
    table, sha256 = load_dataset("colon-early-recurrence")
    quoted = table.to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    assert hashlib.sha256(quoted.encode()).hexdigest() == COLON_SHA256
    if SHARED_COLON.exists():
        assert SHARED_COLON.read_text() == quoted
    assert len(table) == 207
    assert table["event"].sum() == 198
    assert table["rx"].value_counts().to_dict() == {"Obs": 84, "Lev": 80, "Lev+5FU": 43}
    assert (table["time"] > 0).all()
    assert table["recurrence_days"].max() <= 365
    plain = table.to_csv(index=False, lineterminator="\n")
    assert hashlib.sha256(plain.encode()).hexdigest() == sha256


def test_unknown_data_set_is_refused():
    with pytest.raises(KeyError, match="crlm"):
        load_dataset("crlm")


def test_the_colon_cohort_says_whom_it_leaves_out():
    import survival.datasets as shipped

    rows = pd.DataFrame(shipped.load_colon())
    early = rows[(rows["etype"] == 1) & (rows["status"] == 1) & (rows["time"] <= 365)]
    death = rows[rows["etype"] == 2].set_index("id").loc[early["id"]]
    columns = ["rx", "age", "sex", "nodes", "differ", "extent"]
    incomplete = early[columns].isna().any(axis=1).to_numpy()
    without_time = death["time"].to_numpy() <= early["time"].to_numpy()
    assert len(early) == 222
    assert without_time.sum() == 2
    assert (incomplete & ~without_time).sum() == 13
    title = DATASETS["colon-early-recurrence"].title
    for count in ("207", "222", "13", "2 have no time"):
        assert count in title
