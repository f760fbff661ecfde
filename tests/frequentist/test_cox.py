"""Cox regression: R's numbers, what must not change it, and what must not come out as a number."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import norm

from bayes_crlm.frequentist.cox import fit_cox
from bayes_crlm.frequentist.cox_rows import CoxRows
from bayes_crlm.frequentist.partial_likelihood import PartialLikelihood
from bayes_crlm.frequentist.weighted_cox import fit_weighted_cox
from bayes_crlm.likelihood.tied_times import merge_tied_times
from bayes_crlm.words.errors import CohortError

# Entry, event and columns of rows whose times are 1, 2, ...: separated, each in a way of its own.
OUT_OF_RANGE = [
    (
        [0, 1, 0, 1, 2, 0],
        [1, 0, 0, 1, 1, 1],
        [[1, 5], [1, 1], [1, 4], [0, 4], [0, 2], [1, 6]],
    ),
    (
        [0, 1, 0, 0, 2, 2, 1, 3, 0],
        [1, 0, 0, 0, 0, 1, 1, 1, 0],
        [
            [1, 1, 2], [0, 1, 6], [0, 0, 3], [0, 0, 3], [1, 1, 2],
            [0, 1, 4], [1, 1, 6], [1, 5, 5], [0, 2, 4],
        ],
    ),
]  # fmt: skip

# R 4.2, survival::coxph and cox.zph(transform = "km"); six significant digits.
R_RESULTS = {
    ("veteran", "efron"): {
        "coef": [0.261744, -0.0312713, 0.82498, 1.15399, 0.394625],
        "se": [0.200923, 0.00516509, 0.268911, 0.295038, 0.282243],
        "loglik": [-505.449, -474.915],
        "concordance": 0.737051,
        "zph": [0.649677, 0.000344159, 0.0442534, 0.0089082, 0.0248751, 0.000359065],
    },
    ("veteran", "breslow"): {
        "coef": [0.257313, -0.0311119, 0.819614, 1.14767, 0.392959],
        "se": [0.200629, 0.00516672, 0.268809, 0.294932, 0.282233],
        "loglik": [-505.884, -475.676],
        "concordance": 0.737051,
        "zph": [0.659744, 0.000387592, 0.045833, 0.00947115, 0.0254565, 0.000414349],
    },
    ("ovarian", "efron"): {
        "coef": [-0.848899, 0.128547, 0.696386],
        "se": [0.639205, 0.0472976, 0.758533],
        "loglik": [-34.9849, -26.6012],
        "concordance": 0.811927,
        "zph": [0.427063, 0.647027, 0.289844, 0.581087],
    },
    ("colon", "efron"): {
        "coef": [0.410081, -0.0891796, 0.0101936, 0.127211, 0.047524, 0.520638],
        "se": [0.200452, 0.168618, 0.00588948, 0.148934, 0.0144848, 0.168939],
        "loglik": [-886.74, -874.022],
        "concordance": 0.612962,
        "zph": [0.167852, 0.187031, 0.56569, 0.534307, 0.411891, 0.716271, 0.690106],
    },
    ("colon", "breslow"): {
        "coef": [0.409372, -0.0888012, 0.0101842, 0.127146, 0.0475166, 0.520457],
        "se": [0.200452, 0.168603, 0.00588977, 0.148914, 0.0144885, 0.168941],
        "loglik": [-886.935, -874.236],
        "concordance": 0.613009,
        "zph": [0.167958, 0.1876, 0.567454, 0.533499, 0.411811, 0.715883, 0.690434],
    },
}


def load(name):
    """Columns of one of R's data sets, as bundled with the `survival` package."""
    from survival import datasets

    columns = getattr(datasets, f"load_{name}")()
    return {
        key: np.asarray([np.nan if value is None else value for value in values])
        for key, values in columns.items()
    }


def veteran():
    data = load("veteran")
    cells = [data["celltype"] == cell for cell in ("smallcell", "adeno", "large")]
    matrix = np.column_stack([data["trt"] - 1, data["karno"], *cells]).astype(float)
    return data["time"], data["status"], matrix, ("trt", "karno", "small", "adeno", "large")


def ovarian():
    data = load("ovarian")
    matrix = np.column_stack([data["rx"], data["age"], data["resid.ds"]])
    return data["futime"], data["fustat"], matrix, ("rx", "age", "resid")


