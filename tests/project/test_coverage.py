"""Intervals cover a known truth; the benchmark `interval_coverage.py` on a short budget."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom, chi2

ROOT = Path(__file__).parents[2]

# a right program fails here once in some thousand seeds
TAIL = 1e-4


@pytest.fixture(scope="module")
def benchmark_module():
    """`benchmarks/interval_coverage.py`."""
    path = ROOT / "benchmarks" / "interval_coverage.py"
    spec = importlib.util.spec_from_file_location("interval_coverage", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def check_calibration(rows, truth):
    """Hold covered intervals against a binomial, and standardised errors against a chi-square."""
    mean, sd, low, high = (
        np.array([row[key] for row in rows]) for key in ("mean", "sd", "low", "high")
    )
    truth = np.array(list(truth.values()))
    n_missed = int(np.sum((truth < low) | (truth > high)))
    least, most = binom.ppf([TAIL, 1 - TAIL], mean.size, 0.05)
    assert least <= n_missed <= most
    # too small or too large standard deviations show here long before intervals miss
    total = float(np.sum(((mean - truth) / sd) ** 2))
    assert chi2.ppf(TAIL, mean.size) <= total <= chi2.ppf(1 - TAIL, mean.size)


def test_intervals_cover_the_truth_in_forty_cohorts(benchmark_module):
    rows = [benchmark_module.fit_cohort(number, engine="laplace") for number in range(40)]
    check_calibration(rows, benchmark_module.TRUTH)


@pytest.mark.slow
def test_intervals_of_nuts_cover_the_truth_in_eight_cohorts(benchmark_module):
    rows = [benchmark_module.fit_cohort(number) for number in range(8)]
    check_calibration(rows, benchmark_module.TRUTH)


def test_stored_benchmark_covers_within_binomial_error(benchmark_module):
    stored = json.loads((ROOT / "benchmarks" / "results" / "coverage.json").read_text())
    rows = stored["cohorts"]
    assert len(rows) == benchmark_module.N_COHORTS
    assert stored["settings"]["n_patients"] == 135
    treatment = benchmark_module.by_term(rows)["repeat_local"]["posterior"]
    low, high = treatment.limits
    assert low <= 0.95 <= high
    check_calibration(rows, benchmark_module.TRUTH)


def test_page_shows_the_stored_benchmark(benchmark_module):
    stored = json.loads((ROOT / "benchmarks" / "results" / "coverage.json").read_text())
    page = (ROOT / "docs" / "coverage.md").read_text(encoding="utf-8")
    shown = page.split(benchmark_module.BEGIN)[1].split(benchmark_module.END)[0]
    assert shown.strip() == benchmark_module.table_of(stored["cohorts"]).strip()
    assert "synthetic, not patient data" in page


def test_cohorts_are_simulated_with_the_hazard_ratios_they_claim(benchmark_module):
    # a large cohort's Cox estimates find the truth within four standard errors
    from bayes_crlm.frequentist.cox import fit_cox

    for number in (0, 1):
        table = benchmark_module.simulate_cohort(number, n_patients=20_000)
        table["log(cea)"] = np.log(table["cea"])
        terms = list(benchmark_module.TRUTH)
        cox = fit_cox(np.zeros(len(table)), table["months"], table["death"], table[terms], terms)
        error = (cox.coef - np.array(list(benchmark_module.TRUTH.values()))) / cox.se
        assert np.all(np.abs(error) < 4)


def test_crude_comparison_is_biased_towards_the_treatment(benchmark_module):
    from bayes_crlm.frequentist.cox import fit_cox

    table = benchmark_module.simulate_cohort(0, n_patients=20_000)
    crude = fit_cox(
        np.zeros(len(table)), table["months"], table["death"], table[["repeat_local"]], ["x"]
    )
    assert crude.coef[0] < benchmark_module.TRUTH["repeat_local"] - 3 * crude.se[0]
