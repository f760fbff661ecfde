"""Whether the draws can be trusted, by thresholds from the literature.

==================  =====================  ==============================================
diagnostic          fails when             source
==================  =====================  ==============================================
R-hat               above 1.01             Vehtari et al. (2021), Bayesian Anal 16:667-718
bulk and tail ESS   below 100 per chain    Vehtari et al. (2021)
divergences         more than 0            Betancourt (2017), arXiv:1701.02434
E-BFMI              below 0.3              Betancourt (2016), arXiv:1604.00695
tree depth          limit reached          Betancourt (2017)
Pareto k of LOO     above 0.7 after        Vehtari, Gelman & Gabry (2017), Stat Comput
                    moment matching        27:1413-1432; Vehtari et al. (2024), JMLR 25(72);
                                           Paananen et al. (2021), Stat Comput 31:16
==================  =====================  ==============================================
"""

import math
from dataclasses import asdict
from typing import Any

import numpy as np

from bayes_crlm.fit.draws import Importance, PosteriorDraws
from bayes_crlm.fit.leave_one_out import Loo, leave_one_out
from bayes_crlm.fit.mode_exchange import no_exchange_in_words
from bayes_crlm.fit.tree import groups_of
from bayes_crlm.inference.chains import ESS_LEAST_PER_CHAIN, worst_mixing
from bayes_crlm.inference.chains import bfmi as chain_bfmi
from bayes_crlm.inference.psis import PARETO_K_MOST
from bayes_crlm.words.records import record
from bayes_crlm.words.shown import beside_limit, number, significant, whole
from bayes_crlm.words.wording import count_of

BFMI_LEAST = 0.3
RUN_LONGER = "run longer with --draws"
ONE_CHAIN = "one chain only: R-hat cannot be computed; run at least 4 chains"


@record
class OfDraws:
    """Numbers that say how the draws themselves came out, whatever is made of them.

    Attributes
    ----------
    max_r_hat, min_ess_bulk, min_ess_tail, min_bfmi : float
        Worst values over all parameters, or over chains.
    divergences, n_max_depth : int or None
        Counts over all kept draws; None for draws that come from no chains.
    """

    max_r_hat: float
    min_ess_bulk: float
    min_ess_tail: float
    divergences: int | None
    min_bfmi: float
    n_max_depth: int | None


@record
class Chains(OfDraws):
    """Diagnostics of the draws themselves, and what they say.

    Attributes
    ----------
    failures : tuple of str
        One sentence for each that fails: results are then not to be trusted.
    """

    failures: tuple[str, ...]


@record
class Diagnostics(OfDraws):
    """Diagnostics of a fit and what they say: of its draws, and of what is made of them.

    Attributes
    ----------
    elpd_loo, elpd_loo_se, p_loo, max_pareto_k : float
        Leave-one-patient-out cross-validation.
    n_high_pareto_k, n_moment_matched : int
        Patients whose Pareto k stayed above 0.7, and those that were moment matched.
    failures : tuple of str
        One sentence for each diagnostic that fails: results are then not to be trusted.
    remarks : tuple of str
        How the diagnostics came about, for who reads them.
    concerns : tuple of str
        What weakens the result itself, without distrust.
    importance_pareto_k, importance_ess : float or None
        Of the weights of importance-sampled draws (engine laplace).
    """

    elpd_loo: float
    elpd_loo_se: float
    p_loo: float
    max_pareto_k: float
    n_high_pareto_k: int
    n_moment_matched: int
    failures: tuple[str, ...]
    remarks: tuple[str, ...]
    importance_pareto_k: float | None = None
    importance_ess: float | None = None
    concerns: tuple[str, ...] = ()

    @property
    def is_trustworthy(self) -> bool:
        """Whether no diagnostic fails."""
        return not self.failures

    def to_dict(self) -> dict[str, Any]:
        """Plain values by name."""
        return asdict(self)


def diagnose(fit: PosteriorDraws) -> Diagnostics:
    """Run every diagnostic on a fit.

    Parameters
    ----------
    fit : PosteriorDraws
        A fitted model.

    Returns
    -------
    Diagnostics
    """
    importance, loo = fit.importance, leave_one_out(fit)
    draws = diagnose_chains(fit) if importance is None else diagnose_weights(importance)
    has_one_chain = importance is None and fit.settings["chains"] == 1
    found: dict[str, Any] = asdict(draws) | {
        "failures": (*draws.failures, *failures_of(loo)),
        "remarks": tuple(remarks_on(fit, loo)),
        "concerns": (ONE_CHAIN,) if has_one_chain else (),
    }
    if importance is not None:
        found |= {"importance_pareto_k": importance.pareto_k, "importance_ess": importance.ess}
    return Diagnostics(
        elpd_loo=loo.elpd,
        elpd_loo_se=loo.se,
        p_loo=loo.p,
        max_pareto_k=float(np.max(loo.pareto_k)),
        n_high_pareto_k=n_high_pareto_k(loo),
        n_moment_matched=loo.n_moment_matched,
        **found,
    )


