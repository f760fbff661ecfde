"""Specs: what is read, what is refused and how it is said."""

import os
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tomli_w import dumps as write_toml

from bayes_crlm import read_spec
from bayes_crlm.sensitivity.spec import table_checks
from bayes_crlm.specification import reading as spec_reading
from bayes_crlm.specification.spec import Spec, available_specs, without_cutpoints_used
from bayes_crlm.words.errors import SpecError

MINIMAL = """
title = "Overall survival"
[data]
source = "cohort.csv"
time = "os_months"
event = "death"
[model]
treatment = "repeat_local"
reference = 0
"""

FULL = """
title = "Overall survival: repeat local treatment versus systemic therapy"
question = "Does it help?\\nAnd how sure can one be?"
[data]
source = "cohort.csv"
time = "os_months"
event = "death"
entry = "start"
id = "patient"
unit = "months"
where = [
  {column = "recurrence_months", op = "<=", value = 12},
  {column = "centre", op = "not in", value = ["A", "B"]},
]
missing = "drop"
[model]
treatment = "strategy"
reference = "systemic"
covariates = "age + node_positive + log(cea)"
[model.baseline]
cutpoints = [0, 6, 12.5, 24]
prior = "gamma"
weight = 2
[model.priors]
treatment = "hr(0.8, 0.4, 1.6)"
covariates = "student_t(4, 0, 1)"
[sampling]
chains = 2
tune = 500
draws = 700
seed = 4294967295
target_accept = 0.95
[estimands]
horizons = [12, 36, 60]
rmst = 60
hr_thresholds = [1.0, 0.8, 1.25]
[sensitivity]
parts = ["multiverse"]
[sensitivity.multiverse]
scales = [0.5, 1.0]
"""


