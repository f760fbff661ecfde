"""README and docs say what is there: commands, keys, defaults, numbers, links."""

import importlib.util
import json
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LABEL = "synthetic, not patient data"


@pytest.fixture(scope="module")
def readme_module():
    """`benchmarks/readme.py`, which writes the README's picture and table."""
    path = ROOT / "benchmarks" / "readme.py"
    spec = importlib.util.spec_from_file_location("benchmarks_readme", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def summary():
    """The stored `summary.json` that the README's table was made from."""
    path = ROOT / "benchmarks" / "results" / "readme.json"
    return json.loads(path.read_text(encoding="utf-8"))


def code_blocks(text, language):
    """Fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def test_first_screen_has_both_commands_a_picture_and_a_table(readme_module):
    first_screen = README.split("## Install")[0]
    assert "make analysis" in first_screen
    assert "make test" in first_screen
    assert "](docs/images/survival.svg)" in first_screen
    assert readme_module.BEGIN in first_screen
    assert len(first_screen.splitlines()) < 45


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([\w-]+):", makefile, flags=re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z-]+)\b", "".join(code_blocks(README, "sh"))))
    assert named == {"analysis", "test"}
    assert named <= targets


def test_commands_and_options_exist():
    from bayes_crlm.cli.command_line import make_parser
    from bayes_crlm.specification.spec import available_specs

    parser = make_parser()
    names = {name for name, *_ in available_specs()}
    commands = re.findall(
        r"^bayes-crlm (.+)$", "".join(code_blocks(README, "sh")), flags=re.MULTILINE
    )
    assert len(commands) == 4
    for command in commands:
        options = parser.parse_args(command.split())
        assert getattr(options, "spec", "os_repeat_local_vs_systemic") in names


def test_table_shows_the_stored_numbers(readme_module, summary):
    assert readme_module.between_markers(README) == readme_module.result_of(summary)


def test_table_is_labelled_and_has_a_row_per_term(readme_module, summary):
    shown = readme_module.between_markers(README)
    assert LABEL in shown.lower()
    rows = [line for line in shown.splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == summary["model"]["terms"]
    assert len(rows) == 8
    for row in rows:
        # two ratios, each inside its own limits
        ratios = re.findall(r"(\d+\.\d+) \((\d+\.\d+)–(\d+\.\d+)\)", row)
        assert len(ratios) == 2
        assert all(float(low) <= float(middle) <= float(high) for middle, low, high in ratios)


def test_stored_numbers_are_of_the_shipped_cohort_and_spec(summary):
    from bayes_crlm import read_spec
    from bayes_crlm.datasets import load_dataset

    spec = read_spec("os_repeat_local_vs_systemic")
    assert summary["status"] == "ok"
    assert summary["title"] == spec.title
    assert summary["data"]["sha256"] == load_dataset("crlm-synthetic")[1]
    assert summary["model"]["formula"] == f"{spec.model.treatment} + {spec.model.covariates}"
    assert summary["provenance"]["seed"] == spec.sampling.seed


def test_stored_cox_is_the_cox_of_the_shipped_cohort(summary):
    from bayes_crlm import read_spec
    from bayes_crlm.analysis.plan import plan_analysis
    from bayes_crlm.frequentist.cox import fit_cox

    inputs = plan_analysis(read_spec("os_repeat_local_vs_systemic")).inputs
    cohort, design = inputs.cohort, inputs.design
    cox = fit_cox(cohort.entry, cohort.time, cohort.event, design.matrix, design.terms)
    stored = [row["coef"] for row in summary["cox"]["terms"]]
    assert list(cox.coef) == pytest.approx(stored, rel=1e-6)


@pytest.mark.parametrize("name", ["survival", "forest"])
def test_pictures_are_labelled_and_ask_nothing_from_outside(name):
    svg = (ROOT / "docs" / "images" / f"{name}.svg").read_text(encoding="utf-8")
    assert LABEL in svg
    assert "<script" not in svg
    assert not re.search(r'(?:href|src)="https?:', svg)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        assert linked.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.+)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]
            assert anchor in slugs, target


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "index.md" or f"({page.name})" in index


def spec_keys():
    """(table, key, field) for every key of a spec."""
    from bayes_crlm.specification.data import DataSpec
    from bayes_crlm.specification.model import (
        BaselineSpec,
        EstimandSpec,
        ModelSpec,
        PriorSpec,
        SamplingSpec,
        StudySpec,
        SuccessSpec,
    )
    from bayes_crlm.specification.spec import Spec

    tables = {
        None: Spec,
        "data": DataSpec,
        "model": ModelSpec,
        "model.baseline": BaselineSpec,
        "model.priors": PriorSpec,
        "sampling": SamplingSpec,
        "estimands": EstimandSpec,
        "success": SuccessSpec,
        "study": StudySpec,
    }
    for name, table in tables.items():
        for key, field in table.model_fields.items():
            path = key if name is None else f"{name}.{key}"
            if path not in (*tables, "sensitivity"):
                yield name, key, field


def test_every_spec_key_is_documented_with_its_default():
    text = (ROOT / "docs" / "spec.md").read_text(encoding="utf-8")
    sections = re.split(r"^## ", text, flags=re.MULTILINE)
    checked = 0
    for name, key, field in spec_keys():
        section = sections[0]
        if name is not None:
            (section,) = [each for each in sections if each.startswith(f"`[{name}]`")]
        (row,) = re.findall(rf"^\| `{key}` \| (.*?) \|", section, flags=re.MULTILINE)
        if field.is_required():
            assert row == "required", key
        elif isinstance(field.default, str):
            assert row == f'`"{field.default}"`' or (not field.default and row == '`""`'), key
        elif isinstance(field.default, bool | int | float):
            assert row == f"`{field.default}`", key
        elif isinstance(field.default, tuple) and field.default:
            assert row == f"`{list(field.default)}`", key
        else:
            assert row != "required", key
        checked += 1
    assert checked == 42


def test_specs_in_the_docs_are_specs():
    from bayes_crlm.specification.spec import Spec

    found = 0
    for page in PAGES:
        for block in code_blocks(page.read_text(encoding="utf-8"), "toml"):
            tables = tomllib.loads(block)
            if "title" in tables:
                Spec.from_mapping(tables)
                found += 1
    assert found == 2


def keys_of(value):
    """Every key of nested mappings, but those that are names from data."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            if key not in ("dropped_why", "prob_below", "packages"):
                yield from keys_of(inner)
    elif isinstance(value, list):
        for each in value:
            yield from keys_of(each)


def test_every_key_of_the_summary_is_documented(summary):
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"`(\w+)`", text))
    assert set(keys_of(summary)) - documented == set()


