"""Patients, once for every way to fill in the binary covariates that they miss, as arrays."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.sensitivity.missing.missing_covariates import (
    IncompleteDesign,
    binary_configurations,
)

# log weight of a place in the table of configurations that no configuration fills
NO_CONFIGURATION = -1e30
# of the model's data
DIMS: dict[str, tuple[str, ...]] = {
    "interval_width": ("interval",),
    "interval_share": ("interval",),
    "step_variances": ("step",),
    "treatment_design": ("row", "treatment_term"),
    "covariate_design": ("row", "covariate_term"),
    "stop_interval": ("row",),
    "stop_within": ("row",),
    "entry_interval": ("row",),
    "entry_within": ("row",),
    "patient_index": ("row",),
    "final_row": ("configuration",),
    "predictors": ("configuration", "predictor"),
    "covariate_value": ("configuration", "incomplete"),
    "covariate_is_missing": ("configuration", "incomplete"),
    "configuration_table": ("patient", "filling"),
    "configuration_log_weight": ("patient", "filling"),
    "follow_up_event": ("patient",),
    "cell_of_value": ("value",),
    "value_configuration": ("value",),
    "value_covariate": ("value",),
    "cell_of_row": ("cell_row",),
    "cell_slope": ("cell_row", "covariate_term"),
    "delta": ("incomplete",),
    "design_scale": ("term",),
}


@dataclass(frozen=True, eq=False)
class Configurations:
    """Arrays over configurations: patients, once for every way to fill in their binary values.

    Attributes
    ----------
    patient : (configurations,) ndarray of int
    data : dict of str to ndarray
        What the model's likelihood takes, by `pm.Data` name.
    cell_patient, cell_covariate : (cells,) ndarray of int
        Whose value each missing continuous value is, and of which covariate.
    """

    patient: NDArray[np.intp]
    data: dict[str, NDArray]
    cell_patient: NDArray[np.intp]
    cell_covariate: NDArray[np.intp]


def configurations(design: IncompleteDesign) -> Configurations:
    """Expand a cohort into configurations."""
    inputs, covariates = design.inputs, design.covariates
    follow_up, row_patient = inputs.data.follow_up, inputs.data.patient_index
    patient, value = binary_configurations(design)
    # every configuration has all rows of its patient
    pairs = [np.flatnonzero(row_patient == each) for each in range(inputs.data.n_patients)]
    row = np.concatenate([pairs[each] for each in patient])
    configuration = np.repeat(np.arange(len(patient)), [len(pairs[each]) for each in patient])
    place = {(int(c), int(r)): k for k, (c, r) in enumerate(zip(configuration, row, strict=True))}
    final = [place[c, int(inputs.final_row[each])] for c, each in enumerate(patient)]
    matrix = inputs.data.design[row].copy()
    missing = np.column_stack([each.is_missing for each in covariates])
    cell_of: dict[tuple[int, int], int] = {}
    cell_rows, cell_slopes, row_cells, at, at_cells = [], [], [], [], []
    for k, each in enumerate(covariates):
        if each.kind == "binary":
            matrix += each.slope[row] * value[configuration, k][:, None]
            continue
        for c in np.flatnonzero(each.is_missing[patient]):
            cell = cell_of.setdefault((int(patient[c]), k), len(cell_of))
            at.append((c, k))
            at_cells.append(cell)
            rows = np.flatnonzero(configuration == c)
            cell_rows += rows.tolist()
            cell_slopes += each.slope[row[rows]].tolist()
            row_cells += [cell] * len(rows)
    split = inputs.n_treatment_terms
    slopes = np.array(cell_slopes).reshape(len(cell_rows), matrix.shape[1])[:, split:]
    of_patient = [np.flatnonzero(patient == each) for each in range(inputs.data.n_patients)]
    table = np.zeros((len(of_patient), max(map(len, of_patient))), dtype=np.int64)
    weight = np.full(table.shape, NO_CONFIGURATION)
    for each, own in enumerate(of_patient):
        table[each, : len(own)], weight[each, : len(own)] = own, 0.0
    data: dict[str, Any] = {
        "treatment_design": matrix[:, :split],
        "covariate_design": matrix[:, split:],
        "stop_interval": follow_up.stop_interval[row],
        "stop_within": follow_up.stop_within[row],
        "patient_index": configuration,
        "final_row": np.array(final),
        "predictors": design.predictors[patient],
        "covariate_value": value,
        "covariate_is_missing": missing[patient].astype(float),
        "configuration_table": table,
        "configuration_log_weight": weight,
        "follow_up_event": inputs.data.event[inputs.final_row],
    }
    if follow_up.is_delayed:
        data["entry_interval"] = follow_up.entry_interval[row]
        data["entry_within"] = follow_up.entry_within[row]
    if has_cells(design):
        data |= {
            "cell_of_value": np.array(at_cells),
            "value_configuration": np.array(at)[:, 0],
            "value_covariate": np.array(at)[:, 1],
            "cell_of_row": np.array(row_cells),
            "cell_row": np.array(cell_rows),
            "cell_slope": slopes,
        }
    cells = np.array(list(cell_of), dtype=np.intp).reshape(-1, 2)
    return Configurations(patient, in_types(data), cells[:, 0], cells[:, 1])


def in_types(data: dict[str, Any]) -> dict[str, NDArray]:
    """Positions as int64, everything else as float64."""
    arrays = {name: np.asarray(values) for name, values in data.items()}
    return {
        name: values.astype(np.float64 if values.dtype.kind == "f" else np.int64, order="C")
        for name, values in arrays.items()
    }


def has_cells(design: IncompleteDesign) -> bool:
    """Whether any continuous value is missing."""
    return any(each.kind == "continuous" for each in design.covariates)


def dims_of(name: str) -> tuple[str, ...] | None:
    """Dims of a model's data."""
    return ("cell_row",) if name == "cell_row" else DIMS.get(name)
