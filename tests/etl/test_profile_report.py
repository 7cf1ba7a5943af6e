"""The profile of a run: what programs and the next run read, and the page that people do."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import artifacts
from contracts.errors import ArtifactError
from etl import profile_charts, profile_page, profile_report, summary

HOSTILE = "<script>alert('x')</script>\"&\u202e\x00"
VOID = {"meta", "br", "rect", "line"}
DAY_MS, START = 86_400_000, 1_704_067_200_000  # 2024-01-01


class Page(HTMLParser):
    """Tags, attributes and text of a page; a tag that is not closed in its turn fails."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def day(number: int, rows: int = 600, region: str = "north") -> dict[str, Any]:
    rng = np.random.default_rng(number)
    columns: dict[str, Any] = {
        "event_id": [f"e{number}-{i}" for i in range(rows)],
        "event_type": rng.choice(["view", "purchase"], rows),
        "event_time": START + number * DAY_MS + rng.integers(0, DAY_MS, rows),
        "user_id": [f"u{i % 40}" for i in range(rows)],
        "region": rng.choice([region, "south"], rows),
        "value": np.round(rng.lognormal(2, 1.5, rows), 2),
        "quantity": pa.array(rng.integers(1, 5, rows), pa.int32()),
    }
    return summary.summarise(pa.table(columns))


def profile(**changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "name": "shop",
        "run": "20240121T000000-abc",
        "made_at": "2024-01-21T00:00:00Z",
        "counts": {"rows_in": 12_360, "processed": 11_400, "quarantined": 360, "held": 600, "dropped": 0},
        "quarantined_by_reason": {"duplicate": 300, "wrong_type": 60},
        "quarantined_by_day": {"2024-01-03": {"duplicate": 300}, "unknown": {"wrong_type": 60}},
        "days": {f"2024-01-{1 + i:02d}": day(i) for i in range(20)},
        "held": {"2024-01-07": ["rows: 600 where …", "region: 60.0% are null …"]},
        "examples": {"duplicate": {"event_id": "e1", "quantity": 3, "session_id": None}},
        "previous": None,
    }
    return {**made, **changes}


def page_of(made: dict[str, Any]) -> Page:
    return Page(profile_page.page(profile_report.document(made)))


def test_the_page_shows_every_figure_that_the_run_has() -> None:
    shown = page_of(profile(previous=day(50))).text
    for words in (
        "Data profile: shop",
        "run 20240121T000000-abc",
        "12,360 rows in = 11,400 processed + 360 quarantined + 600 held back",
        "2024-01-07 600 rows: 600 where … region: 60.0% are null …",
        "duplicate 300 2.427% event_id=e1 quantity=3",
        "60 quarantined rows have no day of the log.",
        "Empty throughout: item_id, session_id",
        "Hours of the day (UTC)",
        "Distributions of numbers",
        "in logarithmic steps",
        "Top categories",
        "Drift against the last run",
        "none stands out",
        "2024-01-01 00:",
    ):
        assert words in shown, words
    assert "does not add up" not in shown
    for field in ("event_id", "event_type", "user_id", "region", "value", "quantity"):
        assert field in shown


def test_a_bar_stands_for_every_day_and_says_what_it_holds() -> None:
    text = profile_page.page(profile_report.document(profile()))
    titles = re.findall(r"<title>(2024-01-\d\d): ([^<]*)</title>", text)
    assert [label for label, _ in titles] == [f"2024-01-{1 + i:02d}" for i in range(20)]
    assert dict(titles)["2024-01-03"] == "rows 600, duplicate 300"
    assert text.count(f'fill="{profile_charts.HELD}"') == 2  # the held day's bar and the tint behind it


def test_rows_that_are_unaccounted_for_are_shouted() -> None:
    counts = {"rows_in": 12_365, "processed": 11_400, "quarantined": 360, "held": 600, "dropped": 0}
    assert "This does not add up: 5 rows are unaccounted for." in page_of(profile(counts=counts)).text


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    page = page_of(profile())
    assert not page.tags & {"script", "link", "img", "iframe", "object", "embed", "base", "form", "a"}
    assert not {name for name, _ in page.attributes if name.startswith("on") or name in ("src", "href", "srcset")}
    text = profile_page.page(profile_report.document(profile()))
    assert "http://" not in text and "https://" not in text and "url(" not in text and "@import" not in text
    assert any("default-src 'none'" in (value or "") for _, value in page.attributes)


