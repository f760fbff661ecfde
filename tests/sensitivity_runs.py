"""A small cohort with its spec, and random rows of refits, for tests of sensitivity analyses."""

import numpy as np
import pandas as pd
from hypothesis import strategies as st

SPEC = """
title = "A small simulated cohort"
[data]
source = "cohort.csv"
time = "months"
event = "dead"
unit = "months"
[model]
treatment = "arm"
reference = 0
covariates = "age + node"
[model.baseline]
cutpoints = 3
prior = "independent"
[sensitivity]
parts = [{parts}]
[sensitivity.multiverse]
scales = [0.5, 2.0]
families = ["normal"]
baselines = ["independent", "gamma"]
intervals = [2, 4]
"""


def write(folder, parts='"multiverse"', spec=SPEC):
    rng = np.random.default_rng(5)
    n = 80
    table = pd.DataFrame(
        {
            "arm": rng.integers(2, size=n),
            "age": rng.normal(60, 9, n),
            "node": rng.integers(2, size=n),
        }
    )
    death = rng.exponential(20 * np.exp(0.9 * table["arm"] - 0.4 * table["node"]))
    table["months"] = np.minimum(death, 40).round(2) + 0.01
    table["dead"] = (death < 40).astype(int)
    table.to_csv(folder / "cohort.csv", index=False)
    (folder / "small.toml").write_text(spec.replace("{parts}", parts))
    return folder / "small.toml"


# on both sides of every limit, and at it
PROBABILITIES = st.sampled_from([0.0, 0.01, 0.025, 0.0251, 0.3, 0.5, 0.9, 0.9749, 0.975, 1.0])


@st.composite
def refits(draw):
    below = draw(PROBABILITIES)
    median = draw(st.floats(0.2, 5))
    return {
        "label": draw(st.sampled_from(["one", "another", "a third"])),
        "median": median,
        "eti95": [median * draw(st.floats(0.3, 1)), median * draw(st.floats(1, 3))],
        "prob_below_1": below,
        "prob_below_effect": below,
        "is_reliable": draw(st.booleans()),
        "note": "chains have not mixed",
    }
