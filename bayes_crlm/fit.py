"""A fitted model: draws that never change, and the tables and figures made of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm import estimands
from bayes_crlm.errors import EstimandError
from bayes_crlm.parameters import constrain, effects, log_hazards, model_parameters
from bayes_crlm.success import SuccessRule

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from matplotlib.axes import Axes

    from bayes_crlm.cox import Cox
    from bayes_crlm.diagnostics import Diagnostics
    from bayes_crlm.importance import WeightedDraws
    from bayes_crlm.model import ModelInputs, PiecewiseExponential

__all__ = ["Fit", "Importance"]

HR_THRESHOLDS = (1.0, 0.8)
ETI95 = (0.025, 0.975)


@dataclass(frozen=True)
class Importance:
    """Quality of importance-sampled draws: Pareto k of the weights and effective draws."""

    pareto_k: float
    ess: float


@dataclass(frozen=True, eq=False)
class Fit:
    """Posterior of a `PiecewiseExponential` on one cohort.

    Attributes
    ----------
    model : PiecewiseExponential
        What was fitted.
    inputs : ModelInputs
        The cohort as the model saw it.
    vectors : (chains, draws, unknowns) ndarray
        Unconstrained draws, in the order of `bayes_crlm.parameters.model_parameters`.
    sample_stats : xarray.Dataset
        Statistics of the sampler, dims (chain, draw).
    engine : str
        How the draws were made.
    seed : int
        Of all randomness.
    settings : dict
        Chains, draws, tune.
    seconds : dict
        Wall time of importing the sampler, of compiling and of sampling.
    notes : tuple of str
        What a reader should know about how the draws came about.
    importance : Importance or None
        How good the weights were, when the draws are importance-sampled.
    weighted : WeightedDraws or None
        What the draws were resampled from, when they are importance-sampled.
    """

    model: "PiecewiseExponential"
    inputs: "ModelInputs"
    vectors: NDArray[np.float64]
    sample_stats: "xr.Dataset"
    engine: str
    seed: int
    settings: dict[str, Any]
    seconds: dict[str, float]
    notes: tuple[str, ...] = field(default=())
    importance: Importance | None = None
    weighted: "WeightedDraws | None" = None

    @cached_property
    def posterior(self) -> "xr.DataTree":
        """ArviZ DataTree of the draws, made when it is first asked for.

        See `bayes_crlm.posterior.posterior_tree`.
        """
        from bayes_crlm.posterior import posterior_tree

        return posterior_tree(
            self.inputs, self.vectors, self.sample_stats, self.seed, self.weighted
        )

    def variable(self, name: str, group: str = "posterior") -> "xr.DataArray":
        """Draws of one variable, dims (chain, draw, ...)."""
        return self.posterior[group].to_dataset()[name]

    @cached_property
    def log_hazard_draws(self) -> NDArray[np.float64]:
        """Log-hazards at the covariates' means, shape (chains x draws, intervals)."""
        return log_hazards(self.values, self.inputs)

    @cached_property
    def effect_draws(self) -> NDArray[np.float64]:
        """Log hazard ratios on the sampling scale, shape (chains x draws, terms)."""
        return effects(self.values, self.inputs)

    @cached_property
    def values(self) -> dict[str, NDArray[np.float64]]:
        """Every random variable on its own scale, shapes (chains x draws, size)."""
        flat = self.vectors.reshape(-1, self.vectors.shape[-1])
        return constrain(flat, model_parameters(self.inputs))

    @cached_property
    def log_hazard_ratio_draws(self) -> "xr.DataArray":
        """Log hazard ratios in original units, dims (chain, draw, term)."""
        import xarray as xr

        chains, draws, _ = self.vectors.shape
        values = self.effect_draws / self.inputs.design.scale
        return xr.DataArray(
            values.reshape(chains, draws, -1),
            dims=("chain", "draw", "term"),
            coords={
                "chain": np.arange(chains),
                "draw": np.arange(draws),
                "term": list(self.inputs.design.terms),
            },
            name="log_hazard_ratio",
        )

    @cached_property
    def population(self) -> estimands.Population:
        """Covariate patterns that estimands average over."""
        return estimands.population(
            self.inputs, self.log_hazard_draws.mean(axis=0), self.effect_draws.mean(axis=0)
        )

    def relative_hazard(self, level: int) -> NDArray[np.float64]:
        """Relative hazards on one treatment level, shape (draws, patterns)."""
        return estimands.relative_hazard(
            self.effect_draws,
            self.inputs.design.treatment_contrast(level),
            self.population.covariates,
        )

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
        import arviz_stats as azs
        import pandas as pd

        ratios = self.log_hazard_ratio_draws
        values = ratios.values.reshape(-1, ratios.shape[-1])
        low, median, high = np.quantile(values, [ETI95[0], 0.5, ETI95[1]], axis=0)
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
            "mean_log": values.mean(axis=0),
            "sd_log": values.std(axis=0, ddof=1),
            "eti95_low": low,
            "eti95_high": high,
        }
        for threshold in thresholds:
            table[f"prob_below_{threshold}"] = (values < np.log(threshold)).mean(axis=0)
        if self.importance is None:
            mcse = azs.mcse(ratios, method="mean").values
            table["ess_bulk"] = azs.ess(ratios, method="bulk").values
            table["ess_tail"] = azs.ess(ratios, method="tail").values
            table["r_hat"] = azs.rhat(ratios).values
        else:
            mcse = table["sd_log"] / np.sqrt(self.importance.ess)
            table["ess_bulk"] = table["ess_tail"] = np.full(n_terms, self.importance.ess)
            table["r_hat"] = np.full(n_terms, np.nan)
        columns = list(table)
        table["mcse_mean_log"] = mcse
        columns.insert(columns.index("sd_log") + 1, "mcse_mean_log")
        return pd.DataFrame(table)[columns]

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
            then prob_below_effect, P(HR < the rule's effect), and conclusion: "lower", "higher"
            or "undecided".
        """
        rule = success or SuccessRule()
        n_treatment = self.inputs.n_treatment_terms
        table = self.coefficients(thresholds).iloc[:n_treatment].copy()
        for column in ("median", "eti95_low", "eti95_high"):
            table[column] = np.exp(table[column])
        draws = self.log_hazard_ratio_draws.values.reshape(-1, len(self.inputs.design.terms))
        below = (draws[:, :n_treatment] < np.log(rule.effect)).mean(axis=0)
        table["prob_below_effect"] = below
        table["conclusion"] = [rule.conclusion(each) for each in below.tolist()]
        return table

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

    @cached_property
    def estimand_draws(self) -> dict[tuple[object, ...], "xr.DataArray"]:
        """Draws of estimands that were asked for before: tables and figures share them."""
        return {}

    def survival_draws(
        self, times: Sequence[float] | NDArray, most_draws: int | None = None
    ) -> "xr.DataArray":
        """Standardised survival, dims (sample, treatment, time).

        Parameters
        ----------
        times : sequence of float
            In the cohort's time unit, within follow-up.
        most_draws : int, optional
            For pictures: use no more draws than about this many, evenly spaced, and of a sampled
            population no more patients than `estimands.PICTURED_PATTERNS`; all without it.
        """
        when = np.atleast_1d(np.asarray(times, dtype=float))
        if not when.size:
            raise EstimandError("survival: no times are given; give at least one")
        n_draws = len(self.log_hazard_draws)
        thinned = slice(None, None, max(1, n_draws // (most_draws or n_draws)))
        key = ("survival", thinned.step, most_draws is None, *when.tolist())
        if key not in self.estimand_draws:
            cumulative = estimands.cumulative_hazard_at(
                self.log_hazard_draws[thinned], self.inputs.intervals.cutpoints, when
            )
            people = self.population if most_draws is None else self.population.thinned()
            contrasts = map(
                self.inputs.design.treatment_contrast, range(len(self.inputs.design.levels))
            )
            self.estimand_draws[key] = self.by_level(
                [
                    estimands.standardised_survival(
                        cumulative,
                        estimands.relative_hazard(
                            self.effect_draws[thinned], contrast, people.covariates
                        ),
                        people.share,
                    )
                    for contrast in contrasts
                ],
                time=when,
            )
        return self.estimand_draws[key]

    def rmst_draws(self, horizon: float) -> "xr.DataArray":
        """Restricted mean survival time, dims (sample, treatment)."""
        key = ("rmst", float(horizon))
        if key not in self.estimand_draws:
            self.estimand_draws[key] = self.by_level(
                [
                    estimands.restricted_mean_survival(
                        self.log_hazard_draws,
                        self.inputs.intervals.cutpoints,
                        self.relative_hazard(level),
                        self.population.share,
                        horizon,
                    )
                    for level in range(len(self.inputs.design.levels))
                ]
            )
        return self.estimand_draws[key]

    def median_survival_draws(self) -> "xr.DataArray":
        """Standardised median survival, infinite when not reached, dims (sample, treatment)."""
        key = ("median_survival",)
        if key not in self.estimand_draws:
            self.estimand_draws[key] = self.by_level(
                [
                    estimands.median_survival(
                        self.log_hazard_draws,
                        self.inputs.intervals.cutpoints,
                        self.relative_hazard(level),
                        self.population.share,
                    )
                    for level in range(len(self.inputs.design.levels))
                ]
            )
        return self.estimand_draws[key]

    def by_level(self, values: list[NDArray], **coords: NDArray) -> "xr.DataArray":
        """Stack one array of draws per treatment level and label them."""
        import xarray as xr

        return xr.DataArray(
            np.stack(values, axis=1),
            dims=("sample", "treatment", *coords),
            coords={"treatment": [str(level) for level in self.inputs.design.levels]} | coords,
        )

    def survival(self, times: Sequence[float]) -> "pd.DataFrame":
        """Standardised survival at given times: treatment, time, mean, eti95 limits.

        Parameters
        ----------
        times : sequence of float
            In the cohort's time unit, within follow-up.

        Raises
        ------
        EstimandError
            Without a time, and for one beyond the last cutpoint.
        """
        import pandas as pd

        draws = self.survival_draws(times)
        rows = [
            {"treatment": level, "time": float(when)} | mean_and_limits(draws.values[:, i, k])
            for i, level in enumerate(self.inputs.design.levels)
            for k, when in enumerate(draws["time"].values)
        ]
        return pd.DataFrame(rows)

    def rmst(self, horizon: float) -> "pd.DataFrame":
        """Restricted mean survival time: treatment, horizon, mean, eti95 limits.

        Parameters
        ----------
        horizon : float
            In the cohort's time unit, within follow-up.

        Raises
        ------
        EstimandError
            For a horizon beyond the last cutpoint.
        """
        import pandas as pd

        draws = self.rmst_draws(horizon)
        return pd.DataFrame(
            [
                {"treatment": level, "horizon": float(horizon)}
                | mean_and_limits(draws.values[:, i])
                for i, level in enumerate(self.inputs.design.levels)
            ]
        )

    def median_survival(self) -> "pd.DataFrame":
        """Standardised median survival with the share of draws that do not reach it.

        Returns
        -------
        pandas.DataFrame
            treatment, median, eti95 limits (infinite when not reached) and
            share_not_reached.
        """
        import pandas as pd

        draws = self.median_survival_draws().values
        rows = []
        for i, level in enumerate(self.inputs.design.levels):
            low, middle, high = quantiles_with_infinity(draws[:, i], [ETI95[0], 0.5, ETI95[1]])
            rows.append(
                {
                    "treatment": level,
                    "median": middle,
                    "eti95_low": low,
                    "eti95_high": high,
                    "share_not_reached": float(np.isinf(draws[:, i]).mean()),
                }
            )
        return pd.DataFrame(rows)

    def differences(self, horizons: Sequence[float], rmst: float | None) -> "pd.DataFrame":
        """Differences to the reference level in survival and restricted mean survival.

        Parameters
        ----------
        horizons : sequence of float
            Times of the survival differences.
        rmst : float or None
            Horizon of the restricted means.

        Returns
        -------
        pandas.DataFrame
            estimand, treatment, reference, time, mean, eti95 limits, prob_above_0.
        """
        import pandas as pd

        rows = []

        def add(estimand: str, level: int, when: float, draws: NDArray) -> None:
            rows.append(
                {
                    "estimand": estimand,
                    "treatment": self.inputs.design.levels[level],
                    "reference": self.inputs.design.reference,
                    "time": float(when),
                }
                | mean_and_limits(draws)
                | {"prob_above_0": float((draws > 0).mean())}
            )

        survival = self.survival_draws(horizons).values if len(horizons) else None
        area = self.rmst_draws(rmst).values if rmst is not None else None
        for level in range(1, len(self.inputs.design.levels)):
            if survival is not None:
                for k, when in enumerate(horizons):
                    add("survival", level, when, survival[:, level, k] - survival[:, 0, k])
            if area is not None and rmst is not None:
                add("rmst", level, rmst, area[:, level] - area[:, 0])
        return pd.DataFrame(rows)

    @cached_property
    def cox(self) -> "Cox":
        """Cox's partial-likelihood fit (Efron ties) of the same design."""
        from bayes_crlm.cox import fit_cox

        cohort, design = self.inputs.cohort, self.inputs.design
        return fit_cox(
            cohort.entry,
            cohort.time,
            cohort.event,
            design.matrix,
            design.terms,
            patient_index=cohort.patient_index,
        )

    def compare_cox(self) -> "pd.DataFrame":
        """Agreement of the posterior with Cox; see `bayes_crlm.agreement.compare`."""
        import pandas as pd

        from bayes_crlm.agreement import compare

        return pd.DataFrame(compare(self))

    def diagnose(self) -> "Diagnostics":
        """Convergence, efficiency and predictive diagnostics with their verdicts."""
        from bayes_crlm.diagnostics import diagnose

        return diagnose(self)

    def plot_survival(self, ax: "Axes | None" = None) -> "Axes":
        """Standardised survival curves with 95% bands over Kaplan-Meier."""
        from bayes_crlm.figures import plot_survival

        return plot_survival(self, ax=ax)

    def plot_forest(self, ax: "Axes | None" = None) -> "Axes":
        """Posterior and Cox hazard ratios side by side."""
        from bayes_crlm.figures import plot_forest

        return plot_forest(self, ax=ax)


def mean_and_limits(draws: NDArray) -> dict[str, float]:
    """Mean and equal-tailed 95% limits of draws."""
    low, high = np.quantile(draws, ETI95)
    return {"mean": float(draws.mean()), "eti95_low": float(low), "eti95_high": float(high)}


def quantiles_with_infinity(draws: NDArray, probabilities: Sequence[float]) -> list[float]:
    """Quantiles of draws of which some are infinite (order statistics, no interpolation)."""
    return [float(np.quantile(draws, each, method="higher")) for each in probabilities]
