"""``python -m skinapp.runtime run|exec|manage``."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from skinapp.runtime.servers import ServerError, start_servers
from skinapp.runtime.supervisor import (
    ROOT,
    AlreadyRunningError,
    StartError,
    Supervisor,
    supervised_by,
)

_INTERRUPTED = 130


def main() -> int:
    """Run one command; return its exit status. A known fault is one plain line and status 1."""
    options = _parser().parse_args()
    try:
        if options.command == "run":
            return Supervisor(options.var.resolve(), options.port, options.patients).run()
        if options.command == "manage":
            return _manage(options.var.resolve(), options.arguments)
        return _execute([part for part in options.arguments if part != "--"])
    except (AlreadyRunningError, ServerError, StartError, OSError) as error:
        print(f"skinapp: {error}", file=sys.stderr)  # noqa: T201 - the command's own words
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m skinapp.runtime")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="start everything; Ctrl-C stops it")
    run.add_argument("--port", type=_port, default=8000, help="the wished-for port (8000)")
    run.add_argument("--patients", type=int, default=6, help="drawn demo patients (6)")
    execute = commands.add_parser("exec", help="run a command against throw-away servers")
    execute.add_argument("arguments", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    manage = commands.add_parser("manage", help="run a manage.py command on the running data")
    for command in (run, manage):
        command.add_argument(
            "--var", type=Path, default=ROOT / "var", help="folder of data and logs"
        )
    manage.add_argument("arguments", nargs=argparse.REMAINDER, metavar="COMMAND")
    return parser


def _port(text: str) -> int:
    lowest, highest = 1, 65_535
    if not text.isdigit() or not lowest <= int(text) <= highest:
        msg = f"{text!r} is not a port; name one from {lowest} to {highest}"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def _manage(folder: Path, arguments: list[str]) -> int:
    path = folder / "servers.json"
    # A killed supervisor leaves the file behind, so its lock is asked as well.
    if supervised_by(folder) is None or not path.is_file():
        print("skinapp: nothing runs here; start it with make run.", file=sys.stderr)  # noqa: T201
        return 1
    environment = os.environ | json.loads(path.read_text(encoding="utf-8"))
    environment.setdefault("DJANGO_SETTINGS_MODULE", "skinapp.settings.local")
    command = [sys.executable, str(ROOT / "manage.py"), *arguments]
    return subprocess.run(command, env=environment, check=False).returncode  # noqa: S603


def _execute(command: list[str]) -> int:
    if not command:
        print("skinapp: name a command: exec -- COMMAND", file=sys.stderr)  # noqa: T201
        return 2
    running: list[subprocess.Popen[bytes]] = []

    def pass_on(sign: int, _frame: Any) -> None:
        # Ctrl-C reaches the command from the terminal itself.
        for process in running if sign != signal.SIGINT else ():
            process.send_signal(sign)
        if not running:
            raise KeyboardInterrupt

    folder = Path(tempfile.mkdtemp(prefix="skinapp-"))
    # PostgreSQL runs as somebody else when this runs as root, and must reach its own folder.
    folder.chmod(0o711)
    servers = None
    try:
        # Functions, not SIG_IGN, which the command would inherit.
        for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(sign, pass_on)
        servers = start_servers(folder, durable=False)
        environment = servers.environment() | {"SKINAPP_VAR": str(folder)}
        running.append(subprocess.Popen(command, env=environment))  # noqa: S603 - the person's own
        status = running[0].wait()
        return status if status >= 0 else 128 - status
    finally:
        if servers is not None:
            servers.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
