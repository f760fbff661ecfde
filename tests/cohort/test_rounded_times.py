"""Rounded times: their unit is found, what they cost is told, and draws within it repair it."""

import numpy as np
import pandas as pd
import pytest

from bayes_crlm.cohort.coarse_times import rounded_times
from bayes_crlm.cohort.outcome.rounded_times import unit_of_times
from bayes_crlm.cohort.reading import read_cohort
from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
from bayes_crlm.likelihood.kaplan_meier import kaplan_meier
from bayes_crlm.words.errors import CohortError


def followed(n=200, seed=1, median=24.0):
    rng = np.random.default_rng(seed)
    arm = rng.integers(2, size=n)
    death = rng.exponential(median / np.log(2), n) * np.where(arm, 1.6, 1.0)
    censored = rng.uniform(20, 90, n)
    return pd.DataFrame(
        {"time": np.minimum(death, censored), "death": (death <= censored).astype(int), "arm": arm}
    )


def rounded_to(table, unit, to="nearest"):
    written = {"nearest": np.round, "up": np.ceil, "down": np.floor}[to](table["time"] / unit)
    return table.assign(time=written * unit)


def cohort_of(table, **options):
    return read_cohort(table, time="time", event="death", unit="months", **options)


@pytest.mark.parametrize("unit", [1, 0.5, 3, 6, 12, 1 / 30.4375, 7 / 30.4375, 0.1, 365.25])
@pytest.mark.parametrize("seed", range(3))
def test_the_unit_of_times_is_found(unit, seed):
    times = rounded_to(followed(seed=seed, median=50 * unit if unit < 1 else 200), unit, "up")
    assert unit_of_times(times["time"].to_numpy()) == pytest.approx(unit, rel=1e-5)


def test_a_few_times_that_were_replaced_by_hand_hide_no_unit():
    times = rounded_to(followed(), 12, "up")["time"].to_numpy(copy=True)
    times[:5] = 0.5
    assert unit_of_times(times) == pytest.approx(12)


@pytest.mark.parametrize("width", [0.01, 1 / 30.4375, 0.5, 1.5, 2])
@pytest.mark.parametrize("share", [0.1, 0.3])
def test_times_of_zero_that_were_given_a_width_hide_no_unit(width, share):
    table = rounded_to(followed(400), 3, "up")
    table.loc[np.arange(400) % 100 < 100 * share, "time"] = 0.0
    cohort = cohort_of(table, zero_times=width)
    assert rounded_times(cohort).unit == pytest.approx(3)
    assert unit_of_times(cohort.time) == pytest.approx(3)


@pytest.mark.parametrize("seed", range(20))
def test_a_first_time_among_multiples_of_the_same_unit_makes_it_no_longer(seed):
    rng = np.random.default_rng(seed)
    assert unit_of_times(rng.integers(1, 40, 25).astype(float)) == pytest.approx(1)


def test_times_to_the_digits_of_the_machine_have_no_unit():
    for seed in range(5):
        assert unit_of_times(followed(seed=seed)["time"].to_numpy()) is None


@pytest.mark.parametrize(
    ("unit", "words"), [(1, None), (4, "biased slightly"), (12, "do not trust the survival curve")]
)
def test_the_caution_goes_by_the_units_share_of_the_median_survival(unit, words):
    cohort = cohort_of(rounded_to(followed(), unit, "up"))
    cautions = [
        each for each in PiecewiseExponential("arm", 0).prepare(cohort).cautions
        if "rounded" in each
    ]  # fmt: skip
    if words is None:
        assert cautions == []
        return
    (said,) = cautions
    assert words in said
    assert f"data.rounded = {{unit = {unit}, " in said
    found = rounded_times(cohort)
    median = kaplan_meier(cohort.entry, cohort.time, cohort.event).median()[0]
    assert found.share == pytest.approx(unit / median)


