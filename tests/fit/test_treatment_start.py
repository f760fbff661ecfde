"""When treatment started: read and checked with the cohort, sayable in spec and Python alike."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayes_crlm import PiecewiseExponential, read_cohort
from bayes_crlm.analysis.plan import plan_analysis
from bayes_crlm.fit.many import fit_many
from bayes_crlm.model.late_start import diluted
from bayes_crlm.specification.spec import Spec
from bayes_crlm.words.errors import CohortError, DesignError, SpecError
from bayes_crlm.words.late_start import landmark_in_words


def table_of(**columns):
    table = {
        "months": [9.0, 8.0, 3.0, 12.0, 20.0, 4.0],
        "dead": [1, 0, 1, 0, 1, 0],
        "treated": [1, 1, 0, 0, 1, 0],
        "begun": [2.0, 5.0, None, None, 0.0, None],
    }
    return pd.DataFrame(table | columns)


def read(table, **options):
    options = {"treatment_start": "begun"} | options
    return read_cohort(table, time="months", event="dead", **options)


def test_starts_are_read_with_gaps_for_patients_who_never_started():
    cohort = read(table_of())
    assert cohort.start_column == "begun"
    assert cohort.start.tolist()[:2] == [2.0, 5.0] and np.isnan(cohort.start[2])
    assert read(table_of(), where=[{"column": "months", "op": ">", "value": 5}]).start.tolist()[
        :2
    ] == [2.0, 5.0]


def test_a_start_of_0_says_that_treatment_began_with_follow_up():
    cohort = read(table_of(), treatment_start=0)
    assert cohort.start_column is None and cohort.start.tolist() == [0.0] * 6
    assert read(table_of(), treatment_start=None).start is None


@pytest.mark.parametrize(
    ("begun", "said"),
    [
        ([2.0, -5.0, None, None, 0.0, None], "is negative in row 2"),
        (["2", "soon", None, None, "0", None], "is text in row 2"),
        ([np.inf, 5.0, None, None, 0.0, None], "is infinite in row 1"),
    ],
)
def test_what_is_no_start_is_refused_by_its_row(begun, said):
    with pytest.raises(CohortError, match=said) as refused:
        read(table_of(begun=begun))
    assert "treatment_start" in str(refused.value)


@pytest.mark.parametrize("value", [True, 1, 2.5, "no such column"])
def test_treatment_start_is_a_column_or_0(value):
    with pytest.raises(CohortError, match=r"treatment_start|no such column"):
        read(table_of(), treatment_start=value)


def test_rows_that_say_it_themselves_need_no_start():
    table = table_of(patient=[1, 1, 2, 3, 4, 5], entry=[0.0, 0, 0, 0, 0, 0])
    table.loc[0, ["months", "dead"]] = [2.0, 0]
    table.loc[1, "entry"] = 2.0
    with pytest.raises(CohortError, match="several rows"):
        read(table, id="patient", entry="entry")


def spec_of(covariates="", **data):
    source = {"source": "x.csv", "time": "months", "event": "dead"}
    return Spec.from_mapping(
        {
            "title": "t",
            "data": source | data,
            "model": {"treatment": "treated", "reference": 0, "covariates": covariates},
        }
    )


def test_the_spec_has_the_same_key_and_writes_it_down():
    assert 'treatment_start = "begun"' in spec_of(treatment_start="begun").to_toml()
    assert "treatment_start = 0" in spec_of(treatment_start=0).to_toml()
    assert "treatment_start" not in spec_of().to_toml()


@pytest.mark.parametrize("value", [3, True, "", ["begun"], 0.5])
def test_the_spec_refuses_what_is_neither_column_nor_0(value):
    with pytest.raises(SpecError, match=r"data\.treatment_start"):
        spec_of(treatment_start=value)


def test_the_start_has_a_column_of_its_own_and_explains_nothing():
    with pytest.raises(SpecError, match="a column of its own"):
        spec_of(treatment_start="months")
    with pytest.raises(SpecError, match=r"data\.treatment_start"):
        spec_of("begun", treatment_start="begun")


@pytest.mark.parametrize(
    ("treatment", "covariates"),
    [
        ("treated", "months"),
        ("treated", "log(months)"),
        ("treated", "C(dead)"),
        ("treated", "begun"),
        ("dead", ""),
        ("months", ""),
    ],
)
def test_the_outcome_explains_nothing_in_python_either(treatment, covariates):
    cohort = read(table_of(begun=[2.0, 5.0, 0, 0, 0, 0]))
    model = PiecewiseExponential(treatment, None, covariates, cutpoints=1)
    with pytest.raises(DesignError, match="leave it out"):
        model.prepare(cohort)
    reasons = fit_many(model, [cohort, cohort]).cohorts["reason"]
    assert len(reasons) == 2 and all("leave it out" in each for each in reasons)


def delayed_cohort(seed, n=400, effect=1.0, levels=1):
    """Treatment multiplies the hazard by `effect` from its start on, which waits for Exp(5)."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    start = np.where(rng.random(n) < 0.6, rng.exponential(5, n), np.inf)
    need = rng.exponential(size=n) * np.exp(-0.4 * x) * 14
    begun = np.where(np.isfinite(start), start, 0.0)
    death = np.where(need < start, need, begun + (need - begun) / effect)
    end = rng.uniform(10, 40, n)
    months = np.minimum(death, end)
    treated = start < months
    table = pd.DataFrame(
        {
            "months": months,
            "dead": (death <= end).astype(int),
            "arm": np.where(treated, 1 + rng.integers(levels, size=n), 0),
            "begun": np.where(treated, start, np.nan),
            "x": x,
        }
    )
    return read_cohort(table, time="months", event="dead", treatment_start="begun")


