"""The posterior as an ArviZ DataTree: draws with labels, and all that ArviZ needs of it.

The outcome has one name, `event`, in the groups that ArviZ pairs by name (log_likelihood,
posterior_predictive, observed_data): as in the `pm.Model`, given its times at risk a patient has
the event or not. Times stand beside it as coordinates, for ArviZ's predictive plots know neither
censoring of predicted times nor late entry.

What it holds of every patient and draw - log-likelihoods, predicted times - grows with both. Of
cohorts with more than `PATIENTS_MOST` patients it keeps a random sample of them, and says so in
its attributes.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.estimands.population import Population
from bayes_crlm.estimands.standardised import mean_survival
from bayes_crlm.fit.predicted_follow_up import predicted_follow_up
from bayes_crlm.inference.streams import Stream, random_stream
from bayes_crlm.likelihood.hazard_table import patient_log_likelihood
from bayes_crlm.model.density import log_hazards_of, log_prior, sample_prior
from bayes_crlm.model.terms.blocks import Values
from bayes_crlm.model.terms.horseshoe import Shrunk
from bayes_crlm.words.wording import SYNTHETIC

if TYPE_CHECKING:
    import xarray as xr

    from bayes_crlm.fit.draws import PosteriorDraws
    from bayes_crlm.inference.draws import WeightedDraws
    from bayes_crlm.model.prepared import PreparedCohort

PRIOR_DRAWS = 1000
CURVE_TIMES = 61
# up to so many patients all are in the tree; of more, so many are
PATIENTS_MOST, PATIENTS_SAMPLED = 5_000, 1_000


def posterior_of(fit: "PosteriorDraws") -> "xr.DataTree":
    """The tree of some draws, made once."""
    if ("posterior",) not in fit.made:
        fit.made["posterior",] = posterior_tree(fit)
    return fit.made["posterior",]


def posterior_tree(fit: "PosteriorDraws") -> "xr.DataTree":
    """Name the draws and add likelihood, priors, predictions and data.

    Parameters
    ----------
    fit : PosteriorDraws
        A fitted model; its seed is that of prior and predictive draws.

    Returns
    -------
    xarray.DataTree
        Groups posterior, unconstrained_posterior, sample_stats, log_likelihood, log_prior, prior,
        posterior_predictive, observed_data and constant_data; of importance-sampled draws also
        proposals. Each says in its attributes what it was made from.
    """
    import xarray as xr

    inputs = fit.inputs
    chains, draws, _ = fit.vectors.shape
    rng = random_stream(fit.seed, Stream.PREDICTIONS)
    prior = sample_prior(inputs.block_model, rng, PRIOR_DRAWS)
    sample_coords = {"chain": np.arange(chains), "draw": np.arange(draws)}
    kept = kept_patients(inputs, fit.seed)
    log_likelihood = patient_log_likelihood(fit.hazards, inputs.data.of_patients(kept))
    tree = {
        "posterior": named_values(fit.values, inputs, chains, draws),
        "unconstrained_posterior": xr.Dataset(
            {"vector": (("chain", "draw", "unconstrained"), fit.vectors)}, coords=sample_coords
        ),
        "sample_stats": fit.sample_stats,
        "log_likelihood": xr.Dataset(
            {
                "event": (
                    ("chain", "draw", "patient"),
                    log_likelihood.reshape(chains, draws, -1),
                )
            },
            coords=sample_coords | {"patient": inputs.cohort.patients[kept]},
        ),
        "log_prior": named_arrays(log_prior(fit.values, inputs.block_model), inputs, chains, draws),
        "prior": named_values(prior, inputs, 1, PRIOR_DRAWS).merge(
            curves(prior, inputs, PRIOR_DRAWS, fit.people.thinned(), fit.begin)
        ),
        "posterior_predictive": predicted_follow_up(fit, kept, rng),
        "observed_data": observed_data(inputs, kept),
        "constant_data": constant_data(inputs, kept),
    }
    if fit.weighted is not None:
        tree["proposals"] = proposals(fit.weighted)
    if len(kept) < inputs.data.n_patients:
        counts = {"n_patients": inputs.data.n_patients, "n_patients_sampled": len(kept)}
        for dataset in tree.values():
            if "patient" in dataset.dims:
                dataset.attrs.update(counts)
    return described(xr.DataTree.from_dict(tree), origin_of(fit))


def origin_of(fit: "PosteriorDraws") -> dict[str, Any]:
    """Say what draws were made from: attributes of every group of the tree."""
    from bayes_crlm.words.version import VERSION

    cohort = fit.inputs.cohort
    return {
        "source": cohort.source,
        "synthetic": int(cohort.is_synthetic),
        **({"comment": SYNTHETIC} if cohort.is_synthetic else {}),
        "unit": cohort.unit or "not given",
        "origin": fit.begin,
        "population": fit.population,
        "seed": fit.seed,
        "engine": fit.engine,
        "version": VERSION,
        "inference_library": "bayes_crlm",
        "inference_library_version": VERSION,
    }


def described(tree: "xr.DataTree", attributes: dict[str, Any]) -> "xr.DataTree":
    """Give every group of a tree further attributes; the tree itself stays as it is.

    Each group has them all, since R and xarray read one group of a file at a time.
    """
    import xarray as xr

    groups = {
        path: node.to_dataset(inherit=False).assign_attrs(attributes)
        for path, node in tree.subtree_with_keys
    }
    return xr.DataTree.from_dict(groups)


def proposals(weighted: "WeightedDraws") -> "xr.Dataset":
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
            "vector": ((*dims, "unconstrained"), weighted.vectors[possible][None]),
            "log_ratio": (dims, weighted.log_ratio[None, possible]),
        },
        coords={"chain": [0], "draw": np.arange(len(possible))},
    )


def kept_patients(inputs: "PreparedCohort", seed: int) -> NDArray[np.intp]:
    """Patients whose log-likelihoods and predictions the tree holds: all, or a random sample.

    Returns
    -------
    (patients,) ndarray of int
        Places in the cohort's patients, increasing.
    """
    n_patients = inputs.data.n_patients
    if n_patients <= PATIENTS_MOST:
        return np.arange(n_patients)
    rng = random_stream(seed, Stream.KEPT_PATIENTS)
    return np.sort(rng.choice(n_patients, PATIENTS_SAMPLED, replace=False))


def observed_data(inputs: "PreparedCohort", kept: NDArray[np.intp]) -> "xr.Dataset":
    """Whether the kept patients' follow-up ended with the event; its begin and end beside it."""
    import xarray as xr

    final_row = inputs.final_row[kept]
    return xr.Dataset(
        {"event": ("patient", inputs.cohort.event[final_row])},
        coords={
            "patient": inputs.cohort.patients[kept],
            "time": ("patient", inputs.cohort.time[final_row]),
            "entry": ("patient", inputs.cohort.entry[inputs.design.first_row[kept]]),
        },
    )


