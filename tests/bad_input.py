"""A right spec with a right table, and how the command line refuses what was changed in them."""

from pathlib import Path

import numpy as np
import pandas as pd

from bayes_crlm.cli import main

SPEC = """
title = "A comparison"
[data]
source = "cohort.csv"
time = "months"
event = "death"
[model]
treatment = "arm"
reference = "systemic"
covariates = "age + sex"
"""


ROWS_SPEC = SPEC.replace('event = "death"', 'event = "death"\nentry = "start"\nid = "patient"')


def table(n=60):
    """A cohort that is right."""
    rng = np.random.default_rng(5)
    return pd.DataFrame(
        {
            "patient": np.arange(1, n + 1),
            "start": 0.0,
            "months": (rng.exponential(20, n) + 0.5).round(1),
            "death": np.arange(n) % 3 != 0,
            "arm": np.where(np.arange(n) % 2 == 0, "systemic", "local"),
            "age": rng.normal(60, 8, n).round(1),
            "sex": rng.choice(["f", "m"], n),
        }
    ).astype({"death": int})


def files():
    """Everything below the working folder, with its bytes."""
    return {
        str(path): path.read_bytes() if path.is_file() else None
        for path in sorted(Path().rglob("*"))
    }


def refusal(capsys, *arguments):
    """Give the one line with which arguments are refused."""
    before = files()
    try:
        status = main([str(each) for each in arguments])
    except SystemExit as leaving:
        status = leaving.code
    output, errors = capsys.readouterr()
    assert status == 2, (output, errors)
    assert output == ""
    assert errors.endswith("\n")
    assert errors.count("\n") == 1
    assert errors.rstrip("\n").isprintable()
    assert "Traceback" not in errors
    assert len(errors) < 5000
    assert files() == before
    return errors


def refused_spec(capsys, old, new, base=SPEC):
    """Give the line for a spec with one text replaced."""
    assert base.count(old) == 1
    Path("spec.toml").write_text(base.replace(old, new), encoding="utf-8")
    return refusal(capsys, "check", "spec.toml")


def refused_table(capsys, cohort, base=SPEC):
    """Give the line for another table."""
    Path("spec.toml").write_text(base, encoding="utf-8")
    cohort.to_csv("cohort.csv", index=False)
    return refusal(capsys, "check", "spec.toml")
