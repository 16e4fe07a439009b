"""A real browser without a screen: opens a page and says what became of it."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


def dom_of(page: Path, profile: Path, *options: str) -> str:
    """The document after its scripts have run. What a page keeps, it keeps in the profile."""
    quiet = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", *options]
    command = [str(CHROMIUM), "--headless", "--no-sandbox", *quiet, f"--user-data-dir={profile}"]
    dom = subprocess.run(
        [*command, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=60, check=True
    )
    return dom.stdout


def ending(script: str) -> str:
    """What is put behind a page's own script: runs `script`, and sends home what that put into `result`."""
    return f";const result = {{}};{script};document.title = 'R' + encodeURIComponent(JSON.stringify(result));"


def sent_home(dom: str) -> dict[str, Any]:
    """What the page's ending put into `result`."""
    coded = re.search(r"<title>R(.*?)</title>", dom)
    assert coded, dom[:500]
    found: dict[str, Any] = json.loads(unquote(html.unescape(coded[1])))
    return found
