"""Pages are looked at in a real browser."""

import functools
import html
import re
import shutil
import subprocess

import pytest

MEASURE = """<script>
const page = document.documentElement;
parent.document.body.dataset.measured = `${innerWidth} ${page.scrollWidth - page.clientWidth}`;
</script></body>"""


@functools.cache
def browser():
    """Path of a Chromium."""
    for name in ("chromium", "chromium-browser", "google-chrome", "chrome"):
        path = shutil.which(name)
        if path:
            return path
    pytest.fail("no Chromium is installed; install the package chromium, as .ci/run does")


def run_browser(profile, *arguments):
    """Run the browser without a window; give what it writes."""
    quiet = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    done = subprocess.run(
        [browser(), *quiet, f"--user-data-dir={profile}", *arguments],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def document_of(address, profile):
    """Load a page as a browser does; give its document after loading."""
    look = ["--window-size=390,844", "--virtual-time-budget=2000", "--dump-dom"]
    return run_browser(profile, *look, address)


def measured_widths(page, width, folder):
    """Width of a page in a frame of that width, which windows are too wide for; how far it scrolls.

    A script that measures is put in, and the page's own policy, which allows none, left out.
    """
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    framed = html.escape(page.replace("</body>", MEASURE))
    outside = folder / "framed.html"
    outside.write_text(
        f'<body><iframe style="width: {width}px; height: 800px; border: 0" srcdoc="{framed}">'
        "</iframe></body>",
        encoding="utf-8",
    )
    seen = document_of(outside.as_uri(), folder / "profile")
    return tuple(int(each) for each in re.search(r'data-measured="(\d+) (\d+)"', seen).groups())
