"""Ratios, targets and Markdown tables made of what ``bench.py`` stored."""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

TITLES = {
    "package_nuts": "this package, NUTS",
    "package_laplace": "this package, laplace",
    "pymc_long": "PyMC, long table, `pm.sample` with its own NUTS",
    "nutpie_long": "the same under nutpie (`pm.sample`'s choice where it is installed)",
    "numpyro_compact": "NumPyro, one row a patient",
    "cox_survival": "Cox, `survival.coxph`",
    "cox_lifelines": "Cox, lifelines",
}
PACKAGE, LAPLACE = "package_nuts", "package_laplace"
SMALLEST, LARGE, LARGEST = 135, 10_000, 1_000_000

Record = dict[str, Any]
Stored = dict[str, Any]
Quantity = Callable[[Record], float | None]


@dataclass(frozen=True)
class Spread:
    """Median, smallest and largest of some rounds."""

    median: float
    least: float
    most: float

    def words(self, digits: int = 3) -> str:
        """Write the median to some significant digits, and the range of several rounds."""
        if self.least == self.most:
            return significant(self.median, digits)
        least, most = significant(self.least, 2), significant(self.most, 2)
        return f"{significant(self.median, digits)} ({least}–{most})"


def significant(value: float, digits: int) -> str:
    """Write a number to some significant digits, never in powers of ten."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    decimals = max(digits - 1 - math.floor(math.log10(abs(value))), 0)
    return f"{value:,.{decimals}f}"


def spread(values: Sequence[float]) -> Spread | None:
    """Summarise rounds; None without any."""
    if not values:
        return None
    return Spread(statistics.median(values), min(values), max(values))


def first_posterior(record: Record) -> float | None:
    """Seconds from the process' start to the hazard ratio."""
    return record.get("first_posterior")


def whole(record: Record) -> float | None:
    """Seconds of a process that is not a contender: an import, a run to its hazard ratio."""
    return record.get("seconds") if record["ended"] == "done" else None


def fit(record: Record) -> float | None:
    """Seconds to compile and sample, packages imported and arrays in memory."""
    return record["first"]["seconds"] if record.get("first") else None


def refit(record: Record) -> float | None:
    """Median seconds of the refits in one process."""
    seconds = [each["seconds"] for each in record.get("refits", [])]
    return statistics.median(seconds) if seconds else None


def sampling(record: Record) -> float | None:
    """Median seconds of sampling in one process, over the first fit and the refits."""
    fits = [record.get("first"), *record.get("refits", [])]
    seconds = [each["seconds_sample"] for each in fits if each]
    seconds = [each for each in seconds if each is not None]
    return statistics.median(seconds) if seconds else None


def refit_sampling(record: Record) -> float | None:
    """Median seconds of sampling in the refits of one process."""
    seconds = [each["seconds_sample"] for each in record.get("refits", [])]
    return statistics.median(seconds) if seconds and None not in seconds else None


def effective_per_second(record: Record) -> float | None:
    """Effective draws of the treatment's effect per second of sampling."""
    effective, seconds = record.get("effective_draws"), sampling(record)
    return None if effective is None or not seconds else effective / seconds


def gradients(record: Record) -> float | None:
    """Gradients taken for the kept draws."""
    return record["first"]["gradients"] if record.get("first") else None


def peak(record: Record) -> float | None:
    """Peak memory up to the first posterior, MiB."""
    return record["first"]["mebibytes"] if record.get("first") else None


def records(stored: Stored, what: str, rows: int, caches: str = "warm") -> list[Record]:
    """All rounds of one cell."""
    found = [
        record
        for record in stored["processes"]
        if (record["what"], record["rows"], record["caches"]) == (what, rows, caches)
    ]
    return sorted(found, key=lambda record: record["round"])


def measured(
    stored: Stored, what: str, rows: int, quantity: Quantity, caches: str = "warm"
) -> Spread | None:
    """One quantity over a cell's rounds."""
    values = [quantity(record) for record in records(stored, what, rows, caches)]
    return spread([value for value in values if value is not None])


def ratio(
    stored: Stored,
    what: str,
    rows: int,
    quantity: Quantity,
    against: str,
    against_quantity: Quantity | None = None,
    caches: str = "warm",
) -> Spread | None:
    """One quantity over another contender's of the same round."""
    others = {record["round"]: record for record in records(stored, against, rows, caches)}
    found = []
    for record in records(stored, what, rows, caches):
        value = quantity(record)
        other = others.get(record["round"])
        reference = None if other is None else (against_quantity or quantity)(other)
        if value is not None and reference:
            found.append(value / reference)
    return spread(found)


def distance(stored: Stored, what: str, rows: int) -> float | None:
    """Largest distance of a contender's means from the package's NUTS, in posterior sd."""
    cells = [records(stored, name, rows) for name in (what, PACKAGE)]
    firsts = [next((each["first"] for each in cell if each["first"]), None) for cell in cells]
    if firsts[0] is None or firsts[1] is None:
        return None
    return max(
        abs(mean - other) / sd
        for mean, other, sd in zip(
            firsts[0]["mean"], firsts[1]["mean"], firsts[1]["sd"], strict=True
        )
    )


