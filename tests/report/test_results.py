"""Result files: whole or not at all, readable by others, the same for the same seed."""

import errno
import fcntl
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import arviz as az
import pandas as pd
import pytest
import runs

from bayes_crlm import read_spec
from bayes_crlm.analysis.plan import plan_analysis
from bayes_crlm.report import folder as results
from bayes_crlm.report.output_folder import (
    check_output,
    is_of_run,
    is_of_sensitivity,
    is_resolved,
)
from bayes_crlm.report.run import write_results
from bayes_crlm.specification.source_paths import spec_seen_from
from bayes_crlm.words.errors import OutputError

nasty_run, rows_run, synthetic_run = runs.nasty_run, runs.rows_run, runs.synthetic_run

FILES = {"summary.json", "posterior.nc", "report.html", "tables", "figures", "spec.toml"}
GROUPS = {
    "posterior",
    "sample_stats",
    "log_likelihood",
    "log_prior",
    "prior",
    "posterior_predictive",
    "observed_data",
    "constant_data",
}


def write(folder, text="new", files=("summary.json", "report.html")):
    """Write a folder of results that hold one text."""

    def fill(partial, _analysis, _summary):
        for name in files:
            (partial / name).write_text(text)

    return fill_with(fill, folder)


def fill_with(fill, folder):
    """Write results with another writer of files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bayes_crlm.report.run.fill", fill)
        return write_results(None, {}, check_output(folder))


def names(folder):
    """Everything in a folder, hidden files too."""
    return sorted(path.name for path in Path(folder).iterdir())


def test_a_run_writes_the_files_of_the_contract_and_nothing_else(nasty_run, rows_run):
    for run in (nasty_run, rows_run):
        assert set(names(run.folder)) == FILES
        assert not list(run.folder.parent.glob(f"{results.PARTIAL}*"))
        for table in (run.folder / "tables").iterdir():
            assert table.suffix == ".csv"
        for figure in (run.folder / "figures").iterdir():
            assert figure.read_text(encoding="utf-8").startswith("<?xml")


def test_the_posterior_opens_in_arviz_with_its_groups(nasty_run):
    tree = az.from_netcdf(nasty_run.folder / "posterior.nc")
    assert set(tree.children) >= GROUPS
    sizes = tree["posterior"].sizes
    assert (sizes["chain"], sizes["draw"]) == (4, 1000)
    assert list(tree["posterior"]["term"].values) == nasty_run.summary["model"]["terms"]
    n_patients = nasty_run.summary["data"]["n_patients"]
    assert tree["log_likelihood"]["event"].sizes["patient"] == n_patients
    loo = az.loo(tree, var_name="event")
    assert loo.elpd == pytest.approx(nasty_run.summary["diagnostics"]["elpd_loo"], abs=0.5)


def test_the_resolved_spec_reproduces_every_number(nasty_run, tmp_path):
    spec = nasty_run.folder / "spec.toml"
    assert "draws = 1000" in spec.read_text(encoding="utf-8")
    done = runs.call("run", spec, "--out", tmp_path / "again", "--quiet", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    again = json.loads((tmp_path / "again" / "summary.json").read_text(encoding="utf-8"))
    first = nasty_run.summary
    for part in first:
        if part != "provenance":
            assert again[part] == first[part], part
    assert again["provenance"]["seed"] == first["provenance"]["seed"]
    for figure in (nasty_run.folder / "figures").iterdir():
        repeated = tmp_path / "again" / "figures" / figure.name
        assert repeated.read_text(encoding="utf-8") == figure.read_text(encoding="utf-8")


def test_the_resolved_spec_spells_out_every_default(nasty_run):
    spec = read_spec(nasty_run.folder / "spec.toml")
    assert spec.estimands.horizons
    assert spec.estimands.rmst
    # seen from the results, so that a copied project has its own data
    assert spec.data.source == "../nasty.csv"
    assert spec.data_path() == nasty_run.folder.parent / "nasty.csv"
    assert read_spec(nasty_run.folder / "spec.toml").to_toml() == (
        nasty_run.folder / "spec.toml"
    ).read_text(encoding="utf-8")


def test_a_resolved_spec_with_its_cutpoints_in_a_comment_is_known_again(tmp_path):
    plan = plan_analysis(read_spec("os_three_strategies"))
    path = tmp_path / "spec.toml"
    path.write_text(spec_seen_from(plan.spec, tmp_path).to_toml(), encoding="utf-8")
    used = plan.inputs.intervals.cutpoints[1:-1].tolist()
    assert f'cutpoints = "auto"  # here: {used}\n' in path.read_text(encoding="utf-8")
    assert is_resolved(path)
    path.write_text(path.read_text(encoding="utf-8") + "# mine\n", encoding="utf-8")
    assert not is_resolved(path)


def test_results_replace_earlier_ones_and_keep_what_is_the_users(tmp_path):
    write(tmp_path / "out", "old", ("summary.json", "report.html", "spec.toml"))
    (tmp_path / "out" / "notes.txt").write_text("mine")
    (tmp_path / "out" / "drafts").mkdir()
    (tmp_path / "out" / "drafts" / "a.txt").write_text("mine too")
    (tmp_path / "out" / "link").symlink_to("notes.txt")
    assert write(tmp_path / "out") == tmp_path / "out" / "report.html"
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["drafts", "link", "notes.txt", "report.html", "summary.json"]
    assert (tmp_path / "out" / "summary.json").read_text() == "new"
    assert (tmp_path / "out" / "link").read_text() == "mine"
    assert (tmp_path / "out" / "drafts" / "a.txt").read_text() == "mine too"


def test_results_replace_earlier_ones_without_the_systems_swap(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "exchange", lambda *_: False)
    write(tmp_path / "out", "old")
    (tmp_path / "out" / "notes.txt").write_text("mine")
    write(tmp_path / "out")
    assert names(tmp_path) == ["out"]
    assert (tmp_path / "out" / "summary.json").read_text() == "new"
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_disk_that_fills_midway_leaves_the_old_results_whole(tmp_path, code):
    write(tmp_path / "out", "old")

    def fill(partial, _analysis, _summary):
        (partial / "summary.json").write_text("half")
        raise OSError(code, os.strerror(code))

    with pytest.raises(OutputError, match=os.strerror(code)):
        fill_with(fill, tmp_path / "out")
    assert names(tmp_path) == ["out"]
    assert (tmp_path / "out" / "summary.json").read_text() == "old"


def test_a_disk_that_fills_midway_leaves_no_new_folders(tmp_path):
    def fill(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OutputError):
        fill_with(fill, tmp_path / "a" / "b" / "out")
    assert names(tmp_path) == []


def test_a_posterior_that_does_not_fit_on_the_disk_is_an_error_of_the_disk(tmp_path):
    script = """
