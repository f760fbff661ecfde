"""Any model sampled on a native density: right draws, labels, and one compilation a structure."""

import numpy as np
import pymc as pm
import pytest
from scipy import stats

from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
from bayes_crlm.inference import pymc_sampling
from bayes_crlm.inference.block_coordinates import sampler_coordinates
from bayes_crlm.inference.native.compiled_graph import address_of, graph_target
from bayes_crlm.inference.native.coordinates import extended_coordinates, plain_coordinates
from bayes_crlm.inference.pymc_sampling import compile_model, flat_data, sample_model
from bayes_crlm.inference.sample_diagnostics import diagnose_sample

SAMPLING = {"draws": 1000, "tune": 500, "chains": 4}


def conjugate_model(n_rows, seed):
    """Normal means with known variance, and a share: both posteriors are known exactly."""
    rng = np.random.default_rng(seed)
    groups = ["x", "y", "z"][: 1 + n_rows % 3]
    group = rng.integers(len(groups), size=n_rows)
    values = rng.normal(group, 1.0)
    yes = rng.binomial(1, 0.3, n_rows)
    with pm.Model(coords={"row": range(n_rows), "group": groups}) as model:
        at = pm.Data("at", group, dims="row")
        mean = pm.Normal("mean", 0.0, 2.0, dims="group")
        share = pm.Beta("share", 2.0, 5.0)
        pm.Deterministic("odds", share / (1 - share))
        pm.Potential("yes", pm.logp(pm.Bernoulli.dist(share), pm.Data("is_yes", yes)).sum())
        pm.Normal("value", mean[at], 1.0, observed=pm.Data("seen", values), dims="row")
    return model, group, values, yes


@pytest.fixture(scope="module")
def sampled():
    """Two models of one structure, with other data, other lengths and other labels."""
    made = []
    for n_rows, seed in ((40, 1), (62, 2)):
        model, *data = conjugate_model(n_rows, seed)
        tree = sample_model(model, structure="conjugate", seed=seed, **SAMPLING)
        made.append((model, tree, data))
    return made


def test_posteriors_are_the_known_ones_for_both_models_of_a_structure(sampled):
    assert "conjugate" in pymc_sampling.compiled_models
    for model, tree, (group, values, yes) in sampled:
        posterior = tree["posterior"].to_dataset()
        labels = list(model.coords["group"])
        assert posterior["mean"].coords["group"].values.tolist() == labels
        for k in range(len(labels)):
            precision = 1 / 4 + np.sum(group == k)
            expected = stats.norm(values[group == k].sum() / precision, precision**-0.5)
            check_distribution(posterior["mean"].values[..., k], expected)
        check_distribution(
            posterior["share"].values, stats.beta(2 + yes.sum(), 5 + (1 - yes).sum())
        )
        share = posterior["share"].values
        np.testing.assert_allclose(posterior["odds"].values, share / (1 - share))


def check_distribution(draws, expected):
    """Mean and standard deviation within 4 Monte Carlo errors of the exact ones."""
    import arviz_stats as azs

    effective = float(azs.ess(draws))
    assert abs(draws.mean() - expected.mean()) < 4 * expected.std() / effective**0.5
    # for a nearly normal quantity, of as many effective draws for its square
    effective = float(azs.ess((draws - expected.mean()) ** 2))
    assert abs(draws.std() / expected.std() - 1) < 4 / (2 * effective) ** 0.5 * 1.1


def test_log_likelihoods_are_those_of_the_draws(sampled):
    _, tree, (group, values, _) = sampled[1]
    mean = tree["posterior"]["mean"].values[2, 17]
    np.testing.assert_allclose(
        tree["log_likelihood"]["value"].values[2, 17], stats.norm.logpdf(values, mean[group])
    )