def test_a_value_from_outside_is_only_ever_text() -> None:
    made = profile(
        name=HOSTILE,
        run=HOSTILE,
        made_at=HOSTILE,
        days={"2024-01-01": day(0, region=HOSTILE), "2024-01-02": day(1, region=HOSTILE)},
        held={"2024-01-02": [HOSTILE]},
        quarantined_by_reason={HOSTILE: 5},
        quarantined_by_day={"2024-01-01": {HOSTILE: 5}, HOSTILE: {HOSTILE: 1}},
        examples={HOSTILE: {"user_id": HOSTILE, "attributes": [("k", HOSTILE * 99)], "value": float("nan")}},
        previous=day(3),
    )
    text = profile_page.page(profile_report.document(made))
    page = Page(text)
    assert "script" not in page.tags and "<script" not in text
    assert page.text.count("<script>alert('x')</script>") >= 6
    assert "\x00" not in text and "\u202e" not in text
    assert len(text) < 100_000


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(), max_size=60))
def test_any_text_is_safe_in_text_and_in_attributes(value: str) -> None:
    shown = profile_charts.safe(value)
    assert not {*"<>\"'"} & {*shown}
    shown.encode()
    assert len(Page(f"<p>{shown}</p>").text) <= profile_charts.MOST_LETTERS


def test_the_json_comes_back_as_it_was_written_and_holds_the_next_run_s_comparison(tmp_path: Path) -> None:
    folder = str(tmp_path / "profile")
    assert profile_report.previous(folder) is None
    first = profile()
    made = profile_report.write(folder, first)
    assert artifacts.read_json(f"{folder}/profile.json") == made == json.loads(json.dumps(made, allow_nan=False))
    assert made["drift"] is None and made["counts"] == first["counts"]
    assert {*made["days"]} == {*first["days"]} and made["days"]["2024-01-07"]["rows"] == 600
    assert made["figures"]["rows"] == 19 * 600  # without the held day
    Page((tmp_path / "profile/profile.html").read_text(encoding="utf-8"))

    again = profile_report.write(folder, profile(previous=profile_report.previous(folder)))
    assert {(told["psi"], told["word"]) for told in again["drift"].values()} == {(0.0, "stable")}
    assert "Below .0005: hours, event_id" in page_of(profile(previous=made["summary"])).text

    moved = {f"2024-01-{1 + i:02d}": day(i, region="west") for i in range(20)}
    other = profile_report.write(folder, profile(days=moved, previous=profile_report.previous(folder)))
    assert other["drift"]["region"]["word"] == "shifted" and other["drift"]["value"]["word"] == "stable"
    assert re.search(r"region \d\.\d+ shifted", Page((tmp_path / "profile/profile.html").read_text("utf-8")).text)


def test_a_last_profile_that_is_no_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "profile.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"profile\.json is not JSON"):
        profile_report.previous(str(tmp_path))


def test_a_run_without_a_row_has_a_page_too() -> None:
    counts = {"rows_in": 0, "processed": 0, "quarantined": 0, "held": 0, "dropped": 0}
    nothing = profile(
        counts=counts, quarantined_by_reason={}, quarantined_by_day={}, days={}, held={}, examples={}, previous=None
    )
    shown = page_of(nothing).text
    assert "0 rows in = 0 processed + 0 quarantined + 0 held back" in shown and "No day has rows." in shown
    assert "There is no earlier run to compare with." in shown


def test_years_of_days_share_bars() -> None:
    days = {str(np.datetime64("2000-01-01") + i): day(i, rows=3) for i in range(0, 9_000, 500)}
    text = profile_page.page(profile_report.document(profile(days=days, held={})))
    assert "A bar is 22 days." in Page(text).text
    assert 17 <= len(re.findall(r"<title>2\d\d\d-\d\d-\d\d: rows", text)) <= 18


@pytest.mark.parametrize(
    ("number", "expected"),
    [(0, "0"), (7, "7"), (0.03125, "0.0312"), (1234, "1.23k"), (2.5e6, "2.5M"), (1e300, "1e+300")],
)
def test_numbers_are_short(number: float, expected: str) -> None:
    assert profile_charts.short(number) == expected
