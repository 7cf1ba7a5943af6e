"""``contracts.h``: what the C++ twin must know of the contracts and of Python, written out when it is built.

Each fact keeps its one home; what depends on a data set's settings is in ``release.json`` (``ensemble/twin.py``).
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable, Iterator

from contracts import (
    blending,
    buckets,
    features,
    impressions,
    item_state,
    metrics,
    online_layout,
    request_context,
    request_values,
    requests,
    tensors,
)
from ensemble import budget, live_buckets, live_items, online
from ensemble.steps import bucket_log, covisits, diversity, popularity, ranker, scores

#: Name in C++ -> (type, value).
_NUMBERS: dict[str, tuple[str, float]] = {
    "max_body_bytes": ("std::size_t", requests.MAX_BODY_BYTES),
    "max_batch": ("std::size_t", requests.MAX_BATCH),
    "max_id_chars": ("std::size_t", request_values.MAX_ID_CHARS),
    "max_excluded": ("std::size_t", request_values.MAX_EXCLUDED),
    "max_categories": ("std::size_t", request_values.MAX_CATEGORIES),
    "max_context": ("std::size_t", request_values.MAX_CONTEXT),
    "max_price": ("std::int64_t", request_values.MAX_PRICE),
    "max_k": ("int", requests.MAX_K),
    "default_k": ("int", requests.DEFAULT_K),
    "max_deadline_ms": ("int", requests.MAX_DEADLINE_MS),
    "default_deadline_ms": ("int", requests.DEFAULT_DEADLINE_MS),
    "pad": ("int", features.PAD),
    "null_code": ("int", features.NULL),
    "out_of_vocabulary": ("int", features.OUT_OF_VOCABULARY),
    "first_value": ("int", features.FIRST_VALUE),
    "minutes_per_day": ("int", features.MINUTES_PER_DAY),
    "ms_per_minute": ("std::int64_t", features.MS_PER_MINUTE),
    "ms_per_hour": ("std::int64_t", features.MS_PER_HOUR),
    "ms_per_day": ("std::int64_t", features.MS_PER_DAY),
    "store_timeout_seconds": ("double", online._TIMEOUT_SECONDS),
    "budget_share": ("double", budget.SHARE),
    "budget_most_ms": ("double", budget.MOST_MS),
    "budget_recorded_ms": ("double", budget.RECORDED_MS),
    "least_ms_to_answer": ("double", budget.LEAST_MS_TO_ANSWER),
    "most_left_behind": ("std::size_t", budget.MOST_LEFT_BEHIND),
    "store_patience": ("int", online._PATIENCE),
    "store_pause_seconds": ("double", online._PAUSE_SECONDS),
    "live_items_period_seconds": ("double", live_items.PERIOD_SECONDS),
    "least_length": ("double", diversity.LEAST_LENGTH),
    "live_buckets_period_seconds": ("double", live_buckets.PERIOD_SECONDS),
    "diversity_pool": ("std::size_t", diversity.POOL),
    "least_probability": ("double", blending._LEAST_PROBABILITY),
    "most_halvings": ("double", blending._MOST_HALVINGS),
    "score_stride": ("std::size_t", scores._STRIDE),
    "least_part": ("double", scores._LEAST_PART),
    "most_kept": ("std::size_t", bucket_log._MOST_KEPT),
    "least_rate": ("double", popularity._LEAST_RATE),
    "covisit_prior": ("double", covisits._PRIOR),
    "least_share": ("double", covisits._LEAST_SHARE),
    "least_trending": ("double", ranker._LEAST_TRENDING),
    "impression_version": ("int", impressions.VERSION),
    "impression_max_bytes": ("std::size_t", impressions.MAX_BYTES),
    "impression_max_waiting_bytes": ("std::size_t", impressions.MAX_WAITING_BYTES),
}


#: Name in C++ -> text.
_WORDS = {
    "store_project": online_layout.PROJECT,
    "item_states_key": item_state.KEY,
    "item_version_key": item_state.VERSION,
    "bucket_index_key": buckets.INDEX,
    "bucket_total_field": buckets.TOTAL,
    "attribute_available": item_state.AVAILABLE,
    "attribute_price": item_state.PRICE,
    "said_no": item_state.NO,
    "lookup_hit": metrics.HIT,
    "lookup_miss": metrics.MISS,
    "probe_request_id": impressions.PROBE_REQUEST_ID,
}
#: Name in C++ -> metric.
_METRICS = {
    "answers_metric": metrics.ANSWERS,
    "items_metric": metrics.ITEMS,
    "skipped_metric": metrics.SKIPPED,
    "degraded_metric": metrics.DEGRADED,
    "feature_age_metric": metrics.FEATURE_AGE,
    "batch_metric": metrics.BATCH,
    "stage_seconds_metric": metrics.STAGE_SECONDS,
    "stage_cpu_metric": metrics.STAGE_CPU,
    "item_state_age_metric": metrics.ITEM_STATE_AGE,
    "cache_lookups_metric": metrics.CACHE_LOOKUPS,
    "hung_metric": metrics.HUNG,
    "sent_metric": metrics.SENT,
    "dropped_metric": metrics.DROPPED,
}
#: Name in C++ -> texts.
_TEXTS: dict[str, Iterable[str]] = {
    "request_fields": [field.name for field in dataclasses.fields(requests.Request)],
    "similar_fields": [field.name for field in dataclasses.fields(requests.SimilarRequest)],
    "filter_fields": [field.name for field in dataclasses.fields(requests.CandidateFilter)],
    "sources": features.SOURCES,
    "proposing": features.PROPOSING,
    "weekdays": request_context.FIXED["weekday"],
    "impression_drops": impressions.DROPPED,
    "degraded_words": metrics.REASONS,
    "answer_sources": (requests.Source.PERSONAL, requests.Source.SIMILAR, requests.Source.TRENDING),
    "steps": tensors.STEP_BY_NAME,
    "degraded_reasons": (*metrics.REASONS.values(), metrics.FAILURE),
}


def header() -> str:
    """The text of ``contracts.h``."""
    ranges = ",\n    ".join(f"{{{first:#x}, {last:#x}}}" for first, last in unprintable())
    lines = [
        "// Generated by `python -m ensemble.backend.constants` when the backend is built.",
        "#pragma once\n",
        "#include <cstddef>\n#include <cstdint>\n",
        "namespace trireme {\n",
        *(f"inline constexpr {kind} {name} = {value};" for name, (kind, value) in _NUMBERS.items()),
        *(f'inline constexpr const char* {name} = "{text}";' for name, text in _WORDS.items()),
        *(f"inline constexpr const char* {name}[] = {_listed(texts)};" for name, texts in _TEXTS.items()),
        "\n/// contracts.metrics.Metric.",
        "struct Measure {\n  const char *name, *doc, *label;\n};",
        *(
            f'inline constexpr Measure {name}{{"{metric.name}", "{metric.doc}", "{metric.label}"}};'
            for name, metric in _METRICS.items()
        ),
        *(
            f"inline constexpr double {name}_bounds[] = {{{', '.join(map(str, metric.bounds))}}};"
            for name, metric in _METRICS.items()
            if metric.bounds
        ),
        "\n/// Code points that Python's str.isprintable refuses.",
        "struct CodePoints {\n  char32_t first, last;\n};",
        f"inline constexpr CodePoints unprintable[] = {{\n    {ranges}}};\n",
        "}  // namespace trireme\n",
    ]
    return "\n".join(lines)


def _listed(texts: Iterable[str]) -> str:
    return "{" + ", ".join(f'"{text}"' for text in texts) + "}"


def unprintable() -> Iterator[tuple[int, int]]:
    """Ranges of code points, first and last, that ``str.isprintable`` refuses."""
    first = None
    for code in range(sys.maxunicode + 2):
        refused = code <= sys.maxunicode and not chr(code).isprintable()
        if refused and first is None:
            first = code
        elif not refused and first is not None:
            yield first, code - 1
            first = None


if __name__ == "__main__":
    sys.stdout.write(header())
