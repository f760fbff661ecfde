"""A model written down as a `pm.Model`: the definition of its density.

The model's blocks become random variables, their values enter the log-hazards, and each patient's
follow-up is one observed outcome. What a cohort or a prior puts in is `pm.Data`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_crlm.likelihood.survival_data import SurvivalData
from bayes_crlm.model.density import BlockModel
from bayes_crlm.model.pymc_blocks import (
    HazardVariables,
    block_data,
    data_name,
    hazard_variables,
    in_standard_types,
)
from bayes_crlm.model.terms.gamma_process import GammaHazards

if TYPE_CHECKING:
    import pymc as pm

    from bayes_crlm.model.prepared import PreparedCohort

DATA_DIMS: dict[str, tuple[str, ...]] = {
    "interval_width": ("interval",),
    "interval_share": ("interval",),
    "interval_events": ("interval",),
    "step_variances": ("step",),
    "stop_interval": ("row",),
    "stop_within": ("row",),
    "entry_interval": ("row",),
    "entry_within": ("row",),
    "row_count": ("row",),
    "row_class": ("row",),
    "patient_index": ("row",),
    "final_row": ("patient",),
    "follow_up_event": ("patient",),
}


def build_pymc_model(inputs: "PreparedCohort") -> "pm.Model":
    """Write down the model of a prepared cohort as a `pm.Model`.

    The likelihood is one observed variable, `event`: whether each patient's follow-up
    ended with the event, with the log density of a counting process, d log h - H. `row`
    indexes (entry, time] rows, `patient` the patients they belong to.

    Parameters
    ----------
    inputs : PreparedCohort
        A cohort as the model sees it.
    """
    import pymc as pm

    labels = {name: each for name, each in inputs.coords().items() if each}
    model = BlockModel(inputs.blocks, inputs.data)
    with pm.Model(coords=labels | {"row": range(inputs.data.follow_up.n_rows)}) as written:
        at = outcome_variables(model, model_data(inputs), column_names(inputs))
        pm.Deterministic("log_hazard_ratio", at.effect / inputs.design.scale, dims="term")
    return written


def column_names(inputs: "PreparedCohort") -> dict[str, slice]:
    """Which columns of the design each container of columns has."""
    return {f"{name}_design": columns for name, columns in inputs.columns_of_terms.items()}


def model_data(inputs: "PreparedCohort") -> dict[str, Any]:
    """Every array and number that enters the patients' density, by its `pm.Data` name.

    Parameters
    ----------
    inputs : PreparedCohort
        A cohort as the model sees it.

    Returns
    -------
    dict of str to ndarray
    """
    values = row_data(inputs.data, column_names(inputs)) | block_data(inputs.blocks)
    if inputs.is_baseline_integrated:
        has_one = inputs.data.n_classes == 1
        values["interval_events"] = (
            inputs.data.events_per_interval if has_one else inputs.data.events_per_cell
        )
    return values


def row_data(data: SurvivalData, columns: Mapping[str, slice]) -> dict[str, Any]:
    """Every array of the rows that enters the patients' density, by its `pm.Data` name.

    Parameters
    ----------
    data : SurvivalData
        Rows of the cohort.
    columns : mapping of str to slice
        Which columns of the design each container of columns has.
    """
    follow_up = data.follow_up
    values: dict[str, Any] = {
        "interval_width": follow_up.width,
        "stop_interval": follow_up.stop_interval,
        "stop_within": follow_up.stop_within,
        "follow_up_event": data.event[data.final_row],
    }
    values |= {name: data.design[:, which] for name, which in columns.items()}
    if follow_up.is_delayed:
        values["entry_interval"] = follow_up.entry_interval
        values["entry_within"] = follow_up.entry_within
    if np.any(follow_up.count != 1):
        values["row_count"] = follow_up.count
    if data.n_classes > 1:
        values["row_class"] = data.row_class
    values |= {f"group_{k}": group for k, group in enumerate(data.groups)}
    if data.n_patients != follow_up.n_rows:
        values["patient_index"] = data.patient_index
        values["final_row"] = data.final_row
    return in_standard_types(values)


def outcome_variables(
    model: BlockModel, values: Mapping[str, Any], columns: Mapping[str, slice]
) -> HazardVariables:
    """Make all variables of a model in the `pm.Model` that is being written.

    Parameters
    ----------
    model : BlockModel
        Its rows are those of the patients, not pooled.
    values : mapping of str to ndarray
        From `row_data` and `block_data`.
    columns : mapping of str to slice
        As in `row_data`.

    Returns
    -------
    HazardVariables
    """
    import pymc as pm
    import pytensor.tensor as pt

    context = pm.modelcontext(None)
    data: dict[str, Any] = {}
    for name, value in values.items():
        dims = data_dims(name)
        is_named = len(dims) == np.ndim(value) and all(dim in context.coords for dim in dims)
        data[name] = pm.Data(name, value, dims=dims if is_named else None)
    at = hazard_variables(model, data)
    linear_predictor = linear_predictor_of(at, data, columns)
    if model.integrated is not None:
        at_end = linear_predictor + at_stop(at.cells, data)
        if "final_row" in data:
            at_end = at_end[data["final_row"]]
        exposure = weighted_exposure(pt.exp(linear_predictor), data, model.data.n_classes)
        pm.Potential(
            "integrated_log_likelihood",
            pt.sum(data["follow_up_event"] * at_end)
            + integrated_log_likelihood(at.cells, exposure, data, model, model.integrated),
        )
        return at
    at_end, cumulative = patient_hazards(linear_predictor, at.cells, data)
    pm.CustomDist(
        "event",
        at_end,
        cumulative,
        logp=counting_process_log_density,
        random=sample_event,
        # as `pm.Data`, so that a compiled density takes the next cohort's events too
        observed=data["follow_up_event"],
        dims="patient",
    )
    return at


def linear_predictor_of(
    at: HazardVariables, data: Mapping[str, Any], columns: Mapping[str, slice]
) -> Any:
    """Log relative hazards of the rows by their columns and groups, a (rows,) tensor."""
    import pytensor.tensor as pt

    parts = [pt.dot(data[name], at.effect[which]) for name, which in columns.items()]
    parts += [of_group[data[f"group_{k}"]] for k, of_group in enumerate(at.groups)]
    return sum(parts[1:], parts[0])


def data_dims(name: str) -> tuple[str, ...]:
    """Names of the dimensions of a container; none for a number."""
    if name.startswith("group_"):
        return ("row",)
    if name.endswith("_design"):
        return ("row", f"{name.removesuffix('_design')}_term")
    return DATA_DIMS.get(name, ())


def at_stop(cells: Any, data: Mapping[str, Any]) -> Any:
    """Log-hazard of the table in the interval where every row ends, a (rows,) tensor."""
    return cells[data.get("row_class", 0), data["stop_interval"]]


def patient_hazards(linear_predictor: Any, cells: Any, data: Mapping[str, Any]) -> tuple[Any, Any]:
    """Log-hazard at the end of every patient's follow-up, and cumulative hazard over all of it.

    Parameters
    ----------
    linear_predictor : (rows,) tensor
        Log relative hazards of the rows.
    cells : (classes, intervals) tensor
        Log-hazards.
    data : mapping of str to tensor
        From `row_data`; rows are summed by patient where it says to whom they belong.

    Returns
    -------
    (patients,) tensor, (patients,) tensor
    """
    import pytensor.tensor as pt

    hazard = pt.exp(cells)
    reached = pt.cumsum(hazard * data["interval_width"], axis=1)
    start = pt.concatenate([pt.zeros_like(reached[:, :1]), reached[:, :-1]], axis=1)

    def baseline_up_to(position: str) -> Any:
        cell = data.get("row_class", 0), data[f"{position}_interval"]
        whole = start[cell] * data["row_count"] if "row_count" in data else start[cell]
        return whole + hazard[cell] * data[f"{position}_within"]

    cumulative = baseline_up_to("stop")
    if "entry_interval" in data:
        cumulative = cumulative - baseline_up_to("entry")
    cumulative = cumulative * pt.exp(linear_predictor)
    at_end = at_stop(cells, data) + linear_predictor
    if "patient_index" in data:
        zeros = pt.zeros_like(data["final_row"], dtype="float64")
        cumulative = pt.inc_subtensor(zeros[data["patient_index"]], cumulative)
        at_end = at_end[data["final_row"]]
    return at_end, cumulative


def weighted_exposure(relative: Any, data: Mapping[str, Any], n_classes: int) -> Any:
    """Time at risk of the rows of every class in every interval, weighted by relative hazards.

    Parameters
    ----------
    relative : (rows,) tensor
        Relative hazards.
    data : mapping of str to tensor
        From `row_data`.
    n_classes : int
        Number of classes, rows of the hazard table.

    Returns
    -------
    (classes, intervals) tensor
    """
    import pytensor.tensor as pt

    width = data["interval_width"]
    zeros = pt.zeros((n_classes, 1)) + pt.zeros_like(width)
    weight = relative * data["row_count"] if "row_count" in data else relative

    def time_up_to(position: str) -> Any:
        cell = data.get("row_class", 0), data[f"{position}_interval"]
        count = pt.inc_subtensor(zeros[cell], weight)
        inside = pt.inc_subtensor(zeros[cell], relative * data[f"{position}_within"])
        return (pt.cumsum(count[:, ::-1], axis=1)[:, ::-1] - count) * width + inside

    exposure = time_up_to("stop")
    if "entry_interval" in data:
        exposure = exposure - time_up_to("entry")
    return exposure


def integrated_log_likelihood(
    cells: Any, exposure: Any, data: Mapping[str, Any], model: BlockModel, gamma: GammaHazards
) -> Any:
    """Log-likelihood with gamma hazards integrated out, but for the events' log-hazards.

    See `bayes_crlm.model.density`.

    Parameters
    ----------
    cells : (classes, intervals) tensor
        Log-hazards but for those that are integrated out.
    exposure : (classes, intervals) tensor
        From `weighted_exposure`.
    data : mapping of str to tensor
        With "interval_events", the events of every class in every interval.
    model : BlockModel
        The blocks, and the rows that they are to explain.
    gamma : GammaHazards
        Of the model.

    References
    ----------
    Kalbfleisch (1978), J R Stat Soc B 40:214-221.
    """
    import pytensor.tensor as pt

    def by_stratum(table: Any) -> Any:
        loading = gamma.enters.loading
        return table if np.array_equal(loading, [[1.0]]) else pt.dot(loading.T, table)

    rate = data[data_name(gamma, "weight")] * data["interval_width"]
    shape = rate * pt.exp(data[data_name(gamma, "log_rate")])
    events = by_stratum(data["interval_events"].reshape((model.data.n_classes, -1)))
    at_risk = by_stratum(pt.exp(cells) * exposure)
    return pt.sum(
        shape * pt.log(rate)
        - pt.gammaln(shape)
        + pt.gammaln(shape + events)
        - (shape + events) * pt.log(rate + at_risk)
    )


def counting_process_log_density(event: Any, log_hazard_at_end: Any, cumulative: Any) -> Any:
    """Log density of what each patient's follow-up showed: d log h - H, elementwise."""
    return event * log_hazard_at_end - cumulative


def sample_event(log_hazard_at_end: Any, cumulative: Any, rng: Any = None, size: Any = None) -> Any:
    """Draw whether the event happens within each patient's observed follow-up."""
    return (rng.uniform(size=np.shape(cumulative)) < -np.expm1(-np.asarray(cumulative))).astype(
        float
    )
