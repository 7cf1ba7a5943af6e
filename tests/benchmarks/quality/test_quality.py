"""The benchmark's own parts: which stages, which figure of an evaluation, what is skipped, and the last line."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from contracts.errors import StackError
from deploy.pipeline import STAGES, TRAIN_PYTHON, Stage
from tests.benchmarks.quality import __main__ as command
from tests.benchmarks.quality import chain, gather
from tests.benchmarks.quality.protocols import PROTOCOLS, Protocol, lacking

PROTOCOL = Protocol("shop", "smoke.toml", "hit_rate", "HR@10", 0.5)


def evaluation(**hit_rates: float) -> dict:
    """An evaluation of lists by their hit rates; by NDCG the order is the other way round."""
    metrics = {
        name: {
            "hit_rate": {"mean": value, "interval": [value - 0.1, value + 0.1]},
            "ndcg": {"mean": 1 - value, "interval": [0, 1]},
        }
        for name, value in hit_rates.items()
    }
    return {"metrics_at_10": metrics, "gate": {"passed": True, "reasons": []}}


def test_the_figure_is_of_the_protocol_s_metric_and_beside_it_stands_the_best_baseline() -> None:
    document = evaluation(served=0.6, retrieval_order=0.9, item_item=0.8, popular=0.2, als=0.4, ease=0.3)
    assert gather.result(PROTOCOL, document, 12.34) == {
        "dataset": "shop",
        "metric": "HR@10",
        "value": 0.6,
        "low": 0.5,
        "high": 0.7,
        "target": 0.5,
        "reached": True,
        "baseline": "als",
        "baseline_value": 0.4,
        "gate": True,
        "seconds": 12.3,
    }
    assert not gather.result(PROTOCOL._replace(target=0.61), document, 1.0)["reached"]


def test_the_tables_say_what_was_missed_what_was_skipped_and_every_list() -> None:
    document = evaluation(served=0.6, popular=0.2)
    missed = gather.result(PROTOCOL._replace(target=0.61), {**document, "gate": {"passed": False}}, 1.0)
    by_dataset = {"shop": gather.lists(PROTOCOL, document), "other": {"ease": (0.3, 0.2, 0.4)}}
    console = Console(width=160, record=True, file=io.StringIO())
    for table in gather.tables([missed], by_dataset, {"news": "no such file"}):
        console.print(table)
    said = console.export_text()
    for words in ("0.6000", "0.5000 to 0.7000", "missed, gate closed", "skipped: no such file", "popular", "0.3000"):
        assert words in said


def test_every_stage_runs_but_promotion_and_the_baselines_come_before_the_judgement() -> None:
    names = [stage.name for stage in chain.stages()]
    assert names.index("baselines") == names.index("evaluate") - 1
    assert {stage.name for stage in STAGES} - {*names} == {"promote"}


def test_data_that_is_not_there_is_named(tmp_path) -> None:
    needy = PROTOCOL._replace(needs="shop/log.parquet")
    assert str(tmp_path / "shop/log.parquet") in lacking(needy, str(tmp_path))
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/log.parquet").touch()
    assert lacking(needy, str(tmp_path)) == lacking(PROTOCOL, str(tmp_path)) == ""


def test_one_that_is_skipped_and_one_that_fails_do_not_keep_the_others_from_the_last_line(
    tmp_path, monkeypatch, capsys
) -> None:
    here, fails, lacks = PROTOCOL, PROTOCOL._replace(name="fails"), PROTOCOL._replace(name="lacks", needs="nothing")

    def run(protocol, root, console):
        if protocol is fails:
            raise StackError("etl failed with exit code 1; the end of its log:\nno disk")
        return evaluation(served=0.6, popular=0.2), 3.0

    monkeypatch.setattr(command, "PROTOCOLS", (fails, lacks, here))
    monkeypatch.setattr(chain, "run", run)
    monkeypatch.setenv("TRIREME_DATA", str(tmp_path))
    kept = []
    monkeypatch.setattr(command, "_keep", lambda found, root: kept.append(found))
    assert command.main(["--root", str(tmp_path)]) == 1
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [one["dataset"] for one in last["results"]] == ["shop"]
    assert [*last["skipped"]] == ["lacks"] and "no disk" not in last["failed"]["fails"]
    assert kept[0]["lists"]["shop"]["served"] == pytest.approx((0.6, 0.5, 0.7))
    assert command.main(["--root", str(tmp_path), "--only", "lacks"]) == 0


def test_the_picture_is_drawn_from_the_file_alone(tmp_path) -> None:
    one = gather.result(PROTOCOL, evaluation(served=0.6, popular=0.2), 1.0)
    lists = {"shop": {"served": [0.6, 0.5, 0.7], "new_list": [0.2, 0.1, 0.3]}}
    command._keep({"results": [one], "lists": lists}, tmp_path)
    assert (tmp_path / "result.png").read_bytes().startswith(b"\x89PNG")


_STAGE = """
import json, os, sys, time
from contracts.stack import stack_settings
name, root = sys.argv[1], stack_settings().root  # as every stage: refuses an environment that is wrong
document = {"gate": {"passed": os.path.exists(root + "/open")}}
if name == "evaluate":
    os.makedirs(root + "/smoke/answers", exist_ok=True)
    if not os.path.exists(root + "/broken"):
        json.dump(document, open(root + "/smoke/answers/evaluation.json", "w"))
    if not document["gate"]["passed"]:
        sys.exit("the gate is closed")
time.sleep(0.1)  # seconds are told to a tenth
print(json.dumps({}))
"""


def test_a_closed_gate_is_a_result_and_a_stage_that_breaks_is_not(tmp_path, monkeypatch) -> None:
    package = tmp_path / "fake_stage"
    package.mkdir()
    (package / "__main__.py").write_text(_STAGE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    names = ("etl", "baselines", "evaluate")
    stages = [Stage(name, "", TRAIN_PYTHON, ("fake_stage", name)) for name in names]
    monkeypatch.setattr(chain, "stages", lambda: stages)
    console = Console(quiet=True)
    (tmp_path / "broken").touch()
    with pytest.raises(StackError, match="evaluate failed"):
        chain.run(PROTOCOL, tmp_path, console)
    (tmp_path / "broken").unlink()
    document, seconds = chain.run(PROTOCOL, tmp_path, console)
    assert document["gate"]["passed"] is False
    assert seconds >= 0.1, "of the stages that ended well; the baselines are not counted"


def test_the_protocols_are_four_with_configurations_that_are_there() -> None:
    from contracts.config import load

    for protocol in PROTOCOLS:
        assert load(f"configs/{protocol.config}").name
    assert len({protocol.name for protocol in PROTOCOLS}) == len(PROTOCOLS) == 4
