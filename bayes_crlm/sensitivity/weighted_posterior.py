"""Generalised posterior of a weighted likelihood, with an interval of the right width.

Weights make a likelihood an estimating function: its curvature no longer says how much the
estimate varies, rows of one patient are not independent, and the weights are estimates themselves.
The weighted log-likelihood is therefore multiplied by a learning rate: the ratio of the robust to
the curvature's precision of the treatment's effect. The prior then meets as much information as
the weighted data really hold.

The robust variance is that of the patients' influence on the estimate, found by giving one patient
after the other half a weight and estimating everything again, the weights included. Half a weight
has a reason: in least squares no weight at all gives residuals over 1 - h (a jackknife, too wide
with few patients), a vanishing change gives plain ones (a sandwich, too narrow), and half a weight
gives residuals over 1 - h / 2, close to those over the root of 1 - h that are right on average.
The variance is an estimate too, of a number of degrees of freedom that follows from how evenly
the patients have influence; the interval is widened as Student's t is for so many.

All of that estimates a variance from the events there are. In an arm without any, no patient has
much influence and the variance collapses, although nothing is known of the arm but that its
hazard is low: such rows are refused. An arm whose events are worth fewer than five equally
weighted ones gives a row that is marked, as fewer than five events a variable are too few for Cox
regression.

References
----------
Bissiri, Holmes & Walker (2016), J R Stat Soc B 78:1103-1130 (generalised posteriors); Ribatet,
Cooley & Davison (2012), Stat Sinica 22:813-845, and Lyddon, Holmes & Walker (2019), Biometrika
106:465-478 (the learning rate); MacKinnon & White (1985), J Econometrics 29:305-325, and Kauermann
& Carroll (2001), J Am Stat Assoc 96:1387-1396 (small samples); Pan & Wall (2002), Stat Med
21:1429-1441 (degrees of freedom of a sandwich); Vittinghoff & McCulloch (2007), Am J Epidemiol
165:710-718 (events a variable).
"""

import dataclasses
from collections.abc import Callable, Mapping
from itertools import batched
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.mode import Modes, find_modes
from bayes_crlm.inference.targets import Targets
from bayes_crlm.likelihood.risk_sums import RiskSums
from bayes_crlm.model.baseline_priors import Independent
from bayes_crlm.model.prepared import PreparedCohort
from bayes_crlm.model.priors import HALF_WIDTH_95, Horseshoe, Normal
from bayes_crlm.tasks.streams import Stream, random_stream
from bayes_crlm.words.errors import SensitivityError
from bayes_crlm.words.records import record
from bayes_crlm.words.shown import as_written, number, whole, whole_percent

Weigh = Callable[[NDArray], NDArray]

# of the effect in the fits that the learning rate comes from: nearly flat, but proper
VAGUE_SD = 5.0
# weighted deaths of a short interval may be a fraction of one: a prior that is not flat pulls
VAGUE_HAZARD_SD = 10.0
KEPT_SHARE = 0.5
# weightings x rows x intervals that are worked on together, so that arrays stay in a cache
ENTRIES_TOGETHER = 2**18
# influences are differences of modes, which have to be known to more digits than usual
RISE_TOLERANCE = 1e-12
FEWEST_EVENTS = 5.0
"""Of either arm, in equally weighted events; with fewer an interval is not to be trusted."""
LEAST_SIZE, LEAST_SHARE = 10.0, 0.1
"""Of an arm's effective size: so many patients, and such a share of those who are weighted."""
LARGEST_WEIGHT = 0.2
"""Share of an arm's weight that one patient may have."""
WEIGHT_LIMITS = (
    f"A weighted row counts only where each arm's weights have an effective size of at least "
    f"{as_written(LEAST_SIZE)} and {whole_percent(LEAST_SHARE)} of those who are weighted, none "
    f"has more than {whole_percent(LARGEST_WEIGHT)} of its arm's weight, and each arm's weighted "
    f"events are worth {as_written(FEWEST_EVENTS)} equally weighted ones."
)