def colon():
    """Survival after a recurrence within a year, as in the colon-early-recurrence data set."""
    data = load("colon")
    recurrence, death = ({k: v[data["etype"] == e] for k, v in data.items()} for e in (1, 2))
    order = np.argsort(recurrence["id"]), np.argsort(death["id"])
    recurrence = {k: v[order[0]] for k, v in recurrence.items()}
    death = {k: v[order[1]] for k, v in death.items()}
    time = death["time"] - recurrence["time"]
    complete = ~np.isnan(recurrence["nodes"]) & ~np.isnan(recurrence["differ"])
    kept = (recurrence["status"] == 1) & (recurrence["time"] <= 365) & complete & (time > 0)
    rx = recurrence["rx"]
    columns = [rx == "Lev+5FU", rx == "Obs", *(recurrence[k] for k in ("age", "sex"))]
    columns += [recurrence[k] for k in ("nodes", "extent")]
    matrix = np.column_stack(columns).astype(float)
    terms = ("rx5FU", "rxObs", "age", "sex", "nodes", "extent")
    return time[kept], death["status"][kept], matrix[kept], terms


COHORTS = {"veteran": veteran, "ovarian": ovarian, "colon": colon}


def simulated(rng, n=60, p=3, *, late=False, tied=True):
    """Exponential times, half a unit of log hazard per column."""
    matrix = rng.normal(size=(n, p))
    time = rng.exponential(size=n) / np.exp(matrix @ np.full(p, 0.5))
    censoring = rng.exponential(size=n) * 2
    event = time <= censoring
    time = np.minimum(time, censoring)
    if tied:
        time = np.ceil(time * 20) / 20
    entry = np.where(rng.random(n) < 0.5, time * rng.random(n) * 0.9, 0.0) * late
    return entry, time, event.astype(int), matrix


@pytest.mark.parametrize(("name", "ties"), R_RESULTS)
def test_agrees_with_r(name, ties):
    time, event, matrix, terms = COHORTS[name]()
    expected = R_RESULTS[name, ties]
    cox = fit_cox(np.zeros_like(time), time, event, matrix, terms, ties=ties)
    assert np.allclose(cox.coef, expected["coef"], rtol=0, atol=1e-5)
    assert np.allclose(cox.se, expected["se"], rtol=0, atol=1e-5)
    assert np.allclose(cox.loglik, expected["loglik"], rtol=2e-6)
    assert cox.concordance == pytest.approx(expected["concordance"], abs=1e-6)
    assert [term for term, _ in cox.ph_test] == [*terms, "GLOBAL"]
    assert np.allclose([p for _, p in cox.ph_test], expected["zph"], rtol=1e-4)
    assert (cox.method, cox.not_estimable, cox.warnings) == ("partial likelihood", (), ())


def test_colon_cohort_is_the_one_r_saw():
    time, event, *_ = colon()
    assert (time.size, event.sum()) == (207, 198)


def test_wald_limits_and_p_values_follow_from_coef_and_se():
    time, event, matrix, terms = ovarian()
    cox = fit_cox(np.zeros_like(time), time, event, matrix, terms)
    coef, se = (np.array(R_RESULTS["ovarian", "efron"][key]) for key in ("coef", "se"))
    assert np.allclose(cox.hazard_ratio, np.exp(coef), rtol=1e-5)
    assert np.allclose(cox.p, 2 * norm.sf(np.abs(coef / se)), rtol=1e-4)
    limits = np.exp(norm.ppf([0.025, 0.975], coef[:, None], se[:, None]))
    assert np.allclose(cox.ci95, limits, rtol=1e-5)


def breslow_by_loops(coef, entry, time, event, matrix):
    total = 0.0
    for i in np.flatnonzero(event):
        at_risk = (entry < time[i]) & (time >= time[i])
        total += matrix[i] @ coef - np.log(np.exp(matrix[at_risk] @ coef).sum())
    return total


def efron_by_loops(coef, entry, time, event, matrix):
    total = 0.0
    for now in np.unique(time[event == 1]):
        dead = (time == now) & (event == 1)
        risk = np.exp(matrix[(entry < now) & (time >= now)] @ coef).sum()
        tied = np.exp(matrix[dead] @ coef).sum()
        total += (matrix[dead] @ coef).sum()
        total -= sum(np.log(risk - k / dead.sum() * tied) for k in range(dead.sum()))
    return total


