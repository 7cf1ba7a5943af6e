import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from contracts.errors import ArtifactError
from train.off_policy import Logged, estimates, read

OPEN_BANDIT = Path(importlib.util.find_spec("obp").submodule_search_locations[0]) / "dataset" / "obd"


def test_estimates_are_as_computed_by_hand():
    log = Logged(
        reward=np.array([1.0, 0.0, 1.0, 0.0]),
        propensity=np.array([0.5, 0.5, 0.1, 0.25]),
        target=np.array([0.25, 0.5, 0.8, 0.0]),
        unit=np.arange(4),
        predicted=np.array([0.5, 0.5, 0.5, 0.0]),
        predicted_target=np.array([0.6, 0.4, 0.6, 0.4]),
    )
    found = estimates(log, clip=4.0)  # the weights are 1/2, 1, 8 and 0
    values = {name: one["value"] for name, one in found["estimates"].items()}
    assert values["ips"] == pytest.approx((0.5 + 8) / 4)
    assert values["clipped"] == pytest.approx((0.5 + 4) / 4)
    assert values["snips"] == pytest.approx((0.5 + 8) / (0.5 + 1 + 8))
    assert values["dr"] == pytest.approx((0.6 + 0.25 + 0.4 - 0.5 + 0.6 + 4 + 0.4) / 4)
    assert found["logged"]["value"] == 0.5
    assert found["mean_weight"]["value"] == pytest.approx(9.5 / 4)
    assert found["greatest_weight"] == 8.0
    assert found["effective_rows"] == pytest.approx(9.5**2 / (0.25 + 1 + 64))


def bandit(seed, rows=4000, spoiled=False):
    """Contexts of two kinds, five items; what the judged policy earns is known exactly."""
    generator = np.random.default_rng(seed)
    mean = np.array([[0.1, 0.2, 0.3, 0.4, 0.5], [0.6, 0.1, 0.1, 0.1, 0.1]])
    logging = np.array([[0.4, 0.3, 0.1, 0.1, 0.1], [0.2, 0.2, 0.2, 0.2, 0.2]])
    judged = np.array([[0.0, 0.1, 0.2, 0.3, 0.4], [0.8, 0.05, 0.05, 0.05, 0.05]])
    context = generator.integers(0, 2, rows)
    item = (generator.random(rows)[:, None] > np.cumsum(logging[context], axis=1)).sum(axis=1)
    reward = (generator.random(rows) < mean[context, item]).astype(float)
    model = mean + 0.2 if spoiled else mean
    log = Logged(
        reward=reward,
        propensity=logging[context, item],
        target=judged[context, item],
        unit=np.arange(rows),
        predicted=model[context, item],
        predicted_target=(judged * model).sum(axis=1)[context],
    )
    return log, float((judged * mean).sum(axis=1).mean())


@pytest.mark.parametrize("name", ["ips", "snips", "dr"])
@pytest.mark.parametrize("spoiled", [False, True])
def test_over_many_logs_estimates_hit_the_known_value_and_intervals_cover_it(name, spoiled):
    logs = [bandit(seed, spoiled=spoiled) for seed in range(150)]
    found = [estimates(log, 100.0)["estimates"][name] for log, _ in logs]
    truth = logs[0][1]
    values = np.array([one["value"] for one in found])
    assert values.mean() == pytest.approx(truth, abs=4 * values.std() / np.sqrt(len(values)))
    covered = np.mean([one["interval"][0] < truth < one["interval"][1] for one in found])
    assert 0.9 <= covered <= 0.99


def test_a_model_of_the_reward_makes_the_estimate_surer_and_the_logging_policy_s_own_mean_is_no_answer():
    log, truth = bandit(1)
    found = estimates(log, 100.0)

    def width(name):
        low, high = found["estimates"][name]["interval"]
        return high - low

    assert width("dr") < 0.95 * width("ips")
    assert not found["logged"]["interval"][0] < truth < found["logged"]["interval"][1]
    assert found["mean_weight"]["interval"][0] < 1 < found["mean_weight"]["interval"][1]


