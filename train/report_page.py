"""The evaluation as one HTML page: no scripts, nothing loaded from elsewhere, and every value escaped."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from train import charts

#: What a check's ``passed`` is called.
WORDS = {True: "passed", False: "refused", None: "not compared"}

_STYLE = """
body{font:14px/1.45 system-ui,sans-serif;color:#1c2733;background:#fff;margin:0 auto;max-width:960px;padding:24px 20px}
h1{font-size:24px;margin:0 0 2px}h2{font-size:17px;margin:34px 0 8px;border-bottom:1px solid #dfe5ec;padding-bottom:4px}
p{margin:6px 0;max-width:76ch}.quiet{color:#5d6b7a}img{max-width:100%;height:auto;display:block;margin:8px 0}
.sum{display:flex;flex-wrap:wrap;gap:8px 26px;margin:16px 0}.sum b{font-size:26px;font-variant-numeric:tabular-nums}
.sum span{display:block;font-size:12px;color:#5d6b7a}.wide{overflow-x:auto}
table{border-collapse:collapse;min-width:60%;font-variant-numeric:tabular-nums}
th,td{text-align:left;vertical-align:top;padding:4px 14px 4px 0;border-bottom:1px solid #edf0f4}
th{font-weight:600;font-size:12px;color:#5d6b7a}td.n,th.n{text-align:right;white-space:nowrap}
td small{color:#5d6b7a;display:block}code{font-size:12px;background:#f3f5f8;padding:1px 4px;border-radius:3px}
.word{padding:1px 8px;border-radius:9px;font-size:12px;white-space:nowrap}.passed{background:#e3f1e6;color:#22592f}
.refused{background:#fbe0e0;color:#8c1d22}.not{background:#eef1f5;color:#44505e}
@media print{body{padding:0;font-size:11px}h2{break-after:avoid}tr,img{break-inside:avoid}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
"""
_HEAD = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    '<meta http-equiv="Content-Security-Policy" '
    "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">"
    '<meta name="viewport" content="width=device-width"><title>{title}</title><style>{style}</style></head><body>'
)
_ABOUT = {
    "lists": (
        "Full ranking of the catalogue. What the user had seen is not listed; relevant is what was new to the user and "
        "taken after the request. Intervals: bootstrap over users, paired between lists."
    ),
    "cold-start": (
        "The same users, asked for under an id that no model knows, with so many of their newest interactions known; "
        "attributes and home region stay. What they really had seen is in neither list, so that the curve shows what "
        "knowing is worth."
    ),
    "slices": (
        "Requests in brackets. Slices of items count their items only: compare lists within a slice, not slices."
    ),
    "reliability": (
        "How often what was said to be likely happened, on window C, by a calibration fitted on other rows of it. "
        "Every dot stands for as many expected hits."
    ),
    "losses": "From the models' manifests.",
}


def page(name: str, document: Mapping[str, Any], drawn: Mapping[str, bytes]) -> str:
    """The page of an ``evaluation.json`` and its charts (chart -> PNG)."""
    gate = document["gate"]
    parts = [
        _HEAD.format(title=f"Evaluation: {safe(name)}", style=_STYLE),
        f"<h1>Evaluation: {safe(name)}</h1>",
        f'<p class="quiet">release {safe(document["release"])}</p>',
        _summary(document),
        f"<h2>The gate {_word(gate['passed'])}</h2>",
        _table(
            ("", "check", "found", "asked"),
            [
                (_word(check["passed"]), safe(check["name"]), safe(check["found"]), _asked(check))
                for check in gate["checks"]
            ],
        ),
        *_section("Every list", "lists", drawn),
        _metrics(document),
        *_section("Cold start", "cold-start", drawn),
        _cold_start(document["cold_start"]),
        *_section("Slices", "slices", drawn),
        _slices(document["slices"]),
        *_section("Calibration", "reliability", drawn),
        *_section("Training", "losses", drawn),
        "<h2>Latency</h2>",
        _table(
            ("one request at a time, ms", "median", "95th percentile"),
            [(safe(part), x["p50"], x["p95"]) for part, x in document["latency_ms"].items()],
        ),
        "</body></html>",
    ]
    return "\n".join(part for part in parts if part)


def safe(value: object) -> str:
    """Text for HTML."""
    return html.escape(str(value))


def _summary(document: Mapping[str, Any]) -> str:
    shown = {
        "NDCG@10 as served": f"{document['ndcg_at_10']:.4f}",
        "times most popular's": f"{document['ratio']:.2f}",
        "requests": f"{document['requests']:,}",
        "users": f"{document['users']:,}",
        "ms a request, median": document["latency_ms"]["chain"]["p50"],
    }
    return f'<div class="sum">{"".join(f"<div><b>{x}</b><span>{name}</span></div>" for name, x in shown.items())}</div>'


def _word(passed: bool | None) -> str:
    return f'<span class="word {WORDS[passed].split()[0]}">{WORDS[passed]}</span>'


def _asked(check: Mapping[str, Any]) -> str:
    return f"{safe(check['asked'])} <code>{safe(check['setting'])}</code>"


def _section(heading: str, name: str, drawn: Mapping[str, bytes]) -> Iterable[str]:
    """A chart under a heading, or nothing where there is none."""
    if name in drawn:
        yield f'<h2>{heading}</h2><p class="quiet">{_ABOUT[name]}</p>'
        yield f'<img alt="{heading}" src="data:image/png;base64,{base64.b64encode(drawn[name]).decode()}">'


def _metrics(document: Mapping[str, Any]) -> str:
    metrics, exposure = document["metrics_at_10"], document["exposure_at_10"]
    head = ("list", *(f"{metric}@10" for metric in metrics["served"]), "coverage", "Gini", "novelty, bits")
    rows = []
    for name, values in metrics.items():
        beyond = exposure[name]
        spread = f"{beyond['coverage']:.1%}", f"{beyond['gini']:.3f}", f"{beyond['novelty']:.1f}"
        rows.append((safe(charts.title(name)), *map(_mean, values.values()), *spread))
    return _table(head, rows)


def _cold_start(points: Sequence[Mapping[str, Any]]) -> str:
    if not points:
        return ""
    rows = [
        (point["known_events"], _mean(point["served"]), _mean(point["trending"]), _ratio(point["against_trending"]))
        for point in points
    ]
    return _table(("interactions known", "the answers", "trending", "ratio"), rows)


def _slices(documents: Sequence[Mapping[str, Any]]) -> str:
    if not documents:
        return ""
    names = list(documents[0]["ndcg"])
    against = list(documents[0]["compared"])
    head = ("slice", "requests", *map(charts.title, names), *(f"against {charts.title(name)}" for name in against))
    rows = [
        (
            f"{safe(each['group'])}: {safe(each['name'])}",
            f"{each['requests']:,}",
            *(_mean(each["ndcg"][name]) for name in names),
            *(_ratio(each["compared"][name]) for name in against),
        )
        for each in documents
    ]
    return _table(head, rows)


def _mean(value: Mapping[str, Any]) -> str:
    low, high = value["interval"]
    return f"{value['mean']:.4f}<small>{low:.4f} to {high:.4f}</small>"


def _ratio(compared: Mapping[str, Any]) -> str:
    low, high = compared["ratio_interval"]
    return f"{compared['ratio']:.3f}<small>{low:.3f} to {high:.3f}</small>"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Cells are HTML already; those that begin with a digit or a sign are numbers."""

    def cell(tag: str, value: object) -> str:
        number = str(value)[:1] in "0123456789+-" and len(str(value)) > 0
        return f"<{tag} class=n>{value}</{tag}>" if number and tag == "td" else f"<{tag}>{value}</{tag}>"

    body = "".join(f"<tr>{''.join(cell('td', x) for x in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{"".join(cell("th", safe(x)) for x in head)}</tr>{body}</table></div>'