@pytest.mark.parametrize(
    ("ties", "by_loops"), [("efron", efron_by_loops), ("breslow", breslow_by_loops)]
)
@pytest.mark.parametrize("late", [False, True])
def test_partial_likelihood_and_its_derivatives(ties, by_loops, late):
    rng = np.random.default_rng(3)
    entry, time, event, matrix = simulated(rng, n=40, late=late)
    coef = np.array([0.4, -0.7, 0.2])
    likelihood = PartialLikelihood(entry, time, event, matrix, ties)
    value = likelihood.at(coef, with_firth_score=True)
    assert value.loglik == pytest.approx(by_loops(coef, entry, time, event, matrix), rel=1e-12)

    step = 1e-5
    moved = [
        [likelihood.at(coef + sign * step * axis) for sign in (1, -1)] for axis in np.eye(coef.size)
    ]
    slopes = [(up.loglik - down.loglik) / (2 * step) for up, down in moved]
    curvature = [(down.score - up.score) / (2 * step) for up, down in moved]
    penalty = [
        (up.penalised_loglik - up.loglik - down.penalised_loglik + down.loglik) / (2 * step)
        for up, down in moved
    ]
    assert np.allclose(value.score, slopes, atol=1e-6)
    assert np.allclose(value.information, curvature, atol=1e-6)
    assert np.allclose(value.firth_score, penalty, atol=1e-6)


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_score_is_zero_at_the_estimate_with_late_entry(ties):
    entry, time, event, matrix = simulated(np.random.default_rng(8), late=True)
    cox = fit_cox(entry, time, event, matrix, "abc", ties=ties)
    value = PartialLikelihood(entry, time, event, matrix, ties).at(cox.coef)
    assert np.allclose(value.score, 0, atol=1e-5)
    assert np.allclose(np.linalg.inv(value.information), cox.covariance, rtol=1e-6)
    assert cox.loglik[1] == pytest.approx(value.loglik, rel=1e-12)


def test_concordance_counts_pairs():
    entry, time, event, matrix = simulated(np.random.default_rng(5), n=30, tied=False)
    cox = fit_cox(entry, time, event, matrix, "abc")
    risk = matrix @ cox.coef
    pairs = [
        (risk[i] > risk[k]) + 0.5 * (risk[i] == risk[k])
        for i in np.flatnonzero(event)
        for k in np.flatnonzero(time > time[i])
    ]
    assert cox.concordance == pytest.approx(np.mean(pairs), abs=1e-12)


seeds = st.integers(0, 2**32 - 1)
factors = st.sampled_from([1e-12, 1e-6, 0.37, 1e3, 1e9])


@settings(max_examples=40, deadline=None)
@given(seed=seeds, factor=factors, late=st.booleans())
def test_units_of_a_column_only_change_its_units(seed, factor, late):
    entry, time, event, matrix = simulated(np.random.default_rng(seed), late=late)
    cox = fit_cox(entry, time, event, matrix, "abc")
    moved = matrix.copy()
    moved[:, 1] = moved[:, 1] * factor + 7 * factor
    other = fit_cox(entry, time, event, moved, "abc")
    units = np.array([1, factor, 1])
    assert np.allclose(other.coef * units, cox.coef, rtol=1e-6, atol=1e-7)
    assert np.allclose(other.se * units, cox.se, rtol=1e-6)
    assert np.allclose(other.p, cox.p, rtol=1e-5)
    assert np.allclose([p for _, p in other.ph_test], [p for _, p in cox.ph_test], rtol=1e-4)


@settings(max_examples=40, deadline=None)
@given(seed=seeds, late=st.booleans(), ties=st.sampled_from(["efron", "breslow"]))
def test_order_of_the_rows_does_not_matter(seed, late, ties):
    rng = np.random.default_rng(seed)
    rows = simulated(rng, late=late)
    shuffled = rng.permutation(rows[1].size)
    cox = fit_cox(*rows, "abc", ties=ties)
    other = fit_cox(*(values[shuffled] for values in rows), "abc", ties=ties)
    assert np.allclose(other.coef, cox.coef, rtol=1e-8, atol=1e-10)
    assert np.allclose(other.covariance, cox.covariance, rtol=1e-8, atol=1e-12)
    assert other.concordance == pytest.approx(cox.concordance, abs=1e-12)


def split(entry, time, event, matrix, cut):
    """The same follow-up with every row cut where `cut` falls inside it."""
    inside = (entry < cut) & (cut < time)
    patients = np.arange(time.size)
    return (
        np.concatenate([entry, np.full(inside.sum(), cut)]),
        np.concatenate([np.where(inside, cut, time), time[inside]]),
        np.concatenate([np.where(inside, 0, event), event[inside]]),
        np.concatenate([matrix, matrix[inside]]),
        np.concatenate([patients, patients[inside]]),
    )


