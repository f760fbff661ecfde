"""Missing covariates imputed inside the survival model: one joint posterior of all unknowns.

With x_i complete covariates (treatment among them) and v_i1, ..., v_iK those that miss values, the
model is the survival likelihood times a sequence of regressions,

    p(t_i | x_i, v_i) p(v_i1 | x_i) p(v_i2 | x_i, v_i1) ... p(v_iK | x_i, v_i1, ..., v_i,K-1)   (1)

linear with normal or t errors for continuous v, logistic for binary. A missing continuous value
is an unknown; over missing binary values (1) is summed, all combinations of one patient's. What
the follow-up says of a missing value enters through the first factor. A shift delta_k, added to the
linear predictor of v_k in patients who miss it, makes what is missing differ from what is seen
(a pattern-mixture model: missing not at random); delta = 0 is missing at random.

References
----------
Ibrahim, Chen & Lipsitz (1999), Biometrics 55:591-596 (sequence of regressions); Bartlett, Seaman,
White & Carpenter (2015), Stat Methods Med 24:462-487 (compatible with the outcome's model);
Carpenter & Kenward (2013), Multiple Imputation and its Application, chapter 10 (delta).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bayes_crlm.inference.sample_diagnostics import (
    SamplingDiagnostics,
    diagnose_sample,
    ratio_summary,
)
from bayes_crlm.sensitivity.extended_model import (
    level_summaries,
    sample_extended,
    without_integration,
)
from bayes_crlm.sensitivity.missing.configurations import (
    Configurations,
    configurations,
    dims_of,
    has_cells,
)
from bayes_crlm.sensitivity.missing.missing_covariates import (
    IncompleteDesign,
    binary_configurations,
)

if TYPE_CHECKING:
    import pandas as pd
    import pymc as pm
    import xarray as xr


Errors = Literal["normal", "student_t"]
DEGREES_OF_FREEDOM = 4.0
# priors of the regressions, whose columns are centred and scaled: weak for coefficients of
# standardised variables, on the scale of standard deviations or of log odds
INTERCEPT_SD, EFFECT_SD, SCALE_SD = 2.5, 1.0, 1.0


@dataclass(frozen=True, eq=False)
class ImputationFit:
    """Joint posterior of the survival model and the missing covariates.

    Attributes
    ----------
    design : IncompleteDesign
        The cohort.
    delta : dict
        Shift of every incomplete covariate, by column: standard deviations, or log odds.
    posterior : xarray.DataTree
        Draws.
    hazard_ratios : list of dict
        One of every treatment level against the reference: `treatment`, `reference` and what
        `bayes_crlm.inference.sample_diagnostics.ratio_summary` gives.
    coefficients : list of dict
        The same of every design column in original units, as hazard ratios: `term`, ...
    imputed : pandas.DataFrame
        One row a missing value: patient, column, term, mean, sd (of a binary one, mean is the
        probability of the larger value), in units of the design column.
    diagnostics : SamplingDiagnostics
        Where they fail, the result is not to be trusted.
    target_accept : float
        Of the draws that are used.
    """

    design: IncompleteDesign
    delta: dict[str, float]
    posterior: "xr.DataTree"
    hazard_ratios: list[dict[str, Any]]
    coefficients: list[dict[str, Any]]
    imputed: "pd.DataFrame"
    diagnostics: SamplingDiagnostics
    target_accept: float

    def to_dict(self) -> dict[str, Any]:
        """Everything but draws and imputed values, as plain values."""
        return {
            "delta": self.delta,
            "hazard_ratios": self.hazard_ratios,
            "coefficients": self.coefficients,
            "diagnostics": self.diagnostics.to_dict(),
            "is_trustworthy": self.diagnostics.is_trustworthy,
            "target_accept": self.target_accept,
            "engine": "nuts",
        }


def fit_imputation(
    design: IncompleteDesign,
    *,
    delta: dict[str, float] | None = None,
    errors: Errors = "normal",
    draws: int = 1000,
    tune: int = 1000,
    chains: int = 4,
    seed: int,
    progress: bool = False,
) -> ImputationFit:
    """Fit survival model and covariate models together.

    Parameters
    ----------
    design : IncompleteDesign
        Of `bayes_crlm.sensitivity.missing.missing_covariates.incomplete_design`.
    delta : dict, optional
        By column, how much higher missing values are than seen ones of patients with the same
        other covariates: in standard deviations of the seen values (continuous), or on the scale
        of log odds (binary). 0 where not given: missing at random.
    errors : {"normal", "student_t"}
        Distribution of continuous covariates around their regression; t with 4 degrees of freedom.
    draws, tune, chains : int
        Kept and warm-up draws of each chain; number of chains.
    seed : int
        Fixes the draws.
    progress : bool
        Show a progress bar.

    Returns
    -------
    ImputationFit
        Sampled once more with smaller steps when transitions diverged.

    Raises
    ------
    KeyError
        For a shift of a column that misses nothing.
    """
    shifts = {each.column: 0.0 for each in design.covariates}
    unknown = set(delta or {}) - set(shifts)
    if unknown:
        raise KeyError(f"delta is given for {sorted(unknown)}, which miss nothing")
    shifts |= delta or {}
    inputs = without_integration(design.inputs)
    kinds = tuple(each.kind for each in design.covariates)
    tree, target_accept = sample_extended(
        build_imputation(design, tuple(shifts.values()), errors),
        inputs,
        n_unknowns(design),
        structure=("imputation", *inputs.structure, kinds, has_cells(design), errors),
        draws=draws,
        tune=tune,
        chains=chains,
        seed=seed,
        progress=progress,
    )
    summaries = [
        ratio_summary(each) for each in tree["posterior"]["log_hazard_ratio"].transpose("term", ...)
    ]
    return ImputationFit(
        design=design,
        delta=shifts,
        posterior=tree,
        hazard_ratios=level_summaries(summaries, inputs),
        coefficients=[
            {"term": term, **each}
            for term, each in zip(inputs.design.terms, summaries, strict=True)
        ],
        imputed=imputed_values(design, tree),
        diagnostics=diagnose_sample(tree, looked_at(design)),
        target_accept=target_accept,
    )


def looked_at(design: IncompleteDesign) -> list[str]:
    """Posterior variables that the diagnostics are of."""
    names = ["log_hazard", "log_hazard_ratio", "imputation_intercept", "imputation_effect"]
    if any(each.kind == "continuous" for each in design.covariates):
        names.append("imputation_scale")
    return [*names, "missing_value"] if has_cells(design) else names


def n_unknowns(design: IncompleteDesign) -> int:
    """Unknowns beside those of the survival model."""
    n_covariates = len(design.covariates)
    n_effects = len(effect_labels(design))
    continuous = [each for each in design.covariates if each.kind == "continuous"]
    n_cells = sum(int(each.is_missing.sum()) for each in continuous)
    return n_covariates + n_effects + len(continuous) + n_cells


def effect_labels(design: IncompleteDesign) -> list[str]:
    """Coefficients of all regressions, one after the other."""
    labels: list[str] = []
    for k, each in enumerate(design.covariates):
        before = [other.term for other in design.covariates[:k]]
        labels += [f"{each.term} on {name}" for name in (*design.predictor_names, *before)]
    return labels


def build_imputation(
    design: IncompleteDesign, delta: Sequence[float], errors: Errors = "normal"
) -> "pm.Model":
    """Write down equation (1) as a `pm.Model`; see `fit_imputation`.

    Its observed variable `event` has each patient's log-likelihood of follow-up given the seen
    covariates, missing binary ones summed out; the seen covariates' own is the potential
    `covariate_model`.
    """
    import pymc as pm
    import pytensor.tensor as pt

    from bayes_crlm.model.pymc_blocks import block_data, hazard_variables
    from bayes_crlm.model.pymc_model import patient_hazards

    inputs = without_integration(design.inputs)
    arranged = configurations(design)
    values = {
        **block_data(inputs.blocks),
        **arranged.data,
        "interval_width": inputs.data.follow_up.width,
        "delta": np.asarray(delta, dtype=float),
        "design_scale": inputs.design.scale,
    }
    with pm.Model(coords=labels_of(design, arranged)) as model:
        # dims that a row of cells has its own name for would clash with the row of a design
        data: dict[str, Any] = {
            name: pm.Data(name if name != "cell_row" else "row_of_cell", value, dims=dims_of(name))
            for name, value in values.items()
        }
        at, split = hazard_variables(inputs.block_model, data), inputs.n_treatment_terms
        pm.Deterministic("log_hazard_ratio", at.effect / data["design_scale"], dims="term")
        predicted, value, missing = covariate_variables(design, data)
        linear_predictor = pt.dot(data["treatment_design"], at.effect[:split])
        linear_predictor += pt.dot(data["covariate_design"], at.effect[split:])
        if has_cells(design):
            added = missing[data["cell_of_row"]] * pt.dot(data["cell_slope"], at.effect[split:])
            linear_predictor = pt.inc_subtensor(linear_predictor[data["cell_row"]], added)
        at_end, cumulative = patient_hazards(linear_predictor, at.cells, data)
        of_covariates = covariate_log_density(design, predicted, value, errors)
        table = data["configuration_table"]
        log_weight = of_covariates[table] + data["configuration_log_weight"]
        pm.Potential("covariate_model", pt.sum(pt.logsumexp(log_weight, axis=1)))
        pm.Deterministic(
            "configuration_probability",
            pt.special.softmax(
                log_weight + log_density(data["follow_up_event"], at_end[table], cumulative[table]),
                axis=1,
            ),
            dims=("patient", "filling"),
        )
        pm.CustomDist(
            "event",
            at_end[table],
            cumulative[table],
            log_weight - pt.logsumexp(log_weight, axis=1, keepdims=True),
            logp=summed_log_density,
            signature="(c),(c),(c)->()",
            observed=data["follow_up_event"],
            dims="patient",
        )
    return model


def labels_of(design: IncompleteDesign, arranged: Configurations) -> dict[str, Any]:
    """Labels of every dimension of the model."""
    inputs, data = design.inputs, arranged.data
    labels: dict[str, Any] = {name: each for name, each in inputs.coords().items() if each}
    columns = [each.column for each in design.covariates]
    patients = inputs.cohort.patients
    labels |= {
        "row": range(len(data["stop_interval"])),
        "configuration": range(len(arranged.patient)),
        "filling": range(data["configuration_table"].shape[1]),
        "predictor": list(design.predictor_names),
        "incomplete": columns,
        "continuous": [each.column for each in design.covariates if each.kind == "continuous"],
        "imputation_term": effect_labels(design),
    }
    if has_cells(design):
        labels |= {
            "value": range(len(data["cell_of_value"])),
            "cell_row": range(len(data["cell_row"])),
            "cell": [
                f"{columns[k]} of {patients[each]}"
                for each, k in zip(arranged.cell_patient, arranged.cell_covariate, strict=True)
            ],
        }
    return {name: each for name, each in labels.items() if len(each)}


def covariate_variables(
    design: IncompleteDesign, data: dict[str, Any]
) -> tuple[list[Any], Any, Any]:
    """Make the regressions' unknowns.

    Returns
    -------
    list of (configurations,) tensor or tuple
        Of each covariate its linear predictor, and for a continuous one its scale.
    (configurations, covariates) tensor
        Values, unknown ones in their places.
    (cells,) tensor or None
        Missing continuous values.
    """
    import pymc as pm
    import pytensor.tensor as pt

    intercept = pm.Normal("imputation_intercept", 0.0, INTERCEPT_SD, dims="incomplete")
    effect = pm.Normal("imputation_effect", 0.0, EFFECT_SD, dims="imputation_term")
    value, missing = data["covariate_value"], None
    scale: Any = None
    if has_cells(design):
        scale = pm.HalfNormal("imputation_scale", SCALE_SD, dims="continuous")
        # its density is the regression's
        missing = pm.Flat("missing_value", dims="cell")
        place = (data["value_configuration"], data["value_covariate"])
        value = pt.set_subtensor(value[place], missing[data["cell_of_value"]])
    n_predictors = data["predictors"].shape[1]
    predicted, first, n_continuous = [], 0, 0
    for k, each in enumerate(design.covariates):
        middle = first + n_predictors
        linear = intercept[k] + data["delta"][k] * data["covariate_is_missing"][:, k]
        linear = linear + pt.dot(data["predictors"], effect[first:middle])
        if k:
            linear = linear + pt.dot(value[:, :k], effect[middle : middle + k])
        first = middle + k
        if each.kind == "continuous":
            predicted.append((linear, scale[n_continuous]))
            n_continuous += 1
        else:
            predicted.append((linear, None))
    return predicted, value, missing


def covariate_log_density(
    design: IncompleteDesign, predicted: list[Any], value: Any, errors: Errors
) -> Any:
    """Log density of the covariates of every configuration, given the complete ones."""
    import pymc as pm
    import pytensor.tensor as pt

    total: Any = 0.0
    for k, each in enumerate(design.covariates):
        linear, scale = predicted[k]
        if each.kind == "binary":
            total = total + value[:, k] * linear - pt.softplus(linear)
        elif errors == "normal":
            total = total + pm.logp(pm.Normal.dist(linear, scale), value[:, k])
        else:
            spread = pm.StudentT.dist(DEGREES_OF_FREEDOM, linear, sigma=scale)
            total = total + pm.logp(spread, value[:, k])
    return total


def log_density(event: Any, at_end: Any, cumulative: Any) -> Any:
    """Log density of each patient's follow-up under every configuration."""
    return event[:, None] * at_end - cumulative