def by_hand(table, at=None):
    """Cox regression by `survival` on rows made here: from the start on, or at a landmark."""
    from survival import coxph

    rows = []
    for row in table.itertuples():
        begun = row.begun if row.arm else np.inf
        if at is not None:
            if row.months > at:
                rows.append((0.0, row.months - at, row.dead, int(begun <= at), row.x))
        elif begun < row.months:
            rows += [(0.0, begun, 0, 0, row.x), (begun, row.months, row.dead, 1, row.x)]
        else:
            rows.append((0.0, row.months, row.dead, 0, row.x))
    made = pd.DataFrame(rows, columns=["entry", "time", "event", "arm", "x"])
    return made, np.exp(coxph("Surv(entry, time, event) ~ arm + x", made).coefficients[0])


@pytest.fixture(scope="module")
def found():
    cohort = delayed_cohort(3, effect=0.5)
    fit = PiecewiseExponential("arm", 0, "x", cutpoints=5).fit(cohort, seed=1, engine="laplace")
    return cohort, fit, fit.starts((1.0, 0.8))


def test_rows_from_the_start_on_are_those_made_by_hand(found):
    cohort, _, start = found
    split, landmark = start["time_dependent"], start["landmark"]
    rows, cox = by_hand(cohort.table)
    assert split["n_rows"] == len(rows) and split["n_patients"] == cohort.n_patients
    assert split["cox_hr"] == pytest.approx(cox, rel=1e-5)
    rows, cox = by_hand(cohort.table, landmark["at"])
    assert landmark["n_patients"] == len(rows) and landmark["n_events"] == rows["event"].sum()
    assert landmark["cox_hr"] == pytest.approx(cox, rel=1e-5)
    later = (cohort.table["begun"] > landmark["at"]) & (cohort.table["months"] > landmark["at"])
    assert landmark["n_started_later"] == later.sum()
    for each in (split, landmark):
        assert abs(each["mean_log"] - np.log(each["cox_hr"])) < 0.5 * each["sd_log"]


def test_the_headline_is_the_analysis_without_immortal_time(found):
    _, fit, start = found
    assert start["headline"] == "time_dependent" and "waited" in start["why"]
    as_treated = start["as_treated"]["hazard_ratios"][0]
    assert as_treated["median"] == pytest.approx(fit.hazard_ratios()["median"].iloc[0])
    medians = [each["median"] for each in (as_treated, start["time_dependent"], start["landmark"])]
    assert start["range"] == [min(medians), max(medians)]
    assert as_treated["median"] < start["time_dependent"]["eti95"][0] < 0.5
    assert start["time_dependent"]["eti95"][1] > 0.5


def test_a_treatment_that_does_nothing_is_not_credited_with_the_wait():
    """Five cohorts: the mean over them is within four standard errors of no effect."""
    fits = []
    for seed in range(5):
        cohort = delayed_cohort(10 + seed)
        model = PiecewiseExponential("arm", 0, "x", cutpoints=5)
        fits.append(model.fit(cohort, seed=seed, engine="laplace").starts())
    for name in ("time_dependent", "landmark"):
        error = np.mean([each[name]["sd_log"] for each in fits]) / np.sqrt(5)
        assert abs(np.mean([each[name]["mean_log"] for each in fits])) < 4 * error
    naive = [each["as_treated"]["hazard_ratios"][0]["mean_log"] for each in fits]
    assert np.mean(naive) < -4 * error


def test_every_level_of_several_has_its_own_hazard_ratio():
    cohort = delayed_cohort(5, levels=2)
    fit = PiecewiseExponential("arm", 0, "x", cutpoints=5).fit(cohort, seed=1, engine="laplace")
    start = fit.starts()
    for name in ("as_treated", "time_dependent", "landmark"):
        assert [row["treatment"] for row in start[name]["hazard_ratios"]] == [1, 2]
    assert [row["treatment"] for row in start["ranges"]] == [1, 2]


def test_where_nobody_waited_there_is_nothing_to_correct():
    table = delayed_cohort(3).table.assign(begun=0.0)
    for key in ("begun", 0):
        cohort = read_cohort(table, time="months", event="dead", treatment_start=key)
        fit = PiecewiseExponential("arm", 0, "x", cutpoints=5).fit(cohort, seed=1, engine="laplace")
        start = fit.starts()
        assert start is None if key == 0 else start["headline"] == "as_treated"