def constant_data(inputs: "PreparedCohort", kept: NDArray[np.intp]) -> "xr.Dataset":
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


def named_arrays(values: Values, inputs: "PreparedCohort", chains: int, draws: int) -> "xr.Dataset":
    """Give random variables their dims and labels."""
    import xarray as xr

    coords: dict[str, Any] = {"chain": np.arange(chains), "draw": np.arange(draws)}
    variables = {}
    labels = inputs.coords()
    for parameter in inputs.block_model.parameters:
        value = values[parameter.name].reshape(chains, draws, -1)
        if parameter.dim is None:
            variables[parameter.name] = (("chain", "draw"), value[..., 0])
        else:
            variables[parameter.name] = (("chain", "draw", parameter.dim), value)
            coords[parameter.dim] = labels[parameter.dim]
    return xr.Dataset(variables, coords=coords)


def named_values(values: Values, inputs: "PreparedCohort", chains: int, draws: int) -> "xr.Dataset":
    """Random variables, and the values of blocks and log hazard ratios made of them."""
    dataset, labels = named_arrays(values, inputs, chains, draws), inputs.coords()
    at = log_hazards_of(values, inputs.block_model)
    dataset = dataset.assign_coords(interval=labels["interval"], term=labels["term"])
    for block in inputs.blocks:
        if isinstance(block, Shrunk) or block.dim is None or block.values_name in dataset:
            continue
        dataset = dataset.assign_coords({block.dim: labels[block.dim]})
        of_block = block.values(values).reshape(chains, draws, -1)
        dataset[block.values_name] = (("chain", "draw", block.dim), of_block)
    dataset["log_hazard_ratio"] = (
        ("chain", "draw", "term"),
        (at.effect / inputs.design.scale).reshape(chains, draws, -1),
    )
    return dataset


def curves(
    values: Values, inputs: "PreparedCohort", draws: int, people: Population, origin: float
) -> "xr.Dataset":
    """Standardised survival of every treatment level from the origin, dims (chain, draw, ...)."""
    import xarray as xr

    cutpoints, at = inputs.intervals.cutpoints, log_hazards_of(values, inputs.block_model)
    times = np.linspace(origin, cutpoints[-1], CURVE_TIMES)
    # a prior may draw hazards too large for a float: survival is then 0, as it should be
    with np.errstate(over="ignore", invalid="ignore"):
        weight = people.weights(at, cutpoints, origin)
        by_level = [
            np.nan_to_num(
                mean_survival(
                    at, inputs.under(level, people.profiles), weight, cutpoints, times, origin
                ),
                nan=1.0,
            )
            for level in range(len(inputs.design.levels))
        ]
    return xr.Dataset(
        {
            "survival": (
                ("chain", "draw", "treatment", "time"),
                np.stack(by_level, axis=1).reshape(1, draws, len(by_level), len(times)),
            )
        },
        coords={"treatment": [str(level) for level in inputs.design.levels], "time": times},
    )
