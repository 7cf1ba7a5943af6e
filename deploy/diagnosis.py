"""What ails a tritonserver: one real inference, asked of it directly, and the gauge of threads that hang.

Triton's own readiness is no measure: it stays 200 while every request fails because a stub is dead.
"""

from __future__ import annotations

import dataclasses
import enum
import http.client
import re
from http.client import HTTPException

from contracts.tensors import HUNG_THREADS, STEP_BY_NAME
from deploy.envoy.clusters import HEALTH_REQUEST, INFER_PATH
from deploy.ports import HOST
from deploy.readiness import http_get

#: An inference takes milliseconds; busy cores stretch it.
TIMEOUT_SECONDS = 2.0
#: So many threads of a stage overran and have not come back: two requests in a row.
HUNG = 2

_DEAD_STUB = re.compile(r"Stub process '(\w+?)(?:_\d+)+' is not healthy")
_GAUGE = re.compile(rf'^{HUNG_THREADS}\{{[^}}]*stage="(\w+)"[^}}]*\}} (\S+)$', re.MULTILINE)


class Kind(enum.Enum):
    """What was found."""

    HEALTHY = "healthy"
    ABSENT = "absent"  # nobody listens: it starts, or supervisord starts it again
    DEAD_STUB = "dead_stub"  # the process of a python step has ended
    STUCK = "stuck"  # a stage hangs
    SILENT = "silent"  # no answer in time
    FAILING = "failing"  # it answers with errors


@dataclasses.dataclass(frozen=True)
class Finding:
    """One look at one server; ``model`` is the step that ails, where that is known."""

    kind: Kind
    model: str = ""
    detail: str = ""


def examine(http: int, metrics: int) -> Finding:
    """Ask a server, by its two ports."""
    try:
        status, text = _infer(http)
    except ConnectionRefusedError:
        return Finding(Kind.ABSENT)
    except (OSError, HTTPException) as error:
        return Finding(Kind.SILENT, detail=f"{type(error).__name__}: {error}")
    if status != 200:
        return judge(status, text, "")
    try:
        return judge(status, text, http_get(metrics, "/metrics")[1].decode())
    except (OSError, HTTPException) as error:
        return Finding(Kind.SILENT, detail=f"metrics: {type(error).__name__}: {error}")


def judge(status: int, text: str, metrics: str) -> Finding:
    """What an answer and a metrics page say.

    Example:
        >>> judge(500, "in ensemble 'e', Stub process 'ranker_0_0' is not healthy.", "").model
        'ranker'
    """
    if status != 200:
        dead = _DEAD_STUB.search(text)
        return Finding(Kind.DEAD_STUB if dead else Kind.FAILING, dead[1] if dead else "", f"{status}: {text[:300]}")
    for stage, number in _GAUGE.findall(metrics):
        if float(number) >= HUNG and stage in STEP_BY_NAME:
            return Finding(Kind.STUCK, stage, f"{float(number):.0f} threads of {stage} hang")
    return Finding(Kind.HEALTHY)


def _infer(port: int) -> tuple[int, str]:
    connection = http.client.HTTPConnection(HOST, port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("POST", INFER_PATH, HEALTH_REQUEST, {"Inference-Header-Content-Length": "0"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    finally:
        connection.close()