@pytest.mark.parametrize(
    ("value", "said"), [(np.nan, "is missing in row"), (99.0, "is not before")]
)
def test_a_treated_patient_needs_a_start_within_follow_up(value, said, tmp_path):
    table = delayed_cohort(3).table
    row = int(np.flatnonzero(table["arm"])[4])
    table.loc[row, "begun"] = value
    table.to_csv(tmp_path / "cohort.csv", index=False)
    spec = spec_of("x", source=str(tmp_path / "cohort.csv"), treatment_start="begun")
    spec = spec.model_copy(update={"model": spec.model.model_copy(update={"treatment": "arm"})})
    with pytest.raises(CohortError, match=f"{said}.*{row + 1}"):
        plan_analysis(spec)


@pytest.mark.parametrize(
    ("design", "start", "is_said"),
    [
        ("observational", None, True),
        ("randomised", None, False),
        ("observational", "begun", False),
        ("observational", 0, False),
    ],
)
def test_an_observational_study_that_does_not_state_the_start_is_told_so(
    design, start, is_said, tmp_path
):
    delayed_cohort(3).table.to_csv(tmp_path / "cohort.csv", index=False)
    data = {"source": str(tmp_path / "cohort.csv"), "time": "months", "event": "dead"}
    spec = Spec.from_mapping(
        {
            "title": "t",
            "data": data | ({} if start is None else {"treatment_start": start}),
            "model": {"treatment": "arm", "reference": 0},
            "study": {"design": design},
        }
    )
    told = [each for each in plan_analysis(spec).warnings if "is not stated" in each]
    assert bool(told) == is_said


rows_of_a_ratio = st.tuples(
    st.floats(-2, 2), st.floats(0.01, 1.5), st.floats(-2, 2), st.floats(0.01, 1.5), st.floats(0, 1)
)


@given(rows_of_a_ratio)
def test_a_landmark_is_said_to_be_diluted_only_where_the_rows_show_it(drawn):
    itself, wide, landmark, width, share = drawn
    row = {"median": np.exp(itself), "eti95": np.exp([itself - wide, itself + wide]).tolist()}
    expected = diluted(row["median"], share)
    late = {"n_started_later": 3, "n_untreated": 9, "diluted": expected}
    late["eti95"] = np.exp([landmark - width, landmark + width]).tolist()
    said = landmark_in_words(row, late)
    outside = expected < row["eti95"][0] or expected > row["eti95"][1]
    holds = late["eti95"][0] <= expected <= late["eti95"][1]
    assert ("which alone brings it nearer to 1" in said) == (outside and holds)
    holds_1 = late["eti95"][0] <= 1 <= late["eti95"][1]
    assert ("compatible with no effect" in said) == (holds_1 and not (outside and holds))
    assert min(1, row["median"]) <= expected * (1 + 1e-9)
    assert expected <= max(1, row["median"]) * (1 + 1e-9)


def test_many_fits_count_treatment_from_its_start_as_the_fit_of_one_cohort_does():
    cohorts = [delayed_cohort(20 + k, effect=0.5, n=250) for k in range(3)]
    model = PiecewiseExponential("arm", 0, "x", cutpoints=4)
    many = fit_many(model, cohorts, seeds=3, draws=4000)
    assert many.cohorts["analysis"].tolist() == ["time_dependent"] * 3
    rows = many.of_term()
    for k, cohort in enumerate(cohorts):
        found = model.fit(cohort, seed=k, engine="laplace").starts()["time_dependent"]
        row = rows.iloc[k]
        assert row["n_patients"] == 250 and row["n_events"] == cohort.n_events
        assert np.exp(row["cox_log_hr"]) == pytest.approx(found["cox_hr"], rel=1e-6)
        error = found["sd_log"] * np.sqrt(2 / 2000)
        assert abs(row["mean_log"] - found["mean_log"]) < 4 * error
        assert row["sd_log"] == pytest.approx(found["sd_log"], rel=0.1)


def test_many_fits_of_cohorts_in_which_nobody_waits_are_as_treated():
    table = delayed_cohort(3).table
    model = PiecewiseExponential("arm", 0, "x", cutpoints=4)
    cohorts = [
        read_cohort(table.assign(begun=begun), time="months", event="dead", treatment_start=start)
        for begun, start in ((0.0, "begun"), (0.0, 0), (0.0, None))
    ]
    many = fit_many(model, cohorts, seeds=[5, 5, 5])
    assert many.cohorts["analysis"].tolist() == ["as_treated"] * 3
    assert many.of_term()["mean_log"].nunique() == 1


def test_many_fits_refuse_a_treated_patient_without_a_start_by_its_row():
    table = delayed_cohort(3).table
    row = int(np.flatnonzero(table["arm"])[4])
    table.loc[row, "begun"] = np.nan
    cohort = read_cohort(table, time="months", event="dead", treatment_start="begun")
    many = fit_many(PiecewiseExponential("arm", 0, "x", cutpoints=4), [cohort], seeds=1)
    assert not many.cohorts["is_fitted"][0]
    assert f"is missing in row {row + 1}" in many.cohorts["reason"][0]
