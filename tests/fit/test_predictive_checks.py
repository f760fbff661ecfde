"""What the model predicts for the patients as observed: curves along their rows, event counts."""

import warnings

import numpy as np
import pandas as pd
import pytest

import bayes_crlm as bc
from bayes_crlm.fit.observed_survival import kaplan_meier_distances
from bayes_crlm.likelihood.kaplan_meier import kaplan_meier


def starting_treatment(n, seed, ratio=0.3, mean_start=6.0, rate=0.06):
    """Treatment starts after an exponential time; from then on the hazard is `ratio` times."""
    rng = np.random.default_rng(seed)
    rows = []
    for patient in range(n):
        start, censored = rng.exponential(mean_start), rng.uniform(12, 60)
        target = rng.exponential()
        death = (
            target / rate
            if target < rate * start
            else start + (target - rate * start) / (rate * ratio)
        )
        end, event = min(death, censored), int(death <= censored)
        if start < end:
            rows += [(patient, 0.0, start, 0, 0), (patient, start, end, event, 1)]
        else:
            rows.append((patient, 0.0, end, event, 0))
    return pd.DataFrame(rows, columns=["patient", "start", "stop", "event", "treated"])


@pytest.fixture(scope="module")
def rows_fit():
    """The right model of a treatment that starts during follow-up."""
    cohort = bc.read_cohort(
        starting_treatment(600, 1), time="stop", event="event", entry="start", id="patient"
    )
    return bc.PiecewiseExponential("treated", 0, cutpoints=5).fit(cohort, engine="laplace", seed=1)


def predicted_curves(fit, times):
    """Kaplan-Meier at given times of every predicted cohort."""
    predicted = fit.posterior["posterior_predictive"].to_dataset()
    n = predicted.sizes["patient"]
    return np.array(
        [
            kaplan_meier(np.zeros(n), time, event).at(times)
            for time, event in zip(
                predicted["time"].values.reshape(-1, n),
                predicted["event"].values.reshape(-1, n),
                strict=True,
            )
        ]
    )


def test_the_right_model_of_rows_predicts_the_observed_curve(rows_fit):
    """Predicting with the first row's covariates for ever falls far below it."""
    times = [12.0, 24.0, 36.0]
    observed = rows_fit.posterior["observed_data"].to_dataset()
    curve = kaplan_meier(
        np.zeros(observed.sizes["patient"]), observed["time"].values, observed["event"].values
    ).at(times)
    drawn = predicted_curves(rows_fit, times)
    assert np.all(np.abs(drawn.mean(axis=0) - curve) < 4 * drawn.std(axis=0))
    # those who leave by their own event leave early, which shifts the curve by less than 0.02
    assert np.all(np.abs(drawn.mean(axis=0) - curve) < 0.05)
    # where the first rows' hazard would lead
    assert np.exp(-0.06 * 36) < curve[2] - 0.2


def test_expected_events_are_the_rows_cumulative_hazards(rows_fit):
    """Of one draw, summed row by row and interval by interval."""
    table, inputs = rows_fit.expected_events(), rows_fit.inputs
    cutpoints, level = inputs.intervals.cutpoints, inputs.design.treatment_level
    entry, time = inputs.cohort.entry, inputs.cohort.time
    hazard = np.exp(rows_fit.log_hazard_draws)
    relative = np.exp(rows_fit.effect_draws @ inputs.data.design.T)
    for row in table.itertuples():
        low, high = row[3], row.to
        spent = np.clip(np.minimum(time, high) - np.maximum(entry, low), 0, None)
        here = level == row.treatment
        assert row.exposure == pytest.approx(spent[here].sum())
        total = (relative[:, here] @ spent[here]) * hazard[:, row.interval - 1]
        assert row.expected == pytest.approx(total.mean(), rel=1e-9)
        falls = here & (inputs.cohort.event == 1) & (time > low) & (time <= high)
        assert row.observed == falls.sum()
        assert row.eti95_low <= row.expected <= row.eti95_high
        assert row.eti95_high - row.eti95_low >= 2 * 1.5 * np.sqrt(row.expected) - 2
    assert table["observed"].sum() == inputs.cohort.n_events
    assert cutpoints[-1] == table["to"].max()
    # in every draw the score equations nearly hold: as many events are expected as were observed
    assert table["expected"].sum() == pytest.approx(inputs.cohort.n_events, rel=0.05)


