"""Time to a posterior, refits, effective draws and memory, for six ways to fit one cohort.

Usage: ``make bench``, or ``python benchmarks/bench.py [--sizes 135 1000] [--contenders NAME ...]
[--rounds 3] [--limit 300] [--resume]``. At every size all contenders fit the same simulated
cohort, one process after another, each round in another order, between them ``python -c "import
pymc, nutpie"``. *Cold* has empty caches of Numba, PyTensor and matplotlib (at the smallest size);
*warm* has the caches that the cold process filled. A process is ended at the time or memory
limit; a contender that was ended, or whose sampling at one size would at linear growth take more
than the limit at the next, is not run there, and the table says so.

Results go to ``benchmarks/results/bench.json`` after every process; ``--resume`` keeps what is
there and runs the rest. When all sizes and contenders are there, the tables of
``docs/performance.md`` and ``docs/images/time_against_rows.svg`` are made of them.
"""

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench_table import page_of
from environments import FOLDER, python_of
from processes import Run, cache_environment, run_limited

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "bench.json"
PAGE = HERE.parent / "docs" / "performance.md"
PLOT = HERE.parent / "docs" / "images" / "time_against_rows.svg"
IMAGE = (
    "![Time against rows on logarithmic axes: from process start to hazard ratio, and compiling "
    f"and sampling alone](images/{PLOT.name})"
)
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"

SIZES = (135, 1_000, 10_000, 100_000, 1_000_000)
SMALLEST = min(SIZES)  # run in several rounds, and cold too
REFITS = {135: 2, 1_000: 1}
LIMIT_SECONDS = 300.0
MEMORY_SHARE = 0.6
HAZARD_RATIO = r"hazard ratio \d"


@dataclass(frozen=True)
class Contender:
    """A script of ``benchmarks/contenders/`` and the environment that it needs."""

    name: str
    environment: str | None = None

    def command(self, cohort: Path, other: Path, refits: int) -> list[str]:
        """Command line of one process."""
        script = str(HERE / "contenders" / f"{self.name}.py")
        command = [python_of(self.environment), script, str(cohort)]
        return [*command, "--other", str(other), "--refits", str(refits)]


CONTENDERS = (
    Contender("package_nuts"),
    Contender("package_laplace"),
    Contender("pymc_long"),
    Contender("nutpie_long"),
    Contender("numpyro_compact", environment="numpyro"),
    Contender("cox_survival"),
    Contender("cox_lifelines", environment="lifelines"),
)
IMPORTS = {"import_pymc": "import pymc, nutpie", "import_pandas": "import pandas"}
RUN_LAPLACE = "run_laplace"
RUN_SPEC = "os_repeat_local_vs_systemic"


@dataclass
class Bench:
    """What is measured, where it is stored, and what is there already."""

    sizes: tuple[int, ...]
    contenders: tuple[Contender, ...]
    rounds: int
    limit: float
    memory: float
    results: Path
    stored: dict[str, Any]
    scratch: Path

    def record(self, key: dict[str, Any], measured: dict[str, Any]) -> None:
        """Keep one process' figures, and say them."""
        entry = key | measured
        self.stored["processes"].append(entry)
        self.store()
        told = measured.get("first_posterior") or measured.get("seconds")
        print(
            f"{key['rows']:>9,} rows  {key['caches']}  round {key['round']}  {key['what']:<16} "
            f"{measured['ended']:<12} {'' if told is None else f'{told:.1f} s'}"
            + (f"  {measured['message']}" if measured["ended"] != "done" else ""),
            flush=True,
        )

    def store(self) -> None:
        """Write everything measured so far."""
        self.results.parent.mkdir(parents=True, exist_ok=True)
        part = self.results.with_suffix(".part")
        part.write_text(json.dumps(self.stored, indent=1) + "\n", encoding="utf-8")
        part.replace(self.results)

    def has(self, key: dict[str, Any]) -> bool:
        """Whether this process' figures are there."""
        return any(key.items() <= entry.items() for entry in self.stored["processes"])

    def run(self, command: list[str], caches: Path, **options: Any) -> tuple[Run, float]:
        """Run one process under the limits; also the load before it."""
        load = os.getloadavg()[0]
        environment = cache_environment(caches)
        run = run_limited(
            command, environment, seconds=self.limit, mebibytes=self.memory, **options
        )
        return run, load


def figures_of(run: Run, load: float) -> dict[str, Any]:
    """What a contender's process said and took."""
    parts: dict[str, list[dict[str, Any]]] = {"first": [], "draws": [], "refit": []}
    for _, line in run.lines:
        if line.startswith("{"):
            said = json.loads(line)
            parts[said.pop("part")].append(said)
    return {
        "ended": run.ended,
        "message": run.message if run.ended == "failed" else "",
        "load": round(load, 2),
        "seconds": run.seconds,
        "processor_seconds": run.processor_seconds,
        "mebibytes": run.mebibytes,
        "first_posterior": run.seconds_to(HAZARD_RATIO),
        "first": parts["first"][0] if parts["first"] else None,
        "effective_draws": parts["draws"][0]["effective_draws"] if parts["draws"] else None,
        "refits": parts["refit"],
    }


