"""The site: builds without a warning or a network, every link leads somewhere, and a browser shows it on a desk and on a phone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import browser
import links
import pytest
import site_sources
from notebook_kernel import ROOT

from asgd_lib import METHODS, cli
from asgd_lib.results import load_verdicts

SECRET = "seen-by-the-builder-alone"  # a workflow has tokens in its environment
MATH_IS_SET = "window.MathJax && MathJax.startup ? MathJax.startup.promise.then(() => true) : true"
BROKEN_MATH = """
[...document.querySelectorAll('.math')]
.filter(one => !one.querySelector('mjx-container') || one.querySelector('mjx-merror, [data-mjx-error]'))
.map(one => one.textContent)
"""
MISSING_PICTURES = "[...document.images].filter(one => one.offsetParent && !(one.complete && one.naturalWidth)).map(one => one.src)"
TOO_WIDE = "document.documentElement.scrollWidth - window.innerWidth"
# Figures are drawn for 100 dots an inch, with letters of 9 points or more: below half of that size nobody reads them.
SMALL_FIGURES = """
[...document.querySelectorAll('.cell_output img')]
.filter(one => one.offsetParent && one.width < .5 * one.naturalWidth).map(one => one.alt || one.src)
"""
# Least contrast of any text with the first opaque colour behind it, after the Web Content Accessibility Guidelines.
FAINTEST = """
(() => {
  const numbers = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [[r, .2126], [g, .7152], [b, .0722]].reduce((sum, [c, w]) =>
    sum + w * (c / 255 <= .04045 ? c / 255 / 12.92 : ((c / 255 + .055) / 1.055) ** 2.4), 0);
  const ground = one => numbers(getComputedStyle(one).backgroundColor);
  const behind = one => !one ? [255, 255, 255] : ground(one).length < 4 || ground(one)[3] > .99 ? ground(one) : behind(one.parentElement);
  let least = [99, ''];
  for (const one of document.querySelectorAll('article p, article li, article td, article pre, article pre span, article code, .verdict')) {
    if (!one.offsetParent || !one.innerText.trim()) continue;
    const [a, b] = [light(numbers(getComputedStyle(one).color)), light(behind(one))];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < least[0]) least = [ratio, one.outerHTML.slice(0, 120)];
  }
  return least;
})()
"""


# No Python package brings one along. On the workflow's machine, which has one, its absence is a failure and not a reason to skip.
needs_browser = pytest.mark.skipif(
    browser.found() is None and not os.environ.get("GITHUB_ACTIONS"), reason=f"needs a Chromium: {', '.join(browser.NAMES)}"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pages") / "site"
    command = [sys.executable, str(ROOT / "scripts" / "build_site.py"), "--target", str(folder)]
    environment = os.environ | {"BUILDERS_OWN": SECRET}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout[-500:]
    assert done.stderr == ""
    return folder


@pytest.fixture(scope="module")
def tab() -> Iterator[browser.Browser]:
    with browser.Browser() as opened:
        yield opened


def pages(site: Path) -> list[Path]:
    return sorted(site.rglob("*.html"))


@pytest.mark.slow
def test_every_link_leads_somewhere_and_nothing_comes_from_the_network(site):
    assert len(pages(site)) > 30
    assert links.broken(site) == []
    assert links.loaded_from_elsewhere(site) == []


@pytest.mark.slow
def test_pages_do_not_publish_the_environment_of_whoever_builds_them(site):
    assert [page.name for page in site.rglob("*") if page.is_file() and SECRET.encode() in page.read_bytes()] == []


@pytest.mark.slow
def test_every_verdict_leads_to_the_cell_that_judges_it(site):
    page = (site / "VERDICTS.html").read_text(encoding="utf-8")
    for run in load_verdicts(ROOT / "notebooks"):
        notebook = (site / "notebooks" / f"{run['notebook']}.html").read_text(encoding="utf-8")
        for record in run["verdicts"]:
            address = f"claim-{record['id']}"
            assert f'href="notebooks/{run["notebook"]}.html#{address}"' in page
            cell = notebook[notebook.index(f'id="{address}"') :].split('<div class="cell docutils')[0]
            assert re.search(rf"\b{record['id']} +{record['verdict']} +measured", cell), f"{run['notebook']}: {address}"


@pytest.mark.slow
def test_reference_has_every_public_name(site):
    for part, names in (("rules", ["DuDe", "OrMo"]), ("clusters", ["TruncatedNormal"]), ("replayer", ["replay"]), ("plots", ["gantt"])):
        text = (site / "api" / f"{part}.html").read_text(encoding="utf-8")
        assert [name for name in names if f'<span class="pre">{name}</span>' not in text] == []
    commands = (site / "api" / "cli.html").read_text(encoding="utf-8")
    assert [name for name in cli.COMMANDS if f"sage: asgd {name}" not in commands] == []  # argparse writes usage
    assert "--checkpoint-every" in commands and commands.count("-h, --help") == len(cli.COMMANDS) + 1
    assert "listing:list_" not in commands and "MutableMapping" not in commands, "the page is for those who use the command"
    methods = (site / "api" / "methods.html").read_text(encoding="utf-8")
    rows = re.findall(r'<tr class="row-(?:even|odd)"><td><p><code.*?<span class="pre">(\w+)</span>', methods)
    assert rows == list(METHODS) and "<sub>" not in methods
    assert {path.stem for path in (site / "api").glob("*.html")} == site_sources.parts().keys()


@needs_browser
@pytest.mark.slow
def test_pages_work_in_a_browser_on_a_phone_and_in_the_dark(site, tab):
    tab.look(390, 844, dark=True)
    for page in pages(site):
        tab.open(page.as_uri())  # as a reader opens it, without a server
        assert tab.ask(MATH_IS_SET)
        assert tab.ask(BROKEN_MATH) == [], page.name
        assert tab.ask(MISSING_PICTURES) == [], page.name
        assert tab.ask(TOO_WIDE) <= 0, f"{page.name} is wider than a phone"
        contrast, where = tab.ask(FAINTEST)
        assert contrast > 4.5, f"{page.name}: {where} has a contrast of {contrast:.1f} in the dark"
        assert tab.ask(SMALL_FIGURES) == [], f"{page.name}: writing in these is too small to read on a phone"
        assert tab.complaints == [], page.name


@needs_browser
@pytest.mark.slow
def test_notebooks_show_formulas_and_figures_on_a_desk(site, tab):
    tab.look(1280, 900, dark=False)
    for page in sorted((site / "notebooks").glob("*.html")):
        tab.open(page.as_uri())
        assert tab.ask(MATH_IS_SET)
        assert tab.ask("document.querySelectorAll('mjx-container').length") > 0, page.name
        assert tab.ask("[...document.querySelectorAll('.cell_output img')].filter(one => one.width > 200).length") > 0, page.name
        assert tab.ask(FAINTEST)[0] > 4.5, page.name


def test_a_page_with_broken_links_is_found_out(tmp_path):
    (tmp_path / "a.html").write_text(
        '<p id="here"></p><a href="#here"></a><a href="#gone"></a><a href="b.html"></a><img src="https://x.org/y.png">'
    )
    assert links.broken(tmp_path) == ["a.html -> #gone", "a.html -> b.html"]
    assert links.loaded_from_elsewhere(tmp_path) == ["a.html -> https://x.org/y.png"]


def test_only_a_site_is_replaced(tmp_path):
    (tmp_path / "precious.txt").touch()
    command = [sys.executable, str(ROOT / "scripts" / "build_site.py"), "--target", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "is no site" in done.stderr and (tmp_path / "precious.txt").exists()
