"""What is no spec, or a wrong one: each problem in one line that names its key."""

import os
import time
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spec_files import FULL, MINIMAL, in_order_of_keys, message_of, toml_values
from tomli_w import dumps as write_toml

from bayes_crlm import read_spec
from bayes_crlm.sensitivity.spec import table_checks
from bayes_crlm.specification.spec import Spec
from bayes_crlm.words.errors import SpecError

WRONG = {
    "title": [
        ('""', "title is ''; give"),
        ('"  "', "one line of text"),
        ("3", "title is 3; give"),
        ('"a\\nb"', "one line of text"),
        (f'"{"a" * 301}"', "1 to 300 characters"),
    ],
    "caution": [(f'"{"a" * 2001}"', "1 to 2,000 characters")],
    "question": [("3", "question is 3; give the question in words")],
    "data.source": [
        ("3", "data.source is 3; give the name of a data set, or a path"),
        ('""', "data.source is ''"),
        ('"a\\u0000b"', "not the name of a file"),
    ],
    "data.time": [("[]", "data.time is []"), ('""', "data.time is ''")],
    "data.event": [('"os_months"', "time and event are both 'os_months'")],
    "data.unit": [("1", "data.unit is 1; give the unit of time")],
    "data.missing": [('"dropp"', "did you mean 'drop'?"), ("true", "data.missing is True")],
    "data.where": [
        ("3", "data.where is 3; give a list of {column, op, value}"),
        ('{column = "a", op = "==", value = 1}', "give a list of {column, op, value}"),
        ('[{column = "a", op = "=", value = 1}]', "data.where[0].op is '='; give one of '=='"),
        ('[{column = "a", op = "==", vale = 1}]', "unknown key data.where[0].vale; did you mean"),
        ('[{column = "a", op = "in", value = 1}]', "does not suit op 'in'; give a list"),
        ('[{column = "a", op = "<", value = [1]}]', "does not suit op '<'; give one value"),
        ('[{column = "a", op = "in", value = []}]', "empty list"),
        ('[{column = "a", op = "<", value = nan}]', "nan is not a value"),
        ('[{column = "a", op = "<", value = {}}]', "{} is not a value"),
    ],
    "model.treatment": [
        ("1", "model.treatment is 1; give the column"),
        ('"death"', "model.treatment and data.event are both 'death'"),
    ],
    "model.reference": [("nan", "nan is not a value"), ("[0]", "[0] is not a value")],
    "model.covariates": [
        ("3", "model.covariates is 3; give a formula"),
        ('"age +"', "formula ends too early"),
        ("\"__import__('os').system('x')\"", "only log, sqrt, exp"),
        ('"age + os_months"', "uses 'os_months', which is data.time"),
    ],
    "model.baseline": [("3", "model.baseline is 3; give a table [model.baseline]")],
    "model.baseline.cutpoints": [
        ('"autto"', "'autto' is not understood; give 'auto'"),
        ("0", "0 intervals is impossible"),
        ("201", "201 intervals is impossible"),
        ("true", "True is not understood"),
        ("8.0", "8.0 is not understood"),
        ("[]", "[] is an empty list"),
        ("[0]", "[0] leaves no cutpoint"),
        ("[6, 6]", "6 follows 6"),
        ("[12, 6]", "6 follows 12; give each time once, in increasing order"),
        ("[-1, 6]", "-1 is negative"),
        ("[6, inf]", "inf is not a finite number"),
        ("[6, nan]", "nan is not a finite number"),
        ('[6, "12"]', "'12' is not a finite number"),
        ("[6, true]", "True is not a finite number"),
        (str(list(range(1, 202))), "201 times are given"),
    ],
    "model.baseline.prior": [
        ('"randomwalk"', "model.baseline.prior is 'randomwalk'; give one of 'log_time_walk', "),
        ('"randomwalk"', "did you mean 'random_walk'?"),
        ("1", "model.baseline.prior is 1"),
    ],
    "model.baseline.weight": [
        ("1", "weight is given, but prior is 'log_time_walk'"),
        ("0", "model.baseline.weight is 0; give the weight"),
        ("inf", "model.baseline.weight is inf"),
    ],
    "model.priors.treatment": [
        ('"normal(0, -1)"', "must be above 0"),
        ('"hr(0.5, 0.9, 0.7)"', "model.priors.treatment: "),
        ('"horseshoe(1)"', "for covariates only"),
        ("0", "model.priors.treatment is 0; give a prior"),
    ],
    "model.priors.covariates": [('"gauss(0, 1)"', "unknown family 'gauss'")],
    "sampling.chains": [
        ("0", "sampling.chains is 0; give a whole number from 1 to 64"),
        ("65", "sampling.chains is 65"),
        ("true", "sampling.chains is True"),
        ('"4"', "sampling.chains is '4'"),
        ("4.0", "sampling.chains is 4.0"),
    ],
    "sampling.tune": [("49", "whole number from 50 to 100000")],
    "sampling.draws": [("0", "sampling.draws is 0"), ("100001", "sampling.draws is 100001")],
    "sampling.seed": [("-1", "from 0 to 4294967295"), ("4294967296", "from 0 to 4294967295")],
    "sampling.target_accept": [
        ("1", "a number from 0.5 to 0.999"),
        ("nan", "sampling.target_accept is nan"),
    ],
    "estimands.horizons": [
        ("12", "12 is not a list of times"),
        ("[]", "leave the key out"),
        ("[0, 12]", "0 is not a horizon"),
        ("[36, 12]", "12 follows 36"),
        ("[12, 12]", "12 follows 12"),
        ("[inf]", "inf is not a finite number"),
    ],
    "estimands.rmst": [
        ("0", "estimands.rmst is 0; give the horizon"),
        ("true", "estimands.rmst is True"),
        ("inf", "estimands.rmst is inf"),
    ],
    "estimands.hr_thresholds": [
        ("[]", "[] is an empty list"),
        ("[1, 0]", "0 is not above 0"),
        ("[1, 1.0]", "1 is given twice"),
        ("0.8", "0.8 is not a list of hazard ratios"),
    ],
    "sensitivity": [("3", "sensitivity is 3; give a table [sensitivity]")],
    "sensitivity.multivers": [("{}", "key sensitivity.multivers; did you mean 'multiverse'?")],
    "sensitivity.parts": [
        ('["prior"]', "unknown part 'prior'; did you mean 'priors'?"),
        ("[]", "[] is an empty list"),
    ],
    "sensitivity.multiverse": [
        ("{scale = [1]}", "key sensitivity.multiverse.scale; did you mean 'scales'?"),
        ("{scales = [0]}", "sensitivity.multiverse.scales: 0 is impossible; give scales above 0"),
        ('{families = ["norml"]}', "'norml' is unknown; did you mean 'normal'?"),
        ('{covariates = ["exec(x)"]}', "sensitivity.multiverse.covariates:"),
        ('{exclusions = {old = [{column = "age", op = "?", value = 1}]}}', "op is '?'"),
    ],
}