def reason_not_to_run(
    processes: list[dict[str, Any]], what: str, rows: int, limit: float
) -> str | None:
    """Say why a contender cannot end in time at a size, from what it did at smaller ones."""
    smaller = [
        entry
        for entry in processes
        if entry["what"] == what and entry["rows"] < rows and entry["caches"] == "warm"
    ]
    for entry in sorted(smaller, key=lambda entry: -entry["rows"]):
        if entry["ended"] == "not run":
            return entry["message"]
        if entry["first_posterior"] is None:
            return f"{entry['ended']} at {entry['rows']:,} rows"
        # the quickest fit: what only a process' first fit does, such as late imports, does not grow
        fits = [entry["first"], *entry["refits"]]
        sampling = min(each["seconds_sample"] or each["seconds"] for each in fits)
        if sampling * rows / entry["rows"] > limit:
            return f"{sampling:.0f} s at {entry['rows']:,} rows"
        return None
    return None


def caches_of(name: str) -> Path:
    """Folder of a contender's caches."""
    return FOLDER / "caches" / name


def measure_contender(
    bench: Bench, contender: Contender, key: dict[str, Any], cohorts: tuple[Path, Path]
) -> None:
    """Run one contender once, or note why not."""
    if bench.has(key):
        return
    reason = reason_not_to_run(bench.stored["processes"], contender.name, key["rows"], bench.limit)
    if reason is not None:
        nothing = {"first_posterior": None, "first": None, "effective_draws": None, "refits": []}
        bench.record(key, {"ended": "not run", "message": reason} | nothing)
        return
    caches = caches_of(contender.name)
    is_filled = caches / "filled"
    if key["caches"] == "cold":
        shutil.rmtree(caches, ignore_errors=True)
    elif not is_filled.exists():
        print(f"filling the caches of {contender.name}", flush=True)
        bench.run(contender.command(*simulate(bench, SMALLEST), refits=0), caches)
    refits = REFITS.get(key["rows"], 0) if key["caches"] == "warm" else 0
    run, load = bench.run(contender.command(*cohorts, refits=refits), caches)
    is_filled.touch()
    bench.record(key, figures_of(run, load))


def measure_import(bench: Bench, name: str, key: dict[str, Any]) -> None:
    """Time the import that others are held against."""
    if not bench.has(key):
        run, load = bench.run([sys.executable, "-c", IMPORTS[name]], caches_of("package_nuts"))
        figures = {"seconds": run.seconds, "mebibytes": run.mebibytes, "load": round(load, 2)}
        bench.record(key, figures | {"ended": run.ended, "message": run.message})


def measure_run(bench: Bench, key: dict[str, Any]) -> None:
    """Time ``run --engine laplace`` until its hazard ratio is on the terminal."""
    if bench.has(key):
        return
    out = tempfile.mkdtemp(dir=bench.scratch)
    command = [sys.executable, "-m", "bayes_crlm.cli", "run", RUN_SPEC, "--engine", "laplace"]
    run, load = bench.run(
        [*command, "--out", out], caches_of("package_laplace"), until=HAZARD_RATIO, on_terminal=True
    )
    figures = {"seconds": run.seconds_to(HAZARD_RATIO), "load": round(load, 2)}
    bench.record(key, figures | {"ended": run.ended, "message": run.message})


def simulate(bench: Bench, rows: int) -> tuple[Path, Path]:
    """Make the cohort of a size and another one, in a process of their own.

    A child's peak memory starts at its parent's size, so this process stays small.
    """
    paths = []
    for seed in (1, 2):
        path = bench.scratch / f"cohort_{rows}_{seed}.npz"
        if not path.exists():
            script = str(HERE / "simulated_cohort.py")
            options = ["--rows", str(rows), "--seed", str(seed)]
            subprocess.run([sys.executable, script, path, *options], check=True)
        paths.append(path)
    return paths[0], paths[1]


def in_turn(contenders: tuple[Contender, ...], number: int) -> Iterator[Contender]:
    """Go through the contenders, each round from another one on."""
    for k in range(len(contenders)):
        yield contenders[(k + number) % len(contenders)]


