"""How much of the data each column of the design rests on: patients, events and others by side.

The log hazard ratio of an indicator rests on the events of both of its sides: with e1 and e0 of
them its information is about e1 e0 / (e1 + e0), whatever the number of patients. Against the
prior's precision that says, before anything is fitted, whether data or prior decide.

References
----------
Schoenfeld (1983), Biometrics 39:499-503 (information of a log hazard ratio).
Peduzzi, Concato, Feinstein & Holford (1995), J Clin Epidemiol 48:1503-1510 (ten events a column).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.cohort.cohort import Cohort
from bayes_crlm.likelihood.kaplan_meier import reaches_zero
from bayes_crlm.model.design import Design
from bayes_crlm.model.prepared import PreparedCohort
from bayes_crlm.model.priors import EffectPrior, Horseshoe, Laplace, Normal, StudentT
from bayes_crlm.words.records import record
from bayes_crlm.words.shown import as_written, number, whole_percent
from bayes_crlm.words.wording import count_of

FEW_EVENTS = 10
# a level is rare with so many events, or so many patients, at most
RARE_EVENTS, RARE_PATIENTS = 1, 2
# from this share of the information on the prior decides
HALF = 0.5


@record
class Side:
    """Patients on one side of an indicator column, or on one level of a factor.

    Attributes
    ----------
    terms : tuple of str
        The columns whose estimates rest on them.
    name : str
        Of the level, in words: ``ecog 3``.
    n_patients : int
        With at least one row there.
    n_events : int
        Events on these rows.
    n_without_event : int
        Patients whose last row is there and has no event.
    n_other_events : int
        Events on all other rows.
    is_treatment : bool
        Whether it is a level of the treatment.
    reaches_zero : bool
        Whether Kaplan-Meier's curve of these rows does.
    """

    terms: tuple[str, ...]
    name: str
    n_patients: int
    n_events: int
    n_without_event: int
    n_other_events: int
    is_treatment: bool
    reaches_zero: bool = False

    @property
    def information(self) -> float:
        """Of the log hazard ratio against all others, roughly."""
        total = self.n_events + self.n_other_events
        return self.n_events * self.n_other_events / total if total else 0.0

    @property
    def is_rare(self) -> bool:
        """Whether hardly any data speak of it."""
        return self.n_events <= RARE_EVENTS or self.n_patients <= RARE_PATIENTS


def sides_of_columns(cohort: Cohort, design: Design) -> tuple[Side, ...]:
    """Count what lies on each level of the treatment and of every factor or two-valued column.

    Parameters
    ----------
    cohort : Cohort
        The rows used.
    design : Design
        Their columns.

    Returns
    -------
    tuple of Side
        Levels of the treatment first, then both sides of every two-valued column; the side on
        which a factor's columns are all 0 is its reference, once for all of them.
    """
    last = last_rows(cohort)
    found = []
    n_treatment = design.n_treatment_terms
    for code, level in enumerate(design.levels):
        terms = design.terms[:n_treatment] if code == 0 else (design.terms[code - 1],)
        mask = design.treatment_level == code
        found.append(count(cohort, last, mask, terms, f"{design.treatment} {level}", True))
    factors: dict[str, list[int]] = {}
    for column in range(n_treatment, len(design.terms)):
        values = design.matrix[:, column]
        high = values.max()
        is_high = values == high
        if not np.all(is_high | (values == values.min())):
            continue
        term = design.terms[column]
        named = factor_and_level(term, design.variables[column])
        if named is None:
            low = values.min()
            for mask, value in ((is_high, high), (~is_high, low)):
                name = f"{term} = {as_written(value)}"
                found.append(count(cohort, last, mask, (term,), name, False))
            continue
        found.append(count(cohort, last, is_high, (term,), " ".join(named), False))
        factors.setdefault(named[0], []).append(column)
    for name, columns in factors.items():
        mask = ~(design.matrix[:, columns] != 0).any(axis=1)
        if mask.any():
            terms = tuple(design.terms[k] for k in columns)
            level = f"the reference level of {name}"
            found.append(count(cohort, last, mask, terms, level, False))
    return tuple(found)


def factor_and_level(term: str, variables: frozenset[str]) -> tuple[str, str] | None:
    """Take a factor's name and level out of a column's name such as ``C(ecog)[T.3]``."""
    _, mark, level = term.partition("[T.")
    if not mark or not level.endswith("]") or len(variables) != 1:
        return None
    # a column of numbers has its levels as floating point: 3.0 is 3
    return next(iter(variables)), level[:-1].removesuffix(".0")


def last_rows(cohort: Cohort) -> NDArray[np.bool_]:
    """Mark each patient's last row."""
    order = np.lexsort((cohort.time, cohort.patient_index))
    patient = cohort.patient_index[order]
    is_last = np.append(patient[1:] != patient[:-1], True)
    marked = np.zeros(len(order), dtype=bool)
    marked[order[is_last]] = True
    return marked


