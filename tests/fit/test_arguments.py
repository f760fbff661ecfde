"""Arguments that people give in Python are taken, or refused with one sentence."""

import numpy as np
import pandas as pd
import pytest

import bayes_crlm as bc


@pytest.fixture(scope="module")
def cohort():
    rng = np.random.default_rng(1)
    table = pd.DataFrame(
        {"time": rng.exponential(20, 80), "event": rng.random(80) < 0.8, "arm": np.arange(80) % 2}
    )
    return bc.read_cohort(table, time="time", event="event")


@pytest.fixture(scope="module")
def fit(cohort):
    return bc.PiecewiseExponential("arm", 0).fit(cohort, engine="laplace", seed=1, draws=100)


@pytest.mark.parametrize("given", [np.int64(4), np.array([5, 10, 20]), (5, 10.0), 4, "auto"])
def test_whole_numbers_and_times_of_any_kind_are_cutpoints(cohort, given):
    inputs = bc.PiecewiseExponential("arm", 0, cutpoints=given).prepare(cohort)
    plain = given.tolist() if hasattr(given, "tolist") else given
    right = bc.PiecewiseExponential("arm", 0, cutpoints=plain).prepare(cohort)
    assert inputs.intervals.cutpoints.tolist() == right.intervals.cutpoints.tolist()


