"""Models built by hand of blocks, beyond what a spec can ask for, on simulated rows.

Every density is held against the `pm.Model` of each of them.
"""

import numpy as np

from bayes_crlm.likelihood.follow_up import cut_follow_up
from bayes_crlm.likelihood.survival_data import SurvivalData
from bayes_crlm.model.density import BlockModel
from bayes_crlm.model.families import (
    HalfCauchy,
    HalfNormal,
    HalfStudentT,
    Laplace,
    Normal,
    NormalMixture,
    StudentT,
)
from bayes_crlm.model.terms.baseline import event_shares
from bayes_crlm.model.terms.blocks import UNIT, Block, Cells, Columns, Grouping
from bayes_crlm.model.terms.gamma_process import GammaHazards
from bayes_crlm.model.terms.horseshoe import Shrunk
from bayes_crlm.model.terms.walks import Level, Walk

CUTPOINTS = np.array([0.0, 2.0, 5.0, 9.0, 14.0, 40.0])
WIDTH = np.diff(CUTPOINTS)
N_INTERVALS, N_TERMS = len(WIDTH), 4
LOG_RATE = -2.3
ROBUST = NormalMixture((0.7, 0.3), (-0.4, 0.0), (0.3, 2.0))
LIGHT = NormalMixture((0.2, 0.5, 0.3), (0.0, 0.5, -0.5), (1.0, 0.5, 2.0))


def rows(
    *,
    strata=(0,),
    group_counts=(),
    is_delayed=False,
    rows_per_patient=1,
    is_weighted=False,
    cutpoints=CUTPOINTS,
    seed=1,
):
    """Simulated rows, `strata` naming the stratum of each class; events end a patient's follow-up.

    Columns are one with two values, one with three, and two that vary.
    """
    rng = np.random.default_rng([seed, len(strata), len(group_counts), rows_per_patient])
    n_patients = 60
    begin = rng.exponential(2.0, n_patients) * is_delayed
    stop = begin + rng.exponential(8.0, n_patients) + 0.1
    inner = np.sort(rng.uniform(0.02, 0.98, (n_patients, rows_per_patient - 1)), axis=1)
    ends = np.column_stack([begin[:, None] + inner * (stop - begin)[:, None], stop])
    starts = np.column_stack([begin, ends[:, :-1]])
    patient = np.repeat(np.arange(n_patients), rows_per_patient)
    is_last = np.tile(np.arange(rows_per_patient) == rows_per_patient - 1, n_patients)
    event = ((rng.random(n_patients) < 0.7)[patient] & is_last).astype(float)
    n_rows = len(patient)
    design = np.column_stack([
        rng.integers(2, size=n_rows) - 0.5, rng.integers(3, size=n_rows) - 1.0,
        rng.normal(size=(n_rows, N_TERMS - 2)),
    ])  # fmt: skip
    data = SurvivalData(
        follow_up=cut_follow_up(starts.ravel(), np.minimum(ends, 40.0).ravel(), cutpoints),
        event=event,
        design=design,
        patient_index=patient,
        n_patients=n_patients,
        row_class=rng.integers(len(strata), size=n_rows),
        stratum_of_class=np.array(strata),
        groups=tuple(rng.integers(count, size=n_rows) for count in group_counts),
        group_counts=tuple(group_counts),
    )
    return data.weighted(rng.uniform(0.2, 2.0, n_rows)) if is_weighted else data


def stratum_events(data):
    """Events of the strata, shape (strata, intervals)."""
    return Cells.of_strata(data.stratum_of_class).loading.T @ data.events_per_cell


def effects(prior=UNIT, start=0, stop=N_TERMS, name="effect"):
    return Block(name, Columns(start, stop), (prior,) * (stop - start))


def walk(data, scale=HalfNormal(1.0), variances=None, anchor=2):
    cells = Cells.of_strata(data.stratum_of_class)
    variances = np.ones(N_INTERVALS - 1) if variances is None else variances
    return Block(
        "log_hazard",
        cells,
        (UNIT,) * (cells.copies * (N_INTERVALS - 1)),
        scale=scale,
        walk=Walk(variances, event_shares(stratum_events(data)), Level(anchor, LOG_RATE, 2.0)),
    )


def over_time(data, loading, scale):
    """An effect of the columns of `loading` on the log-hazards, around 0."""
    copies = loading.shape[1]
    share = event_shares(np.tile(data.events_per_interval, (copies, 1)))
    return Block(
        "over_time",
        Cells(loading),
        (UNIT,) * (copies * (N_INTERVALS - 1)),
        scale=scale,
        walk=Walk(np.array([0.4, 0.3, 0.2, 0.1]), share),
    )


def three_classes():
    """One stratum, three treatment levels whose effects change with time; delayed entry."""
    data = rows(strata=(0, 0, 0), is_delayed=True, rows_per_patient=3)
    loading = np.array([[-0.6, -0.3], [0.4, -0.3], [-0.6, 0.7]])
    return BlockModel((effects(), walk(data), over_time(data, loading, HalfNormal(0.5))), data)


