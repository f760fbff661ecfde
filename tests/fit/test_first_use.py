"""First use from Python: values are shown in one line, errors are one sentence."""

import numpy as np
import pandas as pd
import pytest

import bayes_crlm as bc

MODEL = bc.PiecewiseExponential("arm", 0, "age")


def table(n=60):
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"arm": np.arange(n) % 2, "age": rng.normal(60, 10, n)})
    return frame.assign(time=rng.exponential(12, n) + 0.1, event=1, cohort=np.arange(n) % 3)


@pytest.fixture(scope="module")
def stack():
    return bc.stack_cohorts(table(), cohort="cohort", time="time", event="event")


def test_a_fit_and_a_stack_are_shown_in_one_line(stack):
    fit = MODEL.fit(bc.read_cohort(table(), time="time", event="event"), engine="laplace", seed=1)
    assert repr(fit) == "<Fit of DataFrame: engine laplace, 4,000 draws>"
    assert repr(stack) == "<CohortStack: 3 cohorts in 60 rows>"


def test_a_table_in_the_place_of_a_cohort_is_refused(stack):
    with pytest.raises(bc.BayesCRLMError, match="a cohort is needed, not a DataFrame; read_cohort"):
        MODEL.fit(table())
    with pytest.raises(bc.BayesCRLMError, match="fit_many takes cohorts, not 'arm'"):
        bc.fit_many(MODEL, table())


def test_a_term_that_no_cohort_has_is_refused_with_those_there_are(stack):
    many = bc.fit_many(MODEL, stack, seeds=1, cox=False)
    with pytest.raises(bc.BayesCRLMError, match="no cohort has a term .armm.; there are"):
        many.of_term("armm")


def test_where_no_cohort_was_fitted_the_reason_is_said(stack):
    many = bc.fit_many(bc.PiecewiseExponential("arm", 0, "agee"), stack, seeds=1, cox=False)
    with pytest.raises(bc.BayesCRLMError, match="no cohort was fitted: .*'agee'"):
        many.of_term()
