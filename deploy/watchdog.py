"""``python -m deploy watchdog CONFIG``: asks every tritonserver once a second, and mends what does not mend itself.

supervisord starts again what ends. This looks after what lives and does not answer: a step whose process is dead or
hangs gets a new one; a server that stays silent or goes on failing is started anew, one server at a time.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable

from prometheus_client import Counter, Gauge, start_http_server

from contracts.errors import StackError
from deploy import remedies, tritonserver
from deploy.diagnosis import Finding, Kind, examine
from deploy.ports import HOST, TRITONS
from deploy.site import Site
from deploy.supervisor import RUNNING, Supervisor

log = logging.getLogger(__name__)

REPLACE, RESTART = "replace", "restart"

INTERVAL_SECONDS = 1.0
#: Looks in a row that find a server silent or failing, until it is started anew.
PATIENCE = 4
#: The same for one of which a stage is stuck: at one look its threads may be about to come back.
STUCK_LOOKS = 2
#: For so long after a remedy the same one is not tried again; twice as long each time, up to the most.
PAUSE_SECONDS = {REPLACE: 5.0, RESTART: 60.0}
MOST_PAUSE_SECONDS = {REPLACE: 60.0, RESTART: 600.0}

_HEALTHY = Gauge("trireme_watchdog_server_healthy", "1 when a server answered the last inference.", ["server"])
_FINDINGS = Counter("trireme_watchdog_findings_total", "Looks at a server, by what was found.", ["server", "kind"])
_REMEDIES = Counter("trireme_watchdog_remedies_total", "What was done to a server.", ["server", "remedy"])
_FAILED = Counter("trireme_watchdog_remedies_failed_total", "Of them those that failed.", ["server", "remedy"])
_ORPHANS = Counter("trireme_watchdog_orphans_total", "Processes that outlived their server and were killed.")


class Ward:
    """One server under watch: from findings to what must be done. Knows no process, and no clock but the one given."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._ailing = 0
        self._pause = dict(PAUSE_SECONDS)
        self._not_before = dict.fromkeys(PAUSE_SECONDS, 0.0)
        self._ailed_at = 0.0
        self.started()

    def decide(self, finding: Finding) -> str:
        """``REPLACE`` (the process of the finding's model), ``RESTART`` (the server), or "" for nothing."""
        now = self._clock()
        if finding.kind is Kind.HEALTHY:
            self._ailing, self._not_before[RESTART] = 0, 0.0
            if now - self._ailed_at > max(PAUSE_SECONDS.values()):
                self._pause = dict(PAUSE_SECONDS)
            return ""
        self._ailing += 1
        self._ailed_at = now
        remedy = self._wanted(finding)
        if not remedy or now < self._not_before[remedy]:
            return ""
        self._not_before[remedy] = now + self._pause[remedy]
        self._pause[remedy] = min(self._pause[remedy] * 2, MOST_PAUSE_SECONDS[remedy])
        return remedy

    def started(self) -> None:
        """It was started, or stopped on purpose: until it answers, or the pause is over, it loads its models."""
        self._not_before[RESTART] = self._clock() + PAUSE_SECONDS[RESTART]

    def _wanted(self, finding: Finding) -> str:
        """A stuck step answers, degraded, so nothing more than its process is ever replaced, where it has its own."""
        if finding.kind is Kind.STUCK and self._ailing >= STUCK_LOOKS:
            return REPLACE if finding.model else RESTART
        if finding.kind is Kind.DEAD_STUB and self._ailing <= PATIENCE:
            return REPLACE
        return RESTART if self._ailing >= PATIENCE and finding.kind is not Kind.STUCK else ""


class Watch:
    """The loop over one server."""

    def __init__(self, site: Site, server: str, mending: threading.Lock):
        self._site = site
        self._server = server
        self._mending = mending
        self._ward = Ward()
        self._pid: int | None = None
        self._last = Kind.HEALTHY

    def look(self) -> None:
        """Ask once, and act on what is found."""
        server = self._server
        finding = self._examine()
        self._note_start()
        if finding.kind is Kind.STUCK and not remedies.stubs(self._site, server, finding.model):
            finding = dataclasses.replace(finding, model="")  # native code: no process of its own to replace
        _HEALTHY.labels(server).set(finding.kind is Kind.HEALTHY)
        _FINDINGS.labels(server, finding.kind.value).inc()
        if finding.kind is not self._last:
            log.info("%s: %s%s", server, finding.kind.value, f" ({finding.detail})" if finding.detail else "")
            self._last = finding.kind
        remedy = self._ward.decide(finding)
        if remedy:
            self._mend(remedy, finding)

    def _examine(self) -> Finding:
        ports, server = self._site.ports, self._server
        return examine(ports[f"{server}_http"], ports[f"{server}_metrics"])

    def _mend(self, remedy: str, finding: Finding) -> None:
        server = self._server
        with self._mending:  # one at a time: the other server answers meanwhile
            if self._examine().kind is Kind.HEALTHY:
                return  # it has mended itself while the other one was mended
            _REMEDIES.labels(server, remedy).inc()
            started = time.monotonic()
            log.warning("%s: %s %s", server, remedy, finding.model if remedy == REPLACE else "")
            try:
                if remedy == REPLACE:
                    remedies.replace_stub(self._site, server, finding.model)
                else:
                    remedies.restart(self._site, server)
            except (StackError, OSError) as error:
                _FAILED.labels(server, remedy).inc()
                log.error("%s: %s failed: %s", server, remedy, error)
                return
        log.warning("%s: %s took %.1f s", server, remedy, time.monotonic() - started)

    def _note_start(self) -> None:
        info = Supervisor(self._site.stack).processes().get(self._server)
        state = info["statename"] if info else "STOPPED"
        pid = info["pid"] if info and state in RUNNING else None
        # Whoever stops it (`make up`, when it has changed) will start it.
        if state in ("STOPPED", "STOPPING") or (pid is not None and pid != self._pid):
            self._ward.started()
        if pid is None or pid != self._pid:
            self._end_orphans()
        self._pid = pid

    def _end_orphans(self) -> None:
        """After the end of a server, however it came: at the first look, for whoever ended before, as well."""
        orphans = tritonserver.end_orphans(self._site.backends)
        if orphans:
            _ORPHANS.inc(orphans)
            log.warning("%s: %d process(es) that outlived a server were killed", self._server, orphans)


def watch(site: Site) -> None:
    """Look after every server, until the process ends."""
    start_http_server(site.ports["watchdog_metrics"], HOST)
    mending = threading.Lock()
    threads = [
        threading.Thread(target=_forever, args=(Watch(site, server, mending),), name=server, daemon=True)
        for server in TRITONS
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _forever(watch: Watch) -> None:
    while True:
        started = time.monotonic()
        try:
            watch.look()
        except Exception:  # a watchdog that dies of what it sees is none
            log.exception("a look failed")
        time.sleep(max(0.0, INTERVAL_SECONDS - (time.monotonic() - started)))