def count(
    cohort: Cohort,
    last: NDArray[np.bool_],
    mask: NDArray[np.bool_],
    terms: tuple[str, ...],
    name: str,
    is_treatment: bool,
) -> Side:
    """Count patients and events on some rows."""
    event = np.asarray(cohort.event).astype(bool)
    return Side(
        terms=terms,
        name=name,
        n_patients=int(np.count_nonzero(np.bincount(cohort.patient_index[mask]))),
        n_events=int(event[mask].sum()),
        n_without_event=int((last & mask & ~event).sum()),
        n_other_events=int(event[~mask].sum()),
        is_treatment=is_treatment,
        reaches_zero=reaches_zero(cohort.entry[mask], cohort.time[mask], event[mask]),
    )


def prior_share(side: Side, prior: EffectPrior) -> float:
    """Share of a level's log hazard ratio that comes from its prior, from 0 to 1, roughly.

    Exact for a normal prior and a normal likelihood: the prior's precision over the sum of both.
    """
    precision = 1 / variance_of(prior)
    return precision / (precision + side.information)


def variance_of(prior: EffectPrior) -> float:
    """Variance of a prior, or of its middle where it has none."""
    if isinstance(prior, Normal):
        return prior.sd**2
    if isinstance(prior, Laplace):
        return 2 * prior.scale**2
    if isinstance(prior, StudentT):
        nu = prior.degrees_of_freedom
        return prior.scale**2 * (nu / (nu - 2) if nu > 2.5 else 5.0)
    # one indicator alone is shrunk by the global scale, which is at most about 1
    assert isinstance(prior, Horseshoe)
    return min(prior.scale, 1.0) ** 2


def rare_sentence(side: Side, prior: EffectPrior) -> str:
    """Say how little speaks of a level, and how much of its estimate is the prior's."""
    patients = "one patient" if side.n_patients == 1 else count_of(side.n_patients, "patient")
    events = {0: "no event", 1: "one event"}.get(side.n_events, count_of(side.n_events, "event"))
    share = prior_share(side, prior)
    decides = (
        "the prior decides"
        if share >= HALF
        else f"about {whole_percent(share)} of what is known of its log hazard ratio comes from "
        "the prior"
        if share >= 0.1
        else "the data say little about its hazard ratio"
    )
    whose = "" if len(side.terms) == 1 else ", for every contrast with it"
    return f"{side.name} is {patients} with {events}: {decides}{whose}"


def arm_cautions(sides: tuple[Side, ...]) -> tuple[str, ...]:
    """Say which of these are treatment levels with one event, or none."""
    phrases = []
    for side in sides:
        if not (side.is_treatment and side.n_events <= RARE_EVENTS):
            continue
        events, rests = (
            ("no event", "is bounded by the prior alone")
            if side.n_events == 0
            else ("one event", "rests on that event and the prior")
        )
        phrases.append(
            f"{side.name} has {events} among {count_of(side.n_patients, 'patient')}: "
            f"its hazard ratio {rests}"
        )
    return tuple(phrases)


def rare_cautions(sides: tuple[Side, ...], prior: EffectPrior) -> tuple[str, ...]:
    """Name those of these levels that are covariates' and of which hardly any data speak."""
    rare = [each for each in sides if each.is_rare and not each.is_treatment]
    return tuple(rare_sentence(side, prior) for side in rare)


def count_cautions(inputs: PreparedCohort) -> tuple[str, ...]:
    """Say in a sentence each where columns rest on too little to be estimated.

    Parameters
    ----------
    inputs : PreparedCohort
        A cohort as the model sees it.

    Returns
    -------
    tuple of str
        Treatment levels with one event or none, rare levels of covariates, and fewer than ten
        events a column.
    """
    n_events, n_columns = inputs.cohort.n_events, len(inputs.design.terms)
    # counted once for both: with many rows that takes longer than all else
    sides = sides_of_columns(inputs.cohort, inputs.design)
    phrases = (*arm_cautions(sides), *rare_cautions(sides, inputs.covariate_prior))
    if n_events >= FEW_EVENTS * n_columns:
        return phrases
    return (
        *phrases,
        f"{count_of(n_events, 'event')} for {count_of(n_columns, 'column')} of the design "
        f"({number(n_events / n_columns, 1)} each, fewer than {FEW_EVENTS}): the priors shape the "
        "estimates, and Cox's may be extreme",
    )


def column_rows(inputs: PreparedCohort) -> list[dict[str, Any]]:
    """Rows of a table of levels: name, terms, patients, events, the prior's share, what it means.

    Returns
    -------
    list of dict
        level, terms, n_patients, n_events, n_without_event, n_other_events, prior_share, caution
        (None where the level is not rare).
    """
    rows = []
    for side in sides_of_columns(inputs.cohort, inputs.design):
        prior = inputs.treatment_prior if side.is_treatment else inputs.covariate_prior
        rows.append(
            {
                "level": side.name,
                "terms": list(side.terms),
                "n_patients": side.n_patients,
                "n_events": side.n_events,
                "n_without_event": side.n_without_event,
                "n_other_events": side.n_other_events,
                "prior_share": prior_share(side, prior),
                "caution": rare_sentence(side, prior) if side.is_rare else None,
            }
        )
    return rows
