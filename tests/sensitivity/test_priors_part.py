"""The parts `priors` and `reverse_bayes` on a small cohort, against normal theory."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
from runs import call

from bayes_crlm.model.priors import parse_prior
from bayes_crlm.sensitivity.credibility import critical_prior, judge_evidence
from bayes_crlm.sensitivity.priors.priors import Settings, figures_of
from bayes_crlm.sensitivity.verdicts import Judge

SPEC = """
title = "A small simulated cohort"
[data]
source = "cohort.csv"
time = "months"
event = "dead"
[model]
treatment = "arm"
reference = 0
covariates = "age"
[model.baseline]
cutpoints = 3
prior = "independent"
[sensitivity]
parts = ["priors", "reverse_bayes"]
[sensitivity.priors]
benefit = 0.6
means = [0.5, 1.0]
scales = [0.05, 0.5, 5.0]
literature = {trial = "hr(0.6, 0.4, 0.9)"}
[sensitivity.reverse_bayes.evidence]
trial = "hr(0.6, 0.4, 0.9)"
"""


def write(folder, effect, spec=SPEC):
    rng = np.random.default_rng(8)
    arm, age = np.arange(160) % 2, rng.normal(60, 9, 160).round(1)
    death = rng.exponential(20 * np.exp(-effect * arm))
    rows = [
        f"{a},{g},{min(t, 40) + 0.01:.2f},{int(t < 40)}"
        for a, g, t in zip(arm, age, death, strict=True)
    ]
    (folder / "cohort.csv").write_text("\n".join(["arm,age,months,dead", *rows]))
    (folder / "small.toml").write_text(spec)
    return folder / "small.toml"


def run(folder, effect):
    done = call("sensitivity", write(folder, effect), "--out", folder / "out")
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "out" / "sensitivity.json").read_text())


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return run(tmp_path_factory.mktemp("priors"), -0.7)


def test_named_priors_are_those_of_their_definitions(found):
    rows = {row["name"]: row for row in found["priors"]["rows"]}
    assert list(rows) == ["sceptical", "enthusiastic", "vague", "trial"]
    benefit = math.log(0.6)
    sceptic = parse_prior(rows["sceptical"]["prior"])
    # 5% of the sceptic's probability lies beyond the benefit
    assert sceptic.mean == 0 and sceptic.sd == pytest.approx(-benefit / 1.6448536)
    assert parse_prior(rows["enthusiastic"]["prior"]).mean == pytest.approx(benefit)


def test_refits_follow_normal_theory(found):
    """Posterior = prior x likelihood, both about normal on the log scale."""
    rows = {row["name"]: row for row in found["priors"]["rows"]}
    vague = rows["vague"]
    precision = 1 / vague["sd_log"] ** 2 - 1 / 100
    estimate = vague["mean_log"] / vague["sd_log"] ** 2 / precision
    for name in ("sceptical", "enthusiastic", "trial"):
        prior = parse_prior(rows[name]["prior"])
        total = precision + 1 / prior.sd**2
        mean = (precision * estimate + prior.mean / prior.sd**2) / total
        # a tenth of a standard deviation: the likelihood is not quite normal
        assert rows[name]["mean_log"] == pytest.approx(mean, abs=0.1 / math.sqrt(total))
        assert rows[name]["sd_log"] == pytest.approx(1 / math.sqrt(total), rel=0.05)


def test_the_grid_goes_from_the_prior_to_the_data(found):
    curve = found["priors"]["curve"]
    below = np.array(curve["prob_below_1"])
    assert below.shape == (2, 3)
    median = np.array(curve["median"])
    vague = next(row for row in found["priors"]["rows"] if row["name"] == "vague")
    scale = np.array(curve["prior_scale"])
    share = scale**2 / (scale**2 + vague["sd_log"] ** 2)
    centre = np.log(curve["prior_median"])[:, None]
    expected = share * vague["mean_log"] + (1 - share) * centre
    spread = np.sqrt(share) * vague["sd_log"]
    assert np.max(np.abs(np.log(median) - expected) / spread) < 0.15
    assert median[0, 2] == pytest.approx(median[1, 2], rel=0.05)
    assert below[1, 0] < below[1, 1] < below[1, 2]


def test_under_the_critical_prior_the_interval_reaches_1(found):
    part = found["reverse_bayes"]
    critical = part["critical"]
    assert (critical["kind"], critical["side"]) == ("sceptical", "below")
    assert max(critical["posterior_eti95"]) == pytest.approx(1, abs=2e-3)
    # 20,000 draws know the limit to better than a fiftieth of itself
    assert 0 < critical["limit_mcse"] < 0.02 * critical["limit"]
    assert 0 < part["closed_form"]["limit_mcse"] < 0.03 * critical["limit"]
    assert any("Monte Carlo standard error" in note for note in part["notes"])
    # by default the conclusion's threshold is the interval's, so that nothing has to be said
    assert not any("97.5%" in note for note in part["notes"])
    closed = critical_prior(*critical["without_prior"]["eti95"])
    assert critical["low"] == pytest.approx(1 / critical["high"])
    assert math.log(critical["low"]) == pytest.approx(math.log(closed.low), rel=0.15)
    assert part["closed_form"]["low"] == pytest.approx(closed.low)
    # the sentence names the rule, which is not that of the conclusion
    assert part["sentence"].startswith("By the 95% interval")
    verdict = judge_evidence(closed, parse_prior("hr(0.6, 0.4, 0.9)", "treatment")).verdict
    assert part["evidence"]["trial"]["verdict"] == verdict


def test_the_grid_says_how_every_cell_was_drawn(found):
    curve = found["priors"]["curve"]
    for line in range(2):
        for engine, k, r_hat in zip(
            curve["engine"][line], curve["pareto_k"][line], curve["r_hat"][line], strict=True
        ):
            assert (k is None, r_hat is None) == (engine == "nuts", engine != "nuts")


def test_a_finding_at_no_effect_is_not_given_an_advocate_that_noise_made(tmp_path):
    """Pairs of patients with the same follow-up: the side of 1 is not in the data."""
    rows = [
        f"{arm},50,{month + 0.001 * arm:.3f},1"
        for month in np.random.default_rng(8).exponential(20, 60).round(1) + 0.1
        for arm in (0, 1)
    ]
    spec = write(tmp_path, 0.0, SPEC.replace('"age"', '""'))
    (tmp_path / "cohort.csv").write_text("\n".join(["arm,age,months,dead", *rows]))
    done = call("sensitivity", spec, "--only", "reverse_bayes", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    part = json.loads((tmp_path / "out" / "sensitivity.json").read_text())["reverse_bayes"]
    critical = part["critical"]
    assert critical["without_prior"]["median"] == pytest.approx(1, abs=0.02)
    assert critical["is_reliable"] is False and critical["problem"]
    # it was tried with more draws
    assert critical["draws"] == 80_000
    assert "cannot be determined" in part["sentence"]
    assert "an advocate who gives" not in part["sentence"]
    assert any("not reliable" in note for note in part["notes"])


def test_an_enthusiast_does_not_move_what_is_undecided(tmp_path):
    spec = SPEC.replace('"priors", "reverse_bayes"', '"priors"').replace("benefit = 0.6", "BENEFIT")
    spec = spec[: spec.index("[sensitivity.reverse_bayes")].replace("BENEFIT", "benefit = 0.3")
    spec = spec.replace('literature = {trial = "hr(0.6, 0.4, 0.9)"}\n', "")
    done = call("sensitivity", write(tmp_path, -0.22, spec), "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out" / "sensitivity.json").read_text())
    assert 0.025 < found["base"]["prob_below_1"] < 0.975
    rows = {row["name"]: row for row in found["priors"]["rows"]}
    assert rows["enthusiastic"]["prob_below_1"] > 0.975
    assert found["priors"]["moves"] is False
    assert "an enthusiast's prior" in found["conclusion"]["would_be_moved_by"][0]


def test_an_undecided_finding_has_an_advocate(tmp_path):
    critical = run(tmp_path, 0.0)["reverse_bayes"]["critical"]
    low, high = critical["without_prior"]["eti95"]
    assert low < 1 < high
    assert critical["kind"] == "advocacy"
    assert (
        max(critical["low"], critical["high"]) <= 1 or min(critical["low"], critical["high"]) >= 1
    )


@pytest.mark.parametrize(
    ("below", "said"),
    [
        (0.98, "changes at the thick line."),
        (
            0.6,
            "an undecided conclusion changes at 0.025 and at 0.975, of which the nearer is thick.",
        ),
    ],
)
def test_the_caption_of_the_grid_says_where_the_conclusion_changes(below, said):
    judge = Judge({"prob_below_1": below})
    context = SimpleNamespace(base=judge.base, rule=judge.rule, judge=judge)
    _, grid = figures_of(context, Settings(), [], {"prob_below_1": [[below]]})
    assert grid.name == "priors_grid"
    assert grid.caption.endswith(said)


HARM = """
title = "A small simulated cohort"
[data]
source = "cohort.csv"
time = "months"
event = "dead"
[model]
treatment = "arm"
reference = 0
[model.baseline]
cutpoints = 3
prior = "independent"
[sensitivity]
parts = ["priors", "multiverse", "influence"]
[sensitivity.priors]
means = [1.0]
scales = [1.0]
LINES
[sensitivity.multiverse]
baselines = ["independent"]
intervals = [3]
[sensitivity.influence]
candidates = 1
"""


def test_a_finding_of_harm_is_doubted_and_believed_on_its_own_side(tmp_path):
    done = call(
        "sensitivity", write(tmp_path, 0.8, HARM.replace("LINES", "")), "--out", tmp_path / "out"
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out" / "sensitivity.json").read_text())
    assert found["base"]["prob_below_1"] < 0.05
    part = found["priors"]
    assert part["benefit"] == pytest.approx(1 / 0.7)
    rows = {row["name"]: row for row in part["rows"]}
    assert parse_prior(rows["enthusiastic"]["prior"]).mean == pytest.approx(-math.log(0.7))
    # the enthusiast is surer of the finding than the sceptic
    assert rows["enthusiastic"]["prob_below_1"] < rows["sceptical"]["prob_below_1"]
    for name in ("priors", "influence"):
        assert "P(HR > 1)" in found[name]["sentence"]
        assert "P(HR < 1)" not in found[name]["sentence"]
    assert found["multiverse"]["sentence"].startswith("Of 6 specifications 6 conclude as")
    # fewer events with the treatment, or more without, turn a finding of harm
    paths = found["influence"]["fragility_paths"]
    assert (paths["treated"]["adds_events"], paths["reference"]["adds_events"]) == (False, True)


def test_a_stated_benefit_against_the_finding_is_said_to_be_that(tmp_path):
    spec = HARM.replace("LINES", "benefit = 0.6").replace(', "multiverse", "influence"', "")
    spec = spec[: spec.index("[sensitivity.multiverse]")]
    done = call("sensitivity", write(tmp_path, 0.8, spec), "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    part = json.loads((tmp_path / "out" / "sensitivity.json").read_text())["priors"]
    assert part["benefit"] == 0.6
    assert any("other side of 1 than the finding" in note for note in part["notes"])


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("benefit = 0.6", "benefit = 1", "sensitivity.priors"),
        ("benefit = 0.6", "benefit = -1", "sensitivity.priors.benefit"),
        ("benefit = 0.6", "benefit = 'much'", "sensitivity.priors.benefit"),
        ('literature = {trial = "hr(0.6, 0.4, 0.9)"}', 'literature = {a = "hr(1)"}', "hr"),
        ('trial = "hr(0.6, 0.4, 0.9)"\n', 'trial = "laplace(0, 1)"\n', "evidence.trial"),
        ("scales = [0.05, 0.5, 5.0]", "scales = [0]", "sensitivity.priors.scales"),
    ],
)
def test_priors_that_cannot_be_read_are_refused(old, new, words, tmp_path):
    spec = write(tmp_path, -0.7, SPEC.replace(old, new))
    done = call("sensitivity", spec, "--out", tmp_path / "out")
    assert done.returncode == 2, done.stdout
    assert words in done.stderr and len(done.stderr.strip().splitlines()) == 1
