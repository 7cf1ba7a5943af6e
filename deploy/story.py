"""What a person sees of "see it learn": one household's list before and after, and how to ask by oneself."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.syntax import Syntax
from rich.table import Table

from contracts.door import DoorSettings, door_settings
from contracts.errors import StackError
from deploy.learn import Lesson, Result
from deploy.site import Site

SHOWN = 10
#: What is left for an item's name in a terminal of 100 columns.
_LABEL_WIDTH = 20
_GRPC_EXAMPLE = Path(__file__).parent / "examples" / "ask_grpc.py"


def tell(console: Console, site: Site, result: Result) -> None:
    """Print the story of the first household, the newcomer's, and the two ways to ask."""
    first = result.lessons[0]
    _table(console, result, f"household {first.plan.user_id}", first)
    _table(console, result, "a user never seen before", result.newcomer)
    ask_both_ways(console, site, first.plan.user_id)


def ask_both_ways(console: Console, site: Site, user_id: str) -> None:
    """Print the curl line and the Python of a gRPC client, run both and show what they answer.

    Raises:
        StackError: when one of them fails.
    """
    door = door_settings()
    body = json.dumps({"user_id": user_id, "k": 5})
    curl = ["curl", "-sS", *_curl_options(door), "-X", "POST", site.public_url]
    curl += ["-H", "content-type: application/json", "-d", body]
    console.print("\n[bold]The same by REST[/bold]")
    shown = f'{shlex.join(curl)} -H "authorization: Bearer $TOKEN"' if door.tokens else shlex.join(curl)
    console.print(f"$ {shown}", soft_wrap=True, markup=False, highlight=False)
    if shutil.which("curl"):
        # By standard input: every user of the machine may read a command line.
        token = "".join(f'header = "{name}: {value}"\n' for name, value in door.headers().items())
        console.print(_output([*curl, "--config", "-"], stdin=token), soft_wrap=True, markup=False, highlight=False)
    else:
        console.print("(not run: curl is not installed here)")
    grpc = door.address(site.ports["public"])
    console.print("\n[bold]and by gRPC[/bold]")
    code = _GRPC_EXAMPLE.read_text(encoding="utf-8").partition("import os")
    console.print(Syntax(f"{code[1]}{code[2].rstrip()}", "python", background_color="default", word_wrap=True))
    example = _GRPC_EXAMPLE.relative_to(Path(__file__).parent.parent)
    console.print(f"$ python {example} {grpc} {shlex.quote(user_id)}", soft_wrap=True, markup=False, highlight=False)
    argv = [sys.executable, str(_GRPC_EXAMPLE), grpc, user_id]
    console.print(_output(argv, _grpc_environment(door)), markup=False, highlight=False)


def _curl_options(door: DoorSettings) -> list[str]:
    """By what the door is known, and what is shown there, but for a token."""
    options = ["--cacert", door.tls_cert] if door.tls_cert else []
    options += ["--cert", door.client_cert, "--key", door.client_key] if door.client_cert else []
    return [*options, "--connect-to", f"::{door.address(0).rpartition(':')[0]}:"] if door.public_host else options


def _grpc_environment(door: DoorSettings) -> dict[str, str]:
    """The same as the example takes it."""
    token = door.tokens[0] if door.tokens else ""
    shown = {"TOKEN": token, "CA": door.tls_cert, "CERT": door.client_cert, "KEY": door.client_key}
    return {f"ASK_{name}": value for name, value in {**shown, "NAME": door.public_host}.items() if value}


def _table(console: Console, result: Result, who: str, lesson: Lesson) -> None:
    plan, catalogue = lesson.plan, result.catalogue
    took = "was not seen within a second" if lesson.learned_ms is None else f"took {lesson.learned_ms:.0f} ms"
    table = Table(
        title=f"See it learn: {who} buys three of {plan.department}",
        caption=f"▸ {plan.department} in the top 20: {lesson.share_before:.0%} -> {lesson.share_after:.0%}; it {took}",
    )
    table.add_column("#", justify="right")
    for heading in ("before", "", "source", "after", "", "source"):
        table.add_column(heading, no_wrap=True, max_width=None if heading else _LABEL_WIDTH)
    rows = zip(*(lesson.before[name][:SHOWN] for name in ("item_ids", "sources")))
    for rank, (before, after) in enumerate(
        zip(rows, zip(*(lesson.after[name][:SHOWN] for name in ("item_ids", "sources")))), start=1
    ):
        cells = [str(rank)]
        for item, source in (before, after):
            label = escape(catalogue.label_of.get(item, "?"))
            bought = catalogue.department_of.get(item) == plan.department
            cells += [item, f"[bold green]▸ {label}[/]" if bought else f"  {label}", source]
        table.add_row(*cells)
    console.print(table)


def _output(argv: list[str], env: Mapping[str, str] | None = None, stdin: str = "") -> str:
    environment = {**os.environ, **(env or {})}
    done = subprocess.run(argv, env=environment, input=stdin, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode != 0:
        raise StackError(f"{shlex.join(argv[:2])} failed with exit code {done.returncode}: {done.stderr.strip()}")
    return done.stdout.rstrip()
