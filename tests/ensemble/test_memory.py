"""What a step holds of a release: no more than it uses, and of large arrays nothing of its own."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ensemble import assemble
from ensemble.steps.popularity import Popularity
from ensemble.steps.release import Release
from ensemble.steps.sources import ITEM_ITEM
from ensemble.steps.tables import BUCKETS, load
from tests.ensemble.made_up import CUT

_ARRAYS = {
    "odd": np.arange(7, dtype=np.int8),
    "numbers": np.arange(12, dtype=np.float64).reshape(3, 4),
    "names": np.array(["", "fünf"]),
    "by_column": np.asfortranarray(np.arange(6, dtype=np.int32).reshape(2, 3)),
    "none": np.zeros((5, 0), np.float32),
}


def rewritten(damaged: Path, name: str, data: bytes) -> Release:
    """The release with another file in the place of one, as if it had been exported with it."""
    (damaged / name).write_bytes(data)
    document = json.loads((damaged / "release.json").read_bytes())
    document["files"][name] = assemble.checksum(damaged / name)
    (damaged / "release.json").write_text(json.dumps(document))
    return Release.open(damaged)


def npz(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def test_arrays_of_an_export_are_used_where_the_file_lies(release: Release) -> None:
    for name in release.document["files"]:
        if name.endswith((".npz", ".npy")):
            held = release.arrays(name) if name.endswith(".npz") else {"": release.array(name)}
            for key, array in held.items():
                assert not array.flags.owndata and not array.flags.writeable, f"{name} {key} is a copy"
                assert array.flags.aligned, f"{name} {key}"


def test_what_is_written_aligned_numpy_reads_too(tmp_path: Path) -> None:
    assemble._write_arrays(tmp_path / "a.npz", **_ARRAYS)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as found:
        assert found.files == list(_ARRAYS)
        for name, array in _ARRAYS.items():
            assert np.array_equal(found[name], array) and found[name].dtype == array.dtype


def test_arrays_are_read_as_numpy_reads_them_wherever_they_lie(damaged: Path) -> None:
    found = rewritten(damaged, ITEM_ITEM, npz(**_ARRAYS)).arrays(ITEM_ITEM)
    assert list(found) == list(_ARRAYS)
    for name, array in _ARRAYS.items():
        assert np.array_equal(found[name], array) and found[name].dtype == array.dtype
        assert found[name].flags.aligned, "numpy would copy it at every use"


def test_an_array_of_objects_is_no_array(damaged: Path) -> None:
    file = io.BytesIO()
    np.savez(file, neighbours=np.array([{}], object))
    with pytest.raises(ValueError):
        rewritten(damaged, ITEM_ITEM, file.getvalue()).arrays(ITEM_ITEM)


def test_buckets_in_any_order_count_the_same(damaged: Path, release: Release) -> None:
    held = release.arrays(BUCKETS)
    order = np.random.default_rng(38).permutation(len(held["bucket"]))
    mixed = {name: array if name == "regions" else array[order] for name, array in held.items()}
    other = load(rewritten(damaged, BUCKETS, npz(**mixed)))
    own = load(release)
    assert np.array_equal(own.buckets.number, held["bucket"]), "in the order of the file, not sorted once more"
    hours = own.features.popularity_half_lives_hours[0]
    assert np.allclose(Popularity(own).counts(CUT, hours), Popularity(other).counts(CUT, hours), rtol=1e-12)
    for region in held["regions"][:3]:
        assert np.allclose(Popularity(own).trending(CUT, region), Popularity(other).trending(CUT, region), rtol=1e-12)


def test_who_does_not_count_holds_no_counts(release: Release) -> None:
    tables = load(release, counted=False)
    assert not len(tables.buckets.number) and not len(tables.first_takes.number) and not len(tables.covisits.number)
    assert tables.items == load(release).items


def test_a_step_that_runs_no_graph_does_without_onnxruntime() -> None:
    steps = "ensemble.serving, ensemble.impressions, ensemble.similar_serving, ensemble.steps.chain"
    code = f"import sys, {steps}; sys.exit('onnxruntime' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
