"""The command `sensitivity`, as a user meets it: what it writes, refuses and leaves out."""

import html
import json
import math
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from browsers import measured_widths
from runs import call
from sensitivity_runs import SPEC, write

from bayes_crlm.sensitivity.registry import PARTS
from bayes_crlm.tasks.calls import Outcome
from bayes_crlm.tasks.store import entry_line
from bayes_crlm.words.wording import shown


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sensitivity")
    outcome = call("sensitivity", write(folder), "--out", folder / "out", "--jobs", 1)
    assert outcome.returncode == 0, outcome.stderr
    return outcome, folder / "out"


@pytest.fixture(scope="module")
def summary(done):
    return json.loads((done[1] / "sensitivity.json").read_text())


def test_every_combination_of_choices_has_a_row(summary):
    rows = summary["multiverse"]["rows"]
    sets = {"all", "none", "without age", "without node"}
    chosen = {tuple(sorted(row["choices"].items())) for row in rows}
    exclusions = {row["choices"]["exclusions"] for row in rows}
    assert len(rows) == len(chosen) == 2 * 2 * 2 * len(sets) * len(exclusions)
    assert {row["choices"]["covariates"] for row in rows} == sets
    medians = [row["median"] for row in rows]
    assert medians == sorted(medians)
    for row in rows:
        low, high = row["eti95"]
        assert low < row["median"] < high
        assert 0 <= row["prob_below_1"] <= 1
        assert row["engine"] in ("laplace", "nuts")
        assert (row["pareto_k"] is None) == (row["engine"] == "nuts")
        assert row["cox_ci95"][0] < row["cox_hr"] < row["cox_ci95"][1]
        assert math.isfinite(row["elpd_loo"])
    share = np.mean([row["prob_below_1"] >= 0.975 for row in rows])
    assert summary["multiverse"]["share_lower"] == pytest.approx(share)
    # predictions of other patients are not compared in silence
    told = [note for note in summary["multiverse"]["notes"] if "elpd_loo" in note]
    assert any("same exclusions" in note for note in told) == (len(exclusions) > 1)


def test_the_specification_of_the_base_is_the_base(summary, tmp_path):
    from bayes_crlm import PiecewiseExponential
    from bayes_crlm.cohort.reading import read_cohort

    write(tmp_path)
    cohort = read_cohort(tmp_path / "cohort.csv", time="months", event="dead", unit="months")
    for row in summary["multiverse"]["rows"]:
        choices = row["choices"]
        if choices["exclusions"] != "none" or choices["covariates"] != "without age":
            continue
        model = PiecewiseExponential(
            "arm", 0, "node", cutpoints=choices["intervals"], baseline=choices["baseline"],
            treatment_prior=f"normal(0, {choices['prior_scale']})",
        )  # fmt: skip
        fit = model.fit(cohort, seed=4, engine="laplace", draws=2000, chains=2)
        expected = fit.hazard_ratios().iloc[0]
        # 1,000 and 4,000 draws: 4 combined Monte Carlo errors of the median
        error = 4 * 1.25 * expected["sd_log"] * math.sqrt(1 / 1000 + 1 / 4000)
        assert abs(math.log(row["median"] / expected["median"])) < error


def test_prior_scale_and_covariates_explain_what_they_should(summary):
    """A narrower prior draws every hazard ratio towards 1."""
    found = {each["choice"]: each for each in summary["multiverse"]["decomposition"]["choices"]}
    means = found["prior_scale"]["hazard_ratios"]
    assert abs(math.log(means["0.5"])) < abs(math.log(means["2.0"]))
    alone = sum(each["share_alone"] for each in found.values())
    rest = summary["multiverse"]["decomposition"]["interactions"]
    assert alone + rest == pytest.approx(1)


def test_files_open_anywhere_and_the_conclusion_comes_first(done, summary):
    outcome, folder = done
    sentence = summary["conclusion"]["sentence"]
    assert " ".join(sentence.split()) in " ".join(outcome.stdout.split())
    page = (folder / "sensitivity.html").read_text()
    assert page.index(html.escape(sentence[:40])) < page.index("Combinations of analysis choices")
    table = pd.read_csv(folder / "tables" / "multiverse.csv")
    assert len(table) == summary["multiverse"]["n_specifications"]
    assert (folder / "figures" / "multiverse.svg").read_text().count("<svg") == 1
    assert not list(folder.parent.glob(".*sensitivity-refits"))


def test_the_page_does_not_scroll_sideways_on_a_phone(done, tmp_path):
    page = (done[1] / "sensitivity.html").read_text(encoding="utf-8")
    assert measured_widths(page, 400, tmp_path) == (400, 0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--only", "multivers"], "unknown part 'multivers'; did you mean 'multiverse'?"),
        (["--only", "nothing"], ", ".join(shown(part) for part in PARTS)),
        (["--only", "immortal_time"], "when treatment started is not stated"),
        (["--only", ","], "separated by commas"),
        (["--jobs", "0"], "--jobs"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_nothing_is_written(arguments, words, tmp_path):
    outcome = call("sensitivity", write(tmp_path), "--out", tmp_path / "out", *arguments)
    assert outcome.returncode == 2, outcome.stdout
    assert words in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("scales = [0.5, 2.0]", "scales = [-1]", "sensitivity.multiverse.scales"),
        ("scales = [0.5, 2.0]", "scale = [1]", "sensitivity.multiverse.scale"),
        ("intervals = [2, 4]", "intervals = [0]", "0 is not a number of intervals"),
        ("parts = [{parts}]", "parts = []", "sensitivity.parts"),
        ("parts = [{parts}]", "parts = ['overlap']", "sensitivity.parts leaves it out"),
    ],
)
def test_a_wrong_table_is_refused_with_its_key(old, new, words, tmp_path):
    spec = write(tmp_path, spec=SPEC.replace(old, new))
    outcome = call("sensitivity", spec, "--out", tmp_path / "out")
    assert outcome.returncode == 2, outcome.stdout
    assert words in outcome.stderr
    assert len(outcome.stderr.strip().splitlines()) == 1


