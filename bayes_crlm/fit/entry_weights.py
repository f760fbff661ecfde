"""Whether the weights of the population before entry can be trusted.

A patient who entered at e counts 1 / S(e), with S survival from the origin. Those whose S was
small at their entry are those who are hardly ever seen, and the few weights that would stand for
them are missing from most cohorts: the estimate is then too favourable, and nothing in the weights
that are there shows it. Where entry does not depend on covariates, 1 / P(seen), with P(seen) the
mean of S over all entry times, has the same mean and hardly any skew: the weight of a patient does
not depend on when this patient happened to enter. The distribution of entry times is itself that
before anybody died, and both are found in turn until they agree. Two estimates of one quantity
that lie apart say that weights are skewed, or that entry depends on covariates.

References
----------
Bergeron, Asgharian & Wolfson (2008), JASA 103:737-742 (covariates of those who lived to be seen);
Lynden-Bell (1971), MNRAS 155:95-118 (the distribution of what truncates);
Kish (1965), Survey Sampling, section 11.7 (effective size).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.estimands.population import Population, curves_of_levels
from bayes_crlm.estimands.survival import cumulative_hazard_at
from bayes_crlm.fit.draws import PosteriorDraws
from bayes_crlm.fit.estimand_draws import survival_draws
from bayes_crlm.likelihood.hazard_table import LogHazards
from bayes_crlm.likelihood.quantiles import values_reached
from bayes_crlm.words.shown import as_written, number, whole, whole_percent

# the limits that weighted analyses have
LEAST_SIZE, LEAST_SHARE, LARGEST_WEIGHT = 10.0, 0.1, 0.2
# in posterior standard deviations and in survival: beyond both a curve is another one
FARTHEST, LEAST_APART = 0.5, 0.01
# as many draws tell a standard deviation
DRAWS_OF_SD = 400
# entry times that a distribution of more is summed up by
MOST_ENTRIES = 200
COMPARED_TIMES = 25
# rounds until weights and the distribution of entries agree, and what counts as agreement
MOST_ROUNDS, AGREE = 500, 1e-6


def entry_weight_rows(fit: PosteriorDraws) -> list[dict[str, Any]]:
    """Hold survival of the population before entry against that by another kind of weights.

    Parameters
    ----------
    fit : PosteriorDraws
        Fitted.

    Returns
    -------
    list of dict
        One for each treatment level: treatment, effective_patients (Kish's, the median over
        draws), n_patients, largest_weight (of one patient, the median over draws), time at which
        the two curves lie farthest apart, survival (weights 1 / survival to the own entry),
        survival_over_entries (weights 1 / mean survival to all entries), both at the posterior
        means of hazards and effects, sd (posterior standard deviation of survival there) and
        distance (in these). Empty for entrants, and where nobody entered after the origin.
    """
    if fit.weights.ndim == 1:
        return []
    from bayes_crlm.model.arm_follow_up import last_follow_up

    inputs, people = fit.inputs, fit.people
    cutpoints = inputs.intervals.cutpoints
    mean = fit.hazards.mean()
    end = max(float(each) for each in last_follow_up(inputs))
    times = np.linspace(fit.begin, end, COMPARED_TIMES + 1)[1:]
    own = people.weights(mean, cutpoints, fit.begin)[0]
    other = weights_over_entries(people, mean, cutpoints, fit.begin)
    curves, others = (
        curves_of_levels(inputs, mean, people, weight, times, fit.begin)[0]
        for weight in (own, other)
    )
    n_patients = inputs.data.n_patients
    largest = np.median((fit.weights / (people.share * n_patients)).max(axis=1))
    rows = []
    for k, level in enumerate(inputs.design.levels):
        at = int(np.argmax(np.abs(curves[k] - others[k])))
        draws = survival_draws(fit, [times[at]], most_draws=DRAWS_OF_SD).values[:, k, 0]
        sd = float(draws.std(ddof=1))
        apart = float(curves[k, at] - others[k, at])
        rows.append(
            {
                "treatment": level,
                "effective_patients": fit.effective_patients,
                "n_patients": n_patients,
                "largest_weight": float(min(largest, 1.0)),
                "time": float(times[at]),
                "survival": float(curves[k, at]),
                "survival_over_entries": float(others[k, at]),
                "sd": sd,
                "distance": apart / sd if sd > 0 else 0.0,
            }
        )
    return rows


def weights_over_entries(
    people: Population, mean: LogHazards, cutpoints: NDArray, origin: float
) -> NDArray[np.float64]:
    """Weight every pattern by 1 / its chance to be seen, over the distribution of entry times.

    Parameters
    ----------
    people : Population
        Of the population before entry, with entries and treatment columns.
    mean : LogHazards
        Posterior mean, as a single draw.
    cutpoints : (intervals + 1,) ndarray
        Interval ends.
    origin : float
        Where survival is 1.

    Returns
    -------
    (patterns,) ndarray
        Adding up to 1; the shares of patients where nobody's entry is known.
    """
    if people.entry is None:
        return people.share
    entries, n_each = entry_times(people.entry, people.share)
    since = cumulative_hazard_at(mean.cells[0], cutpoints, entries, origin)
    own = people.profiles.relative_hazard(mean)[0, :, None] * since[people.profiles.row_class]
    # a chance of 0 would be one that nobody who is here can have had
    alive = np.maximum(np.exp(-own), np.finfo(float).tiny)
    chance = n_each
    for _ in range(MOST_ROUNDS):
        weight = people.share / (alive @ chance)
        weight /= weight.sum()
        found = n_each / (weight @ alive)
        found /= found.sum()
        is_found = np.abs(found - chance).max() <= AGREE * chance.max()
        chance = found
        if is_found:
            break
    weight = people.share / (alive @ chance)
    return weight / weight.sum()


def entry_times(entry: NDArray, share: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the entry times with their shares; of many, those at equally spaced ranks.

    Parameters
    ----------
    entry, share : (patterns,) ndarray
        Entries, and shares of patients, which add up to 1.
    """
    times, which = np.unique(entry, return_inverse=True)
    each = np.bincount(which, weights=share)
    if len(times) <= MOST_ENTRIES:
        return times, each
    middle = (np.arange(MOST_ENTRIES) + 0.5) / MOST_ENTRIES
    return values_reached(times, each, middle), np.full(MOST_ENTRIES, 1 / MOST_ENTRIES)


