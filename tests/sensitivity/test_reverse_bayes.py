"""The part `reverse_bayes`: errors of its closed form, and what it says when it does not know."""

import math
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

from bayes_crlm.model.priors import parse_prior
from bayes_crlm.sensitivity.credibility import (
    critical_prior,
    critical_prior_of_scale,
    intrinsic_credibility,
)
from bayes_crlm.sensitivity.posterior_draws import Draws
from bayes_crlm.sensitivity.priors import reverse_bayes as part
from bayes_crlm.sensitivity.priors.critical_scale import quantile_mcse, reverse_bayes
from bayes_crlm.sensitivity.priors.reverse_bayes import (
    closed_form_mcse,
    is_a_point,
    is_far,
    sentence,
)
from bayes_crlm.words.errors import SensitivityError


def finding_of(value):
    """An interval of equally weighted draws, with its Monte Carlo errors."""
    weight = np.full(len(value), 1 / len(value))
    return {
        "eti95": np.exp(np.quantile(value, [0.025, 0.975])).tolist(),
        "eti95_mcse_log": [quantile_mcse(value, weight, each) for each in (0.025, 0.975)],
    }


def test_the_error_of_the_closed_form_is_its_spread_over_seeds_of_mirrored_pairs():
    limits, errors = [], []
    for seed in range(200):
        away = 0.27 * np.random.default_rng(seed).standard_normal(2000)
        finding = finding_of(math.log(0.42) + np.concatenate([away, -away]))
        limits.append(critical_prior(*finding["eti95"]).limit)
        errors.append(closed_form_mcse(finding))
    # 200 seeds know a standard deviation to 5%; independent limits would give three quarters of it
    assert np.mean(errors) == pytest.approx(np.std(limits, ddof=1), rel=0.15)


@pytest.mark.parametrize("is_paired", [True, False])
@pytest.mark.parametrize("median", [0.42, 0.65, 0.8])
def test_the_error_of_the_closed_form_is_never_too_small(is_paired, median):
    limits, errors = [], []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        away = 0.27 * rng.standard_normal(2000)
        other = -away if is_paired else 0.27 * rng.standard_normal(2000)
        finding = finding_of(math.log(median) + np.concatenate([away, other]))
        limits.append(critical_prior(*finding["eti95"]).limit)
        errors.append(closed_form_mcse(finding))
    assert np.mean(errors) > 0.85 * np.std(limits, ddof=1)


def found_with(kind, prior_sd, eti95, **changes):
    without = {"median": math.sqrt(eti95[0] * eti95[1]), "eti95": eti95}
    found = {"kind": kind, "side": "below", "low": 0.66, "high": 1.51, "prior_sd": prior_sd}
    return found | {"without_prior": without, "is_reliable": True} | changes


@pytest.mark.parametrize(
    ("kind", "prior_sd", "eti95", "belief"),
    [
        ("sceptical", 0.2, [0.25, 0.72], "0.66 to 1.51"),
        ("advocacy", 0.2, [0.45, 1.1], "0.66 to 1.51"),
        ("advocacy", None, [0.45, 1.1], "every advocate"),
    ],
)
def test_a_critical_prior_that_is_not_reliable_is_not_told(kind, prior_sd, eti95, belief):
    verdicts = {"trial": {"verdict": "debatable"}}
    intrinsic = intrinsic_credibility(*eti95)
    told = sentence(found_with(kind, prior_sd, eti95), verdicts, intrinsic)
    assert belief in told and "debatable" in told
    untold = sentence(found_with(kind, prior_sd, eti95, is_reliable=False), verdicts, intrinsic)
    assert untold.startswith("By the 95% interval")
    assert "is not known (see the notes)" in untold
    assert belief not in untold and "debatable" not in untold