def test_check_says_which_parts_would_be_run(tmp_path):
    spec = write(tmp_path)
    done = call("check", spec)
    assert done.returncode == 0, done.stderr
    assert "sensitivity multiverse" in " ".join(done.stdout.split())
    spec.write_text(spec.read_text().replace('["multiverse"]', '["multiverse", "immortal_time"]'))
    refused = call("check", spec)
    assert refused.returncode == 2
    assert (
        "when treatment started is not stated" in refused.stderr
        and "Traceback" not in refused.stderr
    )


def test_a_refused_command_leaves_no_file(tmp_path):
    for arguments, words in (
        (["--executor", "foo"], "foo"),
        (["--executor", "tcp://127.0.0.1:9"], "tcp://127.0.0.1:9"),
        (["--executor", "tcp://127.0.0.1:9", "--jobs", 2], "jobs and executor"),
    ):
        before = {path.name for path in tmp_path.iterdir()}
        spec = write(tmp_path)
        done = call("sensitivity", spec, "--out", tmp_path / "out", *arguments)
        assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1
        assert words in done.stderr
        assert {path.name for path in tmp_path.iterdir()} - before <= {"cohort.csv", "small.toml"}


def test_a_fault_in_one_part_loses_no_other(tmp_path, monkeypatch, capsys):
    from bayes_crlm.cli import main
    from bayes_crlm.sensitivity.priors import reverse_bayes

    def faulty(context, settings):
        raise ZeroDivisionError("a fault")

    monkeypatch.setattr(reverse_bayes, "analyse", faulty)
    spec = write(tmp_path, '"multiverse", "reverse_bayes"')
    out = tmp_path / "out"
    assert main(["sensitivity", str(spec), "--out", str(out), "--jobs", "1"]) == 1
    found = json.loads((out / "sensitivity.json").read_text())
    assert found["multiverse"]["status"] == "done"
    assert found["reverse_bayes"]["status"] == "failed"
    assert "a fault" in found["reverse_bayes"]["reason"]
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_a_part_that_only_a_default_asked_for_is_left_out_with_its_reason(tmp_path):
    lines = SPEC.replace("parts = [{parts}]\n", "").replace("age + node", "")
    spec = write(tmp_path, spec=lines)
    text = spec.read_text().split("[sensitivity]")[0]
    spec.write_text(text + "[sensitivity]\nlevel = 1\n")
    from bayes_crlm import read_spec
    from bayes_crlm.analysis.plan import plan_analysis
    from bayes_crlm.sensitivity.run import check_parts
    from bayes_crlm.sensitivity.settings import read_settings

    plan = plan_analysis(read_spec(spec))
    reasons = check_parts(plan, read_settings(plan.spec.sensitivity))
    assert "when treatment started is not stated" in reasons["immortal_time"]
    assert "covariates" in reasons["overlap"]
    assert "multiverse" not in reasons


def test_a_killed_run_goes_on_where_it_stopped(tmp_path, summary):
    spec, out = write(tmp_path), tmp_path / "out"
    command = [
        sys.executable,
        "-m",
        "bayes_crlm.cli",
        "sensitivity",
        spec,
        "--out",
        out,
        "--jobs",
        "1",
    ]
    store = tmp_path / ".out.sensitivity-refits"
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (store.exists() and store.read_bytes().count(b"\n") > 3):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not out.exists()
    # what is stored is marked: run again, it would have lost its mark
    header, *lines = store.read_bytes()[: store.read_bytes().rfind(b"\n")].split(b"\n")
    entries = [json.loads(line) for line in lines]
    n_kept = 0
    for entry in entries:
        for row in entry["result"].get("rows", []):
            if "cox_hr" in row:
                row["cox_hr"], n_kept = -1.0, n_kept + 1
    marked = [
        entry_line(
            entry["task"], Outcome(entry["status"], json.dumps(entry["result"])), entry["code"]
        )
        for entry in entries
    ]
    store.write_bytes(b"".join([header, b"\n", *marked]))
    assert call("sensitivity", spec, "--out", out, "--jobs", 1).returncode == 0
    assert not store.exists()
    again = json.loads((out / "sensitivity.json").read_text())["multiverse"]["rows"]
    assert 0 < sum(row["cox_hr"] == -1.0 for row in again) == n_kept < len(again)
    for row, whole in zip(again, summary["multiverse"]["rows"], strict=True):
        assert row | {"cox_hr": None} == whole | {"cox_hr": None}
