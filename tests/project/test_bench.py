"""The benchmark's processes, ratios, targets and tables say what they claim to."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture(scope="module", autouse=True)
def benchmarks_on_path():
    folders = [str(BENCHMARKS), str(BENCHMARKS / "contenders")]
    sys.path[:0] = folders
    yield
    for folder in folders:
        sys.path.remove(folder)


@pytest.fixture
def table():
    return importlib.import_module("bench_table")


@pytest.fixture
def bench():
    return importlib.import_module("bench")


@pytest.fixture
def processes():
    return importlib.import_module("processes")


@pytest.fixture
def job():
    return importlib.import_module("job")


def record(what, rows=135, number=1, caches="warm", **changes):
    """One contender's process: 10 s to the posterior, 4 s compiling, 2 s sampling."""
    first = {
        "seconds": 6.0,
        "seconds_sample": 2.0,
        "mebibytes": 300.0,
        "mean": [0.0, 1.0],
        "sd": [0.5, 0.1],
        "gradients": 28_000,
        "divergences": 0,
        "note": None,
    }
    first |= changes.pop("first", {})
    entry = {
        "what": what,
        "rows": rows,
        "caches": caches,
        "round": number,
        "ended": "done",
        "message": "",
        "load": 0.5,
        "seconds": 20.0,
        "first_posterior": 10.0,
        "first": first,
        "effective_draws": 4000.0,
        "refits": [
            {"seconds": 1.0, "seconds_sample": 0.8},
            {"seconds": 3.0, "seconds_sample": 2.8},
        ],
    }
    return entry | changes


def sampled(what, first, *refits):
    """A process at 10,000 rows whose fits sampled for so many seconds, None where not known."""
    again = [{"seconds": seconds + 5.0, "seconds_sample": seconds} for seconds in refits]
    return record(what, 10_000, first={"seconds": 70.0, "seconds_sample": first}, refits=again)


def without_posterior(what, rows, ended, message=""):
    nothing = {"first": None, "first_posterior": None, "refits": [], "effective_draws": None}
    return record(what, rows, ended=ended, message=message) | nothing


def stored(*records, gradients=()):
    return {
        "machine": {"processors": 2, "memory_mebibytes": 24576, "python": "3.13.0"},
        "limit": 300.0,
        "memory_limit_mebibytes": 14336.0,
        "processes": list(records),
        "gradients": list(gradients),
    }


def code(text):
    return [sys.executable, "-S", "-c", text]


def run(processes, text, **options):
    limits = {"seconds": 30, "mebibytes": 10_000} | options
    return processes.run_limited(code(text), dict(os.environ), **limits)


def test_a_line_is_timed_when_it_is_printed_not_when_the_process_ends(processes):
    text = "import time; print('hazard ratio 0.7', flush=True); time.sleep(1.5); print('end')"
    found = run(processes, text)
    assert found.ended == "done"
    assert found.seconds_to(r"hazard ratio \d") < found.seconds - 1
    assert found.seconds_to("end") >= 1.5
    assert found.seconds_to("no such line") is None


def test_a_process_over_its_time_is_ended_and_keeps_what_it_printed(processes):
    found = run(processes, "import time; print('a', flush=True); time.sleep(60)", seconds=1)
    assert found.ended == "more time"
    assert [line for _, line in found.lines] == ["a"]
    assert found.seconds < 10


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is watched in /proc")
def test_memory_of_workers_counts_and_is_limited(processes):
    text = (
        "import subprocess, sys, time;"
        "subprocess.run([sys.executable, '-S', '-c',"
        " 'import time; b = bytearray(300 * 2**20); time.sleep(60)'])"
    )
    found = run(processes, text, mebibytes=200)
    assert found.ended == "more memory"
    assert found.seconds < 20


def test_a_failing_process_says_why(processes):
    found = run(processes, "raise SystemExit('broken')")
    assert (found.ended, found.message) == ("failed", "broken")


def test_a_terminal_is_a_terminal_and_a_line_ends_the_process(processes):
    text = "import sys, time; print('tty' if sys.stdout.isatty() else 'pipe'); time.sleep(60)"
    found = run(processes, text, on_terminal=True, until="tty|pipe")
    assert found.ended == "done"
    assert found.seconds_to("tty") is not None
    assert found.seconds < 20