@pytest.mark.parametrize("to", ["nearest", "up", "down"])
def test_times_are_drawn_once_within_their_unit_evenly(to):
    table = rounded_to(followed(2000), 3, to)
    options = {"rounded": {"unit": 3, "to": to}, "zero_times": 0.01}
    cohort = cohort_of(table, seed=1, **options)
    low, high = {"nearest": (-1.5, 1.5), "up": (-3, 0), "down": (0, 3)}[to]
    moved = cohort.time - table["time"].to_numpy()
    inside = table["time"].to_numpy() >= 3
    assert ((moved >= low) & (moved <= high))[inside].all()
    share = (moved[inside] - low) / (high - low)
    assert abs(share.mean() - 0.5) < 4 / np.sqrt(12 * inside.sum())
    assert np.sort(share)[:: len(share) // 10] == pytest.approx(np.arange(0, 1.01, 0.1)[
        : len(np.sort(share)[:: len(share) // 10])], abs=0.06)  # fmt: skip
    assert (cohort.time > 0).all()
    assert rounded_times(cohort) is None
    assert any("were drawn once within 3" in each for each in cohort.remarks)
    again = cohort_of(table, seed=1, **options)
    assert again.time.tolist() == cohort.time.tolist()
    assert cohort_of(table, seed=2, **options).time.tolist() != cohort.time.tolist()


def test_draws_do_not_depend_on_the_order_of_rows():
    table = rounded_to(followed(300), 6, "up").assign(patient=range(300), x=np.arange(300) % 7)
    shuffled = table.sample(frac=1, random_state=1)
    for id in (None, "patient"):
        options = {"rounded": {"unit": 6, "to": "up"}, "seed": 3, "id": id}
        one, other = cohort_of(table, **options), cohort_of(shuffled, **options)
        assert other.time.tolist() == one.time[shuffled.index].tolist()


def test_all_times_of_a_patient_move_together():
    whole = rounded_to(followed(120), 3, "up").assign(patient=range(120))
    cut = whole[whole["time"] > 3]
    first = cut.assign(start=0.0, time=3.0, death=0)
    rows = pd.concat([whole.assign(start=np.where(whole["time"] > 3, 3.0, 0.0)), first])
    cohort = read_cohort(
        rows, time="time", event="death", entry="start", id="patient",
        rounded={"unit": 3, "to": "up"}, seed=1,
    )  # fmt: skip
    table = pd.DataFrame({"p": cohort.patient_index, "a": cohort.entry, "b": cohort.time})
    for _, own in table.groupby("p"):
        own = own.sort_values("a")
        assert own["a"].iloc[0] == 0
        assert own["a"].to_numpy()[1:].tolist() == own["b"].to_numpy()[:-1].tolist()
        assert (own["b"] > own["a"]).all()


def test_draws_repair_the_survival_curve_and_the_hazard_ratio():
    exact = followed(1500, seed=4)
    written = rounded_to(exact, 12, "up")
    fits = {}
    for name, table, options in (
        ("exact", exact, {}),
        ("rounded", written, {}),
        ("drawn", written, {"rounded": {"unit": 12, "to": "up"}, "seed": 1}),
    ):
        model = PiecewiseExponential("arm", 0, cutpoints=[3, 6, 9, 12, 18, 24, 36, 48])
        fits[name] = model.fit(cohort_of(table, **options), engine="laplace", seed=1, draws=500)
    effect = {name: fit.hazard_ratios()["mean_log"].iloc[0] for name, fit in fits.items()}
    se = fits["exact"].hazard_ratios()["sd_log"].iloc[0]
    assert abs(effect["drawn"] - effect["exact"]) < 0.3 * se
    assert abs(effect["rounded"] - effect["exact"]) > 0.3 * se
    at = {name: fit.survival([6])["mean"].to_numpy() for name, fit in fits.items()}
    assert np.abs(at["drawn"] - at["exact"]).max() < 0.03
    assert np.abs(at["rounded"] - at["exact"]).max() > 0.05


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rounded": {"unit": 0, "to": "up"}, "seed": 1}, "rounded.unit must be a number above 0"),
        ({"rounded": {"unit": 1, "to": "even"}, "seed": 1}, "rounded.to must be one of"),
        ({"rounded": {"unit": 1}, "seed": 1}, "rounded.to must be one of"),
        ({"rounded": 1, "seed": 1}, "rounded must say unit and to"),
        ({"rounded": {"unit": 1, "to": "up"}}, "give a seed"),
        ({"rounded": {"unit": 1, "too": "up"}, "seed": 1}, "did you mean 'to'"),
    ],
)
def test_a_wrong_rounding_is_one_sentence(options, words):
    with pytest.raises(CohortError, match="rounded") as caught:
        cohort_of(followed(), **options)
    assert words in str(caught.value)


@pytest.mark.parametrize("to", ["nearest", "up", "down"])
def test_rows_join_where_the_start_of_treatment_was_rounded_to_an_end_of_follow_up(to):
    """Treatment in the first month, or in that of the death: a row from 0 to 0, or from 9 to 9."""
    written = {"nearest": np.round, "up": np.ceil, "down": np.floor}[to]
    rng = np.random.default_rng(4)
    n = 600
    death = rng.exponential(8.0, n) + 1.6
    start = np.where(np.arange(n) % 2, np.minimum(rng.exponential(0.6, n), 0.99 * death), 0)
    rows = [
        row
        for k in range(n)
        for row in (
            [(k, 0.0, start[k], 0, 0), (k, start[k], death[k], 1, 1)]
            if start[k] > 0
            else [(k, 0.0, death[k], 1, 0)]
        )
    ]
    exact = pd.DataFrame(rows, columns=["id", "entry", "time", "death", "arm"])
    table = exact.assign(entry=written(exact["entry"]), time=written(exact["time"]))
    assert (table["entry"] == table["time"]).any()
    cohort = cohort_of(
        table, entry="entry", id="id", rounded={"unit": 1, "to": to}, seed=3, zero_times=0.3
    )
    assert cohort.n_events == n
    first, last = np.full(n, np.inf), np.zeros(n)
    np.minimum.at(first, cohort.patient_index, cohort.entry)
    np.maximum.at(last, cohort.patient_index, cohort.time)
    assert cohort.exposure == pytest.approx((last - first).sum())
    assert cohort.exposure == pytest.approx(death.sum(), rel=0.02)
    curves = [
        kaplan_meier(entry, time, event).at(np.array([4.0, 8.0, 16.0]))
        for entry, time, event in (
            (np.zeros(n), death, np.ones(n)),
            (cohort.entry, cohort.time, cohort.event),
        )
    ]
    assert curves[1] == pytest.approx(curves[0], abs=0.02)
