"""Rows that cannot be trusted: found by the diagnostics, marked, and without a say."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest

from bayes_crlm import PiecewiseExponential, read_cohort, read_spec
from bayes_crlm.analysis.plan import plan_analysis
from bayes_crlm.figures.comparisons import (
    NOT_RELIABLE,
    plot_forest_rows,
    plot_hazard_ratio_curve,
)
from bayes_crlm.figures.drawing import label_synthetic
from bayes_crlm.inference import importance
from bayes_crlm.report.sensitivity import summarise_sensitivity
from bayes_crlm.sensitivity import posterior_draws, refit
from bayes_crlm.sensitivity.confounding import overlap
from bayes_crlm.sensitivity.parts import Context, unreliable_note
from bayes_crlm.sensitivity.run import Runner, Sensitivity
from bayes_crlm.sensitivity.timing import immortal_time
from bayes_crlm.sensitivity.two_arms import two_arms
from bayes_crlm.sensitivity.verdicts import Judge


def table_of(n_treated_events, n=120, seed=4):
    """Treatment depends on x; of the treated who die, only so many are seen to."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    treated = rng.binomial(1, 1 / (1 + np.exp(0.8 * x)))
    death = rng.exponential(20 * np.exp(-0.5 * x))
    dead = (death < 40).astype(int)
    dead[np.flatnonzero((treated == 1) & (dead == 1))[n_treated_events:]] = 0
    months = np.minimum(death, 40) + 0.01
    return pd.DataFrame({"months": months, "dead": dead, "treated": treated, "x": x})


def prepared(table):
    cohort = read_cohort(table, time="months", event="dead")
    model = PiecewiseExponential("treated", 0, "x", cutpoints=3)
    return model, model.prepare(cohort)


def weighted_rows(n_treated_events):
    arms = two_arms(*prepared(table_of(n_treated_events)), 1)
    found = overlap.compare_weights(arms, overlap.Settings(groups=50), 1)
    rows = {row["method"]: row for row in found["rows"]}
    return arms, found, rows


def test_an_arm_without_events_has_no_weighted_hazard_ratio():
    """The patients' influence vanishes there, and an interval from it with it."""
    _, _, rows = weighted_rows(0)
    for method in ("overlap_weights", "stabilised_weights"):
        assert rows[method]["median"] is None
        assert "no event of its own in the treated arm" in rows[method]["failure"]
    # a prior bounds the hazard ratio of the regression
    assert rows["outcome_regression"]["failure"] is None
    low, high = rows["outcome_regression"]["eti95"]
    assert high / low > 4


def test_few_events_in_an_arm_make_a_row_unreliable():
    arms, found, rows = weighted_rows(3)
    row = rows["overlap_weights"]
    weight = np.array(found["patients"]["overlap_weights"])
    own = weight[arms.is_treated & (arms.event == 1)]
    expected = own.sum() ** 2 / np.sum(own**2)
    assert row["calibration"]["effective_events_treated"] == pytest.approx(expected)
    assert expected <= 3
    assert row["is_reliable"] is False
    assert "too few to know how much a weighted estimate varies" in row["note"]
    assert weighted_rows(12)[2]["overlap_weights"]["is_reliable"] is True


def test_unreliable_weighting_does_not_move_the_conclusion(monkeypatch):
    plan = plan_analysis(read_spec("pfs_neoadjuvant_vs_upfront_early4"))
    run = Runner(refit.Shared.of(plan), 1, None, None, False)
    context = Context(plan=plan, base={}, make_fit=None, level=1, seed=1, run=run)
    settings = overlap.Settings(groups=50)
    assert overlap.analyse(context, settings).moves is True
    monkeypatch.setattr("bayes_crlm.sensitivity.weighted_posterior.FEWEST_EVENTS", 1000.0)
    part = overlap.analyse(context, settings)
    assert part.moves is None
    assert "no weighted hazard ratio can be trusted" in part.sentence
    assert any("2 rows fail their diagnostics" in note.text for note in part.notes)


@pytest.mark.parametrize("n_early", [0, 20])
def test_a_strategy_under_which_nobody_dies_has_no_hazard_ratio(n_early):
    """Deaths of patients who still wait are in both strategies; they do not help."""
    rng = np.random.default_rng(2)
    n = 200
    treated = rng.integers(2, size=n)
    start = np.where(treated == 1, rng.uniform(0.5, 3, n), np.nan)
    # nobody dies after a start, and before the end of the grace period only so many
    months = 4 + rng.exponential(10, n)
    early = np.flatnonzero(treated == 0)[:n_early]
    months[early] = rng.uniform(0.1, 2, n_early)
    dead = np.where(treated == 1, 0, rng.binomial(1, 0.8, n))
    dead[early] = 1
    columns = {"months": months, "dead": dead, "treated": treated, "start": start}
    table = pd.DataFrame(columns | {"x": rng.normal(size=n)})
    arms = two_arms(*prepared(table))
    settings = immortal_time.Settings(start="start", groups=50)
    rows = immortal_time.compare_methods(arms, settings, 1)["rows"]
    clones = [row for row in rows if row["method"].startswith("clone")]
    # with weights, with truncated ones, without
    assert len(clones) == 3
    for row in clones:
        assert row["median"] is None
        assert "no event of its own in the treated arm" in row["failure"]