@record(eq=False)
class Calibration:
    """How much information a weighted likelihood holds about the treatment's effect.

    Attributes
    ----------
    row_weight : (rows,) ndarray
        Of the patients as they are.
    learning_rate : float
        What the weighted log-likelihood is multiplied by.
    log_hazard_ratio : float
        That maximises the weighted likelihood (nearly flat prior).
    naive_sd : float
        Its standard deviation by the curvature alone.
    robust_sd : float
        By the patients' influence, the weights' own uncertainty included.
    degrees_of_freedom : float
        Of `robust_sd`.
    groups : int
        Patients, or groups of patients, whose influence was found.
    effective_events_reference, effective_events_treated : float
        Equally weighted events that say as much.
    """

    row_weight: NDArray[np.float64]
    learning_rate: float
    log_hazard_ratio: float
    naive_sd: float
    robust_sd: float
    degrees_of_freedom: float
    groups: int
    effective_events_reference: float
    effective_events_treated: float

    def to_dict(self) -> dict[str, Any]:
        """Everything but the rows' weights, as plain values."""
        return {name: value for name, value in vars(self).items() if name != "row_weight"}

    @property
    def problem(self) -> str | None:
        """Why the interval is not to be trusted; None where it is."""
        fewest = min(self.effective_events_reference, self.effective_events_treated)
        if fewest >= FEWEST_EVENTS:
            return None
        arm = "treated" if fewest == self.effective_events_treated else "reference"
        return (
            f"weighted events of the {arm} arm amount to {number(fewest, 1)} equally weighted "
            f"ones, fewer than {as_written(FEWEST_EVENTS)}: too few to know how much a weighted "
            "estimate varies"
        )


