"""The profile as one HTML page: no scripts, nothing loaded from elsewhere, and every value from the data escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np

from contracts.events import FIELD_BY_NAME
from etl import profile_charts as charts
from etl import sketch, summary
from etl.profile_charts import safe, short

#: Most bars of the chart of days; a longer log has several days a bar.
MOST_BARS = 400
#: Bars of a distribution, and most different values of a whole number to have a bar each.
BUCKETS, MOST_VALUES = 36, 30
#: A distribution over more than this many times its first percentile is drawn on a logarithmic scale.
WIDE = 20.0

_STYLE = """
body{font:14px/1.45 system-ui,sans-serif;color:#1c2733;background:#fff;margin:0 auto;max-width:960px;padding:24px 20px}
h1{font-size:24px;margin:0 0 2px}h2{font-size:17px;margin:34px 0 8px;border-bottom:1px solid #dfe5ec;padding-bottom:4px}
h3{font-size:13px;margin:14px 0 2px}p{margin:4px 0}.quiet{color:#5d6b7a}
.sum{display:flex;flex-wrap:wrap;gap:8px 14px;align-items:baseline;margin:16px 0;font-size:20px}
.sum b{font-size:26px;font-variant-numeric:tabular-nums}.sum span{font-size:13px;color:#5d6b7a;margin-left:5px}
.wrong{background:#fbe4e4;border:1px solid #c44e52;padding:6px 10px;border-radius:4px}
table{border-collapse:collapse;min-width:40%;font-variant-numeric:tabular-nums}
th,td{text-align:left;vertical-align:top;padding:4px 14px 4px 0;border-bottom:1px solid #edf0f4}
th{font-weight:600;font-size:12px;color:#5d6b7a}td.n,th.n{text-align:right}td:first-child{white-space:nowrap}
code{font-size:12px;background:#f3f5f8;padding:1px 4px;border-radius:3px;overflow-wrap:anywhere}
.word{padding:1px 7px;border-radius:9px;font-size:12px;white-space:nowrap}.stable{background:#e3f1e6;color:#22592f}
.moderate{background:#fdf0d5;color:#7a5200}.shifted{background:#fbe0e0;color:#8c1d22}
.key{margin:2px 14px 2px 0;font-size:12px;display:inline-block}
.key i{display:inline-block;width:10px;height:10px;margin-right:5px}
.row{display:flex;flex-wrap:wrap;gap:0 20px}svg{max-width:100%;height:auto;display:block}
svg text{font:11px system-ui,sans-serif;fill:#5d6b7a}svg .grid{stroke:#e3e8ee}
@media print{body{padding:0;font-size:11px}h2,h3{break-after:avoid}tr,svg,.row>div{break-inside:avoid}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
"""
_HEAD = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    '<meta name="viewport" content="width=device-width"><title>{title}</title><style>{style}</style></head><body>'
)


def page(made: Mapping[str, Any]) -> str:
    """The page of a ``profile.json`` (``etl.profile_report.document``)."""
    parts = [
        _HEAD.format(title=f"Data profile: {safe(made['name'])}", style=_STYLE),
        f"<h1>Data profile: {safe(made['name'])}</h1>",
        f'<p class="quiet">run {safe(made["run"], 80)} · made {safe(made["made_at"], 80)}</p>',
        _sum(made["counts"]),
        "<h2>Rows by day</h2>",
        _days(made),
        _held(made["held"], made["days"]),
        _quarantined(made),
        "<h2>Fields</h2>",
        _fields(made),
        "<h2>Hours of the day (UTC)</h2>",
        charts.bars([f"{hour:02d}" for hour in range(24)], made["figures"]["hours"], 150, charts.WIDTH),
        _distributions(made["summary"]["fields"]),
        _categories(made["summary"]["fields"]),
        _drift(made["drift"]),
        _notes(made["figures"]),
        "</body></html>",
    ]
    return "\n".join(part for part in parts if part)


def _sum(counts: Mapping[str, int]) -> str:
    names = {"processed": "processed", "quarantined": "quarantined", "held": "held back", "dropped": "dropped"}
    into = {name: counts[name] for name in names if name != "dropped" or counts[name]}
    shown = [f"<div><b>{count:,}</b><span>{names[name]}</span></div>" for name, count in into.items()]
    rows = f"<div><b>{counts['rows_in']:,}</b><span>rows in</span></div>"
    line = f'<div class="sum">{rows} = {" + ".join(shown)}</div>'
    missing = counts["rows_in"] - sum(into.values())
    if missing:
        line += f'<p class="wrong">This does not add up: {missing:,} rows are unaccounted for.</p>'
    return line


def _days(made: Mapping[str, Any]) -> str:
    if not made["days"]:
        return '<p class="quiet">No day has rows.</p>'
    first, last = date.fromisoformat(min(made["days"])), date.fromisoformat(max(made["days"]))
    days = [(first + timedelta(days=i)).isoformat() for i in range((last - first).days + 1)]
    reasons = sorted(made["quarantined_by_reason"], key=lambda reason: -made["quarantined_by_reason"][reason])
    colours = dict(zip(reasons, [*charts.STACKED, *[charts.STACKED[-1]] * len(reasons)]))
    refused = made["quarantined_by_day"]
    size = -(-len(days) // MOST_BARS)
    groups = [days[i : i + size] for i in range(0, len(days), size)]

    def total(group: Sequence[str], reason: str = "") -> int:
        if reason:
            return sum(refused.get(day, {}).get(reason, 0) for day in group)
        return sum(made["days"][day]["rows"] for day in group if day in made["days"])

    layers = [("rows", [total(group) for group in groups], charts.KEPT)]
    layers += [(reason, [total(group, reason) for group in groups], colours[reason]) for reason in reasons]
    marked = [any(day in made["held"] for day in group) for group in groups]
    known = {*days}
    outside = sum(sum(counts.values()) for day, counts in refused.items() if day not in known)
    keys = [("kept", charts.KEPT), *([("held back", charts.HELD)] if any(marked) else [])]
    keys += [(f"quarantined: {reason}", colours[reason]) for reason in reasons]
    legend = "".join(
        f'<span class="key"><i style="background:{colour}"></i>{safe(name)}</span>' for name, colour in keys
    )
    note = f'<p class="quiet">{outside:,} quarantined rows have no day of the log.</p>' if outside else ""
    each = f'<p class="quiet">A bar is {size} days.</p>' if size > 1 else ""
    return charts.stacked([group[0] for group in groups], layers, marked, 220) + legend + each + note


def _held(held: Mapping[str, Sequence[str]], days: Mapping[str, Any]) -> str:
    if not held:
        return ""
    rows = [
        [safe(day), f"{days[day]['rows']:,}" if day in days else "", "<br>".join(safe(each, 400) for each in held[day])]
        for day in sorted(held)
    ]
    return "<h2>Days held back</h2>" + _table(["day", "#rows", "why"], rows)


def _quarantined(made: Mapping[str, Any]) -> str:
    counts, rows = made["quarantined_by_reason"], []
    if not counts:
        return ""
    for reason, count in sorted(counts.items(), key=lambda pair: -pair[1]):
        example = made["examples"].get(reason, {})
        cells = " ".join(
            f"<code>{safe(name)}={safe(value, 60)}</code>" for name, value in example.items() if value is not None
        )
        rows.append([safe(reason), f"{count:,}", f"{count / max(made['counts']['rows_in'], 1):.3%}", cells])
    return "<h2>Quarantined</h2>" + _table(["reason", "#rows", "#of all", "an example"], rows)


def _fields(made: Mapping[str, Any]) -> str:
    rows, empty = [], []
    for name, told in made["figures"]["fields"].items():
        if told["null_rate"] == 1.0:
            empty.append(name)
            continue
        numbers = [short(told[each]) if each in told else "" for each in ("min", "max")]
        middle = [short(told["quantiles"][each]) if "quantiles" in told else "" for each in ("0.5", "0.95")]
        distinct = f"{'≥ ' if told['at_least'] else ''}{told['distinct']:,}" if "distinct" in told else ""
        often = " ".join(f"<code>{safe(value, 24)}</code> {short(count)}" for value, count in told.get("top", [])[:3])
        if "top" in told and not told["top"]:
            often = '<span class="quiet">none stands out</span>'
        if name == "event_time":
            often = " – ".join(_instant(told[end]) for end in ("first", "last") if told[end] is not None)
        rows.append([name, f"{told['null_rate']:.2%}", distinct, numbers[0], *middle, numbers[1], often])
    head = ["field", "#null", "#distinct", "#min", "#median", "#p95", "#max", "most frequent, with rows"]
    note = f'<p class="quiet">Empty throughout: {", ".join(empty)}.</p>' if empty and made["figures"]["rows"] else ""
    return _table(head, rows) + note


def _instant(ms: int) -> str:
    return str(np.datetime64(ms, "ms")).replace("T", " ")[:16]


def _distributions(fields: Mapping[str, Any]) -> str:
    parts = []
    for name in summary.NUMBERS:
        values, counts = sketch.laid_out(fields[name]["bins"])
        if len(values):
            labels, heights, steps = _histogram(values, counts, FIELD_BY_NAME[name].kind == "int")
            title = f'<h3>{name} <span class="quiet">{steps}</span></h3>'
            parts.append(f"<div>{title}{charts.bars(labels, heights, 160, 450)}</div>")
    return f'<h2>Distributions of numbers</h2><div class="row">{"".join(parts)}</div>' if parts else ""


def _histogram(values: np.ndarray, counts: np.ndarray, whole: bool) -> tuple[list[str], list[float], str]:
    """Labels, heights and what to know of the steps.

    A bar a value where whole numbers have few, else equal steps, of logarithms where the numbers range widely. The
    hundredth parts at both ends are drawn at the ends, or a single outlier would hide the shape.
    """
    until = np.cumsum(counts) / counts.sum()
    low, high = (values[min(np.searchsorted(until, share), len(values) - 1)] for share in (0.01, 0.99))
    inside = np.clip(values, low, high)
    if whole and len({*map(round, inside)}) <= MOST_VALUES:
        each = sketch.added({str(round(value)): int(count)} for value, count in zip(inside, counts))
        labels, heights = [*each], [*map(float, each.values())]
        return [*labels[:-1], f"{'≥ ' if high < values[-1] else ''}{labels[-1]}"], heights, ""
    if values[0] >= 0 and high > WIDE * low:
        zero, some = float(counts[values == 0].sum()), inside > 0
        heights, edges = np.histogram(np.log10(inside[some]), BUCKETS, weights=counts[some])
        labels = [short(10**middle) for middle in (edges[:-1] + edges[1:]) / 2]
        first, least = (["0"], [zero]) if zero else ([], [])
        return [*first, *labels], [*least, *heights.tolist()], "in logarithmic steps"
    heights, edges = np.histogram(inside, BUCKETS, weights=counts)
    return [short(middle) for middle in (edges[:-1] + edges[1:]) / 2], heights.tolist(), ""


def _categories(fields: Mapping[str, Any]) -> str:
    parts = []
    for name in summary.FEW:
        kept, left = sketch.largest(fields[name]["counts"], 10)
        other = sum(left.values()) + fields[name]["other"]
        if kept:
            parts.append(f"<div><h3>{name}</h3>{charts.shares(kept, other, 450)}</div>")
    return f'<h2>Top categories</h2><div class="row">{"".join(parts)}</div>' if parts else ""


def _drift(moved: Mapping[str, Mapping[str, Any]] | None) -> str:
    title = "<h2>Drift against the last run</h2>"
    if moved is None:
        return title + '<p class="quiet">There is no earlier run to compare with.</p>'
    order = sorted(moved.items(), key=lambda pair: -pair[1]["psi"])
    rows = [
        [safe(name), f"{told['psi']:.3f}", f'<span class="word {told["word"]}">{told["word"]}</span>']
        for name, told in order
        if told["psi"] >= 0.0005
    ]
    still = ", ".join(name for name, told in moved.items() if told["psi"] < 0.0005)
    note = "Stability index (PSI) of each field's values, nulls among them: stable &lt; .1, moderate &lt; .25, shifted."
    note += f" Below .0005: {safe(still, 400)}." if still else ""
    return title + (_table(["field", "#index", ""], rows) if rows else "") + f'<p class="quiet">{note}</p>'


def _notes(told: Mapping[str, Any]) -> str:
    sampled = (
        f"Quantiles, distinct and frequent values come from {told['sampled']:,} of {told['rows']:,} rows. "
        if told["sampled"] < told["rows"]
        else ""
    )
    return (
        f'<p class="quiet">{sampled}Quantiles are within {sketch.RELATIVE_ERROR:.0%}, distinct counts from '
        f"{sketch.KEPT_HASHES:,} on within some 3 % (one standard error); days held back are not in the figures.</p>"
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells are HTML; a column whose title starts with # is of numbers."""
    kinds = [' class="n"' if title.startswith("#") else "" for title in head]
    top = "".join(f"<th{kind}>{title.lstrip('#')}</th>" for kind, title in zip(kinds, head))
    body = "".join(f"<tr>{''.join(f'<td{kind}>{cell}</td>' for kind, cell in zip(kinds, row))}</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