@pytest.fixture
def write(tmp_path):
    """Write a spec into a file of its own."""

    def write_file(content, name="analysis.toml"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file


def message_of(path):
    """The one line that reading a file ends with."""
    with pytest.raises(SpecError) as refused:
        read_spec(path)
    message = str(refused.value)
    assert message.isprintable()
    assert Path(path).name[:20] in message
    return message


def test_a_resolved_spec_says_what_auto_came_to(write):
    spec = read_spec(write(MINIMAL))
    resolved = spec.with_cutpoints_used([0.5, 12.25])
    assert 'cutpoints = "auto"  # here: [0.5, 12.25]\n' in resolved.to_toml()
    assert without_cutpoints_used(resolved.to_toml()) == spec.to_toml()
    assert without_cutpoints_used(spec.to_toml()) == spec.to_toml()
    assert "# here: 1\n" in spec.with_cutpoints_used([]).to_toml()
    assert tomllib.loads(resolved.to_toml()) == tomllib.loads(spec.to_toml())
    given = read_spec(write(MINIMAL + "[model.baseline]\ncutpoints = 4\n", "given.toml"))
    assert given.with_cutpoints_used([0.5]).to_toml() == given.to_toml()


def test_a_minimal_spec_has_the_documented_defaults(write):
    spec = read_spec(write(MINIMAL))
    assert spec.name == "analysis"
    assert spec.question is None
    assert spec.data.where == ()
    assert spec.data.missing == "error"
    assert spec.model.covariates == ""
    assert spec.model.baseline.cutpoints == "auto"
    assert spec.model.baseline.prior == "log_time_walk"
    assert spec.model.baseline.weight == 1.0
    assert spec.model.priors.treatment == "normal(0, 1)"
    assert spec.model.priors.covariates == "normal(0, 1)"
    assert spec.sampling.model_dump() == {
        "chains": 4,
        "tune": 1000,
        "draws": 1000,
        "seed": 20211201,
        "target_accept": 0.8,
    }
    assert spec.estimands.horizons is None
    assert spec.estimands.rmst is None
    assert spec.estimands.hr_thresholds == (1.0, 0.8)


def test_every_key_is_read_as_its_type(write):
    spec = read_spec(write(FULL))
    assert spec.data.where[0].value == 12
    assert spec.data.where[1].value == ("A", "B")
    assert spec.model.baseline.cutpoints == (0.0, 6.0, 12.5, 24.0)
    assert spec.model.baseline.weight == 2.0
    assert spec.estimands.horizons == (12.0, 36.0, 60.0)
    assert spec.estimands.hr_thresholds == (1.0, 0.8, 1.25)
    assert spec.sensitivity == {"parts": ["multiverse"], "multiverse": {"scales": [0.5, 1.0]}}


@pytest.mark.parametrize("reference", ["0", "1.5", "true", '"systemic"'])
def test_a_reference_keeps_its_type(write, reference):
    spec = read_spec(write(MINIMAL.replace("reference = 0", f"reference = {reference}")))
    expected = tomllib.loads(f"x = {reference}")["x"]
    assert spec.model.reference == expected
    assert type(spec.model.reference) is type(expected)


def test_a_spec_never_changes(write):
    spec = read_spec(write(MINIMAL))
    with pytest.raises(ValidationError):
        spec.title = "Another"
    with pytest.raises(ValidationError):
        spec.sampling.draws = 1


@pytest.mark.parametrize("text", [MINIMAL, FULL])
def test_a_written_spec_reads_back_the_same_with_every_default(write, text):
    spec = read_spec(write(text))
    again = read_spec(write(spec.to_toml(), "again.toml"))
    assert again.model_dump() == spec.model_dump()
    assert again.to_toml() == spec.to_toml()
    for key in ("missing", "cutpoints", "covariates", "tune", "hr_thresholds"):
        assert f"{key} = " in spec.to_toml()


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


@pytest.fixture
def models(tmp_path, monkeypatch):
    """A folder of two specs in place of the package's own, away from the working folder."""
    folder = tmp_path / "models"
    folder.mkdir()
    for name, title in (("os_repeat_local", "First"), ("pfs_early", "Second")):
        (folder / f"{name}.toml").write_text(MINIMAL.replace("Overall survival", title))
    monkeypatch.setattr(spec_reading, "models_folder", lambda: folder)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    return folder


def test_a_spec_is_found_by_its_name_with_and_without_ending(models):
    for name in ("os_repeat_local", "os_repeat_local.toml"):
        spec = read_spec(name)
        assert spec.path == models / "os_repeat_local.toml"
        assert spec.name == "os_repeat_local"


def test_a_file_goes_before_a_name_and_a_name_before_a_folder(models):
    Path("pfs_early").mkdir()
    assert read_spec("pfs_early").title == "Second"
    Path("pfs_early.toml").write_text(MINIMAL.replace("Overall survival", "Mine"))
    assert read_spec("pfs_early.toml").title == "Mine"


def test_an_unknown_name_suggests_the_nearest(models):
    with pytest.raises(SpecError, match="did you mean 'os_repeat_local'"):
        read_spec("os_repeat_locl")
    with pytest.raises(SpecError, match="there are 'os_repeat_local', 'pfs_early'"):
        read_spec("zzz")


def test_specs_are_listed_with_their_titles(models):
    assert available_specs() == [
        ("os_repeat_local", "First", models / "os_repeat_local.toml"),
        ("pfs_early", "Second", models / "pfs_early.toml"),
    ]


def test_every_spec_of_the_package_is_valid_and_named_after_its_file():
    listed = available_specs()
    assert [name for name, _, _ in listed] == sorted(path.stem for _, _, path in listed)
    for name, title, path in listed:
        assert read_spec(name).title == title
        assert read_spec(path).path == path


def test_a_data_path_is_relative_to_the_spec(write, tmp_path, monkeypatch):
    spec = read_spec(write(MINIMAL))
    monkeypatch.chdir("/")
    assert spec.data_path() == tmp_path / "cohort.csv"
    absolute = read_spec(write(MINIMAL.replace("cohort.csv", "/data/../data/a.csv")))
    assert absolute.data_path() == Path("/data/a.csv")


def test_a_data_set_is_known_by_name_unless_a_file_has_that_name(write, tmp_path):
    spec = read_spec(write(MINIMAL.replace("cohort.csv", "crlm-synthetic")))
    assert spec.data_path() == "crlm-synthetic"
    (tmp_path / "crlm-synthetic").write_text("a file")
    assert spec.data_path() == tmp_path / "crlm-synthetic"


def test_options_replace_what_the_spec_says(write, tmp_path, monkeypatch):
    spec = read_spec(write(FULL))
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    other = spec.with_options(source="mine.csv", seed=7, draws=9, chains=1)
    assert other.data_path() == folder / "mine.csv"
    assert (other.sampling.seed, other.sampling.draws, other.sampling.chains) == (7, 9, 1)
    assert other.path == spec.path
    assert other.model == spec.model
    assert spec.sampling.seed == 4294967295
    assert spec.with_options(source="crlm-synthetic").data_path() == "crlm-synthetic"
    with pytest.raises(SpecError, match="sampling.draws is 0; give a whole number"):
        spec.with_options(draws=0)


def test_importing_and_reading_a_spec_brings_in_neither_pandas_nor_pymc(write):
    code = (
        "import sys; from bayes_crlm import read_spec; "
        "print([m for m in ('pandas', 'pymc', 'formulaic', 'arviz') if m in sys.modules]); "
        f"read_spec({str(write(FULL))!r}); "
        "print([m for m in ('pandas', 'pymc', 'formulaic', 'arviz') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "[]"]


texts = st.text(st.characters(exclude_categories=["Cs"]))
scalars = st.one_of(
    texts,
    st.integers(),
    st.floats(),
    st.booleans(),
    st.dates(),
    st.times().map(lambda time: time.replace(fold=0)),
    st.datetimes().map(lambda moment: moment.replace(fold=0)),
)
toml_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)
toml_tables = st.dictionaries(texts, toml_values, max_size=5)


@settings(deadline=None)
@given(toml_tables)
def test_tables_written_as_toml_read_back_the_same(tables):
    # repr tells nan from nan and 1 from 1.0 and True, which == does not
    read = tomllib.loads(write_toml(tables))
    assert repr(in_order_of_keys(read)) == repr(in_order_of_keys(tables))


def in_order_of_keys(value):
    """Tables in the order of their keys, within lists too: a document's order means nothing."""
    if isinstance(value, dict):
        return {key: in_order_of_keys(value[key]) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return type(value)(in_order_of_keys(each) for each in value)
    return value


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