def summed_log_density(event: Any, at_end: Any, cumulative: Any, log_weight: Any) -> Any:
    """Log density of each patient's follow-up, configurations summed out."""
    import pytensor.tensor as pt

    return pt.logsumexp(log_weight + log_density(event, at_end, cumulative), axis=1)


def imputed_values(design: IncompleteDesign, tree: "xr.DataTree") -> "pd.DataFrame":
    """Posterior mean and standard deviation of every missing value."""
    import pandas as pd

    posterior = tree["posterior"].to_dataset()
    patient, value = binary_configurations(design)
    labels = design.inputs.cohort.patients
    starts = np.searchsorted(patient, np.arange(len(labels)))
    arranged = configurations(design)
    rows = []
    for k, each in enumerate(design.covariates):
        for who in np.flatnonzero(each.is_missing):
            if each.kind == "binary":
                own = slice(starts[who], starts[who] + int(np.sum(patient == who)))
                share = posterior["configuration_probability"].values[:, :, who]
                mean = float(share.mean(axis=(0, 1))[: own.stop - own.start] @ value[own, k])
                sd = np.sqrt(mean * (1 - mean))
            else:
                cell = np.flatnonzero(
                    (arranged.cell_patient == who) & (arranged.cell_covariate == k)
                )
                drawn = posterior["missing_value"].values[..., cell[0]]
                mean, sd = float(drawn.mean()), float(drawn.std(ddof=1))
            rows.append(
                {
                    "patient": labels[who],
                    "column": each.column,
                    "term": each.term,
                    "kind": each.kind,
                    "mean": each.shift + each.span * mean,
                    "sd": abs(each.span) * sd,
                }
            )
    return pd.DataFrame(rows)