def with_value(key, value):
    """The minimal spec's tables, with one value replaced."""
    tables = tomllib.loads(MINIMAL)
    table = tables
    *above, last = key.split(".")
    for name in above:
        table = table.setdefault(name, {})
    table[last] = value
    return tables


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [(key, value, expected) for key, cases in WRONG.items() for value, expected in cases],
)
def test_a_wrong_value_is_named_with_its_key_and_what_would_be_right(write, key, value, expected):
    tables = with_value(key, tomllib.loads(f"x = {value}")["x"])
    message = message_of(write(write_toml(tables)))
    assert expected in message
    assert key.rpartition(".")[2] in message


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("time =", "tyme =", "unknown key data.tyme; did you mean 'time'?"),
        ("time =", "tyme =", "data.time is missing; give the column of follow-up times"),
        ("[model]", "[modl]", "unknown key modl; did you mean 'model'?"),
        ("[model]", "chains = 3\n[model]", "did you mean 'sampling.chains'?"),
        ("[data]", "draws = 3\n[data]", "unknown key draws; did you mean 'sampling.draws'?"),
        ("reference = 0", "reference = 0\npriors = {age = 'normal(0, 1)'}", "model.priors.age;"),
        ("reference = 0", "", "model.reference is missing; give the treatment's reference level"),
        ("[data]", "'a\\nb\u202e' = 1\n[data]", "unknown key"),
    ],
)
def test_unknown_and_missing_keys_are_named(write, old, new, expected):
    assert expected in message_of(write(MINIMAL.replace(old, new)))


