"""Forty patients with columns of any type, for tests of what columns mean."""

import numpy as np
import pandas as pd
import pytest

from bayes_crlm.analysis.plan import plan_analysis
from bayes_crlm.cohort.reading import read_cohort
from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
from bayes_crlm.specification.spec import Spec
from bayes_crlm.words.errors import BayesCRLMError

N = 40


def table(**columns):
    """Forty patients on two arms, with further columns."""
    rng = np.random.default_rng(1)
    arm = np.arange(N) % 2
    frame = pd.DataFrame({"arm": arm, "time": 1 + rng.exponential(10, N).round(3)})
    frame["event"] = (np.arange(N) % 3 > 0).astype(int)
    return frame.assign(**columns)


AGES = [40 + k % 17 for k in range(N)]


K3 = [k % 3 for k in range(N)]


def terms(source, covariates="x", **options):
    cohort = read_cohort(source, time="time", event="event", **options)
    return PiecewiseExponential("arm", 0, covariates).prepare(cohort).design.terms[1:]


def refused(source, covariates="x", treatment="arm", **options):
    def prepare():
        cohort = read_cohort(source, time="time", event="event", **options)
        PiecewiseExponential(treatment, None, covariates).prepare(cohort)

    with pytest.raises(BayesCRLMError) as caught:
        prepare()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def planned(path, covariates="x", treatment="arm", reference=0, **data):
    tables = {
        "title": "A title",
        "data": {"source": str(path), "time": "time", "event": "event", **data},
        "model": {"treatment": treatment, "reference": reference, "covariates": covariates},
    }
    return plan_analysis(Spec.from_mapping(tables))


def csv(tmp_path, **columns):
    path = tmp_path / "data.csv"
    table(**columns).to_csv(path, index=False)
    return path
