"""The patients that estimands average over, and how each counts.

Every patient counts with the covariates of the first row. `entrants`: each once, those who came
under observation. `before_entry`: the population that they come from, of whom only those who lived
to enter were seen; a patient counts 1 / S, with S the patient's own survival from the origin to
the first entry, draw by draw (1 for those who entered no later than the origin).

References
----------
Hernan & Robins (2020), Causal Inference: What If, chapter 13 (standardisation);
Horvitz & Thompson (1952), JASA 47:663-685 (weights of those who were seen);
Madow & Madow (1944), Ann Math Stat 15:1-24 (systematic sampling).
"""

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.estimands.standardised import cumulative_hazards_of_profiles, mean_survival
from bayes_crlm.likelihood.hazard_table import LogHazards, blocks_of_draws
from bayes_crlm.model.prepared import PreparedCohort
from bayes_crlm.model.profiles import Profiles
from bayes_crlm.words.errors import EstimandError
from bayes_crlm.words.records import record

PopulationName = Literal["entrants", "before_entry"]
POPULATIONS: tuple[PopulationName, ...] = ("entrants", "before_entry")

# distinct patterns that are averaged over one by one; of more, as many patients are
PATTERNS_MOST = 4_000
# of a sample, as many are enough for a line's width
PICTURED_PATTERNS = 400
# times at which a sample of patients is held against all of them
COMPARED_TIMES = 25
# a log weight beyond which nothing else counts
LARGEST = 1e300