def measure(bench: Bench) -> None:
    """Run everything that is not there yet."""
    for rows in bench.sizes:
        cohorts = simulate(bench, rows)
        is_smallest = rows == SMALLEST
        for number in range(bench.rounds if is_smallest else 1):
            for caches in ("cold", "warm"):
                if caches == "cold" and not (is_smallest and number == 0):
                    continue
                key = {"rows": rows, "caches": caches, "round": number + 1}
                for contender in in_turn(bench.contenders, number):
                    name = contender.name
                    measure_contender(bench, contender, {"what": name} | key, cohorts)
                measure_import(bench, "import_pymc", {"what": "import_pymc"} | key)
                if is_smallest and caches == "warm":
                    measure_import(bench, "import_pandas", {"what": "import_pandas"} | key)
                    measure_run(bench, {"what": RUN_LAPLACE} | key)
        measure_gradient(bench, rows, cohorts[0])
        for path in cohorts:
            path.unlink(missing_ok=True)


def measure_gradient(bench: Bench, rows: int, cohort: Path) -> None:
    """Time one gradient at a size, and what it is held against."""
    if any(entry["rows"] == rows for entry in bench.stored["gradients"]):
        return
    command = [sys.executable, str(HERE / "gradient.py"), str(cohort)]
    run, _ = bench.run(command, caches_of("package_nuts"))
    if run.ended != "done":
        raise SystemExit(f"benchmarks: gradient.py at {rows} rows: {run.ended} {run.message}")
    entry = json.loads(run.lines[-1][1])
    bench.stored["gradients"].append(entry)
    bench.store()
    print(
        f"{rows:>9,} rows  one gradient {1e3 * entry['gradient']['median']:.3g} ms, floor "
        f"{1e3 * entry['floor']['once']:.3g} ms",
        flush=True,
    )


def finished(processes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Keep what need not be run again: everything but failures and what was not run."""
    return [entry for entry in processes if entry["ended"] not in ("failed", "not run")]


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    mebibytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**20
    return {
        "processors": os.cpu_count(),
        "memory_mebibytes": round(mebibytes),
        "python": platform.python_version(),
        "system": platform.system(),
    }


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    names = [contender.name for contender in CONTENDERS]
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="rows")
    parser.add_argument("--contenders", nargs="+", default=names, choices=names, metavar="NAME")
    parser.add_argument("--rounds", type=int, default=3, help=f"at {SMALLEST:,} rows")
    parser.add_argument("--limit", type=float, default=LIMIT_SECONDS, help="seconds a process")
    parser.add_argument("--memory", type=float, help="MiB a process and its workers")
    parser.add_argument("--resume", action="store_true", help="keep the results that are there")
    parser.add_argument("--results", type=Path, default=RESULTS, help=f"default: {RESULTS.name}")
    parser.add_argument("--table", action="store_true", help="measure nothing, write the tables")
    options = parser.parse_args()
    is_part = set(options.sizes) < set(SIZES) or set(options.contenders) < set(names)
    if is_part and options.results == RESULTS and not (options.resume or options.table):
        parser.error("a part would replace the whole: give --resume to add it, or --results FILE")
    return options


def stored_before(options: argparse.Namespace) -> dict[str, Any]:
    """What an earlier run stored and this one keeps, or nothing yet."""
    if options.table or (options.resume and options.results.exists()):
        stored = json.loads(options.results.read_text(encoding="utf-8"))
        if options.resume:
            stored["processes"] = finished(stored["processes"])
        return stored
    here = machine()
    return {
        "machine": here,
        "limit": options.limit,
        "memory_limit_mebibytes": options.memory or MEMORY_SHARE * here["memory_mebibytes"],
        "processes": [],
        "gradients": [],
    }


def main() -> None:
    """Measure, store, print, and write the page when everything is there."""
    options = read_options()
    stored = stored_before(options)
    # as an interrupt from the keyboard, so that the process under way is ended too
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if not options.table:
        with tempfile.TemporaryDirectory() as scratch:
            bench = Bench(
                sizes=tuple(sorted(options.sizes)),
                contenders=tuple(each for each in CONTENDERS if each.name in options.contenders),
                rounds=options.rounds,
                limit=stored["limit"],
                memory=stored["memory_limit_mebibytes"],
                results=options.results,
                stored=stored,
                scratch=Path(scratch),
            )
            for contender in bench.contenders:
                python_of(contender.environment)
            measure(bench)
    text = page_of(stored)
    print(text)
    measured = {(entry["what"], entry["rows"]) for entry in stored["processes"]}
    complete = all((each.name, rows) in measured for each in CONTENDERS for rows in SIZES)
    if complete and options.results == RESULTS:
        write_page(stored, text)


def write_page(stored: dict[str, Any], text: str) -> None:
    """Put the tables between the page's markers, and draw the plot."""
    from bench_plot import plot_of

    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    PAGE.write_text(f"{before}{BEGIN}\n{text}\n\n{IMAGE}\n{END}{after}", encoding="utf-8")
    PLOT.write_text(plot_of(stored), encoding="utf-8")


if __name__ == "__main__":
    main()