def test_wrong_propensities_show_in_the_mean_weight():
    log, _ = bandit(2)
    wrong = Logged(log.reward, np.full(len(log.reward), 0.35), log.target, log.unit)
    assert estimates(wrong, 100.0)["mean_weight"]["interval"][1] < 1


def test_rows_of_one_unit_count_as_one():
    log, _ = bandit(3, rows=500)
    often = Logged(*(np.repeat(x, 4) for x in (log.reward, log.propensity, log.target, log.unit)))
    once, again = (estimates(one, 100.0)["estimates"]["ips"]["interval"] for one in (log, often))
    assert again == pytest.approx(once)


def open_bandit(policy, campaign="men"):
    """Impressions of ZOZOTOWN, as its policies logged them (Saito et al., Open Bandit Dataset, 2021)."""
    log = pd.read_csv(OPEN_BANDIT / policy / campaign / f"{campaign}.csv")
    return log[["item_id", "position", "click", "propensity_score"]]


@pytest.mark.parametrize("campaign", ["all", "men", "women"])
def test_a_log_of_uniform_choice_tells_what_thompson_sampling_earned_in_its_own_log(tmp_path, campaign):
    uniform, thompson = open_bandit("random", campaign), open_bandit("bts", campaign)
    chosen = thompson.groupby(["item_id", "position"]).size() / thompson.groupby("position").size()
    places = list(zip(uniform["item_id"], uniform["position"]))
    uniform["thompson"] = pd.Series(places).map(chosen.to_dict()).fillna(0.0)
    uniform.to_parquet(tmp_path / "log.parquet")
    columns = {"reward": "click", "propensity": "propensity_score", "target": "thompson"}
    found = estimates(read(str(tmp_path / "log.parquet"), columns), 100.0)
    for name in ("ips", "snips"):
        low, high = found["estimates"][name]["interval"]
        assert low < thompson["click"].mean() < high
    assert found["logged"]["value"] == uniform["click"].mean()
    assert 2_000 < found["effective_rows"] < 4_000


def test_a_log_that_hardly_ever_showed_what_the_other_would_says_so():
    """Thompson sampling showed some items once in a million; a single such row outweighs all others."""
    log = open_bandit("bts", "women")
    arrays = log["click"].to_numpy(float), log["propensity_score"].to_numpy(), np.full(len(log), 1 / 46)
    found = estimates(Logged(*arrays, np.arange(len(log))), clip=100.0)
    assert found["effective_rows"] < 3 and found["greatest_weight"] > 20_000


def test_the_command_reads_csv_and_prints_the_estimates_as_json(tmp_path):
    open_bandit("random").assign(same=lambda log: log["propensity_score"]).to_csv(tmp_path / "log.csv", index=False)
    options = ["--reward", "click", "--propensity", "propensity_score", "--target", "same"]
    command = [sys.executable, "-m", "train", "off-policy", str(tmp_path / "log.csv"), *options]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    # The judged policy is the logging one: its value is the logged mean, by every estimator.
    assert {one["value"] for one in found["estimates"].values()} == {found["logged"]["value"]} == {0.0046}
    assert found["rows"] == found["effective_rows"] == 10_000


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [("propensity", 0.0, "more than 0 and at most 1, got 0.0 in row 1"), ("target", 1.5, "0 or more and at most 1")],
)
def test_what_is_no_probability_is_refused(tmp_path, column, value, message):
    table = pd.DataFrame({"reward": [1.0, 0.0], "propensity": [0.5, 0.5], "target": [0.5, 0.5]})
    table.loc[1, column] = value
    table.to_csv(tmp_path / "log.csv", index=False)
    names = {name: name for name in ("reward", "propensity", "target")}
    with pytest.raises(ArtifactError, match=message):
        read(str(tmp_path / "log.csv"), names)
    with pytest.raises(ArtifactError, match="expected columns \\['nobody'\\]"):
        read(str(tmp_path / "log.csv"), {**names, "unit": "nobody"})
