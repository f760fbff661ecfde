"""The part `reverse_bayes`: errors of its closed form, and what it says when it does not know."""

import math

import numpy as np
import pytest

from bayes_crlm.sensitivity.credibility import critical_prior, intrinsic_credibility
from bayes_crlm.sensitivity.critical_scale import quantile_mcse
from bayes_crlm.sensitivity.reverse_bayes import closed_form_mcse, sentence


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