def crossing(n, seed):
    """Hazard ratio 3 until time 6, then 0.3."""
    rng = np.random.default_rng(seed)
    arm, target = rng.integers(2, size=n), rng.exponential(size=n)
    early, late = 0.05 * np.where(arm, 3, 1), 0.05 * np.where(arm, 0.3, 1)
    death = np.where(target < 6 * early, target / early, 6 + (target - 6 * early) / late)
    return pd.DataFrame(
        {"arm": arm, "time": np.minimum(death, 40), "event": (death <= 40).astype(int)}
    )


@pytest.mark.parametrize("seed", range(2))
def test_crossing_hazards_show_in_counts_and_in_the_distance_from_kaplan_meier(seed):
    cohort = bc.read_cohort(crossing(500, seed), time="time", event="event")
    fit = bc.PiecewiseExponential("arm", 0, cutpoints=[3, 6, 12]).fit(
        cohort, engine="laplace", seed=1
    )
    table = fit.expected_events().query("treatment == 1")
    assert table["observed"].iloc[0] > table["eti95_high"].iloc[0]
    assert table["observed"].iloc[2] <= table["eti95_low"].iloc[2]
    distance = {row["treatment"]: row for row in kaplan_meier_distances(fit)}
    # exp(-0.05 x 3 x 6) of the arm is 0.41; the curve of proportional hazards lies above it by
    # more than four standard errors
    assert distance[1]["distance"] > 4 * np.sqrt(0.41 * 0.59 / 250)
    assert 3 < distance[1]["time"] < 15
    assert distance[1]["kaplan_meier"] < distance[1]["model"]


@pytest.mark.parametrize("seed", range(2))
def test_the_largest_distance_is_that_of_the_two_curves(seed):
    """By brute force over a fine grid, where the arm has ten patients at risk."""
    cohort = bc.read_cohort(crossing(120, seed), time="time", event="event")
    fit = bc.PiecewiseExponential("arm", 0, cutpoints=3).fit(cohort, engine="laplace", seed=1)
    grid = np.sort(np.concatenate([cohort.time - 1e-7, cohort.time, np.linspace(0.01, 39.9, 400)]))
    model = fit.survival_draws(grid, most_draws=1000).values.mean(axis=0)
    for k, row in enumerate(kaplan_meier_distances(fit)):
        rows = fit.inputs.design.treatment_level == k
        curve = kaplan_meier(np.zeros(rows.sum()), cohort.time[rows], cohort.event[rows])
        enough = curve.number_at_risk(grid) >= 10
        gap = np.abs(curve.at(grid) - model[k])[enough]
        # the model's curve is drawn through 121 points
        assert row["distance"] == pytest.approx(np.nanmax(gap), abs=2e-3)


def test_arviz_pairs_the_groups_by_the_one_outcome(rows_fit):
    import arviz as az
    import matplotlib.pyplot as plt

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for plot in (az.plot_ppc_dist, az.plot_ppc_pit, az.plot_loo_pit):
            plot(rows_fit.posterior, backend="matplotlib")
            plt.close("all")
        assert az.loo(rows_fit.posterior).n_data_points == rows_fit.inputs.cohort.n_patients


def test_every_group_of_posterior_nc_says_what_it_was_made_from(tmp_path):
    import xarray as xr

    cohort = bc.read_cohort("crlm-synthetic", time="os_months", event="death")
    fit = bc.PiecewiseExponential("repeat_local", 0, cutpoints=3).fit(
        cohort, engine="laplace", seed=7
    )
    fit.posterior.to_netcdf(tmp_path / "posterior.nc")
    with xr.open_datatree(tmp_path / "posterior.nc") as tree:
        for group in (tree, *tree.children.values()):
            assert group.attrs["comment"] == "synthetic, not patient data"
            assert group.attrs["synthetic"] == 1
            assert group.attrs["unit"] == "months"
            assert (group.attrs["origin"], group.attrs["population"]) == (0.0, "entrants")
            assert (group.attrs["seed"], group.attrs["engine"]) == (7, "laplace")
            assert group.attrs["version"] == bc.__version__


def test_a_real_cohorts_posterior_says_that_it_is_not_synthetic(rows_fit):
    for group in rows_fit.posterior.children.values():
        assert group.attrs["synthetic"] == 0
        assert "comment" not in group.attrs
