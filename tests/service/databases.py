"""Databases for tests: files of SQLite, and a PostgreSQL server that is started for them."""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

import psycopg

_PR_SET_PDEATHSIG = 1

#: Where Debian has the programs, for which there need be nothing in the path.
_FOLDERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


def program(name: str) -> str | None:
    """A program of PostgreSQL, None if it is not installed."""
    path = os.pathsep.join([*map(str, _FOLDERS), os.environ.get("PATH", "")])
    return shutil.which(name, path=path)


class Server:
    """A PostgreSQL server of its own, on a socket in a folder of its own.

    The server refuses to run as root, who needs another user for it: `postgres`, or else `nobody`.
    """

    def __init__(self) -> None:
        initdb, postgres = program("initdb"), program("postgres")
        assert initdb is not None
        assert postgres is not None
        self._folder = Path(tempfile.mkdtemp(prefix="zkevm-postgres-", dir="/tmp"))
        self._user = _user()
        if self._user is not None:
            shutil.chown(self._folder, self._user)
        data = self._folder / "data"
        self._run(initdb, "-D", str(data), "-U", "postgres", "--auth=trust", "--no-sync", "-E", "UTF8")
        options = [f"unix_socket_directories={self._folder}", "listen_addresses=", "fsync=off", "max_connections=200"]
        with open(self._folder / "log", "wb") as log:
            self._server = subprocess.Popen(
                [postgres, "-D", str(data), *(part for option in options for part in ("-c", option))],
                user=self._user,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        self._wait()

    def _run(self, *command: str) -> None:
        done = subprocess.run(command, user=self._user, capture_output=True, text=True, cwd=self._folder, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr

    def _wait(self) -> None:
        """Until it answers."""
        end = time.monotonic() + 60
        while True:
            try:
                self.connect("postgres").close()
                return
            except psycopg.OperationalError:
                assert self._server.poll() is None, (self._folder / "log").read_text()
                assert time.monotonic() < end, "PostgreSQL does not answer"
                time.sleep(0.1)

    def create(self) -> str:
        """SQLAlchemy's URL of a new database."""
        name = f"test_{uuid.uuid4().hex}"
        with self.connect("postgres") as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return f"postgresql+psycopg://postgres@/{name}?host={self._folder}"

    def connect(self, name: str) -> psycopg.Connection:
        """A connection to a database, as somebody who may do everything."""
        return psycopg.connect(f"host={self._folder} user=postgres dbname={name}", autocommit=True)

    def cut(self, url: str) -> int:
        """Cut all connections to a database, and say how many there were."""
        with self.connect("postgres") as connection:
            found = connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [_name(url)]
            )
            return len(found.fetchall())

    def allow(self, url: str, connections: bool) -> None:
        """Whether a database takes new connections."""
        with self.connect("postgres") as connection:
            connection.execute(f'ALTER DATABASE "{_name(url)}" WITH ALLOW_CONNECTIONS {connections}'.encode())

    def stop(self) -> None:
        """Stop it and remove its files."""
        # At once, without waiting for anybody.
        self._server.send_signal(signal.SIGQUIT)
        self._server.wait(60)
        shutil.rmtree(self._folder)


def _name(url: str) -> str:
    return url.partition("@/")[2].partition("?")[0]


def _die_with_parent() -> None:
    """Tests that are killed leave no server."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)


def _user() -> str | None:
    """Whom the server runs as; None for whoever runs the tests."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"
