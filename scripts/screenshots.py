"""Pictures of the service's page for the documentation, of examples that are proved for them.

    zkevm serve --segment-operations 25 &
    python -m scripts.screenshots http://127.0.0.1:8280/ --out docs/images

A Chromium has to be on the path. The pictures have few colours, so that they stay small.
"""

from __future__ import annotations

import io
import json
import re
import shutil
from pathlib import Path
from typing import Any, Literal

import httpx
import typer
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

EXAMPLES = Path(__file__).parent.parent / "examples"

#: Milliseconds until a batch has been proved, at most.
PATIENCE = 900_000


def replayed() -> bytes:
    """A batch with a transaction that is in it already."""
    document = json.loads((EXAMPLES / "transfer.json").read_text())
    document["blocks"][1]["transactions"].insert(2, document["blocks"][0]["transactions"][0])
    return json.dumps(document).encode()


def submit(url: str, name: str, batch: bytes) -> str:
    """Submit a batch file; the address of its job on the page."""
    answer = httpx.post(
        f"{url}v1/jobs", params={"name": name}, content=batch, headers={"Content-Type": "application/octet-stream"}
    )
    answer.raise_for_status()
    return f"{url}#/jobs/{answer.json()['id']}"


def save(picture: bytes, file: Path) -> None:
    """Write a picture with at most 256 colours."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    image.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(file, optimize=True)
    print(f"{file}: {file.stat().st_size:,} bytes")


def main(url: str, out: Path = Path("docs/images")) -> None:
    """Submit examples to the service at an address, and take pictures of them."""
    out.mkdir(parents=True, exist_ok=True)
    url = url.rstrip("/") + "/"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("google-chrome"), args=["--no-sandbox"]
        )
        take(browser, url, out)
        browser.close()


def look(browser: Browser, width: int, height: int, colours: Literal["light", "dark"], scale: float = 1) -> Page:
    """A window of this size."""
    viewport: Any = {"width": width, "height": height}
    return browser.new_page(viewport=viewport, color_scheme=colours, device_scale_factor=scale, reduced_motion="reduce")


def take(browser: Browser, url: str, out: Path) -> None:
    """All pictures."""
    submit(url, "transfer.json", (EXAMPLES / "transfer.json").read_bytes())
    failing = submit(url, "replayed.json", replayed())
    proved = submit(url, "erc20.json", (EXAMPLES / "erc20.json").read_bytes())
    for name in ("nft.json", "uniswap.json"):
        submit(url, name, (EXAMPLES / name).read_bytes())
    wide = look(browser, 1280, 1000, "dark")
    wide.goto(proved)
    expect(wide.locator("tbody .bar.proved").nth(1)).to_be_visible(timeout=PATIENCE)
    wide.wait_for_timeout(2500)
    save(wide.screenshot(), out / "service-batch-dark.png")
    listed = look(browser, 1280, 800, "light")
    listed.goto(url)
    expect(listed.locator(".job").first).to_be_visible()
    listed.wait_for_timeout(500)
    save(listed.screenshot(), out / "service-batches.png")
    phone = look(browser, 390, 844, "light", 2)
    phone.goto(failing)
    expect(phone.locator(".problem")).to_be_visible(timeout=PATIENCE)
    phone.wait_for_timeout(500)
    save(phone.screenshot(), out / "service-phone.png")
    costs = look(browser, 1280, 1400, "light")
    costs.goto(proved)
    card = costs.locator(".card", has=costs.locator(".explorer"))
    expect(card).to_be_visible(timeout=PATIENCE)
    card.scroll_into_view_if_needed()
    card.locator(".tile").first.hover()
    costs.wait_for_timeout(500)
    save(card.screenshot(), out / "service-costs.png")
    with costs.expect_download() as download:
        costs.locator(".head").get_by_role("button", name="Proof").click()
    judged = look(browser, 1280, 1000, "light")
    judged.goto(f"{url}#/verify")
    judged.locator("#proof-file").set_input_files(
        {"name": "erc20.proof", "mimeType": "application/octet-stream", "buffer": download.value.path().read_bytes()}
    )
    expect(judged.locator(".judgement")).to_contain_text(re.compile("Accepted"), timeout=PATIENCE)
    judged.wait_for_timeout(500)
    save(judged.screenshot(), out / "service-verify.png")


if __name__ == "__main__":
    typer.run(main)
