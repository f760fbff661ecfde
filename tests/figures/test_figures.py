"""Figures: axes in, axes out, names kept apart, arrows where an interval goes on."""

import re
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
import runs
from matplotlib.axes import Axes

mpl.use("svg")

import matplotlib.pyplot as plt

import bayes_crlm as bc
from bayes_crlm import figures
from bayes_crlm.figures.drawing import plain_text, ratio_ticks
from bayes_crlm.figures.hazard_ratios import Estimates, plot_intervals

nasty_run, rows_run = runs.nasty_run, runs.rows_run

PLOTS = [
    figures.plot_forest,
    figures.plot_survival,
    figures.plot_hazard,
    figures.plot_prior_posterior,
    figures.plot_prior_survival,
]


@pytest.fixture(scope="module")
def fit():
    """A fit in this process, of long names."""
    cohort = bc.read_cohort(runs.simulate(), time="months", event="dead", unit="months")
    model = bc.PiecewiseExponential(
        treatment="arm", reference=runs.LEVELS[0], covariates="sex", cutpoints=3
    )
    return model.fit(cohort, seed=1, draws=100, tune=200, chains=2)


@pytest.fixture(autouse=True)
def closed():
    """Close every figure afterwards."""
    yield
    plt.close("all")


@pytest.mark.parametrize("plot", PLOTS)
def test_plots_give_matplotlib_axes_and_draw_into_those_given(fit, plot):
    made = plot(fit)
    assert isinstance(made, Axes)
    assert made.has_data()
    _, ax = plt.subplots()
    assert plot(fit, ax=ax) is ax
    assert ax.has_data()


def test_the_fit_has_the_plots_of_the_interface(fit):
    assert isinstance(fit.plot_survival(), Axes)
    _, ax = plt.subplots()
    assert fit.plot_forest(ax=ax) is ax


@pytest.mark.parametrize("plot", PLOTS)
def test_no_text_lies_on_other_text(fit, plot):
    ax = plot(fit)
    figure = ax.get_figure()
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer() if hasattr(figure.canvas, "get_renderer") else None
    legend = ax.get_legend().get_texts() if ax.get_legend() else []
    ticks = (*ax.get_xticklabels(), *ax.get_yticklabels())
    texts = [*ax.texts, *legend, *ticks, ax.xaxis.label, ax.yaxis.label]
    boxes = [
        (each.get_text(), each.get_window_extent(renderer))
        for each in texts
        if each.get_text().strip() and each.get_visible()
    ]
    for k, (text, box) in enumerate(boxes):
        for other, other_box in boxes[k + 1 :]:
            overlap = min(box.x1, other_box.x1) - max(box.x0, other_box.x0)
            overlap_down = min(box.y1, other_box.y1) - max(box.y0, other_box.y0)
            assert overlap <= 1 or overlap_down <= 1, (text, other)


def test_every_level_has_its_line_of_numbers_at_risk(fit):
    texts = [each.get_text() for each in figures.plot_survival(fit).texts]
    design = fit.inputs.design
    for code in range(len(design.levels)):
        assert str(int((design.treatment_level == code).sum())) in texts
    texts = figures.plot_survival(fit, at_risk=False).texts
    assert not [each for each in texts if each.get_text().isdigit()]


def test_names_are_no_mathematics_and_stay_in_the_legend():
    assert plain_text("$x$ and $y$") == r"\$x\$ and \$y\$"
    assert not plain_text("_hidden").startswith("_")
    assert plain_text("a\nb\tc") == "a b c"
    assert plain_text("word " * 40, 20).count("\n") == 1


def test_intervals_beyond_the_axis_end_in_arrows():
    _, ax = plt.subplots()
    ax.set_xlim(-1, 1)
    limits = np.array([[-5.0, 0.5], [-0.5, np.inf], [np.nan, np.nan]])
    shown = Estimates(np.array([0.0, 0.2, np.nan]), limits, "label")
    plot_intervals(ax, np.arange(3.0), shown, "o", "k")
    arrows = {
        line.get_marker(): line.get_xdata().tolist()
        for line in ax.lines
        if line.get_marker() in "<>" and len(line.get_xdata())
    }
    assert arrows == {"<": [-1.0], ">": [1.0]}


@pytest.mark.parametrize("span", [0.05, 0.5, 2.0, 6.0])
def test_ratio_axes_have_ticks_that_can_be_read(span):
    _, ax = plt.subplots()
    ax.set_xlim(-span, span)
    ratio_ticks(ax)
    assert 1 <= len(ax.get_xticks()) <= 9
    for place, label in zip(ax.get_xticks(), ax.get_xticklabels(), strict=True):
        assert float(label.get_text()) == pytest.approx(np.exp(place), rel=1e-6)


def test_ranks_need_two_chains_and_some_draws(fit):
    assert isinstance(figures.plot_ranks(fit), Axes)


def test_the_test_of_ranks_is_that_of_arviz():
    from arviz_stats.base.array import array_stats

    from bayes_crlm.figures.ranks import LEVEL, chain_ranks

    rng = np.random.default_rng(1)
    for shape, apart in ((4, 2000), 0), ((3, 50), 0.2), ((2, 20), 0):
        draws = rng.normal(size=shape) + apart * np.arange(shape[0])[:, None]
        ranks = (draws.ravel().argsort().argsort() + 1).reshape(shape) / draws.size
        p, of_chains, of_ranks = array_stats._mtc_c(ranks)
        found = chain_ranks(draws)
        assert found.p == pytest.approx(p, abs=1e-6)
        is_suspicious = (of_chains.T > 0) & (of_ranks > 0) & (p < LEVEL)
        np.testing.assert_array_equal(found.is_suspicious, is_suspicious)
        assert is_suspicious.any() == (apart > 0)


def test_files_have_no_date(nasty_run):
    for path in (nasty_run.folder / "figures").iterdir():
        text = path.read_text(encoding="utf-8")
        assert "<dc:date>" not in text
        assert not re.search(r"20\d\d-\d\d-\d\dT", text)


def test_the_package_imports_without_matplotlib():
    code = "import sys, bayes_crlm; assert 'matplotlib' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_backend_that_switches_display_on_keeps_it_on_after_a_figure():
    import matplotlib as mpl

    from bayes_crlm.figures.drawing import styled

    before = mpl.is_interactive()
    try:
        mpl.interactive(False)
        with styled():
            mpl.interactive(True)  # as a notebook's backend does at its first figure
        assert mpl.is_interactive()
    finally:
        mpl.interactive(before)