def calibrate(
    inputs: PreparedCohort,
    weigh: Weigh,
    n_patients: int,
    groups: int,
    seed: int,
    *,
    is_own: NDArray | None = None,
) -> Calibration:
    """Find the learning rate of a weighted likelihood.

    Parameters
    ----------
    inputs : PreparedCohort
        The rows to be weighted; the first term is the treatment in question.
    weigh : callable
        From weights of patients, (weightings, patients), to weights of rows, (weightings, rows);
        estimates everything that the rows' weights depend on, and includes the patients' own.
    n_patients : int
        Independent units.
    groups : int
        When there are more patients than this, they are divided at random into so many groups,
        and a group's influence is found at once.
    seed : int
        Fixes the groups.
    is_own : (rows,) ndarray of bool, optional
        Rows whose events are their arm's own; all without it. Those of others are in both arms,
        and no information about the difference.

    Returns
    -------
    Calibration

    Raises
    ------
    SensitivityError
        When the weighted likelihood has no maximum, or an arm has no event of its own.
    """
    from scipy.special import stdtrit

    plain = nearly_flat(inputs)
    row_weight = weigh(np.ones((1, n_patients)))[0]
    events = effective_events(inputs, row_weight if is_own is None else row_weight * is_own)
    if not min(events) > 0:
        arm = "treated" if events[0] > 0 else "reference"
        raise SensitivityError(
            f"no event of its own in the {arm} arm: how much a weighted hazard ratio varies cannot "
            "be known; see the rows without weights, which their prior bounds"
        )
    mode = weighted_modes(plain, row_weight[None])
    size = max(1, ENTRIES_TOGETHER // (len(row_weight) * plain.intervals.n_intervals))
    changed = []
    for some in batched(patient_groups(n_patients, groups, seed), size):
        weights = np.ones((len(some), n_patients))
        for weight, members in zip(weights, some, strict=True):
            weight[members] = KEPT_SHARE
        changed.append(weighted_modes(plain, weigh(weights), mode).effect[:, 0])
    influence = (mode.effect[0, 0] - np.concatenate(changed)) / (1 - KEPT_SHARE)
    variance, degrees_of_freedom = influence_variance(influence)
    scale, precision = inputs.design.scale[0], float(1 / mode.spread()[0, 0, 0])
    widened = variance * (float(stdtrit(degrees_of_freedom, 0.975)) / HALF_WIDTH_95) ** 2
    return Calibration(
        row_weight=row_weight,
        # the likelihood's curvature over the variance of its score
        learning_rate=(precision - VAGUE_SD**-2) / (widened * precision**2),
        log_hazard_ratio=float(mode.effect[0, 0] / scale),
        naive_sd=float(precision**-0.5 / scale),
        robust_sd=float(variance**0.5 / scale),
        degrees_of_freedom=degrees_of_freedom,
        groups=len(influence),
        effective_events_reference=events[0],
        effective_events_treated=events[1],
    )


def effective_events(inputs: PreparedCohort, row_weight: NDArray) -> tuple[float, float]:
    """Equally weighted events whose log rate varies as much as that of the weighted ones, by arm.

    A weighted number of events, sum(w), varies by sum(w^2), so that its log varies by
    sum(w^2) / sum(w)^2: the inverse of Kish's effective size of the events' weights.

    Parameters
    ----------
    inputs : PreparedCohort
        The treatment has two levels.
    row_weight : (rows,) ndarray
        How much each row counts.

    Returns
    -------
    (reference, treated)
    """
    weight = np.where(inputs.cohort.event == 1, row_weight, 0.0)
    level = inputs.design.treatment_level
    return effective_sample_size(weight[level == 0]), effective_sample_size(weight[level == 1])


def patient_groups(n_patients: int, groups: int, seed: int) -> list[NDArray[np.intp]]:
    """Divide patients into groups: each its own where there are no more patients than groups."""
    if n_patients <= groups:
        return list(np.arange(n_patients)[:, None])
    order = random_stream(seed, Stream.PATIENT_GROUPS).permutation(n_patients)
    return np.array_split(order, groups)


def influence_variance(influence: NDArray) -> tuple[float, float]:
    """Variance of a sum of independent influences, and its degrees of freedom.

    Parameters
    ----------
    influence : (groups,) ndarray
        By how much the sum would change without each group.

    Returns
    -------
    (variance, degrees_of_freedom)
        As many degrees as there are groups minus 1 at most; fewer where few groups have most of
        the influence: 2 V^2 over the variance of V (Pan & Wall).
    """
    count = len(influence)
    squares = (influence - influence.mean()) ** 2
    total = float(squares.sum())
    spread = float(((squares - squares.mean()) ** 2).sum())
    degrees = count - 1.0 if spread == 0 else min(count - 1.0, 2 * total**2 / spread)
    return total * count / (count - 1), degrees


def nearly_flat(inputs: PreparedCohort) -> PreparedCohort:
    """Give the treatment a nearly flat prior, and hazards one without a step scale to know."""
    covariate_prior = inputs.covariate_prior
    if isinstance(covariate_prior, Horseshoe):
        covariate_prior = Normal(0.0, 1.0)
    return dataclasses.replace(
        inputs,
        baseline=Independent(VAGUE_HAZARD_SD),
        treatment_prior=Normal(0.0, VAGUE_SD),
        covariate_prior=covariate_prior,
    )


def weighted_modes(
    inputs: PreparedCohort, row_weights: NDArray, near: Modes | None = None
) -> Modes:
    """Modes of the weighted likelihood times the prior, one for each weighting of the rows.

    Parameters
    ----------
    inputs : PreparedCohort
        A cohort as the model sees it.
    row_weights : (weightings, rows) ndarray
        Powers of the rows' likelihoods.
    near : Modes, optional
        A single one, where the search starts.

    Raises
    ------
    SensitivityError
        When there is none, and for a model whose rows have classes or groups.
    """
    if inputs.data.n_classes > 1 or inputs.data.groups:
        raise SensitivityError(
            "rows with weights are fitted without terms that have groups or hazards of their own; "
            "leave them out of the spec to see this row"
        )
    sums = RiskSums.stacked([RiskSums.of(inputs.data.weighted(each)) for each in row_weights])
    start = None if near is None else np.repeat(near.at, len(sums), axis=0)
    targets = Targets.of_cohort(inputs, sums)
    modes = find_modes(targets, start=start, rise_tolerance=RISE_TOLERANCE)
    if not modes.converged.all():
        raise SensitivityError(
            "the weighted likelihood has no maximum; the weights leave too few events in one arm"
        )
    return modes


def effective_sample_size(weight: NDArray) -> float:
    """Number of equally weighted patients whose mean varies as much (Kish).

    References
    ----------
    Kish (1965), Survey Sampling, section 11.7.
    """
    total = float(weight.sum())
    return total**2 / float((weight**2).sum()) if total > 0 else 0.0


def weight_problems(weights: Mapping[str, NDArray], of: str = "patients") -> list[str]:
    """Say in which arms few patients stand for all others; nothing where none does.

    An estimate is then what happened to those few, and its own variance cannot tell: they are the
    ones that it is estimated from.

    Parameters
    ----------
    weights : mapping of str to (n,) ndarray
        By what a reader calls the arm.
    of : str
        What is weighted.
    """
    problems = []
    for arm, weight in weights.items():
        size, count = effective_sample_size(weight), len(weight)
        largest = float(weight.max() / weight.sum()) if count else 0.0
        if size < LEAST_SIZE or size < LEAST_SHARE * count:
            problems.append(
                f"{whole(count)} {of} ({arm}) have an effective size of {number(size, 1)}; at "
                f"least {as_written(LEAST_SIZE)} and {whole_percent(LEAST_SHARE)} of them are "
                "required"
            )
        elif largest > LARGEST_WEIGHT:
            problems.append(
                f"one of {whole(count)} {of} ({arm}) has {whole_percent(largest)} of their weight; "
                f"at most {whole_percent(LARGEST_WEIGHT)} is allowed"
            )
    return problems