@settings(max_examples=40, deadline=None)
@given(seed=seeds, cut=st.integers(1, 20), ties=st.sampled_from(["efron", "breslow"]))
def test_splitting_follow_up_changes_nothing(seed, cut, ties):
    rows = simulated(np.random.default_rng(seed))
    # Between two of the times, which are twentieths.
    *pieces, patient = split(*rows, (cut + 0.37) / 20)
    cox = fit_cox(*rows, "abc", ties=ties)
    other = fit_cox(*pieces, "abc", patient, ties=ties)
    assert np.allclose(other.coef, cox.coef, rtol=1e-7, atol=1e-9)
    assert np.allclose(other.se, cox.se, rtol=1e-7)
    assert np.allclose(other.loglik, cox.loglik, rtol=1e-10)


def test_times_that_differ_by_rounding_are_tied():
    time = np.array([0.1 + 0.2, 0.3, 1.0, 2.0, 3.0, 4.0, 2.5])
    event = np.array([1, 1, 1, 0, 1, 1, 1])
    x = np.array([[0.0, 1, 1, 0, 0, 1, 1]]).T
    rounded = fit_cox(np.zeros(7), np.round(time, 6), event, x, "x")
    assert np.allclose(fit_cox(np.zeros(7), time, event, x, "x").coef, rounded.coef, rtol=1e-10)
    assert np.unique(merge_tied_times(np.zeros(7), time)[1]).size == 6


def test_a_row_shorter_than_rounding_is_refused():
    with pytest.raises(CohortError, match=r"row 2 is at risk from 1\.0 to 1\.0000000000000002"):
        merge_tied_times([0.0, 1.0], [2.0, 1.0 + 2.3e-16])


def test_one_covariate_and_none():
    time, event, matrix, _ = ovarian()
    entry = np.zeros_like(time)
    # R: coxph(Surv(futime, fustat) ~ age, ovarian): coef 0.16162, se 0.04974, loglik -27.8386.
    one = fit_cox(entry, time, event, matrix[:, 1:2], ("age",))
    assert one.coef[0] == pytest.approx(0.16162, abs=5e-6)
    assert one.se[0] == pytest.approx(0.04974, abs=5e-6)
    none = fit_cox(entry, time, event, matrix[:, :0], ())
    assert none.loglik == pytest.approx([-34.98494] * 2, abs=1e-5)
    assert none.to_dict()["terms"] == [] and none.ph_test == ()
    assert none.to_table().empty


def test_collinear_and_constant_columns_have_no_estimate_and_spoil_no_other():
    time, event, matrix, terms = veteran()
    entry = np.zeros_like(time)
    spoilt = np.column_stack([matrix, 2 * matrix[:, 1] + 3, np.full(time.size, 0.1)])
    cox = fit_cox(entry, time, event, spoilt, (*terms, "twice", "constant"))
    assert cox.not_estimable == ("twice", "constant")
    assert np.allclose(cox.coef[:5], fit_cox(entry, time, event, matrix, terms).coef, rtol=1e-8)
    assert np.isnan(cox.coef[5:]).all() and np.isnan(cox.ci95[5:]).all()
    assert np.isnan([p for _, p in cox.ph_test][5:7]).all() and cox.ph_test[-1][0] == "GLOBAL"
    assert "twice, constant" in cox.warnings[0]


def test_separation_gives_firths_fit_and_says_so():
    time, event, matrix, terms = veteran()
    event = np.where(matrix[:, 0] == 1, 0, event)
    cox = fit_cox(np.zeros_like(time), time, event, matrix, terms)
    assert (cox.method, cox.not_estimable) == ("Firth", ("trt",))
    assert np.isfinite(cox.coef).all() and np.isfinite(cox.ci95).all()
    assert abs(cox.coef[0]) < 10 and cox.ci95[0, 1] < 1
    assert cox.ph_test == ()
    (warning,) = cox.warnings
    assert (
        "none of the 68 patients with trt = 1 had an event (64 events among the 69 others)"
        in warning
    )


@pytest.mark.parametrize(("entry", "event", "matrix"), OUT_OF_RANGE)
def test_separation_that_takes_newtons_steps_out_of_range_gives_firths_fit(entry, event, matrix):
    """The library has an error for it, where it mostly has coefficients that walk off."""
    entry, event, matrix = (np.array(each, dtype=float) for each in (entry, event, matrix))
    time = np.arange(1.0, len(event) + 1)
    with pytest.raises((RuntimeError, ValueError), match="exp overflow|infinite argument"):
        CoxRows.of(entry, time, event, matrix).fit()
    terms = [f"x{k}" for k in range(matrix.shape[1])]
    cox = fit_cox(entry, time, event, matrix, terms)
    assert cox.method == "Firth" and cox.not_estimable
    likelihood = PartialLikelihood(entry, time, event, matrix)

    def penalised(coef):
        at = likelihood.at(coef)
        return -at.loglik - 0.5 * np.linalg.slogdet(at.information)[1]

    best = minimize(penalised, np.zeros(len(terms)), method="Nelder-Mead", tol=1e-10)
    np.testing.assert_allclose(cox.coef, best.x, atol=1e-4)
    coef, se = fit_weighted_cox(
        entry, time, event, matrix, np.ones(len(time)), np.arange(len(time))
    )
    assert np.isnan(coef).all() and np.isnan(se).all()


