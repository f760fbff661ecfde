"""The posterior as an ArviZ DataTree: draws with labels, and all that ArviZ needs of it.

What it holds of every patient and draw - log-likelihoods, predicted times - grows with both. Of
cohorts with more than `PATIENTS_MOST` patients it keeps a random sample of them, and says so in
its attributes.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.estimands import (
    Population,
    cumulative_hazard_at,
    population,
    relative_hazard,
    standardised_survival,
    time_of_cumulative_hazard,
)
from bayes_crlm.likelihood import patient_log_likelihood
from bayes_crlm.parameters import (
    Values,
    constrain,
    draw_prior,
    effects,
    log_hazards,
    log_prior,
    model_parameters,
)

if TYPE_CHECKING:
    import xarray as xr

    from bayes_crlm.importance import WeightedDraws
    from bayes_crlm.model import ModelInputs

__all__ = ["kept_patients", "posterior_tree", "survival_times"]

PRIOR_DRAWS = 1000
PREDICTIVE_DRAWS = 200
CURVE_TIMES = 61
# up to so many patients all are in the tree; of more, so many are
PATIENTS_MOST, PATIENTS_SAMPLED = 5_000, 1_000


def posterior_tree(
    inputs: "ModelInputs",
    vectors: NDArray,
    sample_stats: "xr.Dataset",
    seed: int,
    weighted: "WeightedDraws | None" = None,
) -> "xr.DataTree":
    """Name the draws and add likelihood, priors, predictions and data.

    Parameters
    ----------
    inputs : ModelInputs
        A cohort as the model sees it.
    vectors : (chains, draws, total size) ndarray
        Unconstrained draws.
    sample_stats : xarray.Dataset
        Sampler statistics with dims (chain, draw).
    seed : int
        For prior and predictive draws.
    weighted : WeightedDraws, optional
        What importance-sampled draws were resampled from.

    Returns
    -------
    xarray.DataTree
        Groups posterior, unconstrained_posterior, sample_stats, log_likelihood, log_prior, prior,
        posterior_predictive, observed_data and constant_data; of importance-sampled draws also
        proposals.
    """
    import xarray as xr

    chains, draws, _ = vectors.shape
    flat = constrain(vectors.reshape(chains * draws, -1), model_parameters(inputs))
    rng = np.random.default_rng([seed, 1])
    prior = draw_prior(inputs, rng, PRIOR_DRAWS)
    sample_coords = {"chain": np.arange(chains), "draw": np.arange(draws)}
    kept = kept_patients(inputs, seed)
    log_hazard, effect = log_hazards(flat, inputs), effects(flat, inputs)
    log_likelihood = patient_log_likelihood(log_hazard, effect, inputs.data.of_patients(kept))
    people = population(inputs, log_hazard.mean(axis=0), effect.mean(axis=0))
    tree = {
        "posterior": named_values(flat, inputs, chains, draws),
        "unconstrained_posterior": xr.Dataset(
            {"vector": (("chain", "draw", "unconstrained"), vectors)}, coords=sample_coords
        ),
        "sample_stats": sample_stats,
        "log_likelihood": xr.Dataset(
            {
                "event": (
                    ("chain", "draw", "patient"),
                    log_likelihood.reshape(chains, draws, -1),
                )
            },
            coords=sample_coords | {"patient": inputs.cohort.patients[kept]},
        ),
        "log_prior": named_arrays(log_prior(flat, inputs), inputs, chains, draws),
        "prior": named_values(prior, inputs, 1, PRIOR_DRAWS).merge(
            curves(prior, inputs, PRIOR_DRAWS, people.thinned())
        ),
        "posterior_predictive": predicted_times(flat, inputs, chains, draws, kept, rng),
        "observed_data": observed_data(inputs, kept),
        "constant_data": constant_data(inputs, kept),
    }
    if weighted is not None:
        tree["proposals"] = proposals(weighted, inputs)
    if len(kept) < inputs.data.n_patients:
        told = {"n_patients": inputs.data.n_patients, "n_patients_sampled": len(kept)}
        for dataset in tree.values():
            if "patient" in dataset.dims:
                dataset.attrs.update(told)
    return xr.DataTree.from_dict(tree)


def proposals(weighted: "WeightedDraws", inputs: "ModelInputs") -> "xr.Dataset":
    """Draws of the proposal that are possible, as one chain: for leave-one-out.

    Returns
    -------
    xarray.Dataset
        `vector`, unconstrained, and `log_ratio`, the log of posterior over proposal density up
        to one constant.
    """
    import xarray as xr

    possible = np.flatnonzero(np.isfinite(weighted.log_ratio))
    dims = ("chain", "draw")
    return xr.Dataset(
        {
            "vector": ((*dims, "unconstrained"), weighted.vectors(inputs, possible)[None]),
            "log_ratio": (dims, weighted.log_ratio[None, possible]),
        },
        coords={"chain": [0], "draw": np.arange(len(possible))},
    )


def kept_patients(inputs: "ModelInputs", seed: int) -> NDArray[np.intp]:
    """Patients whose log-likelihoods and predictions the tree holds: all, or a random sample.

    Returns
    -------
    (patients,) ndarray of int
        Places in the cohort's patients, increasing.
    """
    n_patients = inputs.data.n_patients
    if n_patients <= PATIENTS_MOST:
        return np.arange(n_patients)
    rng = np.random.default_rng([seed, 5])
    return np.sort(rng.choice(n_patients, PATIENTS_SAMPLED, replace=False))


def observed_data(inputs: "ModelInputs", kept: NDArray[np.intp]) -> "xr.Dataset":
    """Begin and end of the kept patients' follow-up, and whether it ended with the event."""
    import xarray as xr

    final_row = inputs.final_row[kept]
    return xr.Dataset(
        {
            "time": ("patient", inputs.cohort.time[final_row]),
            "event": ("patient", inputs.data.event[final_row]),
            "entry": ("patient", inputs.cohort.entry[inputs.design.first_row[kept]]),
        },
        coords={"patient": inputs.cohort.patients[kept]},
    )


