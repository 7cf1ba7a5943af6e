"""What goes over the wire between Triton's models: one signature a step, and the two public ensembles.

``config.pbtxt``, the python-backend shells and the tests' fakes derive from here. Dimensions are
without the batch; -1 is fixed by the release (all requests of one release share their shapes, so that they batch).
"""

from __future__ import annotations

import dataclasses

from contracts.features import SOURCES
from contracts.requests import MAX_BATCH

#: Rows of one Triton request, and of what Triton batches.
MAX_BATCH_SIZE = MAX_BATCH
#: The gauge, by ``stage``, that a server has on its metrics page of threads that hang; the watchdog reads it.
HUNG_THREADS = "trireme_hung_threads"


@dataclasses.dataclass(frozen=True)
class TensorSpec:
    """One named tensor of a model."""

    name: str
    dtype: str
    dims: tuple[int, ...]
    doc: str
    optional: bool = False


@dataclasses.dataclass(frozen=True)
class StepSpec:
    """One model of an ensemble."""

    name: str
    doc: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


REQUEST = TensorSpec("request", "STRING", (1,), "The JSON body of a request (contracts.requests).", optional=True)
TYPED_REQUEST = (
    TensorSpec("user_id", "STRING", (1,), "Whose list.", optional=True),
    TensorSpec("k", "INT32", (1,), "How many items.", optional=True),
    TensorSpec("region", "STRING", (1,), "Overrides the home region.", optional=True),
    TensorSpec("request_id", "STRING", (1,), "Echoed, so that interactions can name the impression.", optional=True),
    TensorSpec("deadline_ms", "INT32", (1,), "Stages that would start later are skipped.", optional=True),
    TensorSpec("anonymous_id", "STRING", (1,), "Under which the same person was seen before.", optional=True),
    TensorSpec("device", "STRING", (1,), "With what; kept with the impression.", optional=True),
    TensorSpec("session_id", "STRING", (1,), "The visit; kept with the impression.", optional=True),
    TensorSpec("diversity", "FP32", (1,), "From 0, the best, to 1, the most different.", optional=True),
)
SIMILAR_REQUEST = TensorSpec(
    "similar_request", "STRING", (1,), "The JSON body of a request for items like an item.", optional=True
)
TYPED_SIMILAR = (
    TensorSpec("item_id", "STRING", (1,), "Like which item.", optional=True),
    *(x for x in TYPED_REQUEST if x.name in ("k", "region", "request_id", "deadline_ms", "diversity")),
)
GOLDEN_ROW = TensorSpec(
    "golden_row", "STRING", (1,), "A raw feature row and its as_of, JSON, instead of a Redis read.", optional=True
)
ENVELOPE = TensorSpec("envelope", "STRING", (1,), "The request on its way, JSON (ensemble.steps.envelope).")
QUERY = (
    TensorSpec("user_codes", "INT64", (-1,), "Codes of contracts.features.query_columns."),
    TensorSpec("recent_items", "INT64", (-1,), "Item codes, newest first, padded with 0."),
    TensorSpec("recent_weights", "FP32", (-1,), "Their weights by age, 0 where padded."),
    TensorSpec("seen_items", "INT32", (-1,), "Item codes of all that was interacted with, padded with 0."),
    TensorSpec("category_shares", "FP32", (-1,), "Decayed counts by category: [half-lives x categories], flat."),
)
CANDIDATES = (
    TensorSpec("candidate_ids", "INT32", (-1,), "Item codes, padded with 0."),
    TensorSpec("candidate_scores", "FP32", (-1, len(SOURCES)), "By contracts.features.SOURCES; -inf: it has none."),
)
RANKED = TensorSpec(
    "ranker_scores", "FP32", (-1,), "Calibrated probability per candidate; NaN when ranking was skipped."
)
ANSWER = (
    TensorSpec("item_ids", "STRING", (-1,), "The answer."),
    TensorSpec("scores", "FP32", (-1,), "Its scores."),
    TensorSpec("sources", "STRING", (-1,), "personal, similar or trending, per item."),
    TensorSpec("release", "STRING", (1,), "The release that answered."),
)
RESPONSE = TensorSpec("response", "STRING", (1,), "The JSON of the answer (contracts.requests.Answer).")

STEPS: tuple[StepSpec, ...] = (
    StepSpec(
        "feature_lookup",
        "Checks the request, reads the user's rows from the online store and encodes them.",
        (REQUEST, *TYPED_REQUEST, GOLDEN_ROW),
        (ENVELOPE, *QUERY),
    ),
    StepSpec(
        "retrieval",
        "Candidates of several sources, seen items removed.",
        (ENVELOPE, *QUERY),
        (ENVELOPE, *CANDIDATES),
    ),
    StepSpec("ranker", "Scores every candidate.", (ENVELOPE, *QUERY, *CANDIDATES), (ENVELOPE, RANKED)),
    StepSpec(
        "cold_start",
        "Blends ranking, trending and the running session by what is known of the user, and answers.",
        (ENVELOPE, *QUERY, *CANDIDATES, RANKED),
        (*ANSWER, RESPONSE),
    ),
)
#: Answers for an item instead of a user, in a model of its own.
SIMILAR = StepSpec(
    "similar",
    "Items that go with an item, for nobody in particular.",
    (SIMILAR_REQUEST, *TYPED_SIMILAR, GOLDEN_ROW),
    (*ANSWER, RESPONSE),
)
#: All of them as one model, by the C++ twin of their code (``ensemble/backend``): no tensor crosses between processes.
FUSED = StepSpec(
    "recommend",
    "The four steps in a row, and items like an item.",
    (REQUEST, *TYPED_REQUEST, SIMILAR_REQUEST, TYPED_SIMILAR[0], GOLDEN_ROW),
    (*ANSWER, RESPONSE),
)
STEP_BY_NAME = {step.name: step for step in (*STEPS, SIMILAR)}


@dataclasses.dataclass(frozen=True)
class EnsembleSpec:
    """A public ensemble: these steps in a row, or the model that holds them all, with these inputs and outputs."""

    name: str
    doc: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    steps: tuple[StepSpec, ...] = STEPS


#: Triton takes a raw body only for a model of one input, so REST has an ensemble of its own over the same steps.
ENSEMBLES: tuple[EnsembleSpec, ...] = (
    EnsembleSpec("recommendations", "gRPC: typed tensors in and out.", TYPED_REQUEST, (*ANSWER, RESPONSE)),
    EnsembleSpec("recommendations_json", "REST: one JSON body in, one out.", (REQUEST,), (RESPONSE,)),
    EnsembleSpec(
        "similar_items", "gRPC: items like an item, typed tensors.", TYPED_SIMILAR, (*ANSWER, RESPONSE), (SIMILAR,)
    ),
    EnsembleSpec("similar_items_json", "REST: items like an item.", (SIMILAR_REQUEST,), (RESPONSE,), (SIMILAR,)),
)

#: The parameter of a step's config.pbtxt that names the model which runs its graph; without it the step does.
GRAPH = "graph"
#: Graph as a model -> its output.
OUTPUTS = {"two_tower": "scores", "ranker_graph": "logit"}