def strata_and_levels():
    """Two strata with walks of given step variances, each with two levels; one has no event."""
    data = rows(strata=(0, 0, 1, 1), rows_per_patient=2, seed=3)
    event = np.where(data.row_class >= 2, 0.0, data.event)
    data = SurvivalData(**(vars_of(data) | {"event": event}))
    variances = np.array([0.5, 0.25, 0.15, 0.1])
    loading = np.array([[-0.5], [0.5], [-0.5], [0.5]])
    blocks = (
        effects(),
        walk(data, HalfNormal(2.0), variances),
        over_time(data, loading, HalfStudentT(3.0, 0.4)),
    )
    return BlockModel(blocks, data)


def two_groupings():
    """Two groupings with unknown scales of their own, beside a walk's; weighted rows."""
    data = rows(group_counts=(12, 4), is_weighted=True, rows_per_patient=2, is_delayed=True)
    blocks = (
        effects(Normal(0.1, 0.7)),
        walk(data, HalfCauchy(0.8)),
        Block("centre_effect", Grouping(0), (UNIT,) * 12, HalfNormal(0.5)),
        Block("ward_effect", Grouping(1), (StudentT(4.0, 0.0, 1.0),) * 4, HalfStudentT(3.0, 0.5)),
    )
    return BlockModel(blocks, data)


def shrunk_columns():
    """Columns that share an unknown scale, as subgroups do, beside columns with none."""
    data = rows()
    independent = Block(
        "log_hazard", Cells(np.ones((1, 1))), (Normal(LOG_RATE, 2.0),) * N_INTERVALS
    )
    pooled = Block("subgroup", Columns(2, 4), (UNIT,) * 2, HalfCauchy(0.5))
    return BlockModel((effects(StudentT(5.0, 0.0, 1.0), 0, 2), pooled, independent), data)


def priors_of_each_column():
    """Every column under a prior of its own, of one kind or of several."""
    data = rows(seed=5)
    priors = (StudentT(3.0, 0.0, 0.5), StudentT(7.0, 0.2, 1.0), StudentT(1.5, -0.1, 2.0), UNIT)
    return BlockModel((Block("effect", Columns(0, 4), priors), walk(data)), data)


def mixtures_of_each_column():
    data = rows(seed=6)
    blocks = (
        Block("effect", Columns(0, 2), (ROBUST, LIGHT)),
        Block("more", Columns(2, 4), (Laplace(0.1, 0.5), ROBUST)),
        walk(data),
    )
    return BlockModel(blocks, data)


def weighted_rows():
    data = rows(is_weighted=True, is_delayed=True, rows_per_patient=2, seed=7)
    return BlockModel((effects(Laplace(0.0, 0.5)), walk(data, None)), data)


def given_step_variances():
    data = rows(seed=8)
    variances = np.array([0.6, 0.25, 0.1, 0.05])
    return BlockModel((effects(), walk(data, HalfNormal(2.0), variances)), data)


def one_interval():
    """A walk without steps, in two strata, beside an effect of columns with an unknown scale."""
    data = rows(strata=(0, 1), cutpoints=np.array([0.0, 40.0]), seed=11)
    level = Walk(np.empty(0), np.ones((2, 1)), Level(0, LOG_RATE, 2.0))
    baseline = Block("log_hazard", Cells.of_strata(data.stratum_of_class), (), walk=level)
    pooled = Block("effect", Columns(0, N_TERMS), (UNIT,) * N_TERMS, HalfNormal(0.5))
    return BlockModel((pooled, baseline), data)


def gamma_with(is_integrated):
    """A gamma process in two strata, beside effects that change with time and groups."""
    data = rows(strata=(0, 0, 1, 1), group_counts=(5,), is_delayed=True, seed=9)
    cells = Cells.of_strata(data.stratum_of_class)
    hazards = GammaHazards("hazard", cells, 3.0, LOG_RATE, WIDTH, is_integrated)
    loading = np.array([[-0.5], [0.5], [-0.5], [0.5]])
    frailty = Block("centre_effect", Grouping(0), (UNIT,) * 5, HalfNormal(0.5))
    blocks = (effects(), hazards, over_time(data, loading, HalfNormal(0.5)), frailty)
    return BlockModel(blocks, data)


def horseshoe_beside_groups():
    data = rows(group_counts=(6,), seed=10)
    blocks = (
        effects(UNIT, 0, 1),
        Shrunk("covariate_effect", Columns(1, 4), HalfCauchy(0.5)),
        walk(data),
        Block("centre_effect", Grouping(0), (ROBUST,) * 6, HalfNormal(0.5)),
    )
    return BlockModel(blocks, data)


def vars_of(data):
    return {name: getattr(data, name) for name in data.__dataclass_fields__}


MODELS = {
    "three classes": three_classes,
    "strata and levels": strata_and_levels,
    "two groupings": two_groupings,
    "shrunk columns": shrunk_columns,
    "priors of each column": priors_of_each_column,
    "mixtures of each column": mixtures_of_each_column,
    "weighted rows": weighted_rows,
    "given step variances": given_step_variances,
    "one interval": one_interval,
    "gamma process": lambda: gamma_with(is_integrated=False),
    "integrated gamma process": lambda: gamma_with(is_integrated=True),
    "horseshoe beside groups": horseshoe_beside_groups,
}
