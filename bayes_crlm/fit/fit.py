"""A fitted model: draws that never change, and the tables and figures made of them."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.estimands.population import PopulationName
from bayes_crlm.fit.draws import PosteriorDraws
from bayes_crlm.fit.estimand_draws import median_survival_draws, rmst_draws, survival_draws
from bayes_crlm.model.withdrawn import withdrawal
from bayes_crlm.words.arguments import horizon_of, thresholds_of, times_of
from bayes_crlm.words.errors import EstimandError
from bayes_crlm.words.frames import frame_of
from bayes_crlm.words.success import SuccessRule, success_rule
from bayes_crlm.words.wording import SYNTHETIC, count_of, shown_name

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from matplotlib.axes import Axes

    from bayes_crlm.fit.diagnostics import Diagnostics
    from bayes_crlm.fit.fitting import Approximation
    from bayes_crlm.fit.groups import Group
    from bayes_crlm.model.definition import ModelDefinition
    from bayes_crlm.model.prepared import PreparedCohort
    from bayes_crlm.words.html import SectionsByKey

HR_THRESHOLDS = (1.0, 0.8)


@dataclass(frozen=True, eq=False)
class Fit(PosteriorDraws):
    """Posterior of a `PiecewiseExponential` on one cohort.

    The attributes are those of `bayes_crlm.fit.draws.PosteriorDraws`.
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

        See `bayes_crlm.fit.tree.posterior_groups`.
        """
        from bayes_crlm.fit.tree import posterior_of

        return posterior_of(self)

    @property
    def groups(self) -> "dict[str, Group]":
        """The arrays of `posterior`, by group; made without xarray."""
        from bayes_crlm.fit.tree import groups_of

        return groups_of(self)

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
        return frame_of(self.entry_weight_rows)

    def __repr__(self) -> str:
        draws, source = len(self.log_hazard_ratio_values), shown_name(self.inputs.cohort.source)
        synthetic = f"; {SYNTHETIC}" if self.inputs.cohort.is_synthetic else ""
        return f"<Fit of {source}: engine {self.engine}, {count_of(draws, 'draw')}{synthetic}>"

    def coefficients(self, thresholds: Sequence[float] = HR_THRESHOLDS) -> "pd.DataFrame":
        """Every log hazard ratio; see `bayes_crlm.fit.coefficients.coefficient_rows`."""
        from bayes_crlm.fit.coefficients import coefficient_rows

        return frame_of(coefficient_rows(self, thresholds))

    def hazard_ratios(
        self, thresholds: Sequence[float] = HR_THRESHOLDS, success: SuccessRule | None = None
    ) -> "pd.DataFrame":
        """Treatment's hazard ratios; see `bayes_crlm.fit.coefficients.hazard_ratio_rows`."""
        from bayes_crlm.fit.coefficients import hazard_ratio_rows

        return frame_of(hazard_ratio_rows(self, thresholds, success))

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
        from bayes_crlm.fit.answers import answer_rows

        failures = self.diagnose().failures if failures is None else failures
        return frame_of(answer_rows(self, success_rule(success), failures))

    def crude(self) -> "pd.DataFrame":
        """Hazard ratios adjusted, crude, and without the covariates that move them most.

        Returns
        -------
        pandas.DataFrame
            As `bayes_crlm.fit.crude.crude_rows`; empty without covariates.
        """
        from bayes_crlm.fit.crude import crude_rows

        return frame_of(crude_rows(self))

    def sections(
        self,
        *,
        thresholds: Sequence[float] = HR_THRESHOLDS,
        success: SuccessRule | None = None,
        horizons: Sequence[float] = (),
        rmst: float | None = None,
    ) -> "SectionsByKey":
        """Everything that this fit comes to, by key; a notebook shows it as a page.

        Parameters
        ----------
        thresholds : sequence of float
            Hazard ratios r whose probability P(HR < r) is given.
        success : SuccessRule, optional
            By which is concluded; 0.975 on one side of 1 without it.
        horizons : sequence of float
            Times at which survival is given.
        rmst : float, optional
            Horizon of restricted mean survival.
        """
        from bayes_crlm.fit.findings import Asked, Findings
        from bayes_crlm.fit.sections import fit_sections
        from bayes_crlm.words.html import SectionsByKey

        asked = Asked(
            success_rule(success),
            thresholds_of(thresholds),
            tuple(times_of(horizons, "horizons")),
            None if rmst is None else horizon_of(rmst, "rmst"),
        )
        found = Findings(self, asked, self.diagnose())
        return SectionsByKey({section.key: section for section in fit_sections(found)})

    def _repr_html_(self) -> str:
        """Show the sections in a notebook."""
        return self.sections()._repr_html_()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What has to be read with the results, in a sentence each; diagnostics apart."""
        from bayes_crlm.fit.answers import proportionality_warnings
        from bayes_crlm.fit.cautions import cohort_cautions, curve_cautions
        from bayes_crlm.fit.changing_rows import changing_sentence, finer_rows
        from bayes_crlm.fit.estimands.warnings import estimand_warnings
        from bayes_crlm.model.late_start import waiting_cautions

        levels = self.inputs.design.levels
        without_answer = [
            levels[k] for k in range(1, len(levels)) if withdrawal(self.inputs, (), (k, 0))
        ]
        changing = changing_sentence(finer_rows(self), without_answer)
        columns = dict.fromkeys(each for of in self.inputs.design.variables for each in sorted(of))
        return (
            *proportionality_warnings(self),
            *([changing] if changing else []),
            *cohort_cautions(self.model, self.inputs, columns),
            *waiting_cautions(self.inputs),
            *curve_cautions(self.inputs, self.begin, {}),
            *self.notes,
            *self.cox.warnings,
            *estimand_warnings(self),
        )

    def log_hazard(self) -> "pd.DataFrame":
        """Log-hazards by interval; see `bayes_crlm.fit.effects.baseline.log_hazard_rows`."""
        from bayes_crlm.fit.effects.baseline import log_hazard_rows

        return frame_of(log_hazard_rows(self))

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
        return survival_draws(self, times, most_draws).to_array()

    def survival_values(self, times: Sequence[float] | NDArray, most_draws: int) -> NDArray:
        """Values of `survival_draws` for pictures, (draws, levels, times)."""
        return survival_draws(self, times, most_draws).values

    def model_curves(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Times and survival for pictures; see `bayes_crlm.fit.observed_survival.model_curves`."""
        from bayes_crlm.fit.observed_survival import model_curves

        return model_curves(self)

    def rmst_draws(self, horizon: float) -> "xr.DataArray":
        """Area under standardised survival from origin to horizon, dims (sample, treatment)."""
        return rmst_draws(self, horizon).to_array()

    def median_survival_draws(self) -> "xr.DataArray":
        """Time of standardised median survival, infinite when not reached, (sample, treatment)."""
        return median_survival_draws(self).to_array()

    def survival(self, times: Sequence[float]) -> "pd.DataFrame":
        """Standardised survival; see `bayes_crlm.fit.estimands.survival.survival_rows`."""
        from bayes_crlm.fit.estimands.survival import survival_rows

        return frame_of(survival_rows(self, times))

    def rmst(self, horizon: float) -> "pd.DataFrame":
        """Restricted mean survival; see `bayes_crlm.fit.estimands.rmst.rmst_rows`."""
        from bayes_crlm.fit.estimands.rmst import rmst_rows

        return frame_of(rmst_rows(self, horizon))

    def median_survival(self) -> "pd.DataFrame":
        """Median survival; see `bayes_crlm.fit.estimands.median_survival.median_rows`."""
        from bayes_crlm.fit.estimands.median_survival import median_rows

        return frame_of(median_rows(self))

    def differences(self, horizons: Sequence[float], rmst: float | None) -> "pd.DataFrame":
        """Differences to the reference; see `bayes_crlm.fit.estimands.differences`."""
        from bayes_crlm.fit.estimands.differences import difference_rows

        return frame_of(difference_rows(self, horizons, rmst))

    def expected_events(self) -> "pd.DataFrame":
        """Observed and expected events; see `bayes_crlm.fit.expected_events`."""
        from bayes_crlm.fit.expected_events import expected_events

        return frame_of(expected_events(self))

    def kaplan_meier(self, times: Sequence[float]) -> "pd.DataFrame":
        """Kaplan-Meier by arm beside the model; see `bayes_crlm.fit.observed_survival`."""
        from bayes_crlm.fit.observed_survival import kaplan_meier_rows

        return frame_of(kaplan_meier_rows(self, times))

    def compare_cox(self) -> "pd.DataFrame":
        """Agreement of the posterior with Cox; see `bayes_crlm.fit.agreement.compare`."""
        from bayes_crlm.fit.agreement import compare

        return frame_of(compare(self))

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
                "there is no late start of treatment to plot: the cohort does not say when "
                "treatment started, or nobody waited for it; give read_cohort the column of "
                "starts as treatment_start"
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
    approximation: "Approximation | None" = None,
    **sampling: Any,
) -> Fit:
    """Fit a prepared cohort as `bayes_crlm.fit.fitting.Sampling` says."""
    from bayes_crlm.fit.fitting import Sampling, sample_posterior

    return Fit.of(sample_posterior(model, inputs, Sampling(**sampling), approximation))
