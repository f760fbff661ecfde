"""What priors imply, held against draws of them put through the design's columns."""

import numpy as np
import pandas as pd
import pytest

import bayes_crlm as bc
from bayes_crlm.fit.prior_meaning import baseline_cautions, implied_in_words, implied_rows


@pytest.fixture(scope="module")
def cohort():
    rng = np.random.default_rng(2)
    n = 300
    table = pd.DataFrame(
        {
            "time": rng.exponential(10, n) + 0.1,
            "event": rng.integers(2, size=n),
            "arm": rng.choice(["a", "b", "c"], n),
            "age": rng.normal(60, 10, n),
            "site": rng.choice(["u", "v", "w"], n),
            "sex": rng.integers(2, size=n),
        }
    )
    return bc.read_cohort(table, time="time", event="event")


def rows_of(cohort, **model):
    return implied_rows(bc.PiecewiseExponential("arm", "a", **model).prepare(cohort))


def test_contrasts_with_the_reference_have_the_prior_and_others_are_wider(cohort):
    rows = {(row["to"], row["against"]): row for row in rows_of(cohort)}
    for pair in (("b", "a"), ("c", "a")):
        assert rows[pair]["high"] == pytest.approx(np.exp(1.96), rel=1e-3)
    assert rows["c", "b"]["high"] == pytest.approx(np.exp(1.96 * 2**0.5), rel=1e-3)


@pytest.mark.parametrize("prior", ["normal(0.2, 0.7)", "student_t(4, 0, 1)", "laplace(0, 0.5)"])
@pytest.mark.parametrize("formula", ["age", "bs(age, df=5)", "age + site + sex"])
def test_ranges_are_those_of_draws_through_the_columns(cohort, prior, formula):
    model = bc.PiecewiseExponential("arm", "a", covariates=formula, covariate_prior=prior)
    inputs = model.prepare(cohort)
    (row,) = [each for each in implied_rows(inputs) if each["of"] == "age"]
    age = cohort.table["age"].to_numpy()
    assert row["to"] == pytest.approx(np.quantile(age, 0.9), abs=1)
    own = [k for k, term in enumerate(inputs.design.terms) if "age" in term]
    high, low = (
        inputs.design.scaled[np.flatnonzero(age == row[end])[0]][own] for end in ("to", "against")
    )
    draws = inputs.covariate_prior.draw(np.random.default_rng(9), (100_000, len(own)))
    expected = np.quantile(draws @ (high - low), [0.025, 0.975])
    np.testing.assert_allclose(np.log([row["low"], row["high"]]), expected, atol=0.15)


@pytest.mark.parametrize("settings", [{}, {"references": {"site": "w"}}])
@pytest.mark.parametrize("formula", ["site", "C(site) + age"])
def test_levels_of_a_factor_are_against_its_reference_by_name(cohort, settings, formula):
    cohort = bc.read_cohort(cohort.table.assign(site=cohort.table["site"].astype(str)),
                            time="time", event="event", **settings)  # fmt: skip
    reference = settings.get("references", {}).get("site", "u")
    rows = [row for row in rows_of(cohort, covariates=formula) if row["of"] == "site"]
    assert [row["to"] for row in rows] == [each for each in "uvw" if each != reference]
    assert {row["against"] for row in rows} == {reference}


def test_numbers_that_are_levels_are_against_the_reference_as_they_are_written():
    table = pd.DataFrame(
        {"time": np.arange(1.0, 41), "event": [1, 0] * 20, "arm": ["a", "b"] * 20,
         "grade": [1.0, 2.0, 2.0, 3.0] * 10}
    )  # fmt: skip
    rows = rows_of(bc.read_cohort(table, time="time", event="event"), covariates="C(grade)")
    said = [(row["to"], row["against"]) for row in rows if row["of"] == "grade"]
    assert said == [("2", "1"), ("3", "1")]


def test_a_spline_allows_far_more_than_a_line(cohort):
    (line,) = [row for row in rows_of(cohort, covariates="age") if row["of"] == "age"]
    (curve,) = [row for row in rows_of(cohort, covariates="bs(age, df=5)") if row["of"] == "age"]
    assert curve["high"] > 2 * line["high"]
    assert curve["n_columns"] == 5
    assert "age" in implied_in_words([curve])


def test_a_heavy_gamma_prior_is_said_to_pull_the_hazard_ratio(cohort):
    from bayes_crlm.model.baseline_priors import GammaProcess

    def told(weight):
        model = bc.PiecewiseExponential("arm", "a", baseline=GammaProcess(weight))
        return baseline_cautions(model, model.prepare(cohort))

    assert told(1.0) == ()
    assert "hazard ratios with it" in told(100.0)[0]
    model = bc.PiecewiseExponential("arm", "a")
    assert baseline_cautions(model, model.prepare(cohort)) == ()


def cautions_of(cohort, **model):
    definition = bc.PiecewiseExponential("arm", "a", **model)
    return baseline_cautions(definition, definition.prepare(cohort))


def test_a_cutpoint_next_to_0_is_doubted(cohort):
    (told,) = cautions_of(cohort, cutpoints=(1e-4, 5.0, 10.0))
    assert told.startswith("the step of the baseline's walk from (0, 0.0001] to (0.0001, 5] takes")
    assert "is the cutpoint 0.0001 intended?" in told
    assert cautions_of(cohort, cutpoints=(2.0, 5.0, 10.0)) == ()
    # steps of this prior are all alike, and a single step is the whole walk
    assert cautions_of(cohort, cutpoints=(1e-4, 5.0, 10.0), baseline="random_walk") == ()
    assert cautions_of(cohort, cutpoints=(1e-4,)) == ()


def test_who_asks_for_the_earlier_default_is_told_what_it_was(cohort):
    assert cohort.n_events == 162
    (told,) = cautions_of(cohort, baseline="random_walk")
    assert told == (
        'model.baseline.cutpoints: "auto" has changed and is now 20 intervals; cutpoints = 12 '
        "gives the earlier result"
    )
    assert cautions_of(cohort, baseline="random_walk", cutpoints=12) == ()
    assert cautions_of(cohort, baseline="independent") == ()