def test_an_interrupted_benchmark_leaves_no_process_behind():
    # a benchmark that is told to end, as `kill` does, while its process sleeps
    text = (
        f"import os, signal, sys; sys.path.insert(0, {str(BENCHMARKS)!r}); import processes;"
        "signal.signal(signal.SIGTERM, signal.default_int_handler);"
        "command = [sys.executable, '-S', '-c', 'import os, time; print(os.getpid(), flush=True);"
        " time.sleep(120)'];"
        "watch = processes.watch;"
        "processes.watch = lambda process, *rest:"
        " (print(process.pid, flush=True), watch(process, *rest))[1];"
        "processes.run_limited(command, dict(os.environ), seconds=100, mebibytes=1e6)"
    )
    outer = subprocess.Popen(
        [sys.executable, "-c", text], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    sleeper = int(outer.stdout.readline())
    outer.terminate()
    assert outer.wait(timeout=30) != 0
    outer.stdout.close()
    with pytest.raises(ProcessLookupError):
        os.kill(sleeper, 0)


def test_floor_is_the_longer_of_bytes_and_operations():
    gradient = importlib.import_module("gradient")
    speed = {"seconds_per_byte": 1e-10, "seconds_per_operation": 1e-11}
    # 9 columns and one double a row: 80 bytes; read twice 152; 36 + 25 operations
    floor = gradient.floor_seconds(1000, 9, speed)
    assert floor == pytest.approx({"once": 8e-6, "twice": 15.2e-6})
    slow = gradient.floor_seconds(1000, 9, speed | {"seconds_per_operation": 1e-9})
    assert slow == pytest.approx({"once": 61e-6, "twice": 61e-6})


def test_ratio_is_of_the_same_round(table):
    rounds = stored(
        record("package_nuts", number=1, first_posterior=10.0),
        record("package_nuts", number=2, first_posterior=40.0),
        record("import_pymc", number=2, seconds=20.0),
        record("import_pymc", number=1, seconds=10.0),
    )
    found = table.ratio(
        rounds, "package_nuts", 135, table.first_posterior, "import_pymc", table.whole
    )
    assert (found.median, found.least, found.most) == (1.5, 1.0, 2.0)


def test_cold_and_warm_are_never_mixed(table):
    both = stored(
        record("package_nuts", caches="cold", first_posterior=90.0), record("package_nuts")
    )
    assert table.measured(both, "package_nuts", 135, table.first_posterior).most == 10.0
    cold = table.measured(both, "package_nuts", 135, table.first_posterior, "cold")
    assert cold.median == 90.0


def test_effective_draws_a_second_are_of_sampling_alone(table):
    # the fits' sampling took 2, 0.8 and 2.8 s
    assert table.effective_per_second(record("package_nuts")) == 2000.0
    # where compiling cannot be told from sampling in the first fit, refits tell it
    unknown = record("numpyro_compact", first={"seconds_sample": None})
    assert table.effective_per_second(unknown) == pytest.approx(4000 / 1.8)


def test_distance_is_in_posterior_standard_deviations(table):
    pair = stored(record("package_nuts"), record("pymc_long", first={"mean": [0.1, 1.05]}))
    assert table.distance(pair, "pymc_long", 135) == pytest.approx(0.5)
    assert table.distance(pair, "numpyro_compact", 135) is None


def test_growth_is_the_exponent(table):
    linear = stored(
        record("package_nuts", 10_000, first={"seconds": 1.5}),
        record("package_nuts", 1_000_000, first={"seconds": 150.0}),
    )
    assert table.growth(linear, "package_nuts", table.fit) == pytest.approx(1.0)


def test_targets_are_held_in_the_right_direction(table):
    slow = table.Target("seconds", 1.5, "s", 2.0)
    assert slow.is_met is False and "**no**" in slow.row()
    assert table.Target("seconds", 1.5, "s", 1.0).is_met
    assert table.Target("times faster", 5, "", 4.9, is_least=True).is_met is False
    assert table.Target("times faster", 5, "", 5.1, is_least=True).is_met
    nothing = table.Target("seconds", 1.5, "s", None)
    assert nothing.is_met is None and "not measured" in nothing.row()


def test_targets_take_the_figures_they_name(table):
    records = [
        record("package_nuts", first={"seconds": 2.0, "seconds_sample": 1.0}),
        record("package_nuts", caches="cold", first={"seconds": 10.0}),
        record("pymc_long", first={"seconds": 12.0}),
        record("pymc_long", caches="cold", first={"seconds": 90.0}),
        record("nutpie_long", effective_draws=1000.0),
        record("package_laplace", refits=[{"seconds": 0.02, "seconds_sample": 0.01}]),
        record("import_pymc", seconds=8.0),
        record("run_laplace", seconds=5.0),
        record("import_pandas", seconds=2.0),
        record("package_nuts", 1_000_000, first_posterior=250.0, first={"mebibytes": 1000.0}),
    ]
    gradient = {"rows": 1_000_000, "gradient": {"median": 0.05, "min": 0.04}}
    found = {each.what: each for each in table.targets(stored(*records, gradients=[gradient]))}

    def reached(beginning):
        (target,) = [each for what, each in found.items() if what.startswith(beginning)]
        return getattr(target.reached, "median", target.reached)

    assert reached("first posterior") == 1.25
    assert reached("compile and sample, warm: long table under PyMC's own") == 6.0
    assert reached("compile and sample, cold: long table under PyMC's own") == 9.0
    assert reached("NUTS refit") == 2.0
    assert reached("effective draws a second") == pytest.approx((4000 / 1.0) / (1000 / 2.0))
    assert reached("laplace refit, 4,000 draws") == 20.0
    assert reached("laplace refit, of that") == 10.0
    assert reached("`run --engine laplace`") == 2.5
    assert reached("one gradient") == 50.0
    assert reached("NUTS at 1,000,000 rows") == 250.0
    assert reached("its peak memory") == pytest.approx(1.048576)
    assert found["laplace: exponent of growth from 10,000 rows"].is_met is None


def test_table_says_why_there_is_no_figure(table):
    rows = table.main_table(
        stored(
            record("package_nuts", 10_000),
            without_posterior("pymc_long", 10_000, "more time"),
            without_posterior("nutpie_long", 10_000, "more memory"),
            without_posterior("numpyro_compact", 10_000, "not run", "70 s at 1,000 rows"),
            without_posterior("cox_survival", 10_000, "failed", "broken"),
        )
    ).splitlines()
    assert len({row.count("|") for row in rows}) == 1
    reasons = [row.split(" | ")[2] for row in rows[3:]]
    assert reasons == [
        "more than 300 s",
        "more than 14.0 GiB",
        "not run: 70 s at 1,000 rows",
        "failed",
    ]


def test_notes_reach_the_reader(table):
    noted = record("package_laplace", first={"note": "escalated to nuts", "divergences": 3})
    text = table.settings_of(stored(noted, record("pymc_long", ended="more time")))
    assert "escalated to nuts" in text
    assert "3 divergent transitions" in text
    assert "own NUTS at 135 rows: more time after the first posterior" in text


@pytest.mark.parametrize(
    ("smaller", "reason"),
    [
        (sampled("pymc_long", 29.0), None),
        (sampled("pymc_long", 31.0), "31 s at 10,000 rows"),
        (sampled("pymc_long", 31.0, 29.0), None),
        (sampled("pymc_long", None), "70 s at 10,000 rows"),
        (sampled("nutpie_long", 31.0), None),
        (without_posterior("pymc_long", 10_000, "more time"), "more time at 10,000 rows"),
        (without_posterior("pymc_long", 10_000, "not run", "31 s at 135 rows"), "31 s at 135 rows"),
    ],
)
def test_a_contender_is_not_run_where_it_cannot_end_in_time(bench, smaller, reason):
    assert bench.reason_not_to_run([smaller], "pymc_long", 100_000, 300.0) == reason


def test_what_a_contender_prints_is_read(bench, processes):
    lines = [
        (9.0, "hazard ratio 0.712 (95% interval 0.455 to 1.114)"),
        (9.1, json.dumps({"part": "first", "seconds": 3.0})),
        (12.0, json.dumps({"part": "draws", "effective_draws": 3900.0})),
        (13.0, json.dumps({"part": "refit", "seconds": 0.5, "seconds_sample": 0.4})),
    ]
    figures = bench.figures_of(processes.Run("done", tuple(lines), 13.0, 12.0, 300.0, ""), 1.0)
    assert figures["first_posterior"] == 9.0
    assert figures["first"] == {"seconds": 3.0}
    assert figures["effective_draws"] == 3900.0
    assert figures["refits"] == [{"seconds": 0.5, "seconds_sample": 0.4}]


def test_resuming_runs_failures_again(bench):
    kept = bench.finished(
        [record("a"), record("b", ended="failed"), record("c", ended="more time")]
    )
    assert [entry["what"] for entry in kept] == ["a", "c"]


def test_a_part_does_not_replace_the_stored_whole(bench, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["bench.py", "--sizes", "135"])
    with pytest.raises(SystemExit) as refused:
        bench.read_options()
    assert refused.value.code == 2
    assert "--results FILE" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["bench.py", "--sizes", "135", "--results", "part.json"])
    assert bench.read_options().sizes == [135]