def constant_data(inputs: "ModelInputs", kept: NDArray[np.intp]) -> "xr.Dataset":
    """Design, rows of the kept patients, and intervals."""
    import xarray as xr

    cohort, design, intervals = inputs.cohort, inputs.design, inputs.intervals
    rows = np.flatnonzero(np.isin(cohort.patient_index, kept))
    return xr.Dataset(
        {
            "design": (("row", "term"), design.matrix[rows]),
            "design_center": ("term", design.center),
            "design_scale": ("term", design.scale),
            "row_entry": ("row", cohort.entry[rows]),
            "row_time": ("row", cohort.time[rows]),
            "row_event": ("row", inputs.data.event[rows]),
            "row_patient": ("row", np.searchsorted(kept, cohort.patient_index[rows])),
            "row_treatment": ("row", design.treatment_level[rows]),
            "cutpoints": ("cutpoint", intervals.cutpoints),
            # ArviZ looks for the censoring status of observed `time` under the same name
            "time": ("patient", inputs.data.event[inputs.final_row[kept]]),
            "interval_events": ("interval", intervals.events),
            "interval_exposure": ("interval", intervals.exposure),
            "log_rate": ((), inputs.log_rate),
        },
        coords={
            "term": list(design.terms),
            "interval": intervals.labels,
            "row": cohort.row_number[rows],
            "patient": cohort.patients[kept],
        },
    )


def named_arrays(values: Values, inputs: "ModelInputs", chains: int, draws: int) -> "xr.Dataset":
    """Give random variables their dims and labels."""
    import xarray as xr

    coords: dict[str, Any] = {"chain": np.arange(chains), "draw": np.arange(draws)}
    variables = {}
    labels = inputs.coords()
    for parameter in model_parameters(inputs):
        value = values[parameter.name].reshape(chains, draws, -1)
        if parameter.dim is None:
            variables[parameter.name] = (("chain", "draw"), value[..., 0])
        else:
            variables[parameter.name] = (("chain", "draw", parameter.dim), value)
            coords[parameter.dim] = labels[parameter.dim]
    return xr.Dataset(variables, coords=coords)


