"""What is measured in which order: cells of peer and Trireme alternate, round after round, at each size."""

from __future__ import annotations

import dataclasses
import http.client
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from deploy.ports import HOST
from ensemble.steps.release import Release
from tests.benchmarks.serving import equal, load, stages
from tests.benchmarks.serving.load import Cell, Plan
from tests.benchmarks.serving.servers import Server, Site
from tests.benchmarks.serving.widen import widen

#: Names of servers, as the results have them.
PEER_1, PEER_2, PEER_GRPC = "fastapi-1", "fastapi-2", "grpc.aio-1"
DIRECT, ENVOY, PYTHON = "trireme", "trireme-envoy", "trireme-python"
#: The first of them beside a larger catalogue, and asked by one client for users one by one and in batches.
BESIDE, BATCHED = "trireme-beside", "trireme-batch"
PEERS = (PEER_1, PEER_2)

#: So many times longer than others are cells of batches, which are few, and the one of the stages' shares.
BATCH_CELL, SHARE_CELL = 3, 4

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Options:
    """How much is measured.

    Attributes:
        concurrency: of the cells at the release's own size; larger catalogues are asked by the least and by 32.
        sizes: catalogues beside the release's own.
        equal_users: users whose answers are compared.
    """

    rounds: int
    concurrency: tuple[int, ...]
    sizes: tuple[int, ...]
    equal_users: int


def own_size(
    site: Site, plan: Plan, release: Release, store: int, users: Sequence[str], options: Options, say: Say
) -> tuple[list[Cell], dict[str, Any]]:
    """The catalogue as it is: every server, every concurrency; whether they answer alike, and the stages' shares."""
    items = catalogue(release)
    direct = site.triton(DIRECT, release.root, store, native=True)
    python = site.triton(PYTHON, release.root, store, native=False)
    envoy = site.envoy(ENVOY, release.root, store)
    peers = [site.peer(name, release.root, store, workers) for name, workers in zip(PEERS, (1, 2))]
    by_grpc = site.peer_grpc(PEER_GRPC, release.root, store)
    for server in (direct, python, envoy, *peers):
        _warm(server, users)
    say(f"{items} items: servers are up; comparing answers")
    compared = equal.compare(peers[0], python, direct, users[: options.equal_users])
    say(f"{items} items: {compared.told()}")
    cells = [load.rest(plan, site.trivial(), items, 32, 1)]
    say(_told(cells))
    for number in range(1, options.rounds + 1):
        for concurrency in options.concurrency:
            # Peer, ours, peer, ours: what the machine does to one it does to its neighbour in time.
            for server in (peers[0], direct, peers[1], envoy, python):
                cells.append(load.rest(plan, server, items, concurrency, number))
            for server in (direct, by_grpc):
                cells.append(load.grpc(plan, server, items, concurrency, number))
            say(_told(cells[-7:]))
    batched = list(_batches(plan, direct, items, options.rounds))
    say(_told(batched) if batched else "batches are not taken")
    shares = _shares(plan, direct, items)
    return cells + batched, {"ids_equal": compared.different == 0, **compared._asdict(), **shares}


def larger(
    site: Site, plan: Plan, release: Release, items: int, store: int, users: Sequence[str], options: Options, say: Say
) -> Iterator[Cell]:
    """A catalogue made from it: one client and 32; beside it the release as it is, of which growth is told."""
    wide = widen(release, site.folder / f"release-{items}", items)
    say(f"{items} items: the release is made")
    servers = {
        (DIRECT, items): site.triton(f"{DIRECT}-{items}", wide.root, store, native=True),
        (BESIDE, catalogue(release)): site.triton(f"{BESIDE}-{items}", release.root, store, native=True),
    }
    if items <= 200_000:
        servers |= {
            (name, items): site.peer(f"{name}-{items}", wide.root, store, workers)
            for name, workers in zip(PEERS, (1, 2))
        }
    for server in servers.values():
        _warm(server, users)
    say(f"{items} items: servers are up")
    for number in range(1, options.rounds + 1):
        for concurrency in (1, 32):
            cells = [
                dataclasses.replace(load.rest(plan, server, size, concurrency, number), server=name)
                for (name, size), server in servers.items()
                if size == items or concurrency == 1
            ]
            say(_told(cells))
            yield from cells


def catalogue(release: Release) -> int:
    """How many items a release has."""
    return len(release.json("feature_lookup/1/vocabulary.json")["item_id"])


def _batches(plan: Plan, server: Server, items: int, rounds: int) -> Iterator[Cell]:
    """Users a second of one client, by single calls and by batches, alternating."""
    with (plan.folder / "batch.jsonl").open("rb") as file:
        if not server.takes(file.readline()):
            return
    longer = dataclasses.replace(plan, seconds=BATCH_CELL * plan.seconds)
    for number in range(1, rounds + 1):
        for batch in (1, plan.batch):
            yield dataclasses.replace(load.rest(longer, server, items, 1, number, batch), server=BATCHED)


def _shares(plan: Plan, server: Server, items: int) -> dict[str, Any]:
    """Of one client, whose every request is a batch: the backend reads the CPU's clock for one batch in sixteen."""
    before, used = server.stages(), server.cpu_seconds()[0]
    load.rest(dataclasses.replace(plan, seconds=SHARE_CELL * plan.seconds), server, items, 1, 0)
    return stages.shares(before, server.stages(), server.cpu_seconds()[0] - used)


def _warm(server: Server, users: Sequence[str]) -> None:
    """Popularity fills its days, runtimes allocate."""
    connection = http.client.HTTPConnection(HOST, server.port, timeout=120)
    for user in users[:50]:
        server.ask(connection, equal.body_of(user))
    connection.close()


def _told(cells: Sequence[Cell]) -> str:
    def one(cell: Cell) -> str:
        troubled = f" FAILED {cell.failed}" * bool(cell.failed) + f" SKIPPED {cell.skipped}" * bool(cell.skipped)
        return f"{cell.server} {cell.protocol} {cell.per_second:,.0f}/s p50 {cell.p50_ms:.1f} ms{troubled}"

    first = cells[0]
    return f"round {first.round}, {first.items} items, {first.concurrency} clients: {'; '.join(map(one, cells))}"


def folder_of(root: Path) -> Path:
    """Where the benchmark's own files lie."""
    return root / "bench-serving"
