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

from bayes_crlm.estimands.population import Population, curves_of_levels
from bayes_crlm.fit.groups import Group, to_tree
from bayes_crlm.fit.predicted_follow_up import predicted_follow_up
from bayes_crlm.likelihood.hazard_table import patient_log_likelihood
from bayes_crlm.model.density import log_hazards_of, log_prior, sample_prior
from bayes_crlm.model.terms.blocks import Values
from bayes_crlm.model.terms.horseshoe import Shrunk
from bayes_crlm.tasks.streams import Stream, random_stream
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
        fit.made["posterior",] = to_tree(groups_of(fit), origin_of(fit))
    return fit.made["posterior",]


def groups_of(fit: "PosteriorDraws") -> dict[str, Group]:
    """The groups of that tree, made once without xarray."""
    if ("groups",) not in fit.made:
        fit.made["groups",] = posterior_groups(fit)
    return fit.made["groups",]


def posterior_groups(fit: "PosteriorDraws") -> dict[str, Group]:
    """Name the draws and add likelihood, priors, predictions and data.

    Parameters
    ----------
    fit : PosteriorDraws
        A fitted model; its seed is that of prior and predictive draws.

    Returns
    -------
    dict of str to Group
        posterior, unconstrained_posterior, sample_stats, log_likelihood, log_prior, prior,
        posterior_predictive, observed_data and constant_data; of importance-sampled draws also
        proposals. Each says in its attributes what it was made from.
    """
    inputs = fit.inputs
    chains, draws, _ = fit.vectors.shape
    rng = random_stream(fit.seed, Stream.PREDICTIONS)
    prior = sample_prior(inputs.block_model, rng, PRIOR_DRAWS)
    kept = kept_patients(inputs, fit.seed)
    log_likelihood = patient_log_likelihood(fit.hazards, inputs.data.of_patients(kept))
    groups = {
        "posterior": named_values(fit.values, inputs, chains, draws),
        "unconstrained_posterior": Group(
            {"vector": (("chain", "draw", "unconstrained"), fit.vectors)},
            sample_coords(chains, draws),
        ),
        "sample_stats": sample_stats(fit),
        "log_likelihood": Group(
            {"event": (("chain", "draw", "patient"), log_likelihood.reshape(chains, draws, -1))},
            sample_coords(chains, draws)
            | {"patient": (("patient",), inputs.cohort.patients[kept])},
        ),
        "log_prior": named_arrays(log_prior(fit.values, inputs.block_model), inputs, chains, draws),
        "prior": with_curves(
            named_values(prior, inputs, 1, PRIOR_DRAWS),
            prior,
            inputs,
            fit.people.thinned(),
            fit.begin,
        ),
        "posterior_predictive": predicted_follow_up(fit, kept, rng),
        "observed_data": observed_data(inputs, kept),
        "constant_data": constant_data(inputs, kept),
    }
    if fit.weighted is not None:
        groups["proposals"] = proposals(fit.weighted)
    counts = {}
    if len(kept) < inputs.data.n_patients:
        counts = {"n_patients": inputs.data.n_patients, "n_patients_sampled": len(kept)}
    origin = origin_of(fit)
    return {
        name: group.described((counts if "patient" in group.sizes else {}) | origin)
        for name, group in groups.items()
    }


def sample_coords(chains: int, draws: int) -> dict[str, Any]:
    """Numbers of the chains and of their draws."""
    return {"chain": (("chain",), np.arange(chains)), "draw": (("draw",), np.arange(draws))}


def sample_stats(fit: "PosteriorDraws") -> Group:
    """Statistics of the sampler, those of every draw with dims (chain, draw)."""
    of_draws = fit.vectors.shape[:2]
    dims = {name: ("chain", "draw") if np.shape(values) == of_draws else ()
            for name, values in fit.statistics.items()}  # fmt: skip
    return Group(
        {name: (dims[name], values) for name, values in fit.statistics.items()},
        sample_coords(*of_draws) if any(dims.values()) else {},
    )


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


