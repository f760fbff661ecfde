"""What many fits come to: two tables, one of cohorts and one of cohorts and terms."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.fit.one_of_many import names_of_rows
from bayes_crlm.frequentist.many_cox import BlockCox
from bayes_crlm.inference.draws import problem_of_weights
from bayes_crlm.inference.layout import why_not_approximated
from bayes_crlm.inference.monte_carlo import errors_of_chains
from bayes_crlm.inference.ratio_summary import RatioSummary
from bayes_crlm.inference.weighted import BlockSummary
from bayes_crlm.model.withdrawn import no_bound, no_trust
from bayes_crlm.words.errors import DesignError
from bayes_crlm.words.records import record
from bayes_crlm.words.success import SuccessRule
from bayes_crlm.words.wording import count_of

if TYPE_CHECKING:
    import pandas as pd

    from bayes_crlm.fit.fit import Fit
    from bayes_crlm.model.prepared_block import CohortBlock

NO_MODE = (
    "no mode of the posterior was found, too few draws were possible, or the draws did not reach "
    "the posterior's tails"
)
NO_FIT = "no answer is given, because there is no fit: "
NOT_FINITE = "the posterior's summaries are not finite numbers"


@record(eq=False)
class ManyFits:
    """Posterior summaries of many cohorts.

    Attributes
    ----------
    cohorts : pandas.DataFrame
        One row a cohort: cohort, seed, n_patients, n_events, n_intervals, is_fitted,
        is_trustworthy, engine, pareto_k, importance_ess, reason (why it was not fitted or is not
        to be trusted, empty otherwise), cox_method, cox_note, analysis ("time_dependent" where
        treatment counts from its start on, else "as_treated"; empty where nothing was fitted).
    terms : pandas.DataFrame
        One row a cohort and column of its design (of terms of other kinds also one for each group
        or interval, and for each unknown scale, in the place of a hazard ratio): cohort, number
        (the cohort's place among all, from 0), term, then mean_log, sd_log, median,
        eti95_low, eti95_high and prob_below_<r> of its log hazard ratio, Cox's cox_log_hr,
        cox_se, cox_low, cox_high, all on the log scale, and the Monte Carlo error of each of the
        posterior's numbers: mcse_mean_log, mcse_sd_log and so on. Numbers of a cohort that was not
        fitted are nan; cohorts whose design could not be made have no rows. Last what is concluded:
        prob_below_effect, P(hazard ratio < the success rule's effect); conclusion, of treatment
        contrasts alone, "lower", "higher", "undecided" or "withdrawn"; withdrawn, why nothing is
        concluded: the cohort was not fitted or is not to be trusted, or one of the two levels has
        no events. Both texts are empty where there is nothing to say.
    """

    cohorts: "pd.DataFrame"
    terms: "pd.DataFrame"

    def __len__(self) -> int:
        return len(self.cohorts)

    def __repr__(self) -> str:
        fitted = int(self.cohorts["is_fitted"].sum())
        doubtful = fitted - int(self.cohorts["is_trustworthy"].sum())
        return (
            f"<ManyFits: {count_of(len(self), 'cohort')}, {fitted} fitted, {doubtful} of them "
            f"not to be trusted, {len(self) - fitted} not fitted>"
        )

    def of_term(self, term: str | None = None) -> "pd.DataFrame":
        """Both tables side by side for one term: one row for every cohort, fitted or not.

        Parameters
        ----------
        term : str, optional
            A column's name such as ``treated[T.1]``; the first treatment contrast without it.

        Returns
        -------
        pandas.DataFrame
            In the order of `cohorts`; numbers are nan where a cohort does not have the term.

        Raises
        ------
        DesignError
            When no cohort has the term, or none was fitted.
        """
        known = self.terms["term"].drop_duplicates().tolist()
        chosen = term if term is not None else (known[0] if known else None)
        if chosen not in known:
            if not known:
                raise DesignError(f"no cohort was fitted: {self.cohorts['reason'].iloc[0]}")
            raise DesignError(f"no cohort has a term {term!r}; there are {', '.join(known)}")
        rows = self.terms[self.terms["term"] == chosen].drop(columns=["cohort", "term"])
        rows = rows.set_index("number")
        found = self.cohorts.join(rows)
        found.insert(1, "term", chosen)
        texts = ["conclusion", "withdrawn"]
        found[texts] = found[texts].fillna("")
        # a cohort that could not be prepared has no row of terms to say it
        without_row = ~found["is_fitted"] & (found["withdrawn"] == "")
        if (found["conclusion"] != "").any():
            found.loc[without_row, "conclusion"] = "withdrawn"
            found.loc[without_row, "withdrawn"] = NO_FIT + found.loc[without_row, "reason"]
        return found


@record
class Reported:
    """What is told of every hazard ratio: probabilities at thresholds, and a conclusion.

    Attributes
    ----------
    thresholds : tuple of float
        Hazard ratios r whose probability P(HR < r) has a column of its own.
    rule : SuccessRule
        By which is concluded.
    """

    thresholds: tuple[float, ...]
    rule: SuccessRule

    @property
    def ratios(self) -> tuple[float, ...]:
        """Hazard ratios whose probabilities are needed, each once."""
        effect = float(self.rule.effect)
        return self.thresholds if effect in self.thresholds else (*self.thresholds, effect)

    @property
    def effect_at(self) -> int:
        """Place of the rule's effect among `ratios`."""
        return self.ratios.index(float(self.rule.effect))

    @property
    def names(self) -> list[str]:
        """Columns of a term's posterior."""
        below = [f"prob_below_{threshold}" for threshold in self.thresholds]
        return ["mean_log", "sd_log", "median", "eti95_low", "eti95_high", *below]

    @property
    def error_names(self) -> list[str]:
        """Columns of their Monte Carlo errors."""
        return [f"mcse_{name}" for name in self.names]

    def columns(
        self, mean: NDArray, sd: NDArray, quantiles: NDArray, below: NDArray
    ) -> NDArray[np.float64]:
        """Numbers, or their errors, as they stand in `names`, the last axis that of the columns."""
        moments = np.stack([mean, sd], axis=-1)
        return np.concatenate([moments, quantiles, below[..., : len(self.thresholds)]], axis=-1)


@record(eq=False)
class CohortRow:
    """One cohort's part of the tables.

    Attributes
    ----------
    about : dict
        Its row of `ManyFits.cohorts`, but for label and seed.
    terms : tuple of str
        Its columns.
    numbers : (terms, columns) ndarray
        As in `ManyFits.terms`: the posterior's, then Cox's, errors, and prob_below_effect.
    unbounded : tuple of str
        For each treatment contrast why its levels leave its hazard ratio without a bound, empty
        where both have events.
    """

    about: dict[str, Any]
    terms: tuple[str, ...]
    numbers: NDArray[np.float64]
    unbounded: tuple[str, ...] = ()

    @property
    def withdrawn(self) -> list[str]:
        """For each term why nothing is concluded; empty where something is, and for covariates."""
        n_treatment, n_terms = len(self.unbounded), len(self.terms)
        reasons: Sequence[str] = self.unbounded
        if not self.about["is_fitted"]:
            reasons = [f"{NO_FIT}{self.about['reason']}"] * n_treatment
        elif not self.about["is_trustworthy"]:
            reasons = [no_trust([self.about["reason"]])] * n_treatment
        return [*reasons, *[""] * (n_terms - n_treatment)]

    def conclusions(self, rule: SuccessRule) -> list[str]:
        """What is concluded of each term; empty for covariates."""
        n_treatment = len(self.unbounded)
        below = self.numbers[:n_treatment, -1:].ravel().tolist()
        concluded = [
            "withdrawn" if why else rule.conclusion(each)
            for why, each in zip(self.withdrawn[:n_treatment], below, strict=True)
        ]
        return [*concluded, *[""] * (len(self.terms) - len(concluded))]


# of quantiles in increasing order
MEDIAN_FIRST = [1, 0, 2]
COX_COLUMNS = ["cox_log_hr", "cox_se", "cox_low", "cox_high"]


def rows_of_block(
    block: "CohortBlock",
    summary: BlockSummary,
    cox: BlockCox | None,
    engine: tuple[str, int],
    reported: Reported,
) -> dict[int, CohortRow]:
    """Put the results of a block into rows, by the cohorts' numbers.

    `engine` is its name and the draws that it made of each cohort; `summary` has the
    probabilities of `reported.ratios`.
    """
    name, draws = engine
    unbounded = unbounded_contrasts(block)
    quantiles, below = summary.quantiles[..., MEDIAN_FIRST], summary.below
    numbers = reported.columns(summary.mean, summary.sd, quantiles, below)
    errors = summary.errors
    of_errors = reported.columns(
        errors.mean, errors.sd, errors.quantile[..., MEDIAN_FIRST], errors.below
    )
    below_effect = below[..., reported.effect_at]
    is_finite = np.isfinite(numbers).all(axis=(1, 2)) & (summary.sd > 0).all(axis=1)
    is_fitted = summary.converged & is_finite
    numbers, of_errors = (
        np.where(is_fitted[:, None, None], each, np.nan) for each in (numbers, of_errors)
    )
    below_effect = np.where(is_fitted[:, None], below_effect, np.nan)
    of_cox = np.full((*summary.mean.shape, 4), np.nan)
    if cox is not None:
        of_cox[:, : len(block.design.terms)] = np.stack(
            [cox.coef, cox.se, cox.low, cox.high], axis=2
        )
    numbers = np.concatenate([numbers, of_cox, of_errors, below_effect[:, :, None]], axis=2)
    n_patients, n_events = block.patient_index.max(axis=1) + 1, block.event.sum(axis=1)
    terms = block.design.terms if block.alone is None else names_of_rows(block.alone)
    rows = {}
    for k, position in enumerate(block.position.tolist()):
        pareto_k = float(summary.pareto_k[k]) if is_fitted[k] else math.nan
        reason = ""
        if not is_fitted[k]:
            reason = NOT_FINITE if summary.converged[k] else why_not_served(block) or NO_MODE
        else:
            quality = (pareto_k, float(summary.ess[k]), float(summary.ess_tail[k]))
            reason = problem_of_weights(*quality, draws) or ""
        about = {
            "n_patients": int(n_patients[k]),
            "n_events": int(n_events[k]),
            "n_intervals": block.intervals.n_intervals,
            "is_fitted": bool(is_fitted[k]),
            "is_trustworthy": not reason,
            "engine": name,
            "pareto_k": pareto_k,
            "importance_ess": float(summary.ess[k]) if is_fitted[k] else math.nan,
            "reason": reason,
            "cox_method": "" if cox is None else cox.method[k],
            "cox_note": "" if cox is None else cox.note[k],
            "analysis": "time_dependent" if block.is_from_start else "as_treated",
        }
        rows[position] = CohortRow(about, terms, numbers[k], unbounded[k])
    return rows


def why_not_served(block: "CohortBlock") -> str | None:
    """Say why the engine does not serve the model of a cohort that is drawn from by itself."""
    return None if block.alone is None else why_not_approximated(block.alone.block_model)


def unbounded_contrasts(block: "CohortBlock") -> list[tuple[str, ...]]:
    """Say of each cohort's treatment contrasts which rest on a level without events."""
    design, n_treatment = block.design, block.design.n_treatment_terms
    on_level = design.matrix[:, :, :n_treatment] == 1
    on_level = np.concatenate([~on_level.any(axis=2, keepdims=True), on_level], axis=2)
    is_empty = ~(on_level & (block.event == 1)[:, :, None]).any(axis=1)
    found = [("",) * n_treatment] * len(block)
    for k in np.flatnonzero(is_empty.any(axis=1)).tolist():
        patients = [len(np.unique(block.patient_index[k][each])) for each in on_level[k].T]
        reasons = []
        for level in range(1, n_treatment + 1):
            empty = [each for each in (level, 0) if is_empty[k, each]]
            phrases = [(design.levels[each], patients[each]) for each in sorted(empty)]
            reasons.append(no_bound(design.treatment, phrases) if phrases else "")
        found[k] = tuple(reasons)
    return found


def failed_row(reason: str) -> CohortRow:
    """Row of a cohort that could not be prepared."""
    about = {
        "n_patients": None,
        "n_events": None,
        "n_intervals": None,
        "is_fitted": False,
        "is_trustworthy": False,
        "engine": "",
        "pareto_k": math.nan,
        "importance_ess": math.nan,
        "reason": reason,
        "cox_method": "",
        "cox_note": "",
        "analysis": "",
    }
    return CohortRow(about, (), np.empty((0, 0)))


def escalated_row(row: CohortRow, fit: "Fit", reported: Reported) -> CohortRow:
    """Replace the posterior's numbers of a row by those of a NUTS fit."""
    others = fit.inputs.values_of_terms(fit.values)
    draws = np.column_stack([fit.log_hazard_ratio_values, *others.values()])
    found, chains = RatioSummary(draws), draws.reshape(*fit.vectors.shape[:2], -1)
    below = np.stack([found.prob_below(ratio) for ratio in reported.ratios], axis=1)
    errors = errors_of_chains(chains, np.log(reported.ratios).tolist())
    numbers = row.numbers.copy()
    of_posterior = reported.columns(
        found.mean_log, found.sd_log, found.quantiles.T[:, MEDIAN_FIRST], below
    )
    of_errors = reported.columns(
        errors.mean, errors.sd, errors.quantile[:, MEDIAN_FIRST], errors.below
    )
    numbers[:, : len(reported.names)] = of_posterior
    numbers[:, -1 - len(reported.names) : -1] = of_errors
    numbers[:, -1] = below[:, reported.effect_at]
    problems = "; ".join(fit.diagnose().failures)
    phrase = f"{row.about['reason']}: NUTS was used instead"
    about = row.about | {
        "engine": "nuts",
        "is_fitted": True,
        "is_trustworthy": not problems,
        "importance_ess": math.nan,
        "reason": f"{phrase}; {problems}" if problems else phrase,
    }
    return CohortRow(about, row.terms, numbers, row.unbounded)


def tables_of(
    rows: list[CohortRow], labels: list[Any], seeds: list[int], reported: Reported
) -> ManyFits:
    """Make the two tables."""
    import pandas as pd

    about: dict[str, Any] = {name: [row.about[name] for row in rows] for name in rows[0].about}
    for name in ("n_patients", "n_events", "n_intervals"):
        about[name] = pd.array(about[name], dtype="Int64")
    first = {"cohort": labels, "seed": np.array(seeds, dtype=np.int64)}
    cohorts = pd.DataFrame(first | about)
    number = np.repeat(np.arange(len(rows)), [len(row.terms) for row in rows])
    names = [*reported.names, *COX_COLUMNS, *reported.error_names, "prob_below_effect"]
    some = [row.numbers for row in rows if len(row.terms)]
    numbers = np.concatenate(some) if some else np.empty((0, len(names)))
    terms = pd.DataFrame(
        {
            "cohort": cohorts["cohort"].to_numpy()[number],
            "number": number,
            "term": [term for row in rows for term in row.terms],
            **dict(zip(names, numbers.T, strict=True)),
            "conclusion": [each for row in rows for each in row.conclusions(reported.rule)],
            "withdrawn": [each for row in rows for each in row.withdrawn],
        }
    )
    return ManyFits(cohorts, terms)
