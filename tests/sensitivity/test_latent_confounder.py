"""A latent binary confounder in the model: its likelihood, its limits, and the truth recovered."""

import math

import numpy as np
import pandas as pd
import pytest
from one_class import patient_log_likelihood

from bayes_crlm.cohort.reading import read_cohort
from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
from bayes_crlm.model.baseline_priors import GammaProcess
from bayes_crlm.model.density import constrain, log_hazards_of
from bayes_crlm.sensitivity.confounding.latent_confounder import (
    ConfounderPrior,
    build_latent_confounder,
    fit_latent_confounder,
)
from bayes_crlm.sensitivity.tipping_points import bias_factor
from bayes_crlm.words.errors import SensitivityError

SAMPLING = {"draws": 500, "tune": 500, "chains": 4}
TRUE_HAZARD_RATIO, CONFOUNDER_HAZARD_RATIO = 0.7, 4.0
# shares that carry it: the treated are the fitter ones
PREVALENCE = (0.5, 0.15)


def confounded_cohort(n_patients, seed, mean_survival=20.0, until=60.0):
    """Two arms with a hazard ratio of 0.7, and a confounder that the table does not show."""
    rng = np.random.default_rng(seed)
    treated = rng.integers(2, size=n_patients)
    carries = rng.uniform(size=n_patients) < np.where(treated == 1, PREVALENCE[1], PREVALENCE[0])
    x = rng.normal(size=n_patients)
    hazard = TRUE_HAZARD_RATIO**treated * CONFOUNDER_HAZARD_RATIO**carries * np.exp(0.4 * x)
    death = rng.exponential(mean_survival / hazard)
    table = pd.DataFrame(
        {
            "time": np.minimum(death, until),
            "death": (death <= until).astype(int),
            "treated": treated,
            "x": x,
        }
    )
    return read_cohort(table, time="time", event="death")


def model_of(**settings):
    settings = {"covariates": "x", "cutpoints": 4} | settings
    return PiecewiseExponential("treated", 0, **settings)


def exact_marginal(inputs, values, log_ratio, prevalence):
    """Equation (1) from the package's own likelihood, with the confounder as one more column."""
    from dataclasses import replace

    by_value, at = [], log_hazards_of(values, inputs.block_model)
    for carries in (0.0, 1.0):
        column = np.full((inputs.data.follow_up.n_rows, 1), carries)
        data = replace(inputs.data, design=np.hstack([inputs.data.design, column]))
        effect = np.hstack([at.effect, [[log_ratio]]])
        by_value.append(patient_log_likelihood(at.log_hazard, effect, data)[0])
    level = inputs.design.treatment_level[inputs.design.first_row]
    share = np.asarray(prevalence)[level]
    return np.log((1 - share) * np.exp(by_value[0]) + share * np.exp(by_value[1]))


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("baseline", ["random_walk", "gamma"])
def test_likelihood_is_the_sum_over_both_values_of_the_confounder(
    simulated_cohorts, rows, baseline
):
    """Delayed entry, one and several rows a patient."""
    model = PiecewiseExponential("arm", 0, "x + group", cutpoints=4, baseline=baseline)
    inputs = model.prepare(simulated_cohorts[rows])
    prior = ConfounderPrior((1.2, 4.0), ((0.3, 0.7), (0.1, 0.3)))
    built = build_latent_confounder(inputs, prior)
    rng = np.random.default_rng(rows)
    size = sum(parameter.size for parameter in inputs.block_model.sampled_parameters)
    vector = rng.normal(0, 0.3, size)
    vector[-1] = inputs.log_rate
    if baseline == "gamma":
        vector[-4:] = inputs.log_rate
    unit = {"confounder_unit_effect": 0.7, "confounder_unit_prevalence": np.array([0.4, -1.1])}
    point, position = dict(unit), 0
    for parameter in inputs.block_model.sampled_parameters:
        name = parameter.name + ("_log__" if parameter.transform == "log" else "")
        part = vector[position : position + parameter.size]
        point[name] = part if parameter.dim else part[0]
        position += parameter.size
    logp = built.compile_fn(built.logp(vars=built.observed_RVs, sum=False)[0])(point)
    mean, sd = prior.log_hazard_ratio
    logit_mean, logit_sd = prior.logit_prevalence
    logit = logit_mean + logit_sd * unit["confounder_unit_prevalence"]
    values = constrain(vector[None], inputs.block_model.sampled_parameters)
    expected = exact_marginal(inputs, values, mean + sd * 0.7, 1 / (1 + np.exp(-logit)))
    np.testing.assert_allclose(logp, expected, rtol=1e-10)


@pytest.fixture(scope="module", params=[11, 12, 13])
def confounded(request):
    """A cohort, its analysis without the confounder, and with what is true of it as the prior."""
    inputs = model_of().prepare(confounded_cohort(450, seed=request.param))
    naive = model_of().fit(inputs.cohort, seed=1, engine="laplace")
    prior = ConfounderPrior((3.0, 5.3), ((0.42, 0.58), (0.11, 0.2)))
    return inputs, naive, fit_latent_confounder(inputs, prior, seed=1, **SAMPLING)


def test_the_true_hazard_ratio_is_recovered_where_the_crude_one_is_wrong(confounded):
    _, naive, fit = confounded
    truth = math.log(TRUE_HAZARD_RATIO)
    crude = naive.hazard_ratios().iloc[0]
    # the bias is log(1.45 / 2.5) = -0.54, more than four standard errors
    assert crude["eti95_high"] < TRUE_HAZARD_RATIO
    found = fit.hazard_ratios[0]
    assert abs(found["mean_log"] - truth) < 3 * found["sd_log"]
    assert found["eti95"][0] < TRUE_HAZARD_RATIO < found["eti95"][1]
    assert fit.diagnostics.is_trustworthy
    assert fit.hazard_ratios[0]["treatment"] == 1