def test_every_round_starts_with_another_contender(bench):
    first = [next(iter(bench.in_turn(bench.CONTENDERS, number))).name for number in range(3)]
    assert len(set(first)) == 3
    assert set(bench.in_turn(bench.CONTENDERS, 2)) == set(bench.CONTENDERS)


def test_every_contender_has_its_script_requirements_and_title(bench, table):
    for contender in bench.CONTENDERS:
        assert (BENCHMARKS / "contenders" / f"{contender.name}.py").exists()
        assert (
            contender.environment is None
            or (BENCHMARKS / "requirements" / f"{contender.environment}.txt").exists()
        )
    assert [contender.name for contender in bench.CONTENDERS] == list(table.TITLES)


def simulated(job, rows, seed):
    simulate = importlib.import_module("simulated_cohort").simulate
    return job.Cohort(**simulate(rows, seed))


def test_long_table_has_the_follow_up_and_the_events_of_the_cohort(job):
    cohort = simulated(job, 500, 3)
    long = cohort.long_table()
    assert np.exp(long["log_exposure"]).sum() == pytest.approx(cohort.time.sum())
    assert long["event"].sum() == cohort.event.sum()
    assert np.bincount(long["interval"])[0] == 500
    ends = np.bincount(long["interval"], weights=long["event"], minlength=8)
    assert ends == pytest.approx(np.histogram(cohort.time[cohort.event == 1], cohort.cutpoints)[0])


