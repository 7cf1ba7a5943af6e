"""The commands of ``python -m train``: each module of this package is one, and is found by being here.

A command's module has

* a docstring whose first line is the command's help,
* ``arguments(parser)``, which declares its options, and
* ``run(options)``, which returns the figures that are printed as one line of JSON.

TensorFlow's import takes ten seconds that neither ``--help``, a wrong setting nor what is current should wait for:
heavy modules are imported in ``run``.
"""

from __future__ import annotations

import argparse
import logging

from contracts.artifacts import Zones, zones
from contracts.config import Config, load
from contracts.stack import stack_settings

log = logging.getLogger(__name__)


def config_argument(parser: argparse.ArgumentParser) -> None:
    """The data set, as every command names it."""
    parser.add_argument("config", help="a TOML of configs/")


def force_argument(parser: argparse.ArgumentParser) -> None:
    """The switch of commands that skip what is current."""
    parser.add_argument("--force", action="store_true", help="run even if nothing changed")


def opened(options: argparse.Namespace) -> tuple[Config, Zones]:
    """The data set that a command line names, and where it lies.

    Raises:
        ConfigError: listing every wrong setting.
    """
    config = load(options.config)
    return config, zones(stack_settings().root, config)
