"""The vocabulary as an NVTabular workflow: what GPU pipelines and Merlin's dataloaders apply to raw columns.

``encodings.json`` says in JSON what the saved workflow does; tests/etl transforms raw values through both and compares.
Importing this module takes seconds, so only the task that saves the workflow does.
"""

# pyright: reportMissingImports=false
# (Merlin lives in the train environment, pyright in the other)

from __future__ import annotations

from typing import Any

import fsspec
import nvtabular as nvt
from merlin.core.dispatch import get_lib
from merlin.io.worker import clean_worker_cache
from merlin.schema import ColumnSchema, Schema
from nvtabular import ops

from contracts.config import Config
from contracts.features import NULL
from etl import store
from etl.encoding import Encodings
from etl.vocabulary import columns


class NullSafeCategorify(ops.Categorify):
    """Categorify to which "" is a null too, as it is in the online store, and which bears a column of only nulls.

    The original raises IndexError there, and on partitions whose index does not start at 0.
    """

    def transform(self, col_selector: Any, df: Any) -> Any:
        """Codes of every column: 1 null, 2 unknown, then the vocabulary's."""
        names = col_selector.names
        frame = df[names].reset_index(drop=True).fillna("")
        codes = super().transform(col_selector, frame)
        for name in names:
            codes[name] = codes[name].mask(frame[name] == "", NULL)
        codes.index = df.index
        return codes


def save(config: Config, encoded: Encodings, folder: str) -> None:
    """Save the NVTabular workflow that gives these codes."""
    categorical, numeric = columns(config)
    path = folder if "://" in folder else fsspec.core.url_to_fs(folder)[1]
    lib = get_lib()
    vocabularies = {name: lib.Series(encoded[name], dtype="object") for name in categorical}
    encode = NullSafeCategorify(vocabs=vocabularies, out_path=f"{path}/fit", dtype="int64")
    normalize = ops.Normalize()
    graph = categorical >> encode
    if numeric:
        graph = graph + (numeric >> normalize >> ops.FillMissing(0.0))
    workflow = nvt.Workflow(graph)
    kinds = [ColumnSchema(name, dtype="str") for name in categorical]
    kinds += [ColumnSchema(name, dtype="float64") for name in numeric]
    workflow.fit_schema(Schema(kinds))
    for name in numeric:
        normalize.means[name], normalize.stds[name] = encoded[name]["mean"], encoded[name]["std"]
    clean_worker_cache()
    workflow.save(path)
    store.clear(f"{folder}/fit")
