"""Processes run one at a time, under a limit of time and memory, with their lines timed."""

import json
import os
import platform
import pty
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

HERE = Path(__file__).resolve().parent
LOOK_EVERY_SECONDS = 0.1
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")

Ended = Literal["done", "more time", "more memory", "failed"]


@dataclass(frozen=True)
class Run:
    """What one process did and took.

    Attributes
    ----------
    ended : str
        "done", "failed", or the limit that it went over: "more time", "more memory".
    lines : tuple of (float, str)
        What it printed, with the seconds since its start.
    seconds, processor_seconds : float
        Wall time; user and system time.
    mebibytes : float
        Largest resident set of the process or one of its workers.
    message : str
        The end of what it wrote to standard error.
    """

    ended: Ended
    lines: tuple[tuple[float, str], ...]
    seconds: float
    processor_seconds: float
    mebibytes: float
    message: str

    def seconds_to(self, pattern: str) -> float | None:
        """Seconds from the start to the first line that has a pattern; None without one."""
        for seconds, line in self.lines:
            if re.search(pattern, line):
                return seconds
        return None


# how a build's own process begins that fits simulated cohorts
OF_A_BUILD = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
sys.path.insert(0, sys.argv[1])
import pandas as pd
from bayes_crlm import PiecewiseExponential, fit_many, read_cohort, stack_cohorts
from simulated_cohort import simulate

names = ["arm", *(f"x{k}" for k in range(8))]

def table(seed):
    found = simulate(135, seed)
    columns = {"time": found["time"], "event": found["event"], "cohort": seed}
    return pd.DataFrame(found["x"], columns=names).assign(**columns)

def stack_of(tables):
    return stack_cohorts(pd.concat(tables), cohort="cohort", time="time", event="event")

def model_of(options):
    return PiecewiseExponential("arm", 0, " + ".join(names[1:]), **options)

"""


class BuildProcess:
    """A process of a checkout's own package: one line of JSON in, one out.

    Parameters
    ----------
    folder : Path
        The checkout, with its ``.venv``.
    code : str
        What it runs after `OF_A_BUILD`.
    *settings : object
        What the code finds as JSON in ``sys.argv[2:]``.
    """

    def __init__(self, folder: Path, code: str, *settings: Any) -> None:
        """Start the process."""
        python = folder / ".venv" / "bin" / "python"
        given = [json.dumps(each) for each in settings]
        self.process = subprocess.Popen(
            # safe path: the package is the environment's, wherever this is called from
            [python, "-P", "-c", OF_A_BUILD + code, HERE, *given],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, question: Any) -> Any:
        """Answer to a question."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def run_limited(
    command: list[str],
    environment: dict[str, str],
    *,
    seconds: float,
    mebibytes: float,
    until: str | None = None,
    on_terminal: bool = False,
) -> Run:
    """Run a command to its end, to a limit, or to a line.

    Parameters
    ----------
    command, environment
        As for `subprocess.Popen`.
    seconds, mebibytes : float
        Where it is killed, with its workers; memory is that of all of them together and is
        watched on Linux only.
    until : str, optional
        A pattern: the process is ended once a line has it.
    on_terminal : bool
        Give it a terminal to write on, so that it prints as to a person.
    """
    with tempfile.TemporaryFile() as messages:
        started = time.perf_counter()
        lines: list[tuple[float, str]] = []
        if on_terminal:
            ours, theirs = pty.openpty()
            process = subprocess.Popen(
                command, env=environment, stdout=theirs, stderr=theirs, start_new_session=True
            )
            os.close(theirs)
            stream: IO[bytes] = os.fdopen(ours, "rb", buffering=0)
        else:
            process = subprocess.Popen(
                command,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=messages,
                start_new_session=True,
            )
            assert process.stdout is not None
            stream = process.stdout
        reader = threading.Thread(target=read_lines, args=(stream, started, lines), daemon=True)
        reader.start()
        try:
            ended, status, usage = watch(process, started, lines, seconds, mebibytes, until)
        except BaseException:
            # interrupted: nothing that was started here goes on
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        took = time.perf_counter() - started
        reader.join(timeout=5)
        stream.close()
        process.returncode = os.waitstatus_to_exitcode(status)
        messages.seek(0)
        message = messages.read().decode(errors="replace")[-1000:].strip()
    unit = 2**20 if platform.system() == "Darwin" else 2**10
    return Run(
        ended=ended,
        lines=tuple(lines),
        seconds=took,
        processor_seconds=usage.ru_utime + usage.ru_stime,
        mebibytes=usage.ru_maxrss / unit,
        message=message,
    )


def read_lines(stream: IO[bytes], started: float, lines: list[tuple[float, str]]) -> None:
    """Note every line with its time until the stream ends."""
    try:
        for line in iter(stream.readline, b""):
            text = ESCAPES.sub("", line.decode(errors="replace")).rstrip()
            lines.append((time.perf_counter() - started, text))
    except (OSError, ValueError):
        # a terminal's end is an error on Linux
        return


def watch(
    process: subprocess.Popen,
    started: float,
    lines: list[tuple[float, str]],
    seconds: float,
    mebibytes: float,
    until: str | None,
) -> tuple[Ended, int, Any]:
    """Wait for a process' end and bring it about at a limit."""
    while True:
        # wait4 gives this one process' peak memory; getrusage would give the largest so far
        found, status, usage = os.wait4(process.pid, os.WNOHANG)
        if found:
            return ("done" if status == 0 else "failed"), status, usage
        over: Ended | None = None
        if until is not None and any(re.search(until, line) for _, line in list(lines)):
            over = "done"
        elif time.perf_counter() - started > seconds:
            over = "more time"
        elif resident_mebibytes(process.pid) > mebibytes:
            over = "more memory"
        if over is not None:
            # a session of its own: the process and the workers that it started, nothing else
            os.killpg(process.pid, signal.SIGKILL)
            _, status, usage = os.wait4(process.pid, 0)
            return over, status, usage
        time.sleep(LOOK_EVERY_SECONDS)


def resident_mebibytes(session: int) -> float:
    """Resident memory of all processes of a session; 0 where there is no /proc."""
    total = 0
    if not sys.platform.startswith("linux"):
        return 0.0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
        except (OSError, IndexError):
            continue  # it ended meanwhile
        if int(fields[3]) == session:
            total += int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
    return total / 2**20


def cache_environment(folder: Path) -> dict[str, str]:
    """Point every cache that a contender may fill to folders inside of one."""
    flags = [flag for flag in os.environ.get("PYTENSOR_FLAGS", "").split(",") if flag]
    flags = [flag for flag in flags if not flag.startswith(("base_compiledir", "compiledir"))]
    flags.append(f"base_compiledir={folder / 'pytensor'}")
    environment = {
        "NUMBA_CACHE_DIR": str(folder / "numba"),
        "PYTENSOR_FLAGS": ",".join(flags),
        "MPLCONFIGDIR": str(folder / "matplotlib"),
        "XDG_CACHE_HOME": str(folder / "cache"),
    }
    for name in ("numba", "pytensor", "matplotlib", "cache"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return dict(os.environ) | environment
