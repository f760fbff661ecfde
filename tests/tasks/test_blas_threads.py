"""The same seed gives the same draws, however many threads linear algebra may use."""

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from bayes_crlm import PiecewiseExponential, read_cohort
from bayes_crlm.tasks.blas_threads import one_blas_thread


def wide_cohort():
    """Large enough for a library to spread a product over its threads."""
    rng = np.random.default_rng(1)
    n = 600
    table = pd.DataFrame({f"z{k}": rng.normal(size=n) for k in range(10)})
    table = table.assign(arm=np.arange(n) % 2, t=rng.exponential(10, n) + 0.1, e=1)
    return read_cohort(table, time="t", event="e")


@pytest.mark.parametrize("baseline", ["independent", "random_walk"])
def test_laplace_draws_are_the_same_with_any_number_of_threads(baseline):
    covariates = " + ".join(f"z{k}" for k in range(10))
    model = PiecewiseExponential("arm", 0, covariates=covariates, baseline=baseline)
    cohort, found = wide_cohort(), []
    for threads in (1, 2, 4):
        with threadpool_limits(limits=threads, user_api="blas"):
            found.append(model.fit(cohort, seed=1, engine="laplace").vectors)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_the_number_of_threads_is_what_it_was_afterwards():
    with threadpool_limits(limits=2, user_api="blas"):
        with one_blas_thread():
            inside = {
                each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"
            }
        after = {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}
    assert inside == {1}
    assert after == {2}
