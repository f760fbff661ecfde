"""Tasks that tests send to other processes, and lists of them."""

import os
import signal
import sys
import time
from pathlib import Path

from bayes_crlm.tasks.run import Task
from bayes_crlm.words.errors import CohortError

# other processes find the tests' functions where this one does
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}


def square(number):
    return {"square": number * number, "pair": (number, None), "process": os.getpid()}


def refit(cohort, seed, cutpoints, seconds=0.0):
    """A refit, slowed down on demand, whose result is told at full precision."""
    from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential

    model = PiecewiseExponential("arm", 0, "x + group", cutpoints=cutpoints)
    fit = model.fit(cohort, engine="laplace", draws=100, chains=2, seed=seed)
    row = fit.hazard_ratios().iloc[0]
    time.sleep(seconds)
    return {
        "median": float(row["median"]),
        "sd_log": float(row["sd_log"]),
        "pareto_k": float(fit.importance.pareto_k),
    }


def heavy_modules(cohort, **arguments):
    """Refit; then what was imported that takes seconds."""
    refit(cohort, **arguments)
    return {"modules": sorted({"pymc", "pytensor", "arviz"} & set(sys.modules))}


def noted(number, log, seconds=0.0):
    """Leave a line in a file, so that a test sees what was run."""
    time.sleep(seconds)
    with open(log, "a") as file:
        file.write(f"{number}\n")
    return {"third": number / 3}


def numbers_noted(log):
    """The numbers that `noted` left in a file."""
    return [int(line) for line in log.read_text().split()] if log.exists() else []


def until_told(number, flag):
    """Take a moment as long as a test has not left a file."""
    time.sleep(0.0 if Path(flag).exists() else 0.1)
    return {"third": number / 3}


def fussy(number):
    """Fails for 2 as a user's error, and for 5 as a bug."""
    if number == 2:
        raise CohortError("column 'age': is missing")
    if number == 5:
        time.sleep(1)  # the others are done by then, in whatever process
        raise ZeroDivisionError("a bug")
    return {"number": number}


def deadly(number):
    """Kills its worker, every time, when it is 3."""
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"number": number}


def deadly_once(number, flag):
    """Kills its worker the first time it is 3."""
    if number == 3 and not Path(flag).exists():
        Path(flag).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"number": number}


def spoil(shared, number):
    """Change the shared value, which no other task may see."""
    shared["numbers"].append(number)
    return {"numbers": shared["numbers"]}


def blas_threads():
    """Most threads that linear algebra may use here."""
    from threadpoolctl import threadpool_info

    return {"threads": [each["num_threads"] for each in threadpool_info()]}


running = []


def alone():
    """How many other tasks run in this process at the same time."""
    others = len(running)
    running.append(1)
    time.sleep(0.05)
    running.pop()
    return {"others": others}


def not_plain():
    return {"set": {1, 2}}


def numbered(function, numbers, **arguments):
    """One task for each number."""
    name = function.__name__
    return [Task(f"{name} {n}", function, {"number": n} | arguments) for n in numbers]


def refits(n=5, **arguments):
    """Refits with different seeds and intervals."""
    return [
        Task(f"refit {k}", refit, {"seed": k, "cutpoints": 2 + k % 3} | arguments) for k in range(n)
    ]


def is_stored(store, n):
    """Whether a store holds n results."""
    return store.exists() and store.read_bytes().count(b"\n") > n