@pytest.mark.parametrize(
    "wrong",
    [
        {"cutpoints": None}, {"cutpoints": 3.0}, {"cutpoints": True}, {"cutpoints": ["a"]},
        {"cutpoints": [np.nan]}, {"cutpoints": [[1, 2]]}, {"covariates": ["site"]},
        {"covariates": None}, {"covariates": 3}, {"baseline": None}, {"baseline": 3},
        {"covariates": "time"}, {"covariates": "event"}, {"terms": "arm"}, {"terms": ("arm",)},
        {"terms": 3},
    ],
)  # fmt: skip
def test_a_wrong_argument_of_a_model_is_one_sentence(cohort, wrong):
    with pytest.raises(bc.BayesCRLMError) as caught:
        bc.PiecewiseExponential(**{"treatment": "arm", "reference": 0} | wrong).prepare(cohort)
    assert next(iter(wrong)) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("method", "given"),
    [
        ("rmst", [12]), ("rmst", "12"), ("rmst", None), ("rmst", float("nan")),
        ("survival", [[1, 2]]), ("survival", ["a"]), ("survival", [float("nan")]),
        ("survival", None), ("survival", "12"), ("hazard_ratios", [-1.0]), ("hazard_ratios", [0]),
        ("hazard_ratios", ["a"]), ("hazard_ratios", None), ("coefficients", [float("nan")]),
    ],
)  # fmt: skip
def test_a_wrong_argument_of_a_fit_is_one_sentence(fit, method, given):
    with pytest.raises(bc.BayesCRLMError) as caught:
        getattr(fit, method)(given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("which", ["treatment_prior", "covariate_prior"])
@pytest.mark.parametrize("given", [3, None, ["normal(0, 1)"], bc.SuccessRule()])
def test_what_is_no_prior_is_refused(which, given):
    with pytest.raises(bc.BayesCRLMError, match="is not understood"):
        bc.PiecewiseExponential("arm", 0, **{which: given})


@pytest.mark.parametrize("method", ["hazard_ratios", "answers", "starts", "sections"])
@pytest.mark.parametrize("given", [0.9, "0.975", {"probability": 0.9}])
def test_what_is_no_success_rule_is_refused(fit, method, given):
    with pytest.raises(bc.BayesCRLMError, match="success is .* SuccessRule\\(effect"):
        getattr(fit, method)(success=given)


def test_one_time_is_taken_as_a_list_of_one(fit):
    for one, several in (
        (fit.survival(12), fit.survival([12])),
        (fit.differences(12, 24), fit.differences([12], 24)),
        (fit.kaplan_meier(12), fit.kaplan_meier([12])),
        (
            fit.sections(horizons=12)["survival"].rows[0].to_frame(),
            fit.sections(horizons=[12])["survival"].rows[0].to_frame(),
        ),
    ):
        pd.testing.assert_frame_equal(one, several)


@pytest.mark.parametrize("given", [["a"], "12", None, [float("nan")]])
def test_what_is_no_time_is_refused_by_every_table(fit, given):
    for table in (
        lambda: fit.differences(given, 12), lambda: fit.kaplan_meier(given),
        lambda: fit.sections(horizons=given), lambda: fit.sections(thresholds=given),
    ):  # fmt: skip
        with pytest.raises(bc.BayesCRLMError, match="must be a list of"):
            table()


@pytest.mark.parametrize(
    "wrong",
    [
        {"thresholds": "x"}, {"thresholds": [0]}, {"thresholds": None}, {"success": 0.9},
        {"model": None}, {"model": "arm"}, {"cohorts": "arm"}, {"cohorts": None},
    ],
)  # fmt: skip
def test_a_wrong_argument_of_many_fits_is_one_sentence(cohort, wrong):
    given = {"model": bc.PiecewiseExponential("arm", 0), "cohorts": [cohort]} | wrong
    with pytest.raises(bc.BayesCRLMError) as caught:
        bc.fit_many(**given, seeds=1, draws=100)
    assert "\n" not in str(caught.value)


def test_what_is_no_spec_and_no_list_of_columns_is_refused():
    for given in (None, 3, ["os_three_strategies"]):
        with pytest.raises(bc.BayesCRLMError, match="not a path or the name of a spec"):
            bc.read_spec(given)
    for needs in ("age", 3):
        with pytest.raises(bc.BayesCRLMError, match="needs must be a list of columns' names"):
            bc.read_cohort("crlm-synthetic", time="os_months", event="death", needs=needs)


@pytest.fixture(scope="module")
def chains(cohort):
    return bc.PiecewiseExponential("arm", 0).fit(cohort, seed=1, draws=100, tune=200)


@pytest.mark.parametrize("engine", ["fit", "chains"])
def test_errors_of_any_shape_are_those_of_each_of_its_numbers(request, engine):
    fit = request.getfixturevalue(engine)
    given = fit.survival_draws([12, 24])
    total, *of_each = given.shape
    found = fit.monte_carlo_errors(given, [0.5])
    assert found.mean.shape == found.sd.shape == tuple(of_each)
    assert found.quantile.shape == (*of_each, 3)
    assert found.below.shape == (*of_each, 1)
    by_chain = given.values.reshape(*fit.vectors.shape[:2], *of_each)
    flat = given.values.reshape(total, -1)
    for several in (by_chain, pd.DataFrame(flat), flat.tolist()):
        assert fit.monte_carlo_errors(several).mean.ravel() == pytest.approx(found.mean.ravel())
    one = fit.monte_carlo_errors(given.values[:, 1, 0], 0.5)
    assert one.sd == pytest.approx(found.sd[1, 0], rel=1e-9)
    assert one.below == pytest.approx(found.below[1, 0], rel=1e-9)


@pytest.mark.parametrize("engine", ["fit", "chains"])
def test_what_is_the_same_in_every_draw_has_no_error(request, engine):
    fit = request.getfixturevalue(engine)
    for same in (np.ones(len(fit.log_hazard_ratio_values)), fit.log_hazard_ratio_values < 50):
        found = fit.monte_carlo_errors(same, [3])
        for error in (found.mean, found.sd, found.quantile, found.below):
            np.testing.assert_allclose(error, 0, atol=1e-12)


@pytest.mark.parametrize(
    ("value", "thresholds"),
    [
        (3, ()), (None, ()), ("a", ()), ([1, 2], ()), ([[1], [1, 2]], ()), (np.zeros(3), ()),
        (np.full(400, np.nan), ()), (np.full(400, np.inf), ()), (["a"] * 400, ()),
        (np.zeros(400, complex), ()), (np.zeros(400), "a"), (np.zeros(400), [np.nan]),
    ],
)  # fmt: skip
def test_errors_are_of_a_finite_number_of_each_draw(fit, value, thresholds):
    with pytest.raises(bc.BayesCRLMError) as caught:
        fit.monte_carlo_errors(value, thresholds)
    assert "\n" not in str(caught.value)
