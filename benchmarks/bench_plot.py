"""Time against rows on logarithmic axes, from what ``bench.py`` stored."""

import io
from typing import Any

from bench_table import TITLES, first_posterior, fit, measured

SHORT = {
    "package_nuts": "this package, NUTS",
    "package_laplace": "this package, laplace",
    "pymc_long": "PyMC, long table",
    "nutpie_long": "nutpie, long table",
    "numpyro_compact": "NumPyro",
    "cox_survival": "Cox, survival",
    "cox_lifelines": "Cox, lifelines",
}
PANELS = (
    ("process start to hazard ratio, warm", first_posterior),
    ("compile and sample, warm", fit),
)
COLOURS = ("#0b6e99", "#5aa9c9", "#b5403a", "#e08a5b", "#7a5195", "#4d4d4d", "#a0a0a0")
DASHES = ("-", "--", "-", "--", "-.", ":", ":")


def plot_of(stored: dict[str, Any]) -> str:
    """Draw as SVG; the same figures give the same text."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot as plt

    plain = {"svg.hashsalt": "bench", "svg.fonttype": "none", "font.size": 9}
    with matplotlib.rc_context(plain):
        figure, panels = plt.subplots(1, 2, figsize=(9, 4), sharey=True, layout="constrained")
        sizes = sorted({record["rows"] for record in stored["processes"]})
        for axes, (title, quantity) in zip(panels, PANELS, strict=True):
            for what, colour, dash in zip(TITLES, COLOURS, DASHES, strict=True):
                points = [(rows, measured(stored, what, rows, quantity)) for rows in sizes]
                shown = [(rows, each.median) for rows, each in points if each is not None]
                if shown:
                    x, y = zip(*shown, strict=True)
                    axes.plot(x, y, dash, color=colour, marker="o", ms=4, label=SHORT[what])
            axes.set(xscale="log", yscale="log", xlabel="rows", title=title)
            axes.grid(which="major", color="#dddddd", linewidth=0.6)
            axes.spines[["top", "right"]].set_visible(False)
        panels[0].set_ylabel("seconds")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
        written = io.StringIO()
        figure.savefig(written, format="svg", metadata={"Date": None})
        plt.close(figure)
    return "\n".join(line.rstrip() for line in written.getvalue().splitlines()) + "\n"
