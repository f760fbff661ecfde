"""The package: from one CSV file to the posterior of the hazard ratio, all checks on.

Usage: ``python package_from_file.py FILE CUTPOINT [CUTPOINT ...]``; prints mean and standard
deviation of the treatment's log hazard ratio.
"""

import sys

import bayes_crlm


def main(path: str, cutpoints: list[float]) -> None:
    """Read, fit, summarise."""
    cohort = bayes_crlm.read_cohort(path, time="time", event="event")
    columns = [f"x{k}" for k in range(8)]
    model = bayes_crlm.PiecewiseExponential(
        "arm", 0, " + ".join(columns), cutpoints=cutpoints, baseline="independent"
    )
    fit = model.fit(cohort, engine="nuts", chains=4, draws=2000, tune=1000, seed=1)
    row = fit.hazard_ratios().iloc[0]
    print(row["mean_log"], row["sd_log"])


if __name__ == "__main__":
    main(sys.argv[1], [float(each) for each in sys.argv[2:]])