def test_reruns_by_nuts_are_judged_by_every_diagnostic_of_the_chains(monkeypatch):
    """Draws too few for their effective sample size fail, whatever R-hat says."""
    model, inputs = prepared(table_of(30))
    monkeypatch.setattr(posterior_draws, "NUTS_DRAWS", 60)
    drawn = posterior_draws.sample_by_nuts(model, inputs, 1, "a reason")
    assert drawn.is_reliable is False
    assert set(drawn.chains) == {
        *("max_r_hat", "min_ess_bulk", "min_ess_tail", "min_bfmi"),
        *("divergences", "n_max_depth"),
    }
    assert drawn.chains["min_ess_tail"] < 400
    assert drawn.note.startswith("a reason: NUTS was used instead, and it fails too: ")
    assert "effective sample size" in drawn.note
    row = drawn.row_of(drawn.effect[:, 0])
    assert row["chains"] == drawn.chains
    assert row["is_reliable"] is False


@pytest.mark.parametrize(("pareto_k", "share", "told"), [
    (0.2, 0.05, "importance sampling: the effective sample size is only 100 of 2,000 draws"),
    (0.9, 0.5, "importance sampling: Pareto k of its weights is 0.90, above 0.7"),
])  # fmt: skip
def test_importance_draws_that_are_worth_little_are_not_used(monkeypatch, pareto_k, share, told):
    model, inputs = prepared(table_of(30))
    weighted = importance.weighted_draws(inputs, 2000, np.random.default_rng(1))
    poor = dataclasses.replace(weighted, pareto_k=pareto_k, ess=share * 2000)
    monkeypatch.setattr(importance, "weighted_draws", lambda *_: poor)
    monkeypatch.setattr(posterior_draws, "sample_by_nuts", lambda model, inputs, seed, why: why)
    assert posterior_draws.sample_posterior(model, inputs, 1) == told


def test_draws_that_are_worth_little_at_a_limit_are_not_used(monkeypatch):
    model, inputs = prepared(table_of(30))
    weighted = importance.weighted_draws(inputs, 2000, np.random.default_rng(1))
    # as many draws as before, hardly one of them below the lowest twentieth
    value = weighted.effect[:, 0]
    weight = weighted.weight.copy()
    low = np.argsort(value)[:100]
    weight[low[:97]], weight[low[97:]] = 1e-9, 0.03 / 3
    poor = dataclasses.replace(weighted, weight=weight / weight.sum())
    assert poor.ess_tail[0] < 200
    monkeypatch.setattr(importance, "weighted_draws", lambda *_: poor)
    monkeypatch.setattr(posterior_draws, "sample_by_nuts", lambda model, inputs, seed, why: why)
    told = posterior_draws.sample_posterior(model, inputs, 1)
    assert told.startswith("importance sampling: the effective sample size at a 95% limit is only ")


def row_of(label, prob_below_1, is_reliable=True):
    return {"label": label, "median": 0.7, "eti95": [0.5, 0.9], "prob_below_1": prob_below_1,
            "is_reliable": is_reliable, "note": "chains have not mixed"}  # fmt: skip


def test_a_row_that_fails_does_not_move_the_conclusion_and_is_told_of():
    base, same = row_of("base", 0.99), row_of("same", 0.98)
    judge = Judge(base)
    assert judge.verdict([same, row_of("other", 0.5)]).moves is True
    other = row_of("other", 0.5, is_reliable=False)
    assert judge.verdict([same, other]).moves is False
    # nothing that can be trusted is not the same as nothing that moves
    assert judge.verdict([other]).moves is None
    assert judge.verdict([]).moves is None
    (note,) = unreliable_note([same, other])
    assert "other: chains have not mixed" in note
    assert "hollow" in note
    assert unreliable_note([base, same]) == []


@pytest.fixture(scope="module")
def context():
    plan = plan_analysis(read_spec("os_repeat_local_vs_systemic"))
    base = refit.refit(refit.Shared.of(plan), seed=1, draws=1000)
    return Context(plan=plan, base=base, make_fit=None, level=1, seed=1, run=None)


