"""Run in the train environment: raw values through the saved workflow, as NVTabular itself encodes them."""

import importlib
import sys

import pandas as pd


def main(workflow: str, values: str, out: str) -> None:
    importlib.import_module("etl.lean")  # first: it hides TensorFlow, for which Merlin would wait
    nvtabular = importlib.import_module("nvtabular")
    encoded = nvtabular.Workflow.load(workflow).transform(nvtabular.Dataset(pd.read_parquet(values)))
    encoded.to_ddf().compute().reset_index(drop=True).to_parquet(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
