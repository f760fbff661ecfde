"""Whatever is done to a right spec and a right table, `check` accepts or refuses in one line."""

import contextlib
import io
import tomllib
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from tomli_w import dumps as write_toml

from bayes_crlm.cli import main

TABLES = {
    "title": "A comparison",
    "question": "Which?",
    "data": {
        "source": "cohort.csv",
        "time": "months",
        "event": "death",
        "entry": "start",
        "id": "patient",
        "unit": "months",
        "missing": "drop",
        "where": [{"column": "age", "op": ">", "value": 1}],
    },
    "model": {
        "treatment": "arm",
        "reference": "systemic",
        "covariates": "age + sex + log(cea)",
        "baseline": {"cutpoints": "auto", "prior": "random_walk"},
        "priors": {"treatment": "normal(0, 1)", "covariates": "normal(0, 1)"},
    },
    "sampling": {"chains": 4, "tune": 1000, "draws": 1000, "seed": 1},
    "estimands": {"horizons": [6.0, 12.0], "rmst": 12.0, "hr_thresholds": [1.0, 0.8]},
}
WORDS = st.sampled_from(
    [
        *("arm", "age", "sex", "cea", "months", "death", "start", "patient", "systemic", "local"),
        *("auto", "gamma", "independent", "error", "drop", "==", "in", "not in", "<"),
        *("normal(0, 1)", "hr(0.5, 0.2, 1.1)", "horseshoe(1)", "laplace(0, 1e308)", "normal(1)"),
        *("age * sex", "bs(age, df=4)", "poly(age, 3)", "C(sex)", "age:sex", "log(age - 60)"),
        *("0", "1", "-1", "", " ", "nan", "a\nb", "\x1b[31m", "é", "'", '"', "`", "$x$", "{0}"),
        *("cohort.csv", ".", "/", "crlm-synthetic", "age + age", "1", "-1 + age", "sqrt(age)**2"),
    ]
)
NUMBERS = st.one_of(
    st.integers(-3, 40),
    st.sampled_from([10**18, -(10**18), 0.0, -0.0, 1e300, 5e-324, 0.1, 1e9]),
    st.floats(allow_nan=True, allow_infinity=True),
)
SCALARS = st.one_of(WORDS, NUMBERS, st.booleans(), st.text(max_size=8))
VALUES = st.one_of(
    SCALARS,
    st.lists(SCALARS, max_size=4),
    st.lists(st.floats(0.1, 30), min_size=1, max_size=4).map(sorted),
    st.dictionaries(st.sampled_from(["column", "op", "value", "x"]), SCALARS, max_size=3),
    st.lists(
        st.fixed_dictionaries(
            {
                "column": WORDS,
                "op": st.sampled_from(["==", "!=", "<", ">=", "in", "not in"]),
                "value": st.one_of(SCALARS, st.lists(SCALARS, max_size=3)),
            }
        ),
        max_size=2,
    ),
)
CELLS = st.sampled_from(
    [
        *("", "NaN", "inf", "-inf", "0", "-1", "1", "1e308", "1e-320", "-0", "0.1", "1e18", "999"),
        *("text", "systemic", " systemic ", "f", "True", "é", '"', ",", "2020-01-01", "1,5", "\t"),
        *("0x10", "1_000", "٣", "NULL", "\u202e", "\x1b[0m", "a" * 300),
    ]
)


def cohort(n=24):
    """A right table, as text."""
    rng = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "patient": np.arange(n),
            "start": np.zeros(n),
            "months": (rng.exponential(15, n) + 1).round(1) + 12 * (np.arange(n) < 4),
            "death": (np.arange(n) % 4 != 0).astype(int),
            "arm": np.where(np.arange(n) % 2 == 0, "systemic", "local"),
            "age": rng.normal(60, 8, n).round(1),
            "sex": np.where(np.arange(n) % 3 == 0, "f", "m"),
            "cea": rng.lognormal(2, 1, n).round(2),
        }
    ).astype(str)


def tables_of(spec):
    """Every table of a spec, with those in it."""
    yield spec
    for value in list(spec.values()):
        if isinstance(value, dict):
            yield from tables_of(value)


