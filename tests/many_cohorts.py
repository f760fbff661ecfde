"""Many simulated cohorts, and models fitted to them, that several test modules look at."""

import numpy as np
import pandas as pd

from bayes_crlm import stack_cohorts
from bayes_crlm.cohort.stack import batches_of
from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
from bayes_crlm.model.preparing_many import prepare_batch


def simulate(seed, rows=80, digits=None):
    rng = np.random.default_rng(seed)
    arm, x, z = rng.integers(2, size=rows), rng.normal(size=rows), rng.uniform(1, 9, size=rows)
    death = rng.exponential(np.exp(0.5 * arm - 0.4 * x) * 10)
    end = rng.uniform(5, 30, size=rows)
    time = np.minimum(death, end)
    table = pd.DataFrame({"time": time, "death": (death <= end).astype(int), "arm": arm})
    if digits is not None:
        table["time"] = np.maximum(table["time"].round(digits), 0.5)
    table["start"] = np.where(rng.uniform(size=rows) < 0.3, 0.4 * table["time"], 0.0)
    table["group"] = rng.choice(list("abc"), size=rows)
    return table.assign(x=x, z=z, cohort=seed)


def stacked(seeds, entry=None, **settings):
    tables = [simulate(seed, **settings) for seed in seeds]
    return stack_cohorts(
        pd.concat(tables), cohort="cohort", time="time", event="death", entry=entry
    )


MODEL = PiecewiseExponential("arm", 0, "x + log(z)", cutpoints=4, baseline="independent")


def prepared(model, cohorts):
    (batch,) = batches_of(cohorts)
    return prepare_batch(model, batch)


WALKS = PiecewiseExponential("arm", 0, "x", cutpoints=4)
