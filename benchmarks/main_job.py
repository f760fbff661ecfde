"""Wall time and peak memory of the main job, as ratios to importing what it is made of.

Usage: ``python benchmarks/main_job.py [--repeat 5]``. In every round three processes run in
turn: ``python -c "import pymc, nutpie, matplotlib.pyplot"``, the main job warm (caches filled
by a run before the first round), and the main job cold (empty cache folders). Results go to
``benchmarks/results/main_job.json`` and the table of ``docs/performance.md``.

Other work on the machine adds to wall times. Processor time hardly depends on it, and is
reported beside.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "main_job.json"
PAGE = HERE.parent / "docs" / "performance.md"
BEGIN, END = "<!-- main_job: begin -->", "<!-- main_job: end -->"

SPEC = "os_repeat_local_vs_systemic"
IMPORTS = "import pymc, nutpie, matplotlib.pyplot"
TARGETS = {"warm": 3.0, "cold": 8.0}
DONE, UNTRUSTWORTHY = 0, 3


@dataclass(frozen=True)
class Process:
    """What one process took.

    Attributes
    ----------
    seconds : float
        Wall time.
    processor_seconds : float
        User and system time.
    mebibytes : float
        Largest resident set.
    """

    seconds: float
    processor_seconds: float
    mebibytes: float


def run_process(command: list[str], environment: dict[str, str]) -> Process:
    """Run a command to its end and measure it.

    Raises
    ------
    RuntimeError
        When it fails; the last lines of its messages are shown.
    """
    with tempfile.TemporaryFile() as messages:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=messages
        )
        # wait4 gives this one process' peak memory; getrusage would give the largest so far
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in (DONE, UNTRUSTWORTHY):
            messages.seek(0)
            last = messages.read().decode(errors="replace")[-1000:]
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {last}")
    unit = 2**20 if platform.system() == "Darwin" else 2**10
    return Process(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / unit)


def cold_environment(folder: Path) -> dict[str, str]:
    """Point every cache that the main job fills to an empty folder."""
    flags = [flag for flag in os.environ.get("PYTENSOR_FLAGS", "").split(",") if flag]
    flags = [flag for flag in flags if not flag.startswith(("base_compiledir", "compiledir"))]
    flags.append(f"base_compiledir={folder / 'pytensor'}")
    environment = {
        "NUMBA_CACHE_DIR": str(folder / "numba"),
        "PYTENSOR_FLAGS": ",".join(flags),
        "MPLCONFIGDIR": str(folder / "matplotlib"),
        "XDG_CACHE_HOME": str(folder / "cache"),
    }
    for path in folder / "numba", folder / "pytensor", folder / "matplotlib", folder / "cache":
        path.mkdir()
    return dict(os.environ) | environment


def measure(repeat: int, spec: str) -> dict[str, list[Process]]:
    """Time the import, the warm and the cold job in turn."""
    found: dict[str, list[Process]] = {"import": [], "warm": [], "cold": []}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)

        def job(environment: dict[str, str]) -> Process:
            out = Path(tempfile.mkdtemp(dir=folder))
            command = [sys.executable, "-m", "bayes_crlm.cli", "run", spec, "--quiet"]
            return run_process([*command, "--out", str(out)], environment)

        importing = [sys.executable, "-c", IMPORTS]
        run_process(importing, dict(os.environ))
        job(dict(os.environ))
        for number in range(repeat):
            found["import"].append(run_process(importing, dict(os.environ)))
            found["warm"].append(job(dict(os.environ)))
            empty = folder / f"cold{number}"
            empty.mkdir()
            found["cold"].append(job(cold_environment(empty)))
            print(
                f"round {number + 1}: "
                + ", ".join(
                    f"{name} {each[-1].seconds:.1f} s ({each[-1].processor_seconds:.1f} s "
                    f"processor, {each[-1].mebibytes:.0f} MiB)"
                    for name, each in found.items()
                ),
                flush=True,
            )
    return found


def summarise(found: dict[str, list[Process]], spec: str, load: float) -> dict[str, Any]:
    """Medians, spreads and ratios; the ratio of a round is to the import of the same round."""
    summary: dict[str, Any] = {
        "spec": spec,
        "reference": f'python -c "{IMPORTS}"',
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "load_before": round(load, 2),
        "rounds": len(found["import"]),
    }
    for name, processes in found.items():
        entry: dict[str, Any] = {}
        for quantity in ("seconds", "processor_seconds", "mebibytes"):
            values = [asdict(process)[quantity] for process in processes]
            entry[quantity] = {
                "median": statistics.median(values),
                "min": min(values),
                "max": max(values),
            }
            if name != "import":
                ratios = [
                    value / asdict(reference)[quantity]
                    for value, reference in zip(values, found["import"], strict=True)
                ]
                entry[quantity]["ratio"] = {
                    "median": statistics.median(ratios),
                    "min": min(ratios),
                    "max": max(ratios),
                }
        summary[name] = entry
    return summary


def table_of(summary: dict[str, Any]) -> str:
    """Write the measurements in Markdown."""

    def spread(entry: dict[str, float], digits: int) -> str:
        return f"{entry['median']:.{digits}f} ({entry['min']:.{digits}f}–{entry['max']:.{digits}f})"

    rounds = summary["rounds"]
    lines = [
        f"`{summary['spec']}`, median of {rounds} round{'s' * (rounds != 1)} (smallest–largest); "
        f"{summary['processors']} processors, Python {summary['python']}; load before the first "
        f"round {summary['load_before']:g}.",
        "",
        "| | wall time, s | ratio | target | processor time, s | ratio "
        "| peak memory, MiB | ratio |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in ("import", "warm", "cold"):
        cells = [f"`{summary['reference']}`" if name == "import" else f"main job, {name}"]
        for quantity, digits in (("seconds", 1), ("processor_seconds", 1), ("mebibytes", 0)):
            entry = summary[name][quantity]
            cells.append(spread(entry, digits))
            cells.append("1" if name == "import" else spread(entry["ratio"], 2))
            if quantity == "seconds":
                cells.append(f"at most {TARGETS[name]:g}" if name in TARGETS else "")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure, store and write the table."""
    parser = argparse.ArgumentParser(description="Wall time and peak memory of the main job")
    parser.add_argument("--repeat", type=int, default=5, help="rounds (default: 5)")
    parser.add_argument("--spec", default=SPEC, help=f"spec to run (default: {SPEC})")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    summary = summarise(measure(options.repeat, options.spec), options.spec, load)
    print(table_of(summary))
    if options.spec == SPEC:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
        page = PAGE.read_text(encoding="utf-8")
        before, rest = page.split(BEGIN)
        _, after = rest.split(END)
        PAGE.write_text(f"{before}{BEGIN}\n{table_of(summary)}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