def test_density_is_the_models_own():
    model, *_ = conjugate_model(40, 1)
    compiled = compile_model(model, "conjugate")
    point = {"mean": np.array([0.3, -0.2]), "share_logodds__": np.array(0.4)}
    vector = np.concatenate([np.ravel(point[value.name]) for value in model.value_vars])
    plain = plain_coordinates(np.zeros(len(vector))).lay_out()
    target = graph_target(compiled.density, flat_data(model, compiled.inputs), plain)
    value, gradient, code = target.value_and_gradient(vector)
    assert code == 0
    assert float(value) == pytest.approx(float(model.compile_logp()(point)), rel=1e-12)
    np.testing.assert_allclose(gradient, model.compile_dlogp()(point), rtol=1e-10)


def test_a_seed_gives_the_same_draws_and_diagnostics_are_plain(sampled):
    model, tree, _ = sampled[0]
    again = sample_model(model, structure="conjugate", seed=1, **SAMPLING)
    np.testing.assert_array_equal(
        again["posterior"]["mean"].values, tree["posterior"]["mean"].values
    )
    found = diagnose_sample(tree, ["mean", "share"])
    assert found.is_trustworthy
    assert found.divergences == 0
    assert found.max_r_hat < 1.01
    assert found.elpd_loo == pytest.approx(exact_elpd(*sampled[0][2][:2]), abs=0.2)


def exact_elpd(group, values):
    """Leave-one-out predictive density of the conjugate model, each value given the others."""
    total = 0.0
    for k, value in enumerate(values):
        others = np.delete(values, k)[np.delete(group, k) == group[k]]
        precision = 1 / 4 + len(others)
        total += stats.norm.logpdf(value, others.sum() / precision, (1 + 1 / precision) ** 0.5)
    return total


def test_chains_that_do_not_mix_are_marked():
    with pm.Model() as model:
        pm.Mixture("two", [0.5, 0.5], [pm.Normal.dist(-9, 0.3), pm.Normal.dist(9, 0.3)])
    centre = plain_coordinates(np.zeros(1))
    found = diagnose_sample(
        sample_model(model, seed=1, draws=200, tune=200, chains=6, coordinates=centre), ["two"]
    )
    assert not found.is_trustworthy
    assert any("R-hat" in failure for failure in found.failures)


def test_what_cannot_be_sampled_is_refused_by_name():
    for make, told in (
        (lambda: pm.Poisson("count", 3.0), "'count' is discrete"),
        (lambda: pm.Normal("plain", 0, 1, shape=3), "'plain' has no named dims"),
        (lambda: pm.Dirichlet("share", np.ones(3), dims="part"), "SimplexTransform"),
    ):
        with pm.Model(coords={"part": range(3)}) as model:
            make()
        with pytest.raises(TypeError, match=told):
            sample_model(model, seed=1)


def test_further_unknowns_leave_the_map_of_the_others_as_it_was(simulated_cohorts):
    """The random walk's coordinates have every kind of part."""
    inputs = PiecewiseExponential("arm", 0, "x", cutpoints=4).prepare(simulated_cohorts[1])
    base = sampler_coordinates(inputs.block_model)
    more = extended_coordinates(base, np.array([2.0, -1.0]))
    assert more.size == base.size + 2
    rng = np.random.default_rng(1)
    point, slope = rng.normal(size=more.size), rng.normal(size=more.size)
    found, jacobian = more.lay_out().to_model(point)
    expected, of_base = base.lay_out().to_model(point[: base.size])
    assert jacobian == pytest.approx(of_base, rel=1e-12)
    np.testing.assert_allclose(found[: base.size], expected)
    np.testing.assert_allclose(found[base.size :], point[base.size :] + np.array([2.0, -1.0]))
    gradient = more.lay_out().gradient(point, found, slope)
    of_base_gradient = base.lay_out().gradient(point[: base.size], expected, slope[: base.size])
    np.testing.assert_allclose(gradient[: base.size], of_base_gradient)
    np.testing.assert_allclose(gradient[base.size :], slope[base.size :])


def test_a_density_compiled_for_other_types_has_no_address():
    import numba

    @numba.njit
    def other(x):
        return x + 1

    other(1.0)
    with pytest.raises(RuntimeError, match="not three vectors"):
        address_of(other)