@record
class Population:
    """The patterns that estimands average over.

    Attributes
    ----------
    profiles : Profiles
        Distinct baseline patterns: under the reference, or of the population before entry as the
        patients were, whose first entries tell patterns apart too.
    share : (patterns,) ndarray
        Share of patients with each.
    n_patterns : int
        Distinct patterns in the cohort; more than there are here when patients were sampled.
    error : float
        Of a sample: the largest difference of its standardised survival curves to those of all
        patients, at the posterior mean; 0 when nothing was sampled.
    entry : (patterns,) ndarray or None
        Of the population before entry: first entries.
    """

    profiles: Profiles
    share: NDArray[np.float64]
    n_patterns: int
    error: float = 0.0
    entry: NDArray[np.float64] | None = None

    @property
    def is_sampled(self) -> bool:
        """Whether a sample of the patients stands for all."""
        return self.n_patterns > len(self.share)

    def thinned(self) -> "Population":
        """A smaller sample for pictures, evenly spaced in the sample; all where none was taken."""
        if not self.is_sampled:
            return self
        kept = slice(None, None, max(1, len(self.share) // PICTURED_PATTERNS))
        share = self.share[kept]
        return replace(self.of_patterns(kept), share=share / share.sum())

    def of_patterns(self, kept: NDArray[np.intp] | slice) -> "Population":
        """Keep some patterns with their shares."""
        return replace(
            self,
            profiles=self.profiles.part(kept),
            share=self.share[kept],
            entry=None if self.entry is None else self.entry[kept],
        )

    def weights(self, at: LogHazards, cutpoints: NDArray, origin: float) -> NDArray[np.float64]:
        """Weight of every pattern: its share of patients, over their survival to entry.

        Parameters
        ----------
        at : LogHazards
            Of the draws.
        cutpoints : (intervals + 1,) ndarray
            Interval ends.
        origin : float
            Where survival is 1.

        Returns
        -------
        (patterns,) or (draws, patterns) ndarray
            Adding up to 1. The same for all draws where nobody is weighted.
        """
        if self.entry is None or not np.any(self.entry > origin):
            return self.share
        entry = np.maximum(self.entry, origin)
        row_class = self.profiles.row_class
        since = cumulative_hazards_of_profiles(at, row_class, cutpoints, entry, origin)
        for rows in blocks_of_draws(*since.shape):
            # a prior may draw hazards too large for a float
            log_weight = np.minimum(
                since[rows] * self.profiles.relative_hazard(at.draws(rows)), LARGEST
            )
            log_weight += np.log(self.share)
            log_weight -= log_weight.max(axis=1, keepdims=True)
            weight = np.exp(log_weight)
            since[rows] = weight / weight.sum(axis=1, keepdims=True)
        return since


def check_population(name: object) -> None:
    """Refuse what is not a population.

    Raises
    ------
    EstimandError
        It names those that there are.
    """
    if name not in POPULATIONS:
        raise EstimandError(f"population: {name!r} is unknown; give 'entrants' or 'before_entry'")


def effective_size(weight: NDArray, share: NDArray, n_patients: int) -> float:
    """Kish's effective number of patients under weights; the median over draws.

    Parameters
    ----------
    weight : (patterns,) or (draws, patterns) ndarray
        Weights of patterns, adding up to 1; one set for all draws weights nobody.
    share : (patterns,) ndarray
        Shares of patients.
    n_patients : int
        How many there are.

    References
    ----------
    Kish (1965), Survey Sampling, section 11.7.
    """
    if weight.ndim == 1:
        return float(n_patients)
    return float(np.median(n_patients / (weight**2 / share).sum(axis=1)))


def population(
    inputs: PreparedCohort,
    mean: LogHazards,
    name: PopulationName = "entrants",
    origin: float = 0.0,
) -> Population:
    """Pool the patients' first rows into distinct patterns.

    Of more than `PATTERNS_MOST` patterns a systematic sample of so many patients is taken: those
    at equally spaced ranks of the linear predictor at the posterior mean. A standardised curve is
    the mean of a smooth function of the linear predictor, which such a sample follows closely.

    Parameters
    ----------
    inputs : PreparedCohort
        A cohort as the model sees it.
    mean : LogHazards
        Posterior mean, as a single draw.
    name : {"entrants", "before_entry"}
        Which population is asked about.
    origin : float
        Where survival is 1.

    Returns
    -------
    Population
    """
    is_weighted = name == "before_entry"
    entry = np.maximum(inputs.cohort.entry[inputs.design.first_row], origin)
    profiles = inputs.profiles() if is_weighted else inputs.under(0)
    order, first = profiles.distinct(*([entry] if is_weighted else []))
    kept, share = order[first], np.diff(np.append(first, len(order))) / len(order)
    full_cohort = Population(
        profiles.part(kept), share, len(share), entry=entry[kept] if is_weighted else None
    )
    if len(share) <= PATTERNS_MOST:
        return full_cohort
    at_reference = inputs.under(0, full_cohort.profiles)
    by_predictor = np.argsort(at_reference.relative_hazard(mean)[0], kind="stable")
    middle = (np.arange(PATTERNS_MOST) + 0.5) / PATTERNS_MOST
    chosen = by_predictor[np.searchsorted(np.cumsum(share[by_predictor]), middle)]
    sample = replace(
        full_cohort.of_patterns(chosen), share=np.full(PATTERNS_MOST, 1 / PATTERNS_MOST)
    )
    curves = [mean_curves(inputs, mean, each, origin) for each in (sample, full_cohort)]
    return replace(sample, error=float(np.abs(curves[0] - curves[1]).max()))


def mean_curves(
    inputs: PreparedCohort, mean: LogHazards, people: Population, origin: float
) -> NDArray[np.float64]:
    """Standardised survival of every treatment level at one value of the unknowns.

    Returns
    -------
    (levels, times) ndarray
        At equally spaced times from the origin to the end of follow-up.
    """
    cutpoints = inputs.intervals.cutpoints
    times = np.linspace(origin, cutpoints[-1], COMPARED_TIMES)
    weight = people.weights(mean, cutpoints, origin)
    return curves_of_levels(inputs, mean, people, weight, times, origin)[0]


def curves_of_levels(
    inputs: PreparedCohort,
    at: LogHazards,
    people: Population,
    weight: NDArray,
    times: NDArray,
    origin: float,
) -> NDArray[np.float64]:
    """Standardised survival of every treatment level under given weights.

    Parameters
    ----------
    inputs : PreparedCohort
        A cohort as the model sees it.
    at : LogHazards
        Of the draws.
    people : Population
        Whom to average over.
    weight : (patterns,) or (draws, patterns) ndarray
        Adding up to 1.
    times : (times,) ndarray
        From the origin to the end of follow-up.
    origin : float
        Where survival is 1.

    Returns
    -------
    (draws, levels, times) ndarray
    """
    cutpoints = inputs.intervals.cutpoints
    curves = [
        mean_survival(at, inputs.under(level, people.profiles), weight, cutpoints, times, origin)
        for level in range(len(inputs.design.levels))
    ]
    return np.stack(curves, axis=1)
