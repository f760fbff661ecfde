"""Draws for a seed, starts, and what is kept of the sampler's statistics."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bayes_crlm.cohort.reading import read_cohort
from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
from bayes_crlm.inference.native.flat_density import native_density
from bayes_crlm.inference.nuts import sample_nuts
from bayes_crlm.model.baseline_priors import GammaProcess
from bayes_crlm.words.errors import BayesCRLMError

REFERENCE = Path(__file__).parents[1] / "reference"
INTEGRATED = GammaProcess(1.0, is_integrated=True)


def prepared(cohort, baseline, **settings):
    model = PiecewiseExponential("arm", 0, "x", cutpoints=4, baseline=baseline, **settings)
    return model.prepare(cohort)


@pytest.mark.parametrize("baseline", ["independent", INTEGRATED], ids=["independent", "integrated"])
def test_the_same_seed_gives_the_same_draws_and_another_seed_others(simulated_cohorts, baseline):
    inputs = prepared(simulated_cohorts[3], baseline)
    first, again, other = (
        sample_nuts(inputs, draws=40, tune=60, chains=2, seed=seed) for seed in (9, 9, 10)
    )
    assert first.vectors.shape[:2] == (2, 40)
    np.testing.assert_array_equal(first.vectors, again.vectors)
    assert not np.any(first.vectors == other.vectors)
    # chains differ from each other
    assert not np.any(first.vectors[0] == first.vectors[1])
    for name in ("energy", "tree_depth", "diverging", "acceptance_rate"):
        np.testing.assert_array_equal(first.statistics[name], again.statistics[name])


def test_statistics_have_the_names_of_arviz(simulated_cohorts):
    inputs = prepared(simulated_cohorts[3], "random_walk")
    drawn = sample_nuts(inputs, draws=40, tune=60, chains=2, seed=9)
    names = {"diverging", "energy", "tree_depth", "reached_max_treedepth", "step_size", "lp"}
    assert names <= set(drawn.statistics)
    assert drawn.statistics["diverging"].dtype == bool
    for chain, draw in ((0, 0), (1, 39)):
        vector = drawn.vectors[chain, draw]
        value = native_density(inputs.density_data, inputs.blocks).value(vector)
        stored = drawn.statistics["lp"][chain, draw]
        assert stored == pytest.approx(value, rel=1e-10)


def test_a_scale_that_is_sampled_makes_no_funnel():
    """Twelve intervals for few events: plainly non-centred, such a walk diverges."""
    cohort = read_cohort(REFERENCE / "ovarian.csv", time="time", event="event")
    model = PiecewiseExponential(
        "rx", 1, "age + resid", cutpoints=12, covariate_prior="horseshoe(0.5)"
    )
    drawn = sample_nuts(model.prepare(cohort), draws=1000, tune=1000, chains=4, seed=1)
    assert int(drawn.statistics["diverging"].sum()) == 0
    # plainly non-centred coordinates took more than 30
    assert float(drawn.statistics["n_steps"].mean()) < 12


# what a process that samples has imported, and its draws
SAMPLE = """
import sys
import numpy as np, pandas as pd
from bayes_crlm.cohort.reading import read_cohort
from bayes_crlm.words.errors import BayesCRLMError
from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
from bayes_crlm.inference.nuts import sample_nuts
rng = np.random.default_rng(1)
table = pd.DataFrame({"arm": rng.integers(2, size=60), "x": rng.normal(size=60),
                      "time": rng.exponential(size=60), "event": rng.integers(2, size=60)})
model = PiecewiseExponential("arm", 0, "x", cutpoints=4, baseline="independent")
inputs = model.prepare(read_cohort(table, time="time", event="event"))
drawn = sample_nuts(inputs, draws=20, tune=50, chains=2, seed=3)
print("pymc" in sys.modules, repr(float(drawn.vectors.sum())))
"""


def test_processes_sample_the_same_without_pymc(tmp_path, monkeypatch):
    # the first compiles, the second loads what the first kept
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    first, second = (
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", SAMPLE],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split()
        for _ in range(2)
    )
    assert first == second
    assert first[0] == "False"


INTERRUPTED = """
import sys
import numpy as np, pandas as pd
import bayes_crlm as bc
from bayes_crlm.inference.native.nutpie_part import compiled_part
assert compiled_part() is not None
rng = np.random.default_rng(1)
table = pd.DataFrame({"arm": rng.integers(2, size=60), "time": rng.exponential(size=60),
                      "event": rng.integers(2, size=60)})
model = bc.PiecewiseExponential("arm", 0, cutpoints=4)
cohort = bc.read_cohort(table, time="time", event="event")
print("sampling", flush=True)
try:
    model.fit(cohort, draws=500_000, tune=100, seed=1)
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize("delay", [0.5, 2.0])
def test_an_interrupt_ends_sampling_without_a_posterior(delay):
    """nutpie itself would give what was drawn so far, as if that were all."""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", INTERRUPTED], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "sampling\n"
    time.sleep(delay)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert (said, process.returncode) == ("interrupted\n", 0)


@pytest.mark.parametrize(
    "settings",
    [
        {"draws": 0}, {"draws": "10"}, {"draws": 2.5}, {"chains": 0}, {"chains": True},
        {"tune": -1}, {"seed": -1}, {"seed": 2**64}, {"target_accept": 1.0}, {"engine": "mcmc"},
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("engine", ["nuts", "laplace"])
def test_impossible_settings_are_refused_in_one_sentence(simulated_cohorts, engine, settings):
    model = PiecewiseExponential("arm", 0, "x", cutpoints=4)
    (name,) = settings
    if engine == "nuts":
        # importance draws need no warm-up
        with pytest.raises(BayesCRLMError, match="tune 0"):
            model.fit(simulated_cohorts[1], tune=0)
    with pytest.raises(BayesCRLMError, match=name):
        model.fit(simulated_cohorts[1], **{"engine": engine, **settings})