def proposals(weighted: "WeightedDraws") -> Group:
    """Draws of the proposal that are possible, as one chain: for leave-one-out.

    Returns
    -------
    Group
        `vector`, unconstrained, and `log_ratio`, the log of posterior over proposal density up
        to one constant.
    """
    possible = np.flatnonzero(np.isfinite(weighted.log_ratio))
    dims = ("chain", "draw")
    return Group(
        {
            "vector": ((*dims, "unconstrained"), weighted.vectors[possible][None]),
            "log_ratio": (dims, weighted.log_ratio[None, possible]),
        },
        sample_coords(1, len(possible)),
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


def observed_data(inputs: "PreparedCohort", kept: NDArray[np.intp]) -> Group:
    """Whether the kept patients' follow-up ended with the event; its begin and end beside it."""
    final_row = inputs.final_row[kept]
    return of_dim(
        "patient",
        {"event": inputs.cohort.event[final_row]},
        {
            "patient": inputs.cohort.patients[kept],
            "time": inputs.cohort.time[final_row],
            "entry": inputs.cohort.entry[inputs.design.first_row[kept]],
        },
    )


def of_dim(dim: str, variables: dict[str, Any], coords: dict[str, Any]) -> Group:
    """A group of arrays with one dimension."""
    return Group(
        {name: ((dim,), values) for name, values in variables.items()},
        {name: ((dim,), values) for name, values in coords.items()},
    )


def constant_data(inputs: "PreparedCohort", kept: NDArray[np.intp]) -> Group:
    """Design, rows of the kept patients, and intervals."""
    cohort, design, intervals = inputs.cohort, inputs.design, inputs.intervals
    rows = np.flatnonzero(np.isin(cohort.patient_index, kept))
    of_rows = {
        "row_entry": cohort.entry[rows],
        "row_time": cohort.time[rows],
        "row_event": inputs.data.event[rows],
        "row_patient": np.searchsorted(kept, cohort.patient_index[rows]),
        "row_treatment": design.treatment_level[rows],
    }
    return Group(
        {
            "design": (("row", "term"), design.matrix[rows]),
            "design_center": (("term",), design.center),
            "design_scale": (("term",), design.scale),
            **{name: (("row",), values) for name, values in of_rows.items()},
            "cutpoints": (("cutpoint",), intervals.cutpoints),
            "interval_events": (("interval",), intervals.events),
            "interval_exposure": (("interval",), intervals.exposure),
            "log_rate": ((), inputs.log_rate),
        },
        {
            "term": (("term",), list(design.terms)),
            "interval": (("interval",), intervals.labels),
            "row": (("row",), cohort.row_number[rows]),
            "patient": (("patient",), cohort.patients[kept]),
        },
    )


def named_arrays(values: Values, inputs: "PreparedCohort", chains: int, draws: int) -> Group:
    """Give random variables their dims and labels."""
    variables, coords, labels = {}, sample_coords(chains, draws), inputs.coords()
    for parameter in inputs.block_model.parameters:
        value = values[parameter.name].reshape(chains, draws, -1)
        if parameter.dim is None:
            variables[parameter.name] = (("chain", "draw"), value[..., 0])
        else:
            variables[parameter.name] = (("chain", "draw", parameter.dim), value)
            coords[parameter.dim] = ((parameter.dim,), labels[parameter.dim])
    return Group(variables, coords)


def named_values(values: Values, inputs: "PreparedCohort", chains: int, draws: int) -> Group:
    """Random variables, and the values of blocks and log hazard ratios made of them."""
    group, labels = named_arrays(values, inputs, chains, draws), inputs.coords()
    ratios = log_hazards_of(values, inputs.block_model).effect / inputs.design.scale
    found = {
        block.values_name: (block.dim, block.values(values))
        for block in inputs.blocks
        if not isinstance(block, Shrunk) and block.dim is not None
    } | {"log_hazard_ratio": ("term", ratios)}
    of_draws = {
        name: (("chain", "draw", dim), each.reshape(chains, draws, -1))
        for name, (dim, each) in found.items()
        if name not in group.variables
    }
    dims = dict.fromkeys(["interval", "term", *(dim for dim, _ in found.values())])
    coords = {dim: ((dim,), labels[dim]) for dim in dims}
    return Group({**group.variables, **of_draws}, {**group.coords, **coords})


def with_curves(
    group: Group, values: Values, inputs: "PreparedCohort", people: Population, origin: float
) -> Group:
    """Add standardised survival of every treatment level from the origin, of one chain."""
    cutpoints, at = inputs.intervals.cutpoints, log_hazards_of(values, inputs.block_model)
    times, levels = np.linspace(origin, cutpoints[-1], CURVE_TIMES), inputs.design.levels
    # a prior may draw hazards too large for a float: survival is then 0, as it should be
    with np.errstate(over="ignore", invalid="ignore"):
        weight = people.weights(at, cutpoints, origin)
        curves = curves_of_levels(inputs, at, people, weight, times, origin)
    survival = np.nan_to_num(curves, nan=1.0)[None]
    return Group(
        {**group.variables, "survival": (("chain", "draw", "treatment", "time"), survival)},
        {
            **group.coords,
            "treatment": (("treatment",), [str(level) for level in levels]),
            "time": (("time",), times),
        },
    )
