from pathlib import Path

import pytest

from contracts import config as settings
from contracts.errors import ArtifactError
from train import tuned_config
from train.tuned_config import rewritten

TEXT = """# A shop.
name = "shop"

[train]  # of the models
embedding_dim = 32  # small
temperature = 0.1

[serve]
session_weight = 0.5
"""


def test_values_take_the_place_of_the_old_ones_and_all_else_stays():
    found = rewritten(TEXT, {"embedding_dim": 64, "id_dropout": 0.25}, "Tuned.")
    assert found.splitlines() == [
        "# Tuned.",
        "# A shop.",
        'name = "shop"',
        "",
        "[train]  # of the models",
        "embedding_dim = 64  # small",
        "temperature = 0.1",
        "id_dropout = 0.25",
        "",
        "[serve]",
        "session_weight = 0.5",
    ]


def test_without_a_table_of_training_there_is_one_after():
    assert rewritten('name = "shop"\n', {"ranker": "dlrm"}, "Tuned.").splitlines()[-2:] == [
        "[train]",
        'ranker = "dlrm"',
    ]


def test_a_name_that_is_the_end_of_another_is_not_it():
    found = rewritten("[train]\nranker_learning_rate = 0.1\n", {"learning_rate": 0.2}, "Tuned.")
    assert found.splitlines()[2:] == ["ranker_learning_rate = 0.1", "learning_rate = 0.2"]


def test_what_cannot_be_rewritten_line_by_line_is_refused(tmp_path):
    source, target = tmp_path / "shop.toml", tmp_path / "best.toml"
    smoke = Path(__file__).parents[2] / "configs" / "smoke.toml"
    source.write_text(smoke.read_text().replace("[train]", "[ 'train' ]"))
    with pytest.raises((ArtifactError, settings.ConfigError)):
        tuned_config.write(source, target, {"temperature": 0.3}, "Tuned.")
