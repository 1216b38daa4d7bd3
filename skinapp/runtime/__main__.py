"""``python -m skinapp.runtime run|exec``."""

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

from skinapp.runtime.servers import ServerError, start_servers
from skinapp.runtime.supervisor import ROOT, AlreadyRunningError, Supervisor


def main() -> int:
    """Run one command; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m skinapp.runtime")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="start everything; Ctrl-C stops it")
    run.add_argument("--port", type=int, default=8000)
    run.add_argument("--var", type=Path, default=ROOT / "var", help="folder of data and logs")
    execute = commands.add_parser("exec", help="run a command against throw-away servers")
    execute.add_argument("arguments", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    manage = commands.add_parser("manage", help="run a manage.py command on the running data")
    manage.add_argument("--var", type=Path, default=ROOT / "var", help="folder of data and logs")
    manage.add_argument("arguments", nargs=argparse.REMAINDER, metavar="COMMAND")
    options = parser.parse_args()
    try:
        if options.command == "run":
            return Supervisor(options.var.resolve(), options.port).run()
        if options.command == "manage":
            return _manage(options.var.resolve(), options.arguments)
        return _execute([part for part in options.arguments if part != "--"])
    except (AlreadyRunningError, ServerError) as error:
        print(f"skinapp: {error}", file=sys.stderr)  # noqa: T201 - the command's own words
        return 1


def _manage(folder: Path, arguments: list[str]) -> int:
    path = folder / "servers.json"
    if not path.is_file():
        print("skinapp: nothing runs here; start it with make run.", file=sys.stderr)  # noqa: T201
        return 1
    environment = os.environ | json.loads(path.read_text(encoding="utf-8"))
    environment.setdefault("DJANGO_SETTINGS_MODULE", "skinapp.settings.local")
    command = [sys.executable, str(ROOT / "manage.py"), *arguments]
    return subprocess.run(command, env=environment, check=False).returncode  # noqa: S603


def _execute(command: list[str]) -> int:
    folder = Path(tempfile.mkdtemp(prefix="skinapp-"))
    folder.chmod(0o711)
    servers = start_servers(folder, durable=False)
    try:
        # The command gets the terminal's Ctrl-C itself; this process waits for it to end.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return subprocess.run(command, env=servers.environment(), check=False).returncode  # noqa: S603
    finally:
        servers.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