def diagnose_chains(fit: PosteriorDraws) -> Chains:
    """Run the diagnostics of the chains alone: no leave-one-out, which asks another question.

    Parameters
    ----------
    fit : PosteriorDraws
        Sampled by NUTS.

    Returns
    -------
    Chains
    """
    names = ["log_hazard", "log_hazard_ratio"]
    names += [
        parameter.name
        for parameter in fit.inputs.block_model.parameters
        if parameter.name in ("step_scale", "shrinkage_global")
    ]
    groups = groups_of(fit)
    # draws too few for a diagnostic come out as nan, which counts as a failure below
    mixing = worst_mixing([groups["posterior"][name] for name in names])
    stats = groups["sample_stats"]
    with np.errstate(divide="ignore", invalid="ignore"):
        bfmi = float(np.min(chain_bfmi(stats["energy"])))
    divergences = int(stats["diverging"].sum())
    n_max_depth = int(stats["reached_max_treedepth"].sum())
    stuck = no_exchange_in_words(fit)
    failures = [] if stuck is None else [stuck]
    failures += mixing.failures(
        divergences,
        longer=f"; {RUN_LONGER}",
        smaller="; raise sampling.target_accept towards 1",
    )
    if not bfmi >= BFMI_LEAST:
        failures.append(
            f"smallest E-BFMI is {beside_limit(bfmi, BFMI_LEAST)}, below {BFMI_LEAST}: energies "
            f"mix slowly; {RUN_LONGER}"
        )
    if n_max_depth:
        failures.append(
            f"{n_max_depth} transitions reached the largest tree depth; simplify the model "
            "or tighten its priors"
        )
    return Chains(
        max_r_hat=mixing.r_hat,
        min_ess_bulk=mixing.ess_bulk,
        min_ess_tail=mixing.ess_tail,
        min_bfmi=bfmi,
        divergences=divergences,
        n_max_depth=n_max_depth,
        failures=tuple(failures),
    )


def diagnose_weights(importance: Importance) -> Chains:
    """Diagnose importance-sampled draws: they have weights, but no chains."""
    failures, least = [], ESS_LEAST_PER_CHAIN * 4
    if not importance.pareto_k <= PARETO_K_MOST:
        failures.append(
            "Pareto k of the importance weights is "
            f"{beside_limit(importance.pareto_k, PARETO_K_MOST)}, above {PARETO_K_MOST}: use "
            "engine 'nuts'"
        )
    ess_tail = float(importance.ess_tail.min())
    if not importance.ess >= least:
        failures.append(
            f"importance effective sample size is {beside_limit(importance.ess, least, 0)}, below "
            f"{least}; {RUN_LONGER}"
        )
    elif not ess_tail >= least:
        failures.append(
            f"smallest tail effective sample size is {beside_limit(ess_tail, least, 0)}, below "
            f"{least}; {RUN_LONGER}"
        )
    return Chains(
        max_r_hat=math.nan,
        min_ess_bulk=importance.ess,
        min_ess_tail=ess_tail,
        min_bfmi=math.nan,
        divergences=None,
        n_max_depth=None,
        failures=tuple(failures),
    )


def n_high_pareto_k(loo: Loo) -> int:
    """Count patients whose Pareto k stayed above its limit."""
    return int(np.sum(~(loo.pareto_k <= PARETO_K_MOST)))


def failures_of(loo: Loo) -> list[str]:
    """Say why leave-one-out cross-validation is not to be trusted."""
    n_high, n_patients = n_high_pareto_k(loo), len(loo.pareto_k)
    if not np.isfinite(loo.elpd):
        return [f"too few draws for leave-one-out cross-validation; {RUN_LONGER}"]
    if not n_high:
        return []
    return [
        f"{n_high} of {count_of(n_patients, 'patient')} {'has' if n_high == 1 else 'have'} Pareto "
        f"k above {PARETO_K_MOST} even after moment matching: do not trust elpd_loo"
    ]


def remarks_on(fit: PosteriorDraws, loo: Loo) -> list[str]:
    """Say where draws come from, and what was computed from a sample of a cohort's patients."""
    remarks = []
    if fit.importance is not None:
        remarks.append(
            "importance-sampled draws (engine laplace): Pareto k "
            f"{number(fit.importance.pareto_k)}, effective sample size "
            f"{whole(fit.importance.ess)}; R-hat, divergences and E-BFMI do not apply"
        )
    n_patients = fit.inputs.data.n_patients
    if loo.n_sampled < n_patients:
        remarks.append(
            f"elpd_loo is estimated from a random sample of {whole(loo.n_sampled)} of the "
            f"{whole(n_patients)} patients, with a standard error of "
            f"{significant(loo.subsampling_se, 2)} from that "
            "alone; log-likelihoods and predictions are kept for these patients"
        )
    people = fit.people
    if people.is_sampled:
        remarks.append(
            f"standardised survival averages over {whole(len(people.share))} patients, evenly "
            f"spaced by linear predictor, of the {whole(people.n_patterns)} different ones; at the "
            "posterior mean no curve differs from that of all patients by more than "
            f"{significant(people.error, 1)}"
        )
    if loo.n_moment_matched:
        remarks.append(
            f"{count_of(loo.n_moment_matched, 'patient')} had Pareto k above {PARETO_K_MOST} and "
            f"{'was' if loo.n_moment_matched == 1 else 'were'} moment matched for elpd_loo"
        )
    return remarks