def test_json_shape_and_plain_values():
    time, event, matrix, terms = ovarian()
    entry = np.zeros_like(time)
    cox = fit_cox(entry, time, event, np.column_stack([matrix, matrix[:, 0]]), (*terms, "again"))
    written = json.loads(json.dumps(cox.to_dict(), allow_nan=False))
    assert set(written) >= {"ties", "terms", "concordance", "ph_test"}
    assert list(written["terms"][0]) == ["term", "coef", "se", "hazard_ratio", "ci95", "p"]
    assert written["terms"][3] == {
        "term": "again",
        "coef": None,
        "se": None,
        "hazard_ratio": None,
        "ci95": [None, None],
        "p": None,
    }
    assert [row["term"] for row in written["ph_test"]] == [*terms, "again", "GLOBAL"]
    table = cox.to_table()
    assert list(table.index) == [*terms, "again"]
    assert table.loc["age", "coef"] == cox.coef[1]


@settings(max_examples=60, deadline=None)
@given(seed=seeds, n=st.integers(4, 25), p=st.integers(1, 4), late=st.booleans())
def test_no_infinite_estimate_ever_comes_out_as_a_number(seed, n, p, late):
    """Tiny cohorts of few levels: separated, collinear, or without events as often as not."""
    rng = np.random.default_rng(seed)
    matrix = rng.integers(0, 2, size=(n, p)).astype(float)
    time = rng.integers(1, 8, n).astype(float)
    entry = np.floor(time * rng.random(n)) * late
    event = (rng.random(n) < 0.5).astype(int)
    cox = fit_cox(entry, time, event, matrix, [f"x{k}" for k in range(p)])
    is_number = np.isfinite(cox.coef)
    # Twice the widest that a Firth estimate gets on such tables; ML steps run to 20 and beyond.
    assert np.all(np.abs(cox.coef[is_number]) < 12)
    assert np.all(cox.se[is_number] < 12)
    named = set(cox.not_estimable)
    assert all(term in named for term, ok in zip(cox.terms, is_number, strict=True) if not ok)
    assert not named or cox.warnings


def test_a_separated_combination_that_newton_takes_for_a_maximum_is_found():
    """Newton stops on a plateau at log hazard ratios of 25 with standard errors of 3e5."""
    rng = np.random.default_rng(59243)
    matrix = rng.integers(0, 2, size=(16, 4)).astype(float)
    time = rng.integers(1, 8, 16).astype(float)
    entry = np.floor(time * rng.random(16))
    event = (rng.random(16) < 0.5).astype(int)
    cox = fit_cox(entry, time, event, matrix, "abcd")
    assert (cox.method, cox.not_estimable) == ("Firth", ("a", "b", "c"))
    assert np.abs(cox.coef).max() < 2


def test_unknown_ties_are_refused():
    with pytest.raises(ValueError, match="efron, breslow"):
        fit_cox([0, 0], [1, 2], [1, 1], [[0], [1]], ("x",), ties="exact")


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("n_rare", [1, 2])
def test_a_patient_of_a_rare_level_without_an_event_takes_no_other_estimate_away(n_rare, late):
    rng = np.random.default_rng(n_rare)
    n = 90
    treated, age = rng.integers(0, 2, n).astype(float), rng.normal(size=n)
    rare = (np.arange(n) < n_rare).astype(float)
    time, event = rng.exponential(size=n) + 0.05, (rng.random(n) < 0.7).astype(int)
    event[rare == 1] = 0
    entry = np.where(rng.random(n) < 0.5, 0.01, 0.0) * late
    time[rare == 1] = np.sort(time[event == 1])[1] + 1e-4
    names = ["treated", "age", "rare"]
    cox = fit_cox(entry, time, event, np.column_stack([treated, age, rare]), names)
    without = fit_cox(entry, time, event, np.column_stack([treated, age]), names[:2])
    assert cox.not_estimable == ("rare",)
    assert np.isfinite(cox.ci95[:2]).all()
    # the penalty moves an estimate by a small part of its standard error
    assert np.all(np.abs(cox.coef[:2] - without.coef) < 0.2 * without.se)