def test_thresholds_in_the_docs_are_those_of_the_code():
    from bayes_crlm.fit import agreement, diagnostics
    from bayes_crlm.inference import chains

    page = (ROOT / "docs" / "diagnostics.md").read_text(encoding="utf-8")
    assert f"above {chains.R_HAT_MOST} " in page
    assert f"below {chains.ESS_LEAST_PER_CHAIN} per chain" in page
    assert f"below {diagnostics.BFMI_LEAST} " in page
    assert f"above {diagnostics.PARETO_K_MOST} after moment matching" in page
    page = (ROOT / "docs" / "agreement.md").read_text(encoding="utf-8")
    low, high = agreement.WIDTH_RATIO
    assert f"|difference_in_se| ≤ {agreement.MOST_SE_APART} " in page
    assert f"{low} ≤ width_ratio ≤ {high}" in page


@pytest.mark.parametrize("page", ["README.md", "docs/python.md"])
def test_python_examples_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = code_blocks((ROOT / page).read_text(encoding="utf-8"), "python")
    source = "\n".join(blocks)
    assert source.count("seed=1)") >= 1
    # the example as it stands, on a short budget
    source = source.replace("seed=1)", "seed=1, draws=200, tune=300)")
    names = {}
    exec(compile(source, page, "exec"), names)
    assert names["fit"].hazard_ratios()["treatment"].tolist() == [
        "neoadjuvant_local",
        "upfront_local",
    ]


def test_every_synthetic_result_is_labelled():
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        if "crlm-synthetic" in text and page.name != "synthetic_cohort.md":
            assert re.search(LABEL.replace(" ", r"\s+"), text), page.name