def growth(stored: Stored, what: str, quantity: Quantity) -> float | None:
    """Exponent of growth from 10,000 to 1,000,000 rows."""
    small = measured(stored, what, LARGE, quantity)
    large = measured(stored, what, LARGEST, quantity)
    if small is None or large is None:
        return None
    return math.log(large.median / small.median) / math.log(LARGEST / LARGE)


@dataclass(frozen=True)
class Target:
    """What should be reached, and what was."""

    what: str
    bound: float
    unit: str
    reached: Spread | float | None
    is_least: bool = False

    @property
    def is_met(self) -> bool | None:
        """Whether the (median) figure keeps the bound; None where it was not measured."""
        if self.reached is None:
            return None
        value = self.reached.median if isinstance(self.reached, Spread) else self.reached
        return value >= self.bound if self.is_least else value <= self.bound

    def row(self) -> str:
        """One row of the table."""
        bound = f"{'≥' if self.is_least else '≤'} {self.bound:g} {self.unit}".strip()
        met = {True: "yes", False: "**no**", None: "not measured"}[self.is_met]
        reached = self.reached
        if isinstance(reached, float):
            reached = Spread(reached, reached, reached)
        words = "" if reached is None else f"{reached.words()} {self.unit}".strip()
        return f"| {self.what} | {bound} | {words} | {met} |"


def targets(stored: Stored) -> list[Target]:
    """Hold the figures against what was set out to be reached."""

    def against(other: str, quantity: Quantity, caches: str = "warm") -> Spread | None:
        return ratio(stored, other, SMALLEST, quantity, PACKAGE, caches=caches)

    def milliseconds(value: Spread | None) -> Spread | None:
        if value is None:
            return None
        return Spread(1e3 * value.median, 1e3 * value.least, 1e3 * value.most)

    large = {entry["rows"]: entry for entry in stored["gradients"]}.get(LARGEST)
    gradient = None if large is None else 1e3 * large["gradient"]["median"]
    minutes = measured(stored, PACKAGE, LARGEST, first_posterior)
    memory = measured(stored, PACKAGE, LARGEST, peak)
    gigabytes = None if memory is None else memory.median * 2**20 / 1e9
    first = ratio(stored, PACKAGE, SMALLEST, first_posterior, "import_pymc", whole)
    terminal = ratio(stored, "run_laplace", SMALLEST, whole, "import_pandas", whole)
    laplace_refit = milliseconds(measured(stored, LAPLACE, SMALLEST, refit))
    laplace_draws = milliseconds(measured(stored, LAPLACE, SMALLEST, refit_sampling))
    found = [
        Target("first posterior, warm, over `import pymc, nutpie`", 1.5, "", first),
    ]
    for caches in ("warm", "cold"):
        for other, name in (("pymc_long", "PyMC's own NUTS"), ("nutpie_long", "nutpie")):
            what = f"compile and sample, {caches}: long table under {name} over this package"
            found.append(Target(what, 5, "", against(other, fit, caches), is_least=True))
    ess = ratio(stored, PACKAGE, SMALLEST, effective_per_second, "nutpie_long")
    return [
        *found,
        Target("NUTS refit, n = 135", 1.0, "s", measured(stored, PACKAGE, SMALLEST, refit)),
        Target("effective draws a second over the long table under nutpie", 3, "", ess, True),
        Target("laplace refit, 4,000 draws, table to posterior", 25, "ms", laplace_refit),
        Target("laplace refit, of that mode and draws", 25, "ms", laplace_draws),
        Target(
            "`run --engine laplace` to the hazard ratio, over `import pandas`", 2.5, "", terminal
        ),
        Target("one gradient at 1,000,000 rows", 60, "ms", gradient),
        Target("NUTS at 1,000,000 rows, process start to hazard ratio", 300, "s", minutes),
        Target("its peak memory", 1.5, "GB", gigabytes),
        *(
            Target(f"{name}: exponent of growth from 10,000 rows", 1.05, "", exponent)
            for name, exponent in (
                ("NUTS, compile and sample", growth(stored, PACKAGE, fit)),
                ("laplace", growth(stored, LAPLACE, fit)),
            )
        ),
    ]


def cell(stored: Stored, what: str, rows: int, quantity: Quantity, caches: str = "warm") -> str:
    """Write one figure, or why there is none."""
    found = measured(stored, what, rows, quantity, caches)
    return "" if found is None else found.words()


def without_figure(record: Record, stored: Stored) -> str:
    """Say why a contender has no posterior at a size."""
    limit = f"{stored['limit']:g} s"
    memory = f"{stored['memory_limit_mebibytes'] / 1024:.1f} GiB"
    return {
        "not run": f"not run: {record['message']}",
        "more time": f"more than {limit}",
        "more memory": f"more than {memory}",
    }.get(record["ended"], "failed")


