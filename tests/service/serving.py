"""A service process without an API, for tests that kill it: proves the jobs of a database until it is told to stop."""

from __future__ import annotations

import signal
import threading

from service.artifacts import Artifacts
from service.database import Database
from service.queue import Queue
from service.settings import Settings
from service.supervisor import Supervisor


def main() -> None:
    """Settings are those of the environment."""
    settings = Settings()
    database = Database(settings.database_url)
    database.migrate()
    supervisor = Supervisor(settings, Queue(database), Artifacts(settings.artifacts_url))
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    supervisor.start()
    print("serving", flush=True)
    told.wait()
    supervisor.stop()
    database.close()


if __name__ == "__main__":
    main()
