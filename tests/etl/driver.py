"""Runs the stage several times in one process of its own: Merlin takes seconds to import, and TensorFlow is hidden.

``python tests/etl/driver.py JOBS.json``: a list of jobs, each a root, a configuration, module constants to set for the
run, and functions to break. It prints a JSON list of what came back: the key figures, or the error's text.
"""

import etl.lean  # noqa: F401  # isort: skip

import importlib
import json
import sys
from pathlib import Path
from unittest import mock

import pandas as pd

from contracts import config as settings
from contracts.stack import stack_settings
from etl import stage


def main(path: str) -> None:
    results = []
    for job in json.loads(Path(path).read_text()):
        if "transform" in job:
            transform(job["transform"], job["values"], job["out"])
            continue
        stack = stack_settings({"TRIREME_ROOT": job["root"]})
        patches = [mock.patch(name, value) for name, value in job.get("constants", {}).items()]
        patches += [mock.patch(name, side_effect=RuntimeError("broken on purpose")) for name in job.get("broken", [])]
        for name in [*job.get("constants", {}), *job.get("broken", [])]:
            importlib.import_module(name.rpartition(".")[0])
        for patch in patches:
            patch.start()
        try:
            results.append(stage.run(settings.load(job["config"]), stack, False, lambda step: None))
        except RuntimeError as error:
            results.append({"error": str(error)})
        mock.patch.stopall()
    sys.stdout.write(json.dumps(results))


def transform(workflow: str, values: str, out: str) -> None:
    """Raw values through the saved workflow, as NVTabular itself would."""
    import nvtabular

    table = pd.read_parquet(values)
    loaded = nvtabular.Workflow.load(workflow)
    loaded.transform(nvtabular.Dataset(table)).to_ddf().compute().to_parquet(out)


if __name__ == "__main__":
    main(sys.argv[1])
