"""Patients, once for every way to fill in the binary covariates that they miss, as arrays."""

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.model.pymc_blocks import in_standard_types
from bayes_crlm.sensitivity.missing.missing_covariates import IncompleteDesign
from bayes_crlm.words.records import record

# log weight of a place in the table of configurations that no configuration fills
NO_CONFIGURATION = -1e30


@record(eq=False)
class Configurations:
    """Arrays over configurations: patients, once for every way to fill in their binary values.

    Attributes
    ----------
    table : (patients, fillings) ndarray of int
        Every patient's configurations, the first in the place of those that it does not have.
    value : (configurations, covariates) ndarray
        Seen and filled-in values; 0 where a continuous value is missing.
    cells : (cells, 2) ndarray of int
        Whose value each missing continuous value is, and of which covariate.
    data : dict of str to ndarray
        What the model's likelihood takes, by `pm.Data` name.
    """

    table: NDArray[np.intp]
    value: NDArray[np.float64]
    cells: NDArray[np.intp]
    data: dict[str, NDArray]


def configurations(design: IncompleteDesign) -> Configurations:
    """Expand a cohort into configurations."""
    inputs, covariates = design.inputs, design.covariates
    follow_up, row_patient = inputs.data.follow_up, inputs.data.patient_index
    patient, value = binary_configurations(design)
    # every configuration has all rows of its patient
    rows = [np.flatnonzero(row_patient == each) for each in range(inputs.data.n_patients)]
    row = np.concatenate([rows[each] for each in patient])
    configuration = np.repeat(np.arange(len(patient)), [len(rows[each]) for each in patient])
    matrix = inputs.data.design[row].copy()
    for k, each in enumerate(covariates):
        if each.kind == "binary":
            matrix += each.slope[row] * value[configuration, k][:, None]
    count = np.bincount(patient)
    filling, first = np.arange(count.max()), np.cumsum(count) - count
    is_filled = filling < count[:, None]
    table = first[:, None] + np.where(is_filled, filling, 0)
    missing = np.column_stack([each.is_missing for each in covariates])
    is_continuous = np.array([each.kind == "continuous" for each in covariates])
    cells = np.argwhere((missing & is_continuous).T)[:, ::-1]
    data: dict[str, Any] = {
        "design": matrix,
        "stop_interval": follow_up.stop_interval[row],
        "stop_within": follow_up.stop_within[row],
        "patient_index": configuration,
        "final_row": np.flatnonzero(row == inputs.final_row[patient][configuration]),
        "predictors": design.predictors[patient],
        "covariate_value": value,
        "covariate_is_missing": missing[patient].astype(float),
        "configuration_table": table,
        "configuration_log_weight": np.where(is_filled, 0.0, NO_CONFIGURATION),
        "follow_up_event": inputs.data.event[inputs.final_row],
    }
    if follow_up.is_delayed:
        data["entry_interval"] = follow_up.entry_interval[row]
        data["entry_within"] = follow_up.entry_within[row]
    if len(cells):
        number = np.full(missing.shape, -1)
        number[tuple(cells.T)] = np.arange(len(cells))
        covariate, of_value = np.nonzero((number[patient] >= 0).T)
        data |= {
            "cell_of_value": number[patient[of_value], covariate],
            "value_configuration": of_value,
            "value_covariate": covariate,
            "slope": np.concatenate(
                [each.slope[row] for each in covariates if each.kind != "binary"]
            ),
        }
    return Configurations(table, value, cells, in_standard_types(data))


def binary_configurations(design: IncompleteDesign) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Every way to fill in the binary values that a patient misses.

    Returns
    -------
    patient : (configurations,) ndarray of int
        Whose configuration it is, in order.
    value : (configurations, covariates) ndarray
        Seen and filled-in values; 0 where a continuous value is missing.
    """
    is_binary = np.array([each.kind == "binary" for each in design.covariates])
    missing = np.column_stack([each.is_missing for each in design.covariates])
    values = np.column_stack([each.value for each in design.covariates])
    patients, rows = [], []
    for patient in range(len(values)):
        free = np.flatnonzero(missing[patient] & is_binary)
        for filled in product((0.0, 1.0), repeat=len(free)):
            row = values[patient].copy()
            row[free] = filled
            patients.append(patient)
            rows.append(row)
    return np.array(patients, dtype=np.intp), np.array(rows)
