"""Terms that the tests register: groups with an unknown scale, and an effect that changes."""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pandas as pd

from bayes_crlm.figures.drawing import new_axes
from bayes_crlm.inference.ratio_summary import RatioSummary
from bayes_crlm.model.baseline_priors import LogTimeWalk
from bayes_crlm.model.families import HalfNormal
from bayes_crlm.model.terms.baseline import event_shares
from bayes_crlm.model.terms.blocks import UNIT, Block
from bayes_crlm.model.terms.row_kinds import Labelled
from bayes_crlm.model.terms.term import Term
from bayes_crlm.model.terms.walks import Walk
from bayes_crlm.words.section import Column, Figure, Rows, Section
from bayes_crlm.words.shown import ratio_in_words

# of a cohort to which a toy term is added
TOY_SPEC = """
title = "A toy term"

[data]
source = "cohort.csv"
time = "time"
event = "event"
unit = "months"

[model]
treatment = "arm"
reference = 0
covariates = "size"
"""


@dataclass(frozen=True)
class Frailty(Term):
    """Centres whose hazards differ by factors, normal on the log scale."""

    column: str
    scale: float

    name = "frailty"

    @classmethod
    def of_table(cls, table):
        return cls(table["column"], float(table.get("scale", 1.0)))

    @property
    def columns_needed(self):
        return (self.column,)

    def groups(self, cohort):
        return Labelled.of_column(cohort, self.column)

    def blocks(self, place):
        units = (UNIT,) * len(place.group_labels)
        scale = HalfNormal(self.scale)
        return (Block("frailty", place.grouping, units, scale, dim="frailty_group"),)

    def describe(self):
        return f"each {self.column} has a hazard of its own, {self.describe_prior()}"

    def describe_prior(self):
        return f"normal(0, frailty_scale), frailty_scale ~ half_normal({self.scale:g})"


@dataclass(frozen=True)
class OverTime(Term):
    """An effect of the treatment that changes with time, around the overall effect."""

    scale: float

    name = "over_time"
    columns_needed = ()
    is_by_treatment = True

    @classmethod
    def of_table(cls, table):
        return cls(float(table.get("scale", 0.5)))

    def blocks(self, place):
        cells = place.treatment_cells
        variances = LogTimeWalk().step_variances(place.intervals.cutpoints, place.earliest)
        if not len(variances):
            # over one interval nothing can change
            return ()
        shares = event_shares(np.tile(place.intervals.events, (cells.copies, 1)))
        steps = (UNIT,) * (cells.copies * len(variances))
        return (
            Block(
                "over_time",
                cells,
                steps,
                HalfNormal(self.scale),
                Walk(variances, shares),
                dim="over_time_interval",
                unit_dim="over_time_step",
            ),
        )

    def labels(self, place):
        copies = place.treatment_cells.copies
        intervals = [f"{k + 1}: {each}" for k in range(copies) for each in place.intervals.labels]
        steps = [f"{k + 1}: {each}" for k in range(copies) for each in place.intervals.labels[1:]]
        return {"over_time_interval": intervals, "over_time_step": steps}

    def describe(self):
        return f"the treatment's effect changes with time, {self.describe_prior()}"

    def describe_prior(self):
        return f"walk with over_time_scale ~ half_normal({self.scale:g})"


@dataclass(frozen=True)
class Strata(Term):
    """Baseline hazards of a shape of its own for every value of a column."""

    column: str

    name = "strata"

    @property
    def columns_needed(self):
        return (self.column,)

    def strata(self, cohort):
        return Labelled.of_column(cohort, self.column)

    def blocks(self, place):
        return ()

    def describe(self):
        return f"each {self.column} has baseline hazards of its own"

    def describe_prior(self):
        return "that of the baseline"


def plot_ratios(ratios, name):
    ax = new_axes(None, 4, 2)
    ax.plot([ratio for ratio, *_ in ratios], range(len(ratios)), "o")
    ax.set_xlabel(name)
    return ax


def sections_of(name, title):
    """What is reported of a term that has a block of its own name."""

    def sections(found):
        fit = found.fit
        values = fit.inputs.values_of_terms(fit.values)
        own = {key: each for key, each in values.items() if key.startswith(name)}
        ratios = RatioSummary(np.column_stack(list(own.values()))).ratios
        rows = [
            {"value": key, "ratio": ratio, "eti95_low": low, "eti95_high": high}
            for key, (ratio, low, high) in zip(own, ratios, strict=True)
        ]
        columns = (
            Column("value", "of"),
            Column("ratio", "value", "ratio"),
            Column("eti95", "95% interval", "limits"),
        )
        scale, *limits = ratios[0]
        figure = Figure(name, f"{title}.", plot_ratios, {"ratios": ratios, "name": name})
        return [
            Section(
                name,
                title=title,
                sentence=f"{name}_scale {ratio_in_words(scale, limits)}",
                chapter="answer",
                rows=(Rows(name, rows, columns, at=(name,)),),
                figures=(figure,),
            )
        ]

    return sections


FRAILTY = SimpleNamespace(
    term=Frailty,
    sections=sections_of("frailty", "Centres"),
    table='[frailty]\ncolumn = "centre"\nscale = 0.8',
)
OVER_TIME = SimpleNamespace(
    term=OverTime,
    sections=sections_of("over_time", "Effect over time"),
    table="[over_time]\nscale = 0.7",
)
TOYS = {"frailty": FRAILTY, "over_time": OVER_TIME}


def simulated(seed=1, n=240, spread=0.6, late=0.8):
    """A cohort of six centres whose hazards differ, with an effect that shrinks after a while."""
    rng = np.random.default_rng(seed)
    arm, size = rng.permutation(np.arange(n) % 2), rng.normal(size=n)
    centre = rng.integers(0, 6, n)
    of_centre = spread * rng.normal(size=6)
    log_hazard = np.log(0.08) + of_centre[centre] + 0.3 * size
    early, after = np.exp(log_hazard - 0.9 * arm), np.exp(log_hazard + (late - 0.9) * arm)
    spent = rng.exponential(size=n)
    time = np.where(spent < 6 * early, spent / early, 6 + (spent - 6 * early) / after)
    stop = rng.uniform(10, 40, n)
    return pd.DataFrame(
        {
            "arm": arm,
            "size": size,
            "centre": [f"C{k}" for k in centre],
            "time": np.minimum(time, stop).round(4) + 1e-4,
            "event": (time <= stop).astype(int),
        }
    )
