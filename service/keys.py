"""API keys: shown once when they are made, and kept as SHA-256 digests.

A key is 32 random bytes, so that a digest without salt cannot be searched for. Its scope includes the lesser ones:
`read` sees everything and may have proofs verified, `submit` also estimates and submits, and cancels or retries what it
has submitted itself, `admin` cancels and retries anybody's jobs.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import uuid
from datetime import datetime
from typing import Final

from pydantic import BaseModel
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from service.database import Database, KeyRow, now
from service.models import Scope

PREFIX: Final = "zkevm_"

#: What a name may be: it is shown in lists and logs.
_NAME: Final = re.compile(r"[\w .:@/+-]{1,200}", re.ASCII)

#: Of what is looked up; longer ones are no keys.
MAX_TOKEN: Final = 200


class UnusableKey(Exception):  # noqa: N818 - what it is
    """A key cannot be made or revoked as asked; the message says why."""


class ApiKey(BaseModel):
    """A key, without what it is.

    Attributes:
        used: when it was used last, to the minute.
    """

    id: str
    name: str
    scope: Scope
    created: datetime
    used: datetime | None = None
    revoked: datetime | None = None


def digest_of(token: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(token.encode()).hexdigest()


def includes(scope: Scope, wanted: Scope) -> bool:
    """Whether a scope includes another one."""
    order = list(Scope)
    return order.index(scope) >= order.index(wanted)


class Keys:
    """The keys of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, name: str, scope: Scope) -> tuple[ApiKey, str]:
        """Make a key; the second value is the key itself, which is told here and never again.

        Raises:
            UnusableKey: no such name can be given, or a key in use has it.
            DatabaseAway.
        """
        if not _NAME.fullmatch(name):
            raise UnusableKey(f"not a name of at most 200 letters, digits and .:@/+-_ : {name[:80]!r}")
        token = PREFIX + secrets.token_urlsafe(32)
        row_id = uuid.uuid4().hex
        digest = digest_of(token)

        def work(session: Session, again: bool) -> ApiKey:
            if again and (made := session.scalar(select(KeyRow).where(KeyRow.digest == digest))):
                return _shown(made)
            same = select(KeyRow.id).where(KeyRow.name == name, KeyRow.revoked.is_(None))
            if session.scalar(same) is not None:
                raise UnusableKey(f"a key with this name is in use: {name!r}")
            row = KeyRow(id=row_id, name=name, digest=digest, scope=scope.value, created=now(), used=None, revoked=None)
            session.add(row)
            session.flush()
            return _shown(row)

        return self._database.write(work), token

    def list(self) -> list[ApiKey]:
        """All keys, also the revoked ones, the oldest first."""
        order = select(KeyRow).order_by(KeyRow.created, KeyRow.id)
        return self._database.read(lambda session: [_shown(row) for row in session.scalars(order)])

    def revoke(self, key: str) -> ApiKey:
        """Make a key useless, by its id or its name.

        Raises:
            UnusableKey: there is none in use.
            DatabaseAway.
        """

        def work(session: Session, again: bool) -> ApiKey:
            asked = (KeyRow.id == key) | (KeyRow.name == key)
            row = session.scalar(select(KeyRow).where(asked, KeyRow.revoked.is_(None)))
            if row is None and again:
                row = session.scalar(select(KeyRow).where(asked).order_by(KeyRow.revoked.desc()))
            if row is None:
                raise UnusableKey(f"no key in use has this id or name: {key[:80]!r}")
            row.revoked = row.revoked or now()
            session.flush()
            return _shown(row)

        return self._database.write(work)

    def find(self, token: str) -> ApiKey | None:
        """The key in use that this is, None if it is none."""
        if len(token) > MAX_TOKEN:
            return None
        wanted = select(KeyRow).where(KeyRow.digest == digest_of(token), KeyRow.revoked.is_(None))
        row = self._database.read(lambda session: session.scalar(wanted))
        return None if row is None else _shown(row)

    def exist(self) -> bool:
        """Whether any key was ever made. When all are revoked, nobody gets in."""
        count = select(func.count()).select_from(KeyRow)
        return bool(self._database.read(lambda session: session.scalar(count)))

    def note_use(self, ids: set[str]) -> None:
        """Remember that keys have been used now."""
        change = update(KeyRow).where(KeyRow.id.in_(ids)).values(used=now())
        self._database.write(lambda session, again: session.execute(change) and None)


def _shown(row: KeyRow) -> ApiKey:
    return ApiKey(
        id=row.id, name=row.name, scope=Scope(row.scope), created=row.created, used=row.used, revoked=row.revoked
    )