def named_values(values: Values, inputs: "ModelInputs", chains: int, draws: int) -> "xr.Dataset":
    """Random variables, and the log-hazards and log hazard ratios made of them."""
    dataset = named_arrays(values, inputs, chains, draws)
    effect = effects(values, inputs)
    dataset = dataset.assign_coords(
        interval=inputs.intervals.labels, term=list(inputs.design.terms)
    )
    dataset["log_hazard"] = (
        ("chain", "draw", "interval"),
        log_hazards(values, inputs).reshape(chains, draws, -1),
    )
    dataset["log_hazard_ratio"] = (
        ("chain", "draw", "term"),
        (effect / inputs.design.scale).reshape(chains, draws, -1),
    )
    return dataset


def curves(values: Values, inputs: "ModelInputs", draws: int, people: Population) -> "xr.Dataset":
    """Standardised survival curves of every treatment level, dims (chain, draw, ...)."""
    import xarray as xr

    times = np.linspace(0, inputs.intervals.cutpoints[-1], CURVE_TIMES)
    cumulative = cumulative_hazard_at(
        log_hazards(values, inputs), inputs.intervals.cutpoints, times
    )
    effect = effects(values, inputs)
    by_level = []
    # a prior may draw hazards too large for a float: survival is then 0, as it should be
    with np.errstate(over="ignore", invalid="ignore"):
        for level in range(len(inputs.design.levels)):
            relative = relative_hazard(
                effect, inputs.design.treatment_contrast(level), people.covariates
            )
            survival = standardised_survival(cumulative, relative, people.share)
            by_level.append(np.nan_to_num(survival, nan=1.0))
    return xr.Dataset(
        {
            "survival": (
                ("chain", "draw", "treatment", "time"),
                np.stack(by_level, axis=1).reshape(1, draws, len(by_level), len(times)),
            )
        },
        coords={"treatment": [str(level) for level in inputs.design.levels], "time": times},
    )


def survival_times(
    log_hazard: NDArray,
    relative: NDArray,
    entry: NDArray,
    cutpoints: NDArray,
    rng: np.random.Generator,
) -> NDArray:
    """Draw event times of patients who are event-free at entry.

    Parameters
    ----------
    log_hazard : (draws, intervals) ndarray
        Log-hazards at the covariates' means.
    relative : (draws, patients) ndarray
        Relative hazards.
    entry : (patients,) ndarray
        Times at which patients come under observation.
    cutpoints : (intervals + 1,) ndarray
        Interval ends, the first 0.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    (draws, patients) ndarray
        Infinite for an event after the last cutpoint.
    """
    survived = cumulative_hazard_at(log_hazard, cutpoints, entry)
    target = survived + rng.standard_exponential(relative.shape) / relative
    return time_of_cumulative_hazard(log_hazard, cutpoints, target)


def predicted_times(
    values: Values,
    inputs: "ModelInputs",
    chains: int,
    draws: int,
    kept: NDArray[np.intp],
    rng: np.random.Generator,
) -> "xr.Dataset":
    """Posterior predictive event times of the kept patients, thinned to a few hundred draws.

    Times beyond follow-up are set to its end, as a study that stops then would see them.
    """
    import xarray as xr

    per_chain = min(draws, max(1, PREDICTIVE_DRAWS // chains))
    chosen = np.linspace(0, draws - 1, per_chain).astype(int)
    flat = (np.arange(chains)[:, None] * draws + chosen).ravel()
    effect = effects(values, inputs)[flat]
    first_row = inputs.design.first_row[kept]
    relative = np.exp(effect @ inputs.data.design[first_row].T)
    times = survival_times(
        log_hazards(values, inputs)[flat],
        relative,
        inputs.cohort.entry[first_row],
        inputs.intervals.cutpoints,
        rng,
    )
    end = inputs.intervals.cutpoints[-1]
    return xr.Dataset(
        {
            "time": (
                ("chain", "draw", "patient"),
                np.minimum(times, end).reshape(chains, per_chain, -1),
            )
        },
        coords={
            "chain": np.arange(chains),
            "draw": chosen,
            "patient": inputs.cohort.patients[kept],
        },
    )
