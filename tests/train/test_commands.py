import json
import subprocess
import sys

LIGHT = """
import json, sys
from train.__main__ import parser
commands = next(action for action in parser()._actions if action.choices)
helps = {each.dest: each.help for each in commands._choices_actions}
print(json.dumps({"helps": helps, "heavy": sorted({"tensorflow", "mlflow", "optuna", "pandas"} & sys.modules.keys())}))
"""


def test_every_module_of_commands_is_one_and_says_what_it_does_without_a_heavy_import():
    found = json.loads(subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=True).stdout)
    assert {"retrieval", "ranker", "baselines", "evaluate"} <= found["helps"].keys()
    assert all(found["helps"].values())
    assert found["heavy"] == []


def test_a_wrong_setting_is_one_line_and_ends_with_1(tmp_path):
    command = [sys.executable, "-m", "train", "ranker", str(tmp_path / "nowhere.toml")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("train ranker: ") and "no such file" in done.stderr