@st.composite
def specs(draw):
    """A spec with a few keys dropped, renamed or given another value."""
    spec = tomllib.loads(write_toml(TABLES))
    for _ in range(draw(st.integers(0, 3))):
        within = draw(st.sampled_from(list(tables_of(spec))))
        if not within:
            continue
        key = draw(st.sampled_from(sorted(within)))
        match draw(st.sampled_from(["drop", "rename", "value", "value", "value", "add"])):
            case "drop":
                del within[key]
            case "rename":
                within[draw(st.one_of(WORDS, st.text(max_size=6)))] = within.pop(key)
            case "value":
                within[key] = draw(VALUES)
            case "add":
                within[draw(st.text(max_size=6))] = draw(VALUES)
    return spec


@st.composite
def cohorts(draw):
    """A table with a few cells, rows and columns changed; as the bytes of a file."""
    table = cohort()
    for _ in range(draw(st.integers(0, 4))):
        if table.empty:
            break
        row = draw(st.integers(0, len(table) - 1))
        column = draw(st.integers(0, table.shape[1] - 1))
        other = draw(st.integers(0, table.shape[1] - 1))
        match draw(
            st.sampled_from(
                ["cell", "cell", "cell", "fill", "swap", "repeat", "drop", "columns", "name", "few"]
            )
        ):
            case "cell":
                table.iat[row, column] = draw(CELLS)
            case "fill":
                table.iloc[row:, column] = draw(CELLS)
            case "swap":
                table.iat[row, column], table.iat[row, other] = (
                    table.iat[row, other],
                    table.iat[row, column],
                )
            case "repeat":
                table = pd.concat([table, table.iloc[[row] * draw(st.integers(1, 3))]])
            case "drop":
                table = table.drop(columns=table.columns[column])
            case "columns":
                table = pd.concat([table, table.iloc[:, [column]]], axis=1)
            case "name":
                names = list(table.columns)
                names[column] = draw(st.one_of(WORDS, st.text(max_size=5)))
                table.columns = names
            case "few":
                table = table.iloc[: draw(st.integers(0, 6))]
    content = table.to_csv(index=False).encode("utf-8", errors="surrogatepass")
    if draw(st.integers(0, 9)) == 0:
        place = draw(st.integers(0, len(content)))
        content = content[:place] + draw(st.binary(max_size=4)) + content[place:]
    return content


def check(spec_text, content):
    """Run `check` in process; give exit status and what was printed."""
    Path("spec.toml").write_bytes(spec_text)
    Path("cohort.csv").write_bytes(content)
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        status = main(["check", "spec.toml"])
    return status, output.getvalue(), errors.getvalue()


def hold(status, output, errors):
    """Assert what `check` promises."""
    if status == 0:
        assert errors == ""
        assert "formula" in output
    else:
        assert status == 2
        assert output == ""
        assert errors.count("\n") == 1
        assert errors.rstrip("\n").isprintable()
    assert all(each.isprintable() or each == "\n" for each in output)
    assert sorted(path.name for path in Path().iterdir()) == ["cohort.csv", "spec.toml"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A working folder of this module's own."""
    with contextlib.chdir(tmp_path_factory.mktemp("mutations")):
        yield


MANY = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def test_what_is_mutated_here_is_right(place):
    status, output, errors = check(
        write_toml(TABLES).encode(), cohort().to_csv(index=False).encode()
    )
    assert (status, errors) == (0, "")
    assert "24 patients" in output


@MANY
@given(spec=specs())
def test_mutated_specs_are_accepted_or_refused_in_one_line(place, spec):
    text = write_toml(spec).encode("utf-8", errors="surrogatepass")
    hold(*check(text, cohort().to_csv(index=False).encode()))


@MANY
@given(content=cohorts())
def test_mutated_tables_are_accepted_or_refused_in_one_line(place, content):
    hold(*check(write_toml(TABLES).encode(), content))


# each is mutated by itself above
@settings(MANY, max_examples=60)
@given(spec=specs(), content=cohorts())
def test_both_mutated_are_accepted_or_refused_in_one_line(place, spec, content):
    hold(*check(write_toml(spec).encode("utf-8", errors="surrogatepass"), content))


@MANY
@given(place_in_text=st.integers(0, 2000), inserted=st.binary(max_size=5))
def test_damaged_spec_files_are_accepted_or_refused_in_one_line(place, place_in_text, inserted):
    text = write_toml(TABLES).encode()
    damaged = text[:place_in_text] + inserted + text[place_in_text + len(inserted) :]
    hold(*check(damaged, cohort().to_csv(index=False).encode()))
