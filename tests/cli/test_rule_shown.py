"""A success rule about another effect than 1 shows the probability that it decides by."""

import re

import numpy as np
import pandas as pd
from runs import call


def test_the_rules_own_probability_is_printed_and_reported_under_its_name(tmp_path):
    rng = np.random.default_rng(0)
    arm = np.arange(120) % 2
    death = rng.exponential(20 * 1.6**arm)
    table = pd.DataFrame({"t": np.minimum(death, 40) + 0.1, "e": (death < 40).astype(int)})
    table.assign(arm=arm).to_csv(tmp_path / "two.csv", index=False)
    (tmp_path / "two.toml").write_text(
        'title = "Two arms"\n[data]\nsource = "two.csv"\ntime = "t"\nevent = "e"\n'
        '[model]\ntreatment = "arm"\nreference = 0\n[model.baseline]\ncutpoints = 4\n'
        "[success]\neffect = 0.9\n"
    )
    done = call("run", "two.toml", "--engine", "laplace", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (row,) = pd.read_csv(tmp_path / "out/tables/answers.csv").to_dict("records")
    below = row["prob_below_effect"]
    name, probability = ("<", below) if below >= 0.5 else (">", 1 - below)
    (said,) = re.findall(rf"^ +P\(HR {name} 0\.9\) +(\S+)$", done.stdout, re.MULTILINE)
    assert abs(float(said) - probability) <= 0.0051
    assert "P(HR &lt; 0.9)</th>" in (tmp_path / "out/report.html").read_text()
