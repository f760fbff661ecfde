"""What is reported of the draws themselves: diagnostics and predictive checks."""

from typing import Any

from bayes_crlm.figures import plot_predictive, plot_ranks
from bayes_crlm.fit.coefficients import hazard_ratio_rows
from bayes_crlm.fit.diagnostics import BFMI_LEAST, Diagnostics
from bayes_crlm.fit.findings import Findings
from bayes_crlm.inference.chains import ESS_LEAST_PER_CHAIN, R_HAT_MOST
from bayes_crlm.inference.psis import PARETO_K_MOST
from bayes_crlm.words.section import Column, Figure, Note, Rows, Section
from bayes_crlm.words.shown import number

COLUMNS = (
    Column("diagnostic", "diagnostic"),
    Column("value", "value", "count"),
    Column("limit", "trust when"),
)
ESS_LEAST = f"at least {ESS_LEAST_PER_CHAIN} per chain"
# name, attribute of `Diagnostics`, digits, and the value from which on draws can be trusted
OF_CHAINS = (
    ("largest R-hat", "max_r_hat", 4, f"at most {R_HAT_MOST}"),
    ("smallest effective sample size, bulk", "min_ess_bulk", 0, ESS_LEAST),
    ("smallest effective sample size, tail", "min_ess_tail", 0, ESS_LEAST),
    ("divergent transitions", "divergences", 0, "0"),
    ("smallest E-BFMI", "min_bfmi", 2, f"at least {BFMI_LEAST}"),
    ("transitions at the largest tree depth", "n_max_depth", 0, "0"),
)
WEIGHTS_ESS_LEAST = f"at least {4 * ESS_LEAST_PER_CHAIN}"
OF_WEIGHTS = (
    ("Pareto k of the importance weights", "importance_pareto_k", 2, f"at most {PARETO_K_MOST}"),
    ("importance effective sample size", "importance_ess", 0, WEIGHTS_ESS_LEAST),
)
OF_LOO = ("largest Pareto k (leave one patient out)", "max_pareto_k", 2, f"at most {PARETO_K_MOST}")
OF_IMPORTANCE = (
    "These draws come from no chains: they were drawn around the posterior mode, weighted to the "
    "posterior, and drawn again by their weights (engine laplace). R-hat, divergences and E-BFMI "
    "do not apply; Pareto k says whether the weights can be trusted."
)
SOURCES = (
    "Vehtari et al. (2021), Bayesian Analysis 16:667; Betancourt (2016), arXiv:1604.00695",
    "Vehtari et al. (2024), Journal of Machine Learning Research 25(72)",
)


def sections(found: Findings) -> list[Section]:
    """Give diagnostics and predictive checks.

    Parameters
    ----------
    found : Findings
        A fit with all that was found of it.
    """
    diagnostics, drawn = found.diagnostics, {"fit": found.fit}
    is_weighted = diagnostics.importance_pareto_k is not None
    errors = ", ".join(
        f"{row['term']} {number(row['mcse_mean_log'], 4)}"
        for row in hazard_ratio_rows(found.fit, ())
    )
    return [
        Section(
            "diagnostics",
            verdict="untrustworthy" if diagnostics.failures else "ok",
            chapter="diagnostics",
            rows=(Rows("", diagnostic_rows(diagnostics), COLUMNS),),
            notes=(
                Note(name="remarks", items=diagnostics.remarks),
                Note(OF_IMPORTANCE if is_weighted else "", name="importance"),
                Note(
                    f"Monte Carlo error of the treatment's mean log hazard ratio: {errors}. "
                    f"Thresholds: {SOURCES[is_weighted]}; Vehtari et al. (2017), Statistics and "
                    "Computing 27:1413.",
                    "muted",
                ),
            ),
            summary={"diagnostics": diagnostics.to_dict()},
        ),
        Section(
            "predictive",
            chapter="diagnostics",
            figures=(
                Figure(
                    "predictive",
                    "Kaplan-Meier of the cohort (dark) over curves of what the model predicts for "
                    "the same patients, each followed along its own rows and no longer. A line "
                    "outside the bundle would be a misfit.",
                    plot_predictive,
                    drawn,
                ),
                Figure(
                    "ranks",
                    "Ranks of the treatment effect's draws by chain. Lines near zero mean that "
                    "chains agree; P is that of a uniformity test.",
                    plot_ranks,
                    drawn,
                ),
            ),
        ),
    ]


def diagnostic_rows(found: Diagnostics) -> list[dict[str, Any]]:
    """Give every diagnostic with the value from which on draws can be trusted."""
    is_weighted = found.importance_pareto_k is not None
    asked = (*(OF_WEIGHTS if is_weighted else OF_CHAINS), OF_LOO)
    rows = [
        {"diagnostic": name, "value": number(getattr(found, field), digits), "limit": limit}
        for name, field, digits, limit in asked
    ]
    elpd = f"{number(found.elpd_loo, 1)} ± {number(found.elpd_loo_se, 1)}"
    last = {"diagnostic": "expected log predictive density", "value": elpd}
    return [*rows, last | {"limit": "for comparing models"}]
