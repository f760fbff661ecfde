"""Numbers as people read them: no exponents from 1,000 on, no more digits than known."""

import ast
import html
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bayes_crlm
from bayes_crlm.cli import main
from bayes_crlm.words.shown import (
    as_written,
    beside_limit,
    duration,
    estimate,
    number,
    p_value,
    percent,
    probability_in_words,
    ratio_in_words,
    significant,
)

large = st.floats(1000, 1e300) | st.floats(-1e300, -1000)


@given(large, st.integers(1, 6))
def test_no_number_of_a_thousand_or_more_has_an_exponent(value, digits):
    written = [
        number(value, digits),
        duration(value),
        significant(value, digits),
        ratio_in_words(abs(value), (abs(value), abs(value))),
    ]
    assert not any(re.search(r"\de[+-]?\d", text) for text in written)
    if abs(value) <= 1e15:
        assert "e" not in as_written(value)


@given(st.floats(1e-4, 1e15), st.integers(2, 6))
def test_significant_digits_are_right_to_half_a_unit_of_the_last(value, digits):
    read = float(significant(value, digits).replace(",", ""))
    unit = min(10.0 ** (math.floor(math.log10(value)) + 1 - digits), 1.0)
    assert abs(read - value) <= 0.5 * unit * 1.0000001 + 1e-12 * value


@given(st.floats(1e-4, 99), st.integers(2, 6))
def test_estimates_of_one_size_have_the_same_digits(value, digits):
    written, chosen = estimate(value, digits), significant(value, digits)
    assert float(written) == float(chosen)
    if float(written) < 10 ** (digits - 1):
        figures = written.replace(".", "").lstrip("0")
        assert len(figures) == digits


def test_zeros_at_the_end_of_an_estimate_are_kept_and_of_a_choice_are_not():
    assert [estimate(each, 2) for each in (0.5, 0.52, 9.96)] == ["0.50", "0.52", "10"]
    assert f"{duration(24)} to {duration(27.13)}" == "24.0 to 27.1"
    assert (significant(24.0), significant(0.5)) == ("24", "0.5")
    assert (p_value(0.5), p_value(0.051)) == ("0.50", "0.051")


@given(st.floats(-0.00499, 0.00499).filter(lambda value: value != 0))
def test_a_number_that_rounds_to_nothing_says_on_which_side_it_lies(value):
    assert number(value) == ("<0.01" if value > 0 else "> -0.01")


@given(st.floats(-1e15, 1e15))
def test_what_a_spec_would_write_is_read_back_to_six_digits(value):
    assert float(as_written(value)) == pytest.approx(value, rel=1e-5, abs=1e-300)


@given(st.floats(0, 1), st.floats(10, 1e9))
def test_a_probability_is_never_certain_by_rounding(probability, effective_draws):
    words = probability_in_words(probability, effective_draws)
    written = float(words.split()[-1])
    assert 0 < written < 1 and "e" not in words.split()[-1]
    if words.startswith("below"):
        assert probability < written <= 10.001 / effective_draws
    elif words.startswith("above"):
        assert probability > written >= 1 - 10.001 / effective_draws
    else:
        assert written == pytest.approx(probability, abs=0.0051)


@given(st.floats(0, 2000), st.sampled_from([(1.01, 3), (0.7, 2), (0.3, 2), (400, 0)]))
def test_a_number_beside_a_limit_is_seen_to_miss_it(value, limit):
    limit, digits = limit
    if abs(value - limit) > 1e-7:
        written = float(beside_limit(value, limit, digits).strip("<>").replace(",", ""))
        assert (written > limit) == (value > limit) and written != limit


def test_a_number_beside_a_limit_has_no_more_decimals_than_that_takes():
    assert [beside_limit(each, 1.01, 3) for each in (1.01003, 1.0104, 1.02, 3)] == [
        "1.01003", "1.0104", "1.020", "3.000",
    ]  # fmt: skip
    assert [beside_limit(each, 400, 0) for each in (399.6, 212.3)] == ["399.6", "212"]
    assert beside_limit(float("nan"), 1.01, 3) == "–"


def test_a_share_that_somebody_chose_keeps_its_digits():
    assert [percent(each) for each in (0.05, 0.025, 0.975, 0.999, 1e-6, 0.07)] == [
        "5%", "2.5%", "97.5%", "99.9%", "0.0001%", "7%",
    ]  # fmt: skip