def test_all_problems_of_a_spec_are_reported_together(write):
    text = MINIMAL.replace("os_months", "").replace("reference = 0", "reference = []")
    message = message_of(write(text + "[sampling]\nchains = 0\nseeds = 1\n"))
    assert "4 problems" in message
    for part in ("data.time is ''", "[] is not a value", "sampling.chains is 0", "sampling.seeds"):
        assert part in message


def test_a_spec_of_many_problems_still_gives_a_short_message(write):
    text = "".join(f"k{k} = 1\n" for k in range(5000)) + MINIMAL
    message = message_of(write(text))
    assert "and 4990 more" in message
    assert len(message) < 3000


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"title = ", "is not TOML"),
        (b'title = "a"\ntime\n', "line 2"),
        (b'title = "a"\ntitle = "b"\n', "line 2"),
        (b"title = 'caf\xe9'", "byte 0xe9 at line 1; save it as UTF-8"),
        (MINIMAL.encode("utf-16"), "UTF-16"),
        (bytes(range(256)) * 10, "not text"),
        (b"PK\x03\x04\x00\x00", "not text"),
        (b"a = " + b"[" * 400_000, "nested too deeply"),
        (b"a" + b".a" * 400_000 + b" = 1", "key of more than 30 parts"),
        (b"a = " + b"9" * 5000, "thousands of digits"),
        (b"patient,os_months,death\n1,3,1\n", "is not TOML"),
    ],
)
def test_what_is_no_spec_is_said_in_one_line(write, content, expected):
    started = time.process_time()
    assert expected in message_of(write(content))
    assert time.process_time() - started < 5


def test_a_byte_order_mark_is_no_problem(write):
    assert read_spec(write(b"\xef\xbb\xbf" + MINIMAL.encode())).title == "Overall survival"


def test_a_spec_of_10_mb_is_refused_by_its_size(write):
    started = time.process_time()
    message = message_of(write(MINIMAL + "#" * 10_000_000))
    assert "10.0 MB; a spec has at most 1 MB" in message
    assert time.process_time() - started < 1


def test_a_folder_and_a_missing_file_are_named(tmp_path):
    assert "is a folder" in message_of(tmp_path)
    assert "no such file" in message_of(tmp_path / "nothing.toml")


def test_what_is_no_regular_file_is_refused_rather_than_waited_for(tmp_path):
    fifo = tmp_path / "pipe.toml"
    os.mkfifo(fifo)
    assert "not a regular file" in message_of(fifo)


@pytest.mark.parametrize("name", ["", " ", "a\0b", "a\nb", "x" * 5000])
def test_an_impossible_name_is_refused_in_one_short_line(name):
    with pytest.raises(SpecError) as refused:
        read_spec(name)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 1000


KEYS = [*WRONG, "model.prior", "data.tme", "sampling", "model", "data", "estimands", "x"]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(KEYS), toml_values), min_size=1, max_size=4))
def test_a_mutated_spec_is_read_or_refused_in_one_line(changes):
    tables = tomllib.loads(FULL)
    for key, value in changes:
        table = tables
        *above, last = key.split(".")
        for name in above:
            if not isinstance(table.get(name), dict):
                table[name] = {}
            table = table[name]
        table[last] = value
    try:
        spec = Spec.from_mapping(tables, where="analysis.toml", checks=table_checks())
    except SpecError as refused:
        assert str(refused).startswith("analysis.toml: ")
        assert str(refused).isprintable()
        assert len(str(refused)) < 5000
    else:
        again = Spec.from_mapping(tomllib.loads(spec.to_toml()))
        assert repr(in_order_of_keys(again.to_mapping())) == repr(
            in_order_of_keys(spec.to_mapping())
        )