def row_of(stored: Stored, what: str, rows: int) -> str | None:
    """One contender at one size."""
    found = records(stored, what, rows)
    if not found:
        return None
    cells = [f"{rows:,}", TITLES[what]]
    if all(record["first"] is None for record in found):
        return "| " + " | ".join([*cells, without_figure(found[0], stored), *[""] * 10]) + " |"

    def over(quantity: Quantity, **options: Any) -> str:
        value = ratio(stored, what, rows, quantity, PACKAGE, **options)
        return "" if value is None else significant(value.median, 2)

    import_ratio = ratio(stored, what, rows, first_posterior, "import_pymc", whole)
    apart = distance(stored, what, rows)
    cells += [
        cell(stored, what, rows, first_posterior),
        "" if import_ratio is None else significant(import_ratio.median, 2),
        cell(stored, what, rows, first_posterior, "cold"),
        cell(stored, what, rows, fit),
        over(fit),
        cell(stored, what, rows, refit),
        cell(stored, what, rows, effective_per_second),
        over(effective_per_second),
        cell(stored, what, rows, gradients),
        cell(stored, what, rows, peak),
        "" if apart is None or what == PACKAGE else f"{apart:.2f}",
    ]
    return "| " + " | ".join(cells) + " |"


def main_table(stored: Stored) -> str:
    """Everything measured, a row for each contender at each size."""
    lines = [
        "| rows | contender | first posterior, warm, s | ÷ import | cold, s "
        "| compile and sample, s | ÷ this package | refit, s | effective draws a second "
        "| ÷ this package | gradients | peak memory, MiB | means apart, sd |",
        "|---" * 13 + "|",
    ]
    for rows in sorted({record["rows"] for record in stored["processes"]}):
        lines += [row for what in TITLES if (row := row_of(stored, what, rows)) is not None]
    return "\n".join(lines)


def floor_table(stored: Stored) -> str:
    """One gradient, its floor, and how much of the sampling is gradients."""
    lines = [
        "| rows | one gradient, ms | floor: design read once, twice, ms | gradient ÷ floor "
        "| gradients of the kept draws | sampling, s | sampling ÷ one gradient |",
        "|---" * 7 + "|",
    ]
    for entry in sorted(stored["gradients"], key=lambda entry: entry["rows"]):
        taken, floor, rows = entry["gradient"]["median"], entry["floor"], entry["rows"]
        seconds = measured(stored, PACKAGE, rows, sampling)
        cells = [
            f"{rows:,}",
            significant(1e3 * taken, 3),
            f"{significant(1e3 * floor['once'], 2)}, {significant(1e3 * floor['twice'], 2)}",
            f"{taken / floor['once']:.1f}, {taken / floor['twice']:.1f}",
            cell(stored, PACKAGE, rows, gradients),
            "" if seconds is None else seconds.words(),
            "" if seconds is None else f"{seconds.median / taken:,.0f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def notes_of(record: Record) -> list[str]:
    """What a reader must know of one process whose figures are shown."""
    first = record.get("first")
    if not first:
        return []
    notes = [first["note"]] if first["note"] else []
    if first["divergences"]:
        notes.append(f"{first['divergences']} divergent transitions")
    if record["ended"] != "done":
        notes.append(f"{record['ended']} after the first posterior")
    return [f"{TITLES[record['what']]} at {record['rows']:,} rows: {note}" for note in notes]


def settings_of(stored: Stored) -> str:
    """Say what was run where."""
    machine = stored["machine"]
    loads = [record["load"] for record in stored["processes"] if "load" in record]
    rounds = max(record["round"] for record in stored["processes"])
    notes = sorted({note for record in stored["processes"] for note in notes_of(record)})
    text = (
        f"{machine['processors']} processors, {machine['memory_mebibytes'] / 1024:.0f} GiB, Python "
        f"{machine['python']}; median of {rounds} round{'s' * (rounds != 1)} (smallest–largest) "
        f"at {SMALLEST} rows, else one; load before a process {min(loads):g} to {max(loads):g}, "
        f"median {statistics.median(loads):.2g}."
    )
    return " ".join([text, *(f"{note}." for note in notes)])


def speed_of(entries: Sequence[dict[str, Any]]) -> str:
    """Say how fast one core is, from the entry with the most rows."""
    if not entries:
        return ""
    largest = max(entries, key=lambda entry: entry["rows"])
    gigabytes = 1e-9 / largest["seconds_per_byte"]
    operations = 1e-9 / largest["seconds_per_operation"]
    exponentials = 1e-6 / largest["seconds_per_exponential"]
    return (
        f"One core, at {largest['rows']:,} rows: copies {gigabytes:.1f} GB a second (read and "
        f"written), does {operations:.1f} thousand million multiplications and additions a second "
        f"in a product of matrices; NumPy takes {exponentials:.0f} million exponentials a second."
    )


def page_of(stored: Stored) -> str:
    """Everything in Markdown."""
    speed = speed_of(stored["gradients"])
    target_rows = [
        "| target | wanted | measured | met |",
        "|---|---|---|---|",
        *(each.row() for each in targets(stored)),
    ]
    parts = [settings_of(stored), "\n".join(target_rows), main_table(stored), speed]
    return "\n\n".join([*(part for part in parts if part), floor_table(stored)])
