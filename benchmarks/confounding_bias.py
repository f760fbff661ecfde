"""How far is the bias factor off when many die? Cox's limit with a binary confounder left out.

Usage: ``python benchmarks/confounding_bias.py``. It writes the table in
``docs/sensitivity_methods.md`` again.

No data are simulated: with two equal arms, constant hazards and one end of follow-up the estimate
that Cox's model without the confounder tends to in a large cohort solves one equation
(Struthers & Kalbfleisch 1986, Biometrika 73:363-369), by quadrature here.
"""

from pathlib import Path

import numpy as np
from scipy.optimize import brentq

from bayes_crlm.sensitivity.tipping_points import bias_factor

PAGE = Path(__file__).parent.parent / "docs" / "sensitivity_methods.md"
BEGIN, END = "<!-- confounding_bias: begin -->", "<!-- confounding_bias: end -->"
EFFECTS = (1.0, 0.6)
CONFOUNDERS = ((2.0, 0.3, 0.5), (3.0, 0.3, 0.5), (5.0, 0.1, 0.5))
DEATHS = (0.05, 0.3, 0.6, 0.9)
POINTS = 20_001


def mixed_arm(rate, strength, share, times):
    """Survival and density of an arm where a share has the confounder."""
    carriers, others = np.exp(-rate * strength * times), np.exp(-rate * times)
    survival = share * carriers + (1 - share) * others
    return survival, rate * (share * strength * carriers + (1 - share) * others)


def cox_limit(effect, strength, treated, reference, deaths):
    """Hazard ratio that Cox's model tends to when it leaves the confounder out.

    Parameters
    ----------
    effect : float
        True hazard ratio of treatment.
    strength, treated, reference : float
        The confounder's hazard ratio and prevalences.
    deaths : float
        Share of all patients that die before the end of follow-up.
    """

    def survivors(end):
        arms = ((effect, treated), (1.0, reference))
        return np.mean([mixed_arm(rate, strength, share, end)[0] for rate, share in arms])

    end = brentq(lambda time: survivors(time) - (1 - deaths), 1e-9, 1e4)
    times = np.linspace(0, end, POINTS)
    survival_1, density_1 = mixed_arm(effect, strength, treated, times)
    survival_0, density_0 = mixed_arm(1.0, strength, reference, times)

    def score(log_ratio):
        weight = np.exp(log_ratio) * survival_1
        expected = weight / (weight + survival_0) * (density_1 + density_0)
        return np.trapezoid(density_1 - expected, times)

    return float(np.exp(brentq(score, -5, 5)))


def table():
    """Markdown rows of true, observed and corrected hazard ratios."""
    shares = " | ".join(f"{share:.0%} die" for share in DEATHS)
    rows = [
        f"| true HR | confounder: HR, with treatment, with reference | bias factor | {shares} |",
        "|" + "---|" * (3 + len(DEATHS)),
    ]
    for effect in EFFECTS:
        for confounder in CONFOUNDERS:
            bias = float(bias_factor(*confounder))
            cells = []
            for deaths in DEATHS:
                observed = cox_limit(effect, *confounder, deaths)
                cells.append(f"{observed:.2f} → {observed / bias:.2f}")
            strength, treated, reference = confounder
            rows.append(
                f"| {effect:g} | {strength:g}, {treated:.0%}, {reference:.0%} | {bias:.2f} | "
                + " | ".join(cells)
                + " |"
            )
    return "\n".join(rows)


def main():
    """Write the table into the page."""
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}", encoding="utf-8")
    print(table())


if __name__ == "__main__":
    main()