def test_the_finding_without_a_prior_keeps_its_own_errors(monkeypatch):
    """The search ends at the advocate whose prior is as wide as that which stands for none."""

    @dataclass(frozen=True)
    class Prepared:
        treatment_prior: object = None

    asked = []

    def draws_under(model, inputs, seed, draws):
        prior = inputs.treatment_prior
        asked.append(prior)
        # a finding at 1.02 by its upper limit that any advocate makes credible
        mean, sd = (-0.57, 0.3) if prior.mean == 0 else (-0.9, 0.1)
        value = mean + sd * np.random.default_rng(seed).standard_normal(4000)
        weight = np.full(4000, 1 / 4000)
        return Draws(Prepared(), None, value, weight, "laplace", 0.1, None, 4000.0, None, True)

    monkeypatch.setattr(part, "changed_inputs", lambda shared, changes: (Prepared(), Prepared()))
    monkeypatch.setattr(part, "sample_posterior", draws_under)
    monkeypatch.setattr(Draws, "log_hazard_ratio", lambda drawn, level: drawn.log_ratio)
    found = part.solve(SimpleNamespace(level=1, effect=1.0), 2.0, 1, 4000)
    assert (found["kind"], found["prior_sd"]) == ("advocacy", None)
    assert max(prior.sd for prior in asked[1:]) == asked[0].sd == 2.0
    value = draws_under(None, Prepared(asked[0]), 1, 4000).log_ratio
    errors = finding_of(value)["eti95_mcse_log"]
    assert found["without_prior"]["eti95_mcse_log"] == pytest.approx(errors, rel=1e-9)


# --- the search asks for priors that there are ---------------------------------------------------


def normal_posterior(mean, sd):
    """Limits of a normal likelihood under a normal prior, which has to be one that can be said."""

    def limits(prior):
        parse_prior(f"normal({prior.mean!r}, {prior.sd!r})", "treatment")
        precision = 1 / sd**2 + 1 / prior.sd**2
        middle = (mean / sd**2 + prior.mean / prior.sd**2) / precision
        half = 1.959963984540054 / math.sqrt(precision)
        return middle - half, middle + half

    return limits


@pytest.mark.parametrize("widest", [10.0, 1000.0])
@pytest.mark.parametrize("mean", [1e-7, -0.05, 0.19, -0.39])
def test_an_advocate_however_narrow_or_wide_is_a_prior_that_there_is(mean, widest):
    found = reverse_bayes(normal_posterior(mean, 0.2), widest=widest)
    assert found.critical.kind == "advocacy"
    limit = found.critical.limit
    low, high = (math.exp(mean + side * 1.959963984540054 * 0.2) for side in (-1, 1))
    exact = critical_prior(low, high).limit
    # one step of the search knows the scale to 0.1%
    if found.critical.prior is not None:
        assert math.log(limit) == pytest.approx(math.log(exact), rel=0.002)
    else:
        assert abs(math.log(exact)) > 2 * 1.96 * 10.0


def test_an_advocate_narrower_than_any_prior_is_not_known():
    with pytest.raises(SensitivityError, match="no advocate's prior, however narrow"):
        reverse_bayes(normal_posterior(-1e-9, 0.2))


def test_draws_that_no_prior_takes_to_1_end_the_search_at_the_narrowest_prior_there_is():
    def all_below(prior):
        parse_prior(f"normal({prior.mean!r}, {prior.sd!r})", "treatment")
        return -2e-8, -1e-8

    with pytest.raises(SensitivityError, match="no sceptical prior, however narrow"):
        reverse_bayes(all_below)


@pytest.mark.parametrize("shift", [-1.9, -1.0, -0.3, -0.1, 0.02, 0.5, 1.5, 2.1, 4.0])
def test_the_closed_forms_prior_is_no_point_unless_the_data_lie_evenly(shift):
    # in standard deviations of the log hazard ratio
    eti95 = [math.exp(0.3 * (shift - 1.96)), math.exp(0.3 * (shift + 1.96))]
    assert not is_a_point(critical_prior(*eti95).prior.sd, eti95)


def test_a_prior_where_the_search_ran_into_1_is_a_point():
    # three arms, one without events: the closed form gives 0.35, the search ended at 0.998
    assert is_a_point(0.00064, [0.468, 1.377])
    assert not is_a_point(critical_prior(0.468, 1.377).prior.sd, [0.468, 1.377])


def test_an_advocate_far_from_the_closed_form_is_noise():
    eti95 = (0.69938, 1.42967)
    closed = critical_prior(*eti95)
    found = critical_prior_of_scale("advocacy", "below", 0.0114, 0.95)
    assert is_far(found, closed)
    assert not is_far(
        critical_prior_of_scale("advocacy", "below", 2 * closed.prior.sd, 0.95), closed
    )
