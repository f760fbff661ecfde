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
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bayes_crlm.sensitivity.extended_model import ExtendedFit, without_integration
from bayes_crlm.sensitivity.missing.configurations import configurations
from bayes_crlm.sensitivity.missing.missing_covariates import IncompleteDesign
from bayes_crlm.words.records import record

if TYPE_CHECKING:
    import pandas as pd
    import pymc as pm

Errors = Literal["normal", "student_t"]
DEGREES_OF_FREEDOM = 4.0
# priors of the regressions, whose columns are centred and scaled: weak for coefficients of
# standardised variables, on the scale of standard deviations or of log odds
INTERCEPT_SD, EFFECT_SD, SCALE_SD = 2.5, 1.0, 1.0


@record(eq=False)
class ImputationFit(ExtendedFit):
    """Joint posterior of the survival model and the missing covariates.

    Attributes
    ----------
    design : IncompleteDesign
        The cohort.
    """

    design: IncompleteDesign

    @property
    def coefficients(self) -> list[dict[str, Any]]:
        """Of every design column in original units, as hazard ratios: `term`, ..."""
        terms = self.inputs.design.terms
        return [{"term": term, **each} for term, each in zip(terms, self.ratios, strict=True)]

    @property
    def imputed(self) -> "pd.DataFrame":
        """Posterior mean and standard deviation of every missing value.

        One row a missing value: patient, column, term, kind, mean, sd (of a binary one, mean is
        the probability of the larger value), in units of the design column.
        """
        import pandas as pd

        posterior = self.posterior["posterior"].to_dataset()
        arranged, frames = configurations(self.design), []
        for k, each in enumerate(self.design.covariates):
            if each.kind == "binary":
                share = posterior["configuration_probability"].values.mean(axis=(0, 1))
                mean = (share * arranged.value[arranged.table, k]).sum(axis=1)[each.is_missing]
                sd = np.sqrt(mean * (1 - mean))
            else:
                drawn = posterior["missing_value"].values[..., arranged.cells[:, 1] == k]
                mean, sd = drawn.mean(axis=(0, 1)), drawn.std(axis=(0, 1), ddof=1)
            columns = {
                "patient": np.asarray(self.inputs.cohort.patients)[each.is_missing],
                "column": each.column,
                "term": each.term,
                "kind": each.kind,
                "mean": each.shift + each.span * mean,
                "sd": abs(each.span) * sd,
            }
            frames.append(pd.DataFrame(columns))
        return pd.concat(frames, ignore_index=True)


def fit_imputation(
    design: IncompleteDesign,
    *,
    delta: dict[str, float] | None = None,
    errors: Errors = "normal",
    **sampling: Any,
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
    **sampling
        `seed`, and `draws`, `tune`, `chains`, `progress` of
        `bayes_crlm.inference.pymc_sampling.sample_model`.

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
        raise KeyError(f"delta is given for {sorted(unknown)}, which have no missing values")
    shifts |= delta or {}
    kinds = tuple(each.kind for each in design.covariates)
    return ImputationFit.sample(
        build_imputation(design, tuple(shifts.values()), errors),
        without_integration(design.inputs),
        [
            "imputation_intercept",
            "imputation_effect",
            *(("imputation_scale", "missing_value") if "continuous" in kinds else ()),
        ],
        about={"design": design},
        structure=("imputation", kinds, errors),
        **sampling,
    )


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
    from bayes_crlm.model.pymc_model import counting_process_log_density, patient_hazards

    inputs = without_integration(design.inputs)
    arranged = configurations(design)
    values = {
        **block_data(inputs.blocks),
        **arranged.data,
        "interval_width": inputs.data.follow_up.width,
        "delta": np.asarray(delta, dtype=float),
        "design_scale": inputs.design.scale,
    }
    patients, columns = inputs.cohort.patients, [each.column for each in design.covariates]
    continuous = [k for k, each in enumerate(design.covariates) if each.kind == "continuous"]
    labels = {
        **inputs.coords(),
        "incomplete": columns,
        "continuous": [columns[k] for k in continuous],
        "imputation_term": effect_labels(design),
        "cell": [f"{columns[k]} of {patients[who]}" for who, k in arranged.cells],
        "filling": range(arranged.table.shape[1]),
    }
    with pm.Model(coords={name: each for name, each in labels.items() if len(each)}) as model:
        data: dict[str, Any] = {name: pm.Data(name, value) for name, value in values.items()}
        at = hazard_variables(inputs.block_model, data)
        pm.Deterministic("log_hazard_ratio", at.effect / data["design_scale"], dims="term")
        predicted, value = covariate_variables(design, data)
        linear_predictor = pt.dot(data["design"], at.effect)
        if "slope" in data:
            # slopes are 0 where a value is seen, which the design has already
            missing = value[data["patient_index"]][:, continuous]
            slope = pt.dot(data["slope"], at.effect).reshape((len(continuous), -1))
            linear_predictor += pt.sum(slope * missing.T, axis=0)
        at_end, cumulative = patient_hazards(linear_predictor, at.cells, data)
        of_covariates = covariate_log_density(design, predicted, value, errors)
        table = data["configuration_table"]
        log_weight = of_covariates[table] + data["configuration_log_weight"]
        pm.Potential("covariate_model", pt.sum(pt.logsumexp(log_weight, axis=1)))
        pm.Deterministic(
            "configuration_probability",
            pt.special.softmax(
                log_weight
                + counting_process_log_density(
                    data["follow_up_event"][:, None], at_end[table], cumulative[table]
                ),
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


def covariate_variables(design: IncompleteDesign, data: dict[str, Any]) -> tuple[list[Any], Any]:
    """Make the regressions' unknowns.

    Returns
    -------
    list of (configurations,) tensor or tuple
        Of each covariate its linear predictor, and for a continuous one its scale.
    (configurations, covariates) tensor
        Values, unknown ones in their places.
    """
    import pymc as pm
    import pytensor.tensor as pt

    intercept = pm.Normal("imputation_intercept", 0.0, INTERCEPT_SD, dims="incomplete")
    effect = pm.Normal("imputation_effect", 0.0, EFFECT_SD, dims="imputation_term")
    value, scale = data["covariate_value"], iter(())
    if "slope" in data:
        scales = pm.HalfNormal("imputation_scale", SCALE_SD, dims="continuous")
        scale = (scales[k] for k in range(len(design.covariates)))
        # its density is the regression's
        missing = pm.Flat("missing_value", dims="cell")
        place = (data["value_configuration"], data["value_covariate"])
        value = pt.set_subtensor(value[place], missing[data["cell_of_value"]])
    n_predictors = data["predictors"].shape[1]
    predicted, first = [], 0
    for k, each in enumerate(design.covariates):
        middle = first + n_predictors
        linear = intercept[k] + data["delta"][k] * data["covariate_is_missing"][:, k]
        linear = linear + pt.dot(data["predictors"], effect[first:middle])
        if k:
            linear = linear + pt.dot(value[:, :k], effect[middle : middle + k])
        first = middle + k
        predicted.append((linear, None if each.kind == "binary" else next(scale)))
    return predicted, value


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


def summed_log_density(event: Any, at_end: Any, cumulative: Any, log_weight: Any) -> Any:
    """Log density of each patient's follow-up, configurations summed out."""
    import pytensor.tensor as pt

    from bayes_crlm.model.pymc_model import counting_process_log_density

    density = counting_process_log_density(event[:, None], at_end, cumulative)
    return pt.logsumexp(log_weight + density, axis=1)