def entry_weight_warnings(rows: Sequence[dict[str, Any]], unit: str | None) -> list[str]:
    """Say why weights of the population before entry are not to be trusted.

    Parameters
    ----------
    rows : sequence of dict
        From `entry_weight_rows`.
    unit : str or None
        Of time.

    Returns
    -------
    list of str
        Empty where they are.
    """
    if not rows:
        return []
    phrases, first = [], rows[0]
    size, n_patients = first["effective_patients"], first["n_patients"]
    if size < LEAST_SIZE or size < LEAST_SHARE * n_patients:
        phrases.append(
            f"do not trust survival of the population before entry: {whole(n_patients)} patients "
            f"have an effective size of {number(size, 1)}; at least {as_written(LEAST_SIZE)} and "
            f"{whole_percent(LEAST_SHARE)} of them are required"
        )
    elif first["largest_weight"] > LARGEST_WEIGHT:
        phrases.append(
            "do not trust survival of the population before entry: one patient has "
            f"{whole_percent(first['largest_weight'])} of the weight; at most "
            f"{whole_percent(LARGEST_WEIGHT)} is allowed"
        )
    apart = [
        row
        for row in rows
        if abs(row["distance"]) > FARTHEST
        and abs(row["survival"] - row["survival_over_entries"]) > LEAST_APART
    ]
    if apart:
        worst = max(apart, key=lambda row: abs(row["distance"]))
        found, level = f"{number(100 * worst['survival_over_entries'], 1)}%", worst["treatment"]
        phrases.append(
            "do not trust survival of the population before entry: weights that average over all "
            f"entry times give {found} for {level} at {as_written(round(worst['time'], 1))} "
            f"{unit or 'time units'}, not {number(100 * worst['survival'], 1)}% "
            f"({number(abs(worst['distance']), 1)} posterior standard deviations, at most "
            f"{as_written(FARTHEST)} is allowed); either patients who are rarely seen are missing, "
            "or entry depends on covariates"
        )
    return phrases
