"""What the documents say is so: links resolve, the tree is the tree, zones are listed, decisions have their parts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from contracts.artifacts import Zones
from tests.architecture.tree import ROOT, STAGES, files, sources, text

DOCUMENTS = sources(".md")
DECISIONS = [path for path in DOCUMENTS if path.parts[:2] == ("docs", "decisions")]
LINK = re.compile(r"(?<!\!)\[[^\]]+\]\(([^)\s]+)\)")


def slug(heading: str) -> str:
    """A heading's anchor as forges make it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_every_link_of_a_document_leads_somewhere(path: Path) -> None:
    for target in LINK.findall(text(path) or ""):
        if re.match(r"https?://|mailto:", target):
            continue
        name, _, anchor = target.partition("#")
        linked = (ROOT / path.parent / name).resolve() if name else ROOT / path
        assert linked.exists(), f"{path} links to {target}"
        if anchor:
            headings = {slug(line.lstrip("#")) for line in linked.read_text().splitlines() if line.startswith("#")}
            assert anchor in headings, f"{path} links to {target}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_every_path_that_a_document_names_exists(path: Path) -> None:
    """Inline code that looks like a path of this repository is one."""
    tops = {*STAGES, "contracts", "configs", "docs", "tests", "triton_repo"}
    for named in re.findall(r"`([\w./-]+)`", text(path) or ""):
        if named.split("/")[0] in tops and "/" in named and "NNNN" not in named:
            assert (ROOT / named).exists(), f"{path} names {named}"


def test_the_artifacts_page_lists_every_zone() -> None:
    page = text(Path("docs/artifacts.md")) or ""
    zones = {name: getattr(Zones("R"), name) for name in dir(Zones) if isinstance(getattr(Zones, name), property)}
    missing = [name for name, url in zones.items() if f"`{url.removeprefix('R/')}" not in page]
    assert not missing


def listed_tree() -> set[str]:
    """The paths of README's file tree: two blanks an level, a comment behind two blanks or more."""
    match = re.search(r"^## File tree\n+```\w*\n(.*?)^```$", text(Path("README.md")) or "", re.MULTILINE | re.DOTALL)
    assert match, "README.md has no file tree"
    parents: list[str] = []
    paths: set[str] = set()
    for line in match.group(1).splitlines():
        if not line.strip():
            continue
        entry = re.match(r"( *)(\S+)(?:  +\S.*)?$", line)
        assert entry, f"a line of the tree is a path, two blanks and a comment: {line!r}"
        level, name = len(entry.group(1)) // 2, entry.group(2)
        parents[level:] = [name]
        paths.add("".join(parents))
    return paths


def test_the_readme_s_tree_names_only_what_is_there() -> None:
    missing = [path for path in listed_tree() if not (ROOT / path).exists()]
    assert not missing


def test_the_readme_s_tree_names_every_module() -> None:
    listed = listed_tree()
    unnamed = [
        str(path)
        for path in sources()
        if path.parts[0] in (*STAGES, "contracts", "triton_repo") and path.name not in ("__init__.py", "__main__.py")
        if str(path) not in listed
        and not any(str(path).startswith(folder) for folder in listed if is_leaf(folder, listed))
    ]
    assert not unnamed


def is_leaf(folder: str, listed: set[str]) -> bool:
    """Whether the tree names a folder as a whole, and nothing in it."""
    return folder.endswith("/") and not any(other.startswith(folder) for other in listed if other != folder)


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem)
def test_a_decision_has_its_parts_on_one_page(path: Path) -> None:
    content = text(path) or ""
    assert re.match(rf"# {path.stem[:4]}: \S", content)
    assert re.findall(r"^## (.+)$", content, re.MULTILINE) == ["Status", "Context", "Decision", "Consequences"]
    assert len(content.splitlines()) <= 60, "one page"


def test_decisions_are_numbered_without_a_gap() -> None:
    assert [int(path.stem[:4]) for path in sorted(DECISIONS)] == list(range(1, len(DECISIONS) + 1))
    assert len(DECISIONS) >= 2


def test_every_document_is_reached_from_the_readme() -> None:
    reached, new = set(), {Path("README.md")}
    while new:
        reached |= new
        targets = {
            (ROOT / path.parent / target.partition("#")[0]).resolve().relative_to(ROOT)
            for path in new
            for target in LINK.findall(text(path) or "")
            if not re.match(r"https?://|mailto:|#|\.\./\.\./", target)
        }
        held = {path for target in targets for path in files() if path == target or target in path.parents}
        new = {path for path in held if path.suffix == ".md"} - reached
    assert {path for path in DOCUMENTS if path.parts[0] != "tests"} - reached == set()
