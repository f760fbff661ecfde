"""How long ``bayes-crlm sensitivity`` takes on the main analysis, part by part.

Usage: ``python benchmarks/sensitivity.py``. It runs the command with its defaults, then for the
multiverse alone, and for missing data alone on the analysis whose covariates miss values, each from
the start of a process to its end in a folder of its own, and writes the table in
``docs/sensitivity.md`` anew.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from method_coverage import write_between

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "sensitivity.md"
SPEC, INCOMPLETE_SPEC = "os_repeat_local_vs_systemic", "os_missing_covariates"


def timed_run(folder: Path, spec: str, *options: str) -> tuple[float, dict]:
    """Run the command; its wall time, and what it wrote."""
    command = [sys.executable, "-m", "bayes_crlm", "sensitivity", spec, "--quiet", *options]
    began = time.perf_counter()
    subprocess.run([*command, "--out", str(folder)], check=True, capture_output=True)
    seconds = time.perf_counter() - began
    return seconds, json.loads((folder / "sensitivity.json").read_text(encoding="utf-8"))


def main() -> None:
    """Time all runs and write the table."""
    with tempfile.TemporaryDirectory() as folder:
        whole, found = timed_run(Path(folder) / "whole", SPEC)
        alone, _ = timed_run(Path(folder) / "multiverse", SPEC, "--only", "multiverse")
        imputing, imputed = timed_run(
            Path(folder) / "missing_data", INCOMPLETE_SPEC, "--only", "missing_data"
        )
    seconds = found["provenance"]["seconds"]
    count = len(found["multiverse"]["rows"])
    lines = [
        f"{os.cpu_count()} processors, 135 patients, {count} specifications.",
        "",
        "| what | seconds |",
        "|---|---|",
        f"| every part, from the start of the process to its end | {whole:.0f} |",
        f"| `--only multiverse`, the same | {alone:.0f} |",
        f"| `--only missing_data` on `{INCOMPLETE_SPEC}`, {len(imputed['missing_data']['rows'])} "
        f"imputations, the same | {imputing:.0f} |",
        *(
            f"| `{name}` | {taken:.1f} |"
            for name, taken in seconds.items()
            if name not in ("base", "total")
        ),
    ]
    text = "\n".join(lines)
    print(text)
    write_between(PAGE, "sensitivity-time", text)


if __name__ == "__main__":
    main()
