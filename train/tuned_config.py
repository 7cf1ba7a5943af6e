"""A configuration's text with other values in ``[train]``, comments and all else as they were."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contracts import config as settings
from contracts.errors import ArtifactError

_HEADER = re.compile(r"\s*\[")
_TRAIN = re.compile(r"\s*\[\s*train\s*\]\s*(#.*)?$")


def rewritten(text: str, values: Mapping[str, Any], heading: str) -> str:
    """The text with each value in its line of ``[train]``, or in a new one at the table's end.

    Args:
        text: a TOML.
        values: names of ``[train]`` with numbers or strings.
        heading: a comment's lines, which come first.
    """
    lines = text.splitlines()
    first = next((i for i, line in enumerate(lines) if _TRAIN.match(line)), None)
    if first is None:
        lines += ["", "[train]"]
        first = len(lines) - 1
    last = next((i for i in range(first + 1, len(lines)) if _HEADER.match(lines[i])), len(lines))
    table = lines[first + 1 : last]
    while table and not table[-1].strip():
        table.pop()
    for name, value in values.items():
        line = f"{name} = {json.dumps(value)}"
        place = next((i for i, old in enumerate(table) if re.match(rf"\s*{name}\s*=", old)), None)
        if place is None:
            table.append(line)
        else:
            comment = re.search(r"\s+#[^\"']*$", table[place])
            table[place] = line + (comment.group() if comment else "")
    rest = ["", *lines[last:]] if lines[last:] else []
    comment = [f"# {line}" for line in heading.splitlines()]
    return "\n".join([*comment, *lines[: first + 1], *table, *rest]) + "\n"


def write(source: Path, target: Path, values: Mapping[str, Any], heading: str) -> None:
    """Write a configuration's file anew with other values in ``[train]``, and read it back.

    Raises:
        ArtifactError: when it does not say what it should: ``[train]`` is written in another way than by lines.
    """
    target.write_text(rewritten(source.read_text(encoding="utf-8"), values, heading), encoding="utf-8")
    held = settings.load(target).train
    lacking = [name for name, value in values.items() if getattr(held, name) != value]
    if lacking:
        raise ArtifactError(f"{target}: {', '.join(lacking)} are not as tuned; write [train] of {source} line by line")
