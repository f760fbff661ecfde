"""A fitted model: draws that never change, and the tables and figures made of them."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.estimands.population import PopulationName
from bayes_crlm.fit.draws import ETI95, PosteriorDraws
from bayes_crlm.fit.estimand_draws import median_survival_draws, rmst_draws, survival_draws
from bayes_crlm.fit.ratio_summary import RatioSummary
from bayes_crlm.model.withdrawn import withdrawal
from bayes_crlm.words.arguments import thresholds_of
from bayes_crlm.words.errors import EstimandError
from bayes_crlm.words.success import SuccessRule

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from matplotlib.axes import Axes

    from bayes_crlm.fit.diagnostics import Diagnostics
    from bayes_crlm.fit.fitting import Approximation
    from bayes_crlm.model.definition import ModelDefinition
    from bayes_crlm.model.prepared import PreparedCohort

__all__ = ["Fit", "fit_model"]

HR_THRESHOLDS = (1.0, 0.8)


@dataclass(frozen=True, eq=False)
class Fit(PosteriorDraws):
    """Posterior of a `PiecewiseExponential` on one cohort.

    The attributes are those of `bayes_crlm.fit.fit.draws.PosteriorDraws`.
    """

    @classmethod
    def of(cls, draws: PosteriorDraws) -> "Fit":
        """Give draws the methods that users call."""
        return cls(**{each.name: getattr(draws, each.name) for each in fields(draws)})

    def estimating(
        self, *, origin: float | None = None, population: PopulationName = "entrants"
    ) -> "Fit":
        """Give the same draws with another origin or population of the estimands.

        Parameters
        ----------
        origin : float, optional
            Where survival curves begin; the default one without it.
        population : {"entrants", "before_entry"}
            Whom estimands average over.

        Raises
        ------
        EstimandError
            When the origin is not a time within follow-up, or there is no such population.
        """
        return replace(self, origin=origin, population=population)

    @property
    def posterior(self) -> "xr.DataTree":
        """ArviZ DataTree of the draws, made when it is first asked for.

        See `bayes_crlm.fit.tree.posterior_tree`.
        """
        from bayes_crlm.fit.tree import posterior_of

        return posterior_of(self)

    def variable(self, name: str, group: str = "posterior") -> "xr.DataArray":
        """Draws of one variable, dims (chain, draw, ...)."""
        return self.posterior[group].to_dataset()[name]

    @property
    def entry_weight_rows(self) -> list[dict[str, Any]]:
        """What `entry_weights` is made of."""
        from bayes_crlm.fit.entry_weights import entry_weight_rows

        return entry_weight_rows(self)

    def entry_weights(self) -> "pd.DataFrame":
        """Whether weights of the population before entry can be trusted, one row per level.

        Returns
        -------
        pandas.DataFrame
            As `bayes_crlm.fit.entry_weights.entry_weight_rows`; empty for entrants.
        """
        import pandas as pd

        return pd.DataFrame(self.entry_weight_rows)

    def coefficients(self, thresholds: Sequence[float] = HR_THRESHOLDS) -> "pd.DataFrame":
        """Posterior of every log hazard ratio in original units, with its Monte Carlo error.

        Parameters
        ----------
        thresholds : sequence of float
            Hazard ratios r whose probability P(HR < r) is given.

        Returns
        -------
        pandas.DataFrame
            One row per term: term, treatment, reference, median, mean_log, sd_log,
            mcse_mean_log, eti95_low, eti95_high, prob_below_<r>, ess_bulk, ess_tail, r_hat;
            median and limits are log hazard ratios.
        """
        thresholds = thresholds_of(thresholds)
        import pandas as pd

        values = self.log_hazard_ratio_values
        found = RatioSummary(values)
        low, median, high = found.quantiles
        levels = list(self.inputs.design.levels[1:])
        n_terms, n_treatment = values.shape[1], len(levels)
        nothing = [None] * (n_terms - n_treatment)
        table = {
            "term": list(self.inputs.design.terms),
            # as objects from the start: pandas would make 1 and None into 1.0 and nan
            "treatment": pd.Series([*levels, *nothing], dtype=object),
            "reference": pd.Series(
                [*[self.inputs.design.reference] * n_treatment, *nothing], dtype=object
            ),
            "median": median,
            "mean_log": found.mean_log,
            "sd_log": found.sd_log,
            "mcse_mean_log": None,  # below, by where the draws come from
            "eti95_low": low,
            "eti95_high": high,
        }
        for threshold in thresholds:
            table[f"prob_below_{threshold}"] = found.prob_below(threshold)
        if self.importance is None:
            import arviz_stats as azs

            ratios = self.log_hazard_ratio_draws
            table["mcse_mean_log"] = azs.mcse(ratios, method="mean").values
            table["ess_bulk"] = azs.ess(ratios, method="bulk").values
            table["ess_tail"] = azs.ess(ratios, method="tail").values
            table["r_hat"] = azs.rhat(ratios).values
        else:
            table["mcse_mean_log"] = table["sd_log"] / np.sqrt(self.importance.ess)
            table["ess_bulk"] = np.full(n_terms, self.importance.ess)
            table["ess_tail"] = self.importance.ess_tail
            table["r_hat"] = np.full(n_terms, np.nan)
        return pd.DataFrame(table)

    def hazard_ratios(
        self, thresholds: Sequence[float] = HR_THRESHOLDS, success: SuccessRule | None = None
    ) -> "pd.DataFrame":
        """Posterior hazard ratio of every treatment level against the reference.

        Parameters
        ----------
        thresholds : sequence of float
            Hazard ratios r whose probability P(HR < r) is given.
        success : SuccessRule, optional
            By which is concluded; 0.975 on one side of 1 without it.

        Returns
        -------
        pandas.DataFrame
            As `coefficients`, treatment rows only, with median and limits as hazard ratios;
            then prob_below_effect, P(HR < the rule's effect), and conclusion: "lower", "higher",
            "undecided", or "withdrawn" where a level without events leaves nothing to conclude
            from. `answers` withdraws what diagnostics do not allow, too.
        """
        rule = success or SuccessRule()
        n_treatment = self.inputs.n_treatment_terms
        table = self.coefficients(thresholds).iloc[:n_treatment]
        effects = RatioSummary(self.log_hazard_ratio_values[:, :n_treatment])
        share_below = effects.prob_below(rule.effect)
        conclusions = [
            "withdrawn" if withdrawal(self.inputs, (), (k + 1, 0)) else rule.conclusion(each)
            for k, each in enumerate(share_below.tolist())
        ]
        return table.assign(
            **{name: np.exp(table[name]) for name in ("median", "eti95_low", "eti95_high")},
            prob_below_effect=share_below,
            conclusion=conclusions,
        )

    def starts(
        self, thresholds: Sequence[float] = (1.0,), success: SuccessRule | None = None
    ) -> dict[str, Any] | None:
        """Hazard ratios in which treatment counts from its start only; fitted when asked for.

        See `bayes_crlm.fit.late_start.compare_starts`; None without starts in the cohort
        (`read_cohort(..., treatment_start=...)`).
        """
        from bayes_crlm.fit.late_start import compare_starts

        return compare_starts(self, thresholds, success)

    def answers(
        self, success: SuccessRule | None = None, failures: Sequence[str] | None = None
    ) -> "pd.DataFrame":
        """Every two treatment levels compared, and what is concluded, or why nothing is.

        Parameters
        ----------
        success : SuccessRule, optional
            By which is concluded; 0.975 on one side of 1 without it.
        failures : sequence of str, optional
            Diagnostics that fail; found by `diagnose` without it.

        Returns
        -------
        pandas.DataFrame
            As `bayes_crlm.fit.answers.answer_rows`; numbers of a withdrawn answer stay.
        """
        import pandas as pd

        from bayes_crlm.fit.answers import answer_rows

        failures = self.diagnose().failures if failures is None else failures
        rows = answer_rows(self, success or SuccessRule(), failures)
        # as objects: pandas would make None into nan, which counts as true
        why = pd.Series([row["withdrawn"] for row in rows], dtype=object)
        return pd.DataFrame(rows).drop(columns="prob_below").assign(withdrawn=why)

    def crude(self) -> "pd.DataFrame":
        """Hazard ratios adjusted, crude, and without the covariates that move them most.

        Returns
        -------
        pandas.DataFrame
            As `bayes_crlm.fit.crude.crude_rows`; empty without covariates.
        """
        import pandas as pd

        from bayes_crlm.fit.crude import crude_rows

        return pd.DataFrame(crude_rows(self))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What has to be read with the results, in a sentence each; diagnostics apart."""
        from bayes_crlm.cohort.notes import column_notes
        from bayes_crlm.fit.answers import proportionality_warnings
        from bayes_crlm.fit.changing_rows import changing_sentence, finer_rows
        from bayes_crlm.fit.estimand_tables import estimand_warnings
        from bayes_crlm.fit.observed_survival import kaplan_meier_cautions
        from bayes_crlm.fit.prior_meaning import baseline_cautions
        from bayes_crlm.model.arm_follow_up import gap_cautions
        from bayes_crlm.model.column_counts import count_cautions
        from bayes_crlm.model.late_start import waiting_cautions
        from bayes_crlm.model.origin import origin_cautions

        origin = self.origin or 0.0
        levels = self.inputs.design.levels
        without_answer = [
            levels[k] for k in range(1, len(levels)) if withdrawal(self.inputs, (), (k, 0))
        ]
        changing = changing_sentence(finer_rows(self), without_answer)
        columns = dict.fromkeys(each for of in self.inputs.design.variables for each in sorted(of))
        return (
            *proportionality_warnings(self),
            *([changing] if changing else []),
            *column_notes(columns, self.inputs.cohort),
            *self.inputs.cohort.remarks,
            *self.inputs.intervals.notes,
            *self.inputs.cautions,
            *count_cautions(self.inputs),
            *waiting_cautions(self.inputs),
            *baseline_cautions(self.model, self.inputs),
            *origin_cautions(origin, self.inputs),
            *gap_cautions(self.inputs, origin),
            *kaplan_meier_cautions(self.inputs, origin),
            *self.notes,
            *self.cox.warnings,
            *estimand_warnings(self),
        )

    def log_hazard(self) -> "pd.DataFrame":
        """Posterior of every interval's log-hazard at the covariates' means.

        Returns
        -------
        pandas.DataFrame
            One row per interval: interval, from, to, mean, sd, median, eti95_low, eti95_high. Of an
            interval without an event, median and limits tell more than mean and standard
            deviation: its hazard may be next to 0, whose logarithm has no lower bound.
        """
        import pandas as pd

        draws = self.log_hazard_draws
        low, median, high = np.quantile(draws, [ETI95[0], 0.5, ETI95[1]], axis=0)
        cutpoints = self.inputs.intervals.cutpoints
        return pd.DataFrame(
            {
                "interval": np.arange(1, draws.shape[1] + 1),
                "from": cutpoints[:-1],
                "to": cutpoints[1:],
                "mean": draws.mean(axis=0),
                "sd": draws.std(axis=0, ddof=1),
                "median": median,
                "eti95_low": low,
                "eti95_high": high,
            }
        )

    def survival_draws(
        self, times: Sequence[float] | NDArray, most_draws: int | None = None
    ) -> "xr.DataArray":
        """Standardised survival, dims (sample, treatment, time).

        Parameters
        ----------
        times : sequence of float
            In the cohort's time unit, from the origin to the end of follow-up.
        most_draws : int, optional
            For pictures: use no more draws than about this many, evenly spaced, and of a sampled
            population no more patients than are needed for a line's width; all without it.
        """
        return survival_draws(self, times, most_draws)

    def model_curves(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Times and survival for pictures; see `bayes_crlm.fit.observed_survival.model_curves`."""
        from bayes_crlm.fit.observed_survival import model_curves

        return model_curves(self)

    def rmst_draws(self, horizon: float) -> "xr.DataArray":
        """Area under standardised survival from origin to horizon, dims (sample, treatment)."""
        return rmst_draws(self, horizon)

    def median_survival_draws(self) -> "xr.DataArray":
        """Time of standardised median survival, infinite when not reached, (sample, treatment)."""
        return median_survival_draws(self)

    def survival(self, times: Sequence[float]) -> "pd.DataFrame":
        """Standardised survival; see `bayes_crlm.fit.estimand_tables.survival_table`."""
        from bayes_crlm.fit.estimand_tables import survival_table

        return survival_table(self, times)

    def rmst(self, horizon: float) -> "pd.DataFrame":
        """Restricted mean survival; see `bayes_crlm.fit.estimand_tables.rmst_table`."""
        from bayes_crlm.fit.estimand_tables import rmst_table

        return rmst_table(self, horizon)

    def median_survival(self) -> "pd.DataFrame":
        """Median survival; see `bayes_crlm.fit.estimand_tables.median_table`."""
        from bayes_crlm.fit.estimand_tables import median_table

        return median_table(self)

    def differences(self, horizons: Sequence[float], rmst: float | None) -> "pd.DataFrame":
        """Differences to the reference; see `bayes_crlm.fit.estimand_tables.differences_table`."""
        from bayes_crlm.fit.estimand_tables import differences_table

        return differences_table(self, horizons, rmst)

    def expected_events(self) -> "pd.DataFrame":
        """Observed and expected events; see `bayes_crlm.fit.expected_events`."""
        from bayes_crlm.fit.expected_events import expected_events

        return expected_events(self)

    def kaplan_meier(self, times: Sequence[float]) -> "pd.DataFrame":
        """Kaplan-Meier by arm beside the model; see `bayes_crlm.fit.observed_survival`."""
        from bayes_crlm.fit.observed_survival import kaplan_meier_table

        return kaplan_meier_table(self, times)

    def compare_cox(self) -> "pd.DataFrame":
        """Agreement of the posterior with Cox; see `bayes_crlm.fit.agreement.compare`."""
        import pandas as pd

        from bayes_crlm.fit.agreement import compare

        return pd.DataFrame(compare(self))

    def diagnose(self) -> "Diagnostics":
        """Convergence, efficiency and predictive diagnostics with their verdicts."""
        from bayes_crlm.fit.diagnostics import diagnose

        return diagnose(self)

    def plot_survival(self, ax: "Axes | None" = None) -> "Axes":
        """Standardised survival curves with 95% bands over Kaplan-Meier."""
        from bayes_crlm.figures import plot_survival

        return plot_survival(self, ax=ax)

    def plot_starts(self, ax: "Axes | None" = None) -> "Axes":
        """Hazard ratios as treated, from the start of treatment on, and at a landmark.

        Raises
        ------
        EstimandError
            When the cohort says nothing of starts, or nobody waited for treatment.
        """
        from bayes_crlm.figures import plot_starts
        from bayes_crlm.words.late_start import withdraw_starts

        start = withdraw_starts(self.starts(), self.answers().to_dict("records"))
        if start is None or "time_dependent" not in start:
            raise EstimandError(
                "there is no late start of treatment to be drawn: the cohort says none, or nobody "
                "waited for it; give treatment_start, the column of starts, to read_cohort"
            )
        return plot_starts(self, start, ax=ax)

    def plot_forest(self, ax: "Axes | None" = None) -> "Axes":
        """Posterior and Cox hazard ratios side by side."""
        from bayes_crlm.figures import plot_forest

        return plot_forest(self, ax=ax)


def fit_model(
    model: "ModelDefinition",
    inputs: "PreparedCohort",
    *,
    draws: int,
    tune: int,
    chains: int,
    seed: int | None,
    engine: Literal["nuts", "laplace"],
    target_accept: float,
    progress: bool,
    approximation: "Approximation | None" = None,
) -> Fit:
    """Fit a prepared cohort; see `bayes_crlm.fit.fitting.sample_posterior`."""
    from bayes_crlm.fit.fitting import sample_posterior

    return Fit.of(
        sample_posterior(
            model,
            inputs,
            draws=draws,
            tune=tune,
            chains=chains,
            seed=seed,
            engine=engine,
            target_accept=target_accept,
            progress=progress,
            approximation=approximation,
        )
    )