def test_a_confounder_without_effect_leaves_the_posterior_as_it_is():
    inputs = model_of().prepare(confounded_cohort(450, seed=11))
    naive = model_of().fit(inputs.cohort, seed=1, engine="laplace")
    fit = fit_latent_confounder(
        inputs, ConfounderPrior((1.0, 1.0), ((0.2, 0.8), (0.1, 0.4))), seed=3, **SAMPLING
    )
    crude, found = naive.hazard_ratios().iloc[0], fit.hazard_ratios[0]
    error = math.hypot(crude["mcse_mean_log"], found["mcse_mean_log"])
    assert abs(found["mean_log"] - crude["mean_log"]) < 4 * error
    assert found["sd_log"] == pytest.approx(crude["sd_log"], rel=0.1)
    # the data say nothing of its prevalence: posterior is prior
    low, high = fit.confounder["prevalence"][0]["eti95"]
    assert (low, high) == pytest.approx((0.2, 0.8), abs=0.05)
    assert fit.confounder["hazard_ratio"]["median"] == 1.0


def test_with_rare_events_a_fixed_confounder_shifts_by_the_bias_formula():
    """Equation (1) of the tipping surface is exact where carriers are not yet thinned out."""
    cohort = confounded_cohort(800, seed=5, mean_survival=1000.0, until=20.0)
    assert cohort.n_events < 0.06 * cohort.n_patients
    # a prior that pulls would take a share of the shift away
    model = model_of(cutpoints=1, treatment_prior="normal(0, 20)")
    inputs = model.prepare(cohort)
    naive = model.fit(cohort, seed=1, engine="laplace").hazard_ratios().iloc[0]
    ratio = CONFOUNDER_HAZARD_RATIO
    prior = ConfounderPrior((ratio, ratio), tuple((share, share) for share in PREVALENCE))
    found = fit_latent_confounder(inputs, prior, seed=2, **SAMPLING).hazard_ratios[0]
    shift = -math.log(float(bias_factor(ratio, PREVALENCE[1], PREVALENCE[0])))
    error = math.hypot(naive["mcse_mean_log"], found["mcse_mean_log"])
    # at most 8% of carriers die: the factor moves by no more than a tenth of itself
    assert abs(found["mean_log"] - naive["mean_log"] - shift) < 4 * error + 0.1 * shift
    assert shift > 0.5


def test_several_treatment_levels_have_a_prevalence_each(references):
    cohort = references["colon_early_recurrence"].cohort
    baseline = GammaProcess(1.0, is_integrated=True)
    inputs = PiecewiseExponential("rx", "Obs", "age", cutpoints=3, baseline=baseline).prepare(
        cohort
    )
    prior = ConfounderPrior((2.0, 2.0), ((0.5, 0.5), (0.5, 0.5), (0.1, 0.1)))
    fit = fit_latent_confounder(inputs, prior, seed=1, draws=300, tune=300)
    none = ConfounderPrior((1.0, 1.0), prior.prevalence)
    plain = fit_latent_confounder(inputs, none, seed=1, draws=300, tune=300)
    moved = [
        after["mean_log"] - before["mean_log"]
        for after, before in zip(fit.hazard_ratios, plain.hazard_ratios, strict=True)
    ]
    # the first level has the reference's prevalence, the second a rarer harmful confounder
    assert abs(moved[0]) < 0.05
    assert 0.15 < moved[1] < -math.log(float(bias_factor(2.0, 0.1, 0.5))) + 0.05
    assert [row["treatment"] for row in fit.confounder["prevalence"]] == list(inputs.design.levels)


@pytest.mark.parametrize(
    ("hazard_ratio", "prevalence", "told"),
    [
        ((3.0, 2.0), ((0.1, 0.2), (0.1, 0.2)), "from 3 to 2 is impossible"),
        ((0.0, 2.0), ((0.1, 0.2), (0.1, 0.2)), "limits above 0"),
        ((1.0, 2.0), ((0.1, 0.2), (0.0, 0.2)), "limits between 0 and 1"),
        ((1.0, 2.0), ((0.1, 0.2), (0.3, 0.2)), "from 0.3 to 0.2"),
    ],
)
def test_impossible_beliefs_are_refused(hazard_ratio, prevalence, told):
    with pytest.raises(SensitivityError, match=told):
        ConfounderPrior(hazard_ratio, prevalence)


def test_prevalences_and_treatment_must_be_one_a_level_and_one_a_patient(simulated_cohorts):
    cohort = simulated_cohorts[3]
    inputs = PiecewiseExponential("arm", 0, "x", cutpoints=2).prepare(cohort)
    three = ConfounderPrior((1.0, 2.0), ((0.1, 0.2),) * 3)
    with pytest.raises(SensitivityError, match="3 prevalences, but the treatment has 2 levels"):
        fit_latent_confounder(inputs, three, seed=1)
    table = cohort.table.copy()
    first = table.groupby("patient").head(1).index[:7]
    table.loc[first, "arm"] = 1 - table.loc[first, "arm"]
    changing = read_cohort(table, time="stop", event="death", entry="start", id="patient")
    inputs = PiecewiseExponential("arm", 0, "x", cutpoints=2).prepare(changing)
    two = ConfounderPrior((1.0, 2.0), ((0.1, 0.2),) * 2)
    with pytest.raises(SensitivityError, match="changes within 7 of 60 patients"):
        fit_latent_confounder(inputs, two, seed=1)