import resource, sys
import numpy as np
from pathlib import Path
from bayes_crlm.fit.groups import Group
from bayes_crlm.report import run as results
from bayes_crlm.report.output_folder import check_output
from bayes_crlm.words.errors import OutputError
groups = {"posterior": Group({"x": (("draw",), np.random.rand(200_000))})}
results.fill = lambda partial, *_: results.write_groups(groups, {}, partial / "posterior.nc")
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    results.write_results(None, {}, check_output(sys.argv[1]))
except OutputError as problem:
    print(problem)
"""
    write(tmp_path / "out", "old")
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "out"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "writing failed" in done.stdout
    assert names(tmp_path) == ["out"]
    assert (tmp_path / "out" / "summary.json").read_text() == "old"


def test_a_killed_run_leaves_the_old_results_and_the_next_one_tidies_up(tmp_path):
    script = """
import sys, time
from bayes_crlm.report import run as results
from bayes_crlm.report.output_folder import check_output
def fill(partial, *_):
    (partial / "summary.json").write_text("half")
    time.sleep(100)
results.fill = fill
results.write_results(None, {}, check_output(sys.argv[1]))
"""
    write(tmp_path / "out", "old")
    process = subprocess.Popen([sys.executable, "-c", script, tmp_path / "out"])
    runs.wait_for(lambda: list(tmp_path.glob(f"{results.PARTIAL}*/summary.json")))
    # a run at the same time leaves the other one's files alone
    write(tmp_path / "out", "second")
    assert len(names(tmp_path)) == 2
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (tmp_path / "out" / "summary.json").read_text() == "second"
    write(tmp_path / "out", "third")
    assert names(tmp_path) == ["out"]


def test_an_interrupt_while_writing_leaves_the_old_results(tmp_path):
    write(tmp_path / "out", "old")

    def fill(partial, *_):
        (partial / "summary.json").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill_with(fill, tmp_path / "out")
    assert names(tmp_path) == ["out"]
    assert (tmp_path / "out" / "summary.json").read_text() == "old"


def test_runs_at_the_same_time_leave_the_results_of_one(tmp_path, monkeypatch):
    files = ("summary.json", "report.html", "spec.toml")
    write(tmp_path / "out", "0", files)
    monkeypatch.setattr(
        "bayes_crlm.report.run.fill",
        lambda partial, text, _: [(partial / name).write_text(text) for name in files],
    )
    threads = [
        threading.Thread(target=write_results, args=(str(k), {}, tmp_path / "out"))
        for k in range(1, 9)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert names(tmp_path) == ["out"]
    assert len({(tmp_path / "out" / name).read_text() for name in files}) == 1


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o755), (0o077, 0o700), (0o002, 0o775)])
def test_others_may_read_what_the_umask_lets_them(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write(tmp_path / "out")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == mode
    assert stat.S_IMODE((tmp_path / "out" / "summary.json").stat().st_mode) == mode & 0o666


def test_a_folder_keeps_the_mode_that_it_was_given(tmp_path):
    write(tmp_path / "out", "old")
    (tmp_path / "out").chmod(0o711)
    write(tmp_path / "out")
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o711


def test_a_link_to_a_folder_stays_a_link(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to("disk/results")
    for text in ("first", "second"):
        write(tmp_path / "out", text)
        assert (tmp_path / "out").is_symlink()
        assert (tmp_path / "disk" / "results" / "summary.json").read_text() == text
    assert names(tmp_path / "disk") == ["results"]


def test_relative_paths_and_trailing_slashes_are_folders_like_others(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("out/", "./out", "a/../out", str(tmp_path / "out")):
        assert check_output(folder) == tmp_path / "out"
    assert names(tmp_path) == []
    write("deep/er/out/")
    assert (tmp_path / "deep/er/out/summary.json").read_text() == "new"


def test_looking_leaves_nothing_behind(tmp_path):
    check_output(tmp_path / "a" / "b")
    assert names(tmp_path) == []


def test_no_result_says_where_on_this_machine_the_data_lie(nasty_run):
    assert nasty_run.summary["data"]["source"] == "nasty.csv"
    place = str(nasty_run.folder.parent).encode()
    for path in nasty_run.folder.rglob("*"):
        assert path.is_dir() or place not in path.read_bytes(), path.name


def test_the_summary_lists_every_file_of_the_run(nasty_run):
    written = {
        path.relative_to(nasty_run.folder).as_posix()
        for path in nasty_run.folder.rglob("*")
        if path.is_file()
    }
    assert set(nasty_run.summary["files"]) == written


def write_listed(folder, tables, proof="summary.json", is_ours=is_of_run):
    """Write a summary and tables, each listed, into a result folder."""

    def fill(partial):
        (partial / "tables").mkdir()
        for name in tables:
            (partial / "tables" / f"{name}.csv").write_text("new")
        results.write_summary(partial, proof, {}, results.names_of((), tables))

    results.replace_folder(check_output(folder), fill, is_ours)


def test_the_users_own_files_among_tables_and_figures_are_kept(tmp_path):
    out = tmp_path / "out"
    write_listed(out, ["cox", "kaplan_meier"])
    mine = ["tables/mine.csv", "tables/multiverse_mine.csv", "figures/talk.svg", "figures/a/b.png"]
    for name in mine:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("mine")
    write_listed(out, ["cox"])
    write_listed(out, ["multiverse"], "sensitivity.json", is_of_sensitivity)
    write_listed(out, ["cutpoints"], "sensitivity.json", is_of_sensitivity)
    assert [(out / name).read_text() for name in mine] == ["mine"] * 4
    # what was a result, and is none any more, is gone; the other command's stays
    tables = {"cox.csv", "cutpoints.csv", "mine.csv", "multiverse_mine.csv"}
    assert set(names(out / "tables")) == tables


def test_results_of_a_version_without_lists_are_replaced(tmp_path):
    out = tmp_path / "out"
    write(out, "old")
    (out / "tables").mkdir()
    for name in ("rmst.csv", "mine.csv", "cox.csv"):
        (out / "tables" / name).write_text("old")
    write_listed(out, ["cox"])
    assert set(names(out / "tables")) == {"cox.csv", "mine.csv"}
    assert (out / "tables" / "cox.csv").read_text() == "new"


@pytest.mark.parametrize(
    "removed",
    [
        ["summary.json", "report.html"], ["summary.json", "posterior.nc", "report.html"],
        ["summary.json", "posterior.nc", "report.html", "spec.toml", "figures"],
        ["summary.json", "posterior.nc", "report.html", "spec.toml", "tables"],
        ["summary.json", "posterior.nc", "report.html", "tables", "figures"],
        ["summary.json", "posterior.nc", "tables", "figures", "spec.toml"],
        ["summary.json", "report.html", "tables", "figures", "spec.toml"],
    ],
    ids=str,
)  # fmt: skip
def test_a_workflow_may_remove_some_results_and_run_again(nasty_run, tmp_path, removed):
    out = tmp_path / "out"
    shutil.copytree(nasty_run.folder, out)
    (tmp_path / "nasty.csv").touch()
    for name in removed:
        shutil.rmtree(out / name) if (out / name).is_dir() else (out / name).unlink()
    (out / "notes.txt").write_text("mine")
    write_listed(out, ["cox"])
    assert (out / "notes.txt").read_text() == "mine"
    assert (out / "tables" / "cox.csv").read_text() == "new"


@pytest.mark.parametrize(
    "mark", [".snakemake_timestamp", "run.log", "log.txt", "slurm-12.out", ".gitignore", "logs/a"]
)
def test_a_folder_with_a_workflows_mark_or_a_log_only_is_taken(tmp_path, mark):
    path = tmp_path / "out" / mark
    path.parent.mkdir(parents=True)
    path.write_text("begun")
    write(tmp_path / "out")
    assert path.read_text() == "begun"


@pytest.mark.parametrize(
    ("name", "text"),
    [("notes.txt", "a"), ("spec.toml", "title = 'Mine'"), ("report.html", "<p>"),
     ("posterior.nc", "CDF"), ("tables/mine.csv", "1"), (".git/HEAD", "ref"), ("spec.toml", "")],
)  # fmt: skip
def test_a_folder_of_somebody_elses_is_refused(tmp_path, name, text):
    path = tmp_path / "out" / name
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(OutputError, match="holds other files .* and no earlier results"):
        check_output(tmp_path / "out")


def test_a_lock_of_somebody_elses_on_the_folder_around_does_not_hold_results_up(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(results, "LOCK_SECONDS", 0.2)
    holder = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    try:
        write(tmp_path / "out")
    finally:
        os.close(holder)
    assert (tmp_path / "out" / "summary.json").read_text() == "new"


@pytest.mark.parametrize("removed", ["parent", "one file"])
def test_a_folder_that_is_removed_while_it_is_written_is_said(tmp_path, removed):
    out = tmp_path / "a" / "out"

    def fill(partial):
        (partial / "tables").mkdir()
        (partial / "tables" / "cox.csv").write_text("1")
        if removed == "parent":
            shutil.rmtree(tmp_path / "a")
        else:
            (partial / "tables" / "cox.csv").unlink()
        results.write_summary(partial, "summary.json", {}, {"tables/cox.csv"})

    with pytest.raises(OutputError, match="was removed while results were written"):
        results.replace_folder(check_output(out), fill, is_of_run)
    assert not out.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has other groups for certain")
@pytest.mark.parametrize("umask", [0o027, 0o007, 0o022])
def test_the_group_of_a_shared_project_folder_may_read_the_results(tmp_path, umask):
    group = 12345
    os.chown(tmp_path, -1, group)
    tmp_path.chmod(0o2770)

    def is_shared(folder):
        found = [folder, *folder.rglob("*")]
        return all(
            path.stat().st_gid == group
            and path.stat().st_mode & stat.S_IRGRP
            and (path.is_file() or path.stat().st_mode & stat.S_ISGID)
            for path in found
        )

    before = os.umask(umask)
    try:
        write_listed(tmp_path / "new", ["cox"])
        assert is_shared(tmp_path / "new")
        write_listed(tmp_path / "new", ["cox", "rmst"])
        assert is_shared(tmp_path / "new")
        # as an earlier version left it
        (tmp_path / "new").chmod(0o750)
        write_listed(tmp_path / "new", ["cox"])
        assert is_shared(tmp_path / "new")
    finally:
        os.umask(before)


def test_a_file_keeps_the_access_that_it_was_given(tmp_path):
    write_listed(tmp_path / "out", ["cox"])
    (tmp_path / "out" / "tables" / "cox.csv").chmod(0o640)
    write_listed(tmp_path / "out", ["cox"])
    assert stat.S_IMODE((tmp_path / "out" / "tables" / "cox.csv").stat().st_mode) == 0o640


def test_a_copied_project_is_run_again_on_its_own_data(tmp_path):
    study = tmp_path / "study"
    study.mkdir()
    spec = runs.write_rows(study)
    first = runs.call("run", spec, "--engine", "laplace", "--quiet", "--out", study / "results")
    assert first.returncode == 0, first.stderr
    shutil.copytree(study, tmp_path / "copy")
    table = pd.read_csv(tmp_path / "copy" / "rows.csv")
    table.assign(local=1 - table["local"]).to_csv(tmp_path / "copy" / "rows.csv", index=False)
    results_of_copy = tmp_path / "copy" / "results"
    again = runs.call(
        "run", results_of_copy / "spec.toml", "--engine", "laplace", "--quiet",
        "--out", results_of_copy,
    )  # fmt: skip
    assert again.returncode == 0, again.stderr
    one, other = (
        json.loads((folder / "results" / "summary.json").read_text())
        for folder in (study, tmp_path / "copy")
    )
    assert one["data"]["sha256"] != other["data"]["sha256"]
    ratios = [each["hazard_ratios"][0]["median"] for each in (one, other)]
    assert ratios[0] * ratios[1] == pytest.approx(1, rel=0.05)
