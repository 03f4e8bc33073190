"""The page of the service: plain modules, style sheets and fonts in `files/`, served as they are.

Nothing is built and nothing is loaded from elsewhere; the policy that goes with every answer makes browsers hold the
page to that: no inline script or style, no address but the service's own.

What is shown has an address: `#/` all batches (`?state=`, `q=`, `sort=`), `#/jobs/ID` one of them, `#/new` a form for
a batch and for what it would cost, `#/verify` the verifier, `#/service` queue and workers over time. A file that is
dropped anywhere is a proof if it begins as one, else a batch. News come by `/v1/events`, read with `fetch` so that the
API key goes along as a header; after a break the stream goes on from the last event that was seen. The key lies in the
session storage of the tab and is gone when that is closed; the colours that somebody has chosen lie in the local
storage. All addresses are relative, so that a proxy may serve the page below a path of its own.

It is written for browsers of 2024 and later (`light-dark()`, `AbortSignal.any`).
"""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, Final

from starlette.responses import Response
from starlette.staticfiles import StaticFiles

FILES: Final = Path(__file__).parent / "files"

HEADERS: Final = {
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "font-src 'self'",
            "img-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
        )
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # The files are small and have a tag: asked for each time, sent only when they have changed.
    "Cache-Control": "no-cache",
}


class Page(StaticFiles):
    """The page, to be mounted at `/` after all other routes: `app.mount("/", Page())`."""

    def __init__(self) -> None:
        super().__init__(directory=FILES, html=True)

    async def get_response(self, path: str, scope: MutableMapping[str, Any]) -> Response:
        """A file, or 404, with the headers of the page."""
        response = await super().get_response(path, scope)
        response.headers.update(HEADERS)
        return response