def test_contenders_get_the_intervals_and_the_design_of_the_package(job):
    import pandas as pd

    import bayes_crlm

    cohort = simulated(job, 300, 4)
    frame = pd.DataFrame(cohort.x, columns=cohort.columns).astype({"treatment": "int8"})
    frame["time"], frame["event"] = cohort.time, cohort.event
    model = bayes_crlm.PiecewiseExponential(
        treatment="treatment",
        reference=0,
        covariates=" + ".join(cohort.columns[1:]),
        cutpoints=list(cohort.inner_cutpoints),
        baseline="independent",
    )
    inputs = model.prepare(bayes_crlm.read_cohort(frame, time="time", event="event"))
    assert inputs.intervals.cutpoints == pytest.approx(cohort.cutpoints)
    assert inputs.design.scaled == pytest.approx(cohort.design)
    assert inputs.log_rate == pytest.approx(cohort.log_rate)
    assert inputs.baseline.sd == job.BASELINE_SD


def test_the_simulated_hazards_are_those_stated(job):
    module = importlib.import_module("simulated_cohort")
    # cumulative hazards at the cutpoints lead back to the cutpoints
    widths = np.diff([0.0, *module.INNER_CUTPOINTS])
    reached = np.cumsum(np.array(module.HAZARDS[:-1]) * widths)
    assert module.event_times(reached) == pytest.approx(module.INNER_CUTPOINTS)


def test_a_contender_does_the_whole_job(tmp_path):
    for seed in (1, 2):
        make = [str(BENCHMARKS / "simulated_cohort.py"), str(tmp_path / f"{seed}.npz")]
        subprocess.run([sys.executable, *make, "--rows", "200", "--seed", str(seed)], check=True)
    command = [str(BENCHMARKS / "contenders" / "cox_survival.py"), str(tmp_path / "1.npz")]
    printed = subprocess.run(
        [sys.executable, *command, "--other", str(tmp_path / "2.npz"), "--refits", "2"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    assert printed[0].startswith("hazard ratio ")
    parts = [json.loads(line) for line in printed[1:]]
    assert [part["part"] for part in parts] == ["first", "draws", "refit", "refit"]
    assert len(parts[0]["mean"]) == 9
    assert all(part["seconds"] > 0 for part in parts if part["part"] != "draws")


def test_plot_has_a_line_for_every_contender_with_figures(table):
    plot = importlib.import_module("bench_plot")
    svg = plot.plot_of(
        stored(*(record(what, rows) for what in table.TITLES for rows in (135, 1000)))
    )
    for label in plot.SHORT.values():
        assert svg.count(f">{label}<") == 1
    assert list(plot.SHORT) == list(table.TITLES)


@pytest.mark.skipif(
    not (BENCHMARKS / "results" / "bench.json").exists(), reason="make bench has not been run"
)
def test_page_shows_the_stored_measurement(bench, table):
    results = json.loads(bench.RESULTS.read_text(encoding="utf-8"))
    page = bench.PAGE.read_text(encoding="utf-8")
    shown = page.split(bench.BEGIN)[1].split(bench.END)[0]
    assert shown.strip() == f"{table.page_of(results)}\n\n{bench.IMAGE}"
    assert bench.PLOT.exists()


def test_page_says_what_the_benchmark_does(bench, job):
    page = bench.PAGE.read_text(encoding="utf-8")
    assert page.count(bench.BEGIN) == page.count(bench.END) == 1
    assert f"Normal(log rate, {job.BASELINE_SD:g})" in page
    assert f"log hazard ratios Normal(0, {job.EFFECT_SD:g})" in page
    assert bench.MEMORY_SHARE == 3 / 5