def test_the_interval_that_was_written_971_to_102e03():
    assert f"{duration(971.2)} to {duration(1023.6)}" == "971 to 1,024"
    assert (significant(999.6, 3), significant(9.996, 3)) == ("1,000", "10")
    assert as_written(1_000_000.0) == "1000000"
    assert p_value(4e-8) == "below 0.0001"


PACKAGE = Path(bayes_crlm.__file__).parent
# numbers that cannot reach 1,000, and keys that nobody reads
BOUNDED = {"100 * probability", "intrinsic.p"}
EXPONENT = re.compile(r"(?<![\w#])[-+]?\d[\d.,]*[eE]\+?\d+\b|(?<![\w.])1e\d+\b|np\.float64")


def floating_formats(path):
    """Formats of a module that switch to an exponent by themselves, but for constants."""
    for node in ast.walk(ast.parse(path.read_text())):
        for inner in ast.iter_child_nodes(node):
            if not isinstance(inner, ast.JoinedStr):
                continue
            for part in inner.values:
                if not isinstance(part, ast.FormattedValue) or part.format_spec is None:
                    continue
                format_spec = ast.unparse(part.format_spec).strip("f'\"")
                is_read_back = isinstance(node, ast.Call) and getattr(node.func, "id", "") in (
                    "float", "as_written",
                )  # fmt: skip
                is_general = re.search(r"[geGE]$", format_spec) and ".12g" not in format_spec
                what = ast.unparse(part.value)
                is_constant = re.fullmatch(r"[A-Z_0-9]+(\[\d\])?", what)
                if is_general and not is_read_back and not is_constant and what not in BOUNDED:
                    yield f"{path.name}:{part.lineno}: {what}:{format_spec}"


def test_one_module_decides_how_numbers_are_written():
    own = {"shown.py", "make_crlm_synthetic.py"}
    paths = [each for each in PACKAGE.rglob("*.py") if each.name not in own]
    assert len(paths) > 100
    assert [told for path in paths for told in floating_formats(path)] == []


def read_text(path):
    text = path.read_text()
    if path.suffix in (".html", ".svg"):
        text = re.sub(r"<(script|style)\b.*?</\1>", "", text, flags=re.DOTALL)
        # the hash of the data is not a number
        text = re.sub(r"\b[0-9a-f]{64}\b", "", html.unescape(re.sub(r"<[^>]*>", "\n", text)))
    return text


def test_no_exponent_is_read_in_results_of_long_times_and_large_settings(tmp_path, capsys):
    rng = np.random.default_rng(3)
    n = 90
    arm, age = np.arange(n) % 2, rng.normal(6e7, 8e6, n).round()
    death, end = rng.exponential(1e7 * 2.0**arm) + 5, rng.uniform(5e6, 4e7, n)
    columns = {"t": np.minimum(death, end).round(), "e": death <= end, "arm": arm, "age": age}
    start = np.floor(columns["t"] * rng.uniform(0.05, 0.6, n))
    columns["start"] = np.where(arm == 1, start, np.nan)
    pd.DataFrame(columns).to_csv(tmp_path / "long.csv", index=False)
    spec = tmp_path / "long.toml"
    spec.write_text(
        'title = "Long times"\nquestion = "Are they read?"\n'
        '[data]\nsource = "long.csv"\ntime = "t"\nevent = "e"\nunit = "days"\n'
        'treatment_start = "start"\nzero_times = 2000000.0\n'
        '[model]\ntreatment = "arm"\nreference = 0\ncovariates = "age"\n'
        '[model.baseline]\ncutpoints = 3\nprior = "independent"\n'
        "[estimands]\nhr_thresholds = [1.0, 2000000.0]\n"
        "[success]\neffect = 1234567.0\n"
        "[sensitivity.overlap]\ngroups = 50\n"
        "[sensitivity.unmeasured_confounding]\nstrengths = [1.5, 2.0, 2000000.0]\n"
    )
    out = tmp_path / "out"
    for command in (
        ["check", str(spec)],
        ["run", str(spec), "--engine", "laplace", "--out", str(out)],
        ["sensitivity", str(spec), "--only", "overlap,unmeasured_confounding", "--out", str(out)],
    ):
        assert main(command) in (0, 3), capsys.readouterr().err
        said = capsys.readouterr()
        found = [said.out, said.err]
        found += [read_text(each) for end in ("html", "svg") for each in out.rglob(f"*.{end}")]
        assert [match[0] for text in found for match in EXPONENT.finditer(text)] == []