def test_with_more_than_two_levels_a_changed_prior_is_said_to_be_that_of_all(context):
    assert context.contrasts_note() == []
    plan = plan_analysis(read_spec("os_three_strategies"))
    (note,) = dataclasses.replace(context, plan=plan, level=2).contrasts_note()
    reference, _, level = plan.inputs.design.levels
    assert f"both contrasts of {plan.inputs.design.treatment} against {reference}" in note
    assert note.endswith(f"and {level} is the level examined.")


def hollow_markers(figure):
    lines = figure.axes[0].get_lines()
    return [
        each for each in lines if each.get_markerfacecolor() == "white" and len(each.get_xdata())
    ]


def legend_of(figure):
    legend = figure.axes[0].get_legend()
    return [] if legend is None else [text.get_text() for text in legend.get_texts()]


def test_counts_have_whole_numbers_on_their_axis():
    rows = [row_of("base", 0.99), row_of("other", 0.98)]
    axis = plot_hazard_ratio_curve([0, 1], rows, "patients left out", 0.7).axes[0].xaxis
    assert all(float(place).is_integer() for place in axis.get_majorticklocs())


def test_unreliable_rows_look_different(context):
    rows = [row_of("base", 0.99), row_of("other", 0.5, is_reliable=False)]
    forest = plot_forest_rows(rows, ["base", "other"])
    curve = plot_hazard_ratio_curve([1, 2], rows, "x", 0.7)
    for figure in (forest, curve):
        (marker,) = hollow_markers(figure)
        place = marker.get_ydata() if figure is curve else marker.get_xdata()
        assert math.exp(place[0]) == pytest.approx(0.7)
        assert NOT_RELIABLE in legend_of(figure)
    sound = plot_forest_rows(rows[:1], ["base"])
    assert hollow_markers(sound) == []
    assert NOT_RELIABLE not in legend_of(sound)


def test_a_low_figure_still_says_that_its_data_are_synthetic(context):
    figure = plot_forest_rows([row_of("a", 0.9), row_of("b", 0.9)])
    label_synthetic(context.plan, figure.axes[0])
    figure.canvas.draw()
    (said,) = [text for text in figure.axes[0].texts if "synthetic" in text.get_text()]
    box = said.get_window_extent()
    assert box.y0 >= 0
    assert box.y1 <= figure.bbox.height


def found_of(context, parts, **base):
    settings = type("Settings", (), {"to_mapping": lambda self: {}})()
    return Sensitivity(
        plan=context.plan, settings=settings, base=context.base | base, level=1, parts=parts,
        not_run={}, crashes={}, provenance={},
    )  # fmt: skip


def test_a_patient_whose_leaving_out_cannot_be_weighted_is_warned_of(context):
    summary = summarise_sensitivity(found_of(context, {}, loo_pareto_k=0.79))
    assert summary["status"] == "ok"
    assert any("0.79, above 0.7: elpd_loo" in each for each in summary["warnings"])
    quiet = summarise_sensitivity(found_of(context, {}, loo_pareto_k=0.5))
    assert not any("elpd_loo" in each for each in quiet["warnings"])


def test_levels_that_are_pooled_are_named_and_decide_only_where_they_agree_with_the_spec():
    plan = plan_analysis(read_spec("os_three_strategies"))
    base = {"prob_below_1": 0.999, "median": 0.4}
    run = Runner(refit.Shared.of(plan), 1, None, None, False)
    context = Context(plan=plan, base=base, make_fit=None, level=1, seed=1, run=run)
    settings = immortal_time.Settings(groups=50)
    part = immortal_time.analyse(context, settings)
    reference, *others = plan.inputs.design.levels
    assert part.sentence.startswith(
        f"With {', '.join(others)} as one treatment against {reference}:"
    )
    assert part.moves is False
    undecided = dataclasses.replace(context, base=base | {"prob_below_1": 0.6})
    assert immortal_time.analyse(undecided, settings).moves is None
    assert any(
        "have starts of their own in decision_months (43 of 43" in each.text for each in part.notes
    )
    tables = {rows.name: rows.to_frame() for rows in part.rows}
    weights = tables["immortal_time_weights"]
    figure = part.figures[-1].draw()
    assert part.figures[-1].name == "immortal_time_weights"
    for label, row in zip(legend_of(figure), weights.itertuples(), strict=True):
        assert label.startswith(f"{row.strategy}: {row.n_clones} clones")
        assert f"largest {row.max:.2f}" in label
        assert f"effective sample size {row.effective_sample_size:.0f}" in label
    bars = sum(abs(patch.get_height()) for patch in figure.axes[0].patches)
    assert math.isclose(bars, weights["n_clones"].sum())
    assert list(tables["immortal_time"].columns[:2]) == ["label", "method"]
