"""One stack's place: its configuration, its folders and its ports, all from the settings and the environment."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from contracts import artifacts
from contracts.config import Config, load
from contracts.door import door_settings
from contracts.errors import StackError
from contracts.stack import stack_settings
from deploy.ports import address, ports

#: Impressions in the embedded broker, which keeps them in memory: some 5 KB for an answer of 20 items.
IMPRESSIONS_KEPT = 50_000
REPOSITORY = Path(__file__).resolve().parent.parent


@dataclasses.dataclass(frozen=True)
class Site:
    """What every command of ``deploy`` starts from."""

    config_path: Path
    config: Config
    root: str
    port_base: int

    @property
    def zones(self) -> artifacts.Zones:
        """Where the artifacts lie."""
        return artifacts.zones(self.root, self.config)

    @property
    def ports(self) -> dict[str, int]:
        """Port by name (``deploy.ports``)."""
        return ports(self.port_base)

    @property
    def stack(self) -> Path:
        """The folder of the stack: generated configuration, Redis' files, the logs of its processes."""
        return Path(self.root) / self.config.name / "stack"

    @property
    def backends(self) -> Path:
        """The folder that tritonserver takes its backends from."""
        return self.stack / "backends"

    @property
    def impressions(self) -> Path:
        """The socket that servers send impressions to."""
        return self.stack / "impressions.sock"

    @property
    def logs(self) -> Path:
        """The folder of the pipeline's logs."""
        return Path(self.root) / self.config.name / "logs"

    @property
    def public_url(self) -> str:
        """Where clients ask."""
        return f"{door_settings().url(self.ports['public'])}/v1/recommendations"

    @property
    def events_url(self) -> str:
        """Where clients send events."""
        return f"{door_settings().url(self.ports['public'])}/v1/events"

    def environment(self) -> dict[str, str]:
        """What every process of ours is told."""
        return {
            "TRIREME_ROOT": self.root,
            "TRIREME_PORT_BASE": str(self.port_base),
            "TRIREME_REDIS": address(self.ports["redis"]),
            "TRIREME_KAFKA": address(self.ports["kafka"]),
            "TRIREME_IMPRESSIONS": str(self.impressions),
            "TRIREME_IMPRESSIONS_KEPT": str(stack_settings().impressions_kept or IMPRESSIONS_KEPT),
        }

    def release(self) -> str:
        """The promoted release.

        Raises:
            ArtifactError: when none was promoted yet.
        """
        return artifacts.read_json(f"{self.zones.releases}/current.json")["release"]


def open_site(config_path: str) -> Site:
    """Read the configuration and the environment.

    Raises:
        ConfigError: when either is wrong.
        StackError: when the data root is not a local folder.
    """
    settings = stack_settings()
    if "://" in settings.root:
        raise StackError(f"TRIREME_ROOT={settings.root}: the local stack needs a local folder")
    return Site(Path(config_path).resolve(), load(config_path), str(Path(settings.root).resolve()), settings.port_base)
