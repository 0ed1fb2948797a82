"""The quality page in headless Chromium, where there is one: it draws, and asks nobody for anything."""

from __future__ import annotations

import shutil
import struct
import subprocess
import zlib
from typing import TYPE_CHECKING

import pytest

from pipeline_processing.reports.quality_page import render
from quality_world import page

if TYPE_CHECKING:
    from pathlib import Path

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: the page is not drawn")

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--window-size=1000,2400",
)


def chromium(folder: Path, *flags: str, content: str = "") -> bytes:
    html = folder / "page.html"
    html.write_text(content or render(page()), encoding="utf-8")
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={folder / 'profile'}", *flags, html.as_uri()]
    return subprocess.run(command, check=True, capture_output=True, timeout=90).stdout


def colours(png: bytes) -> int:
    """Return how many different bytes the picture has: a blank one has a few."""
    at, data = 8, b""
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        if png[at + 4 : at + 8] == b"IDAT":
            data += png[at + 8 : at + 8 + length]
        at += 12 + length
    return len(set(zlib.decompress(data)))


def test_the_page_is_drawn_with_its_histograms(tmp_path: Path) -> None:
    picture = tmp_path / "page.png"
    chromium(tmp_path, f"--screenshot={picture}")
    assert colours(picture.read_bytes()) > 100


def test_the_browser_keeps_the_page_as_it_was_sent_and_runs_nothing(tmp_path: Path) -> None:
    dom = chromium(tmp_path, "--dump-dom").decode()
    assert dom.count("<svg") == render(page()).count("<svg") > 0
    assert "<script" not in dom
    assert not [name for name in (' src="', ' href="', "url(") if name in dom]


@pytest.mark.parametrize(
    ("content", "asks"),
    [("", False), ('<img src="http://127.0.0.1:59999/example.org.png">', True)],
    ids=("page", "control"),
)
def test_the_page_makes_no_request_as_one_with_a_picture_does(tmp_path: Path, content: str, *, asks: bool) -> None:
    log = tmp_path / "net.json"
    chromium(tmp_path, f"--log-net-log={log}", "--dump-dom", content=content)
    told = log.read_text(encoding="utf-8")
    assert told.startswith('{"constants"')
    assert asks == ("example.org" in told)
