"""The page in a real browser, at 10,000 completions, light and dark, wide and narrow.

Needs Chromium on the machine, and playwright: pip install --group browser.
"""

from __future__ import annotations

import random
import re
import shutil
import time

import pytest

from trl_rlsp.report import build, render
from trl_rlsp.runs import Completion, Evaluated, Run

pytestmark = pytest.mark.slow

PROBLEMS, STEPS, GROUPS, SIZE = 2500, 40, 16, 8
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SENTENCES = (
    "Let me try another approach. ",
    "So 3 * 4 = 12 and 12 + 5 = 17. ",
    "Wait, that is wrong: 4 * 4 = 16. ",
    "Let me check: 16 - 5 = 11. ",
    "First, find the sum of the first two. ",
    "The numbers left are 7 and 9. ",
)


def text(rng, mark):
    return f"{mark} " + "".join(rng.choice(SENTENCES) for _ in range(rng.randint(10, 90))) + r"\boxed{7}"


@pytest.fixture(scope="module")
def large_run():
    """2 x 2,500 completions of evaluations and 5,120 of training."""
    rng = random.Random(0)
    evaluations = []
    for name, share in (("SFT", 0.3), ("RLSP", 0.5)):
        completions = []
        for i in range(PROBLEMS):
            score = float(rng.random() < share)
            written, tokens = text(rng, f"{name}-{i}"), rng.randint(50, 800)
            reason = "match" if score else "mismatch"
            completions.append(Completion(written, str(i), f"Problem text {i} ?", score, reason, tokens, finished=True))
        evaluations.append(Evaluated(name, {}, {}, completions, "d"))
    logged = [
        Completion(text(rng, f"step-{step}"), f"p{g}", f"p{g}", float(i % 2), "match", step=step, sample=i)
        for step in range(1, STEPS + 1)
        for g in range(GROUPS)
        for i in range(SIZE)
    ]
    history = [
        {"step": s, "reward": s / STEPS, "rewards/outcome_verifier/mean": 0.5, "entropy": 1.0} for s in range(1, 41)
    ]
    return Run("large", None, evaluations, history, logged)


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser: pip install playwright")
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser: install one of {', '.join(BROWSERS)}")
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def large_page(large_run, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "index.html"
    path.write_text(render(build([large_run], limit=20_000)), encoding="utf-8")
    return path


@pytest.fixture
def visit(browser):
    """`visit(path, ...)`: an open page, and the lists of its errors and of what it asked for."""
    contexts = []

    def go(path, **options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.errors, page.asked = [], []
        page.on("console", lambda message: page.errors.append(message.text))
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_selector("body[data-ready]", timeout=60_000)
        return page

    yield go
    for context in contexts:
        context.close()


def status(page):
    return page.inner_text("#status")


class TestLarge:
    def test_opens_and_filters(self, visit, large_page):
        started = time.monotonic()
        page = visit(large_page, viewport={"width": 1280, "height": 900})
        opened = time.monotonic() - started
        assert status(page) == "2,500 of 2,500 pairs."
        assert page.locator(".pair").count() == 20  # rendered on demand
        started = time.monotonic()
        page.fill("#search", "RLSP-1234 ")
        page.locator("#status", has_text=re.compile("^1 of")).wait_for()
        searched = time.monotonic() - started
        assert "Problem text 1234 ?" in page.inner_text(".pair")
        assert page.inner_text("mark.found").strip() == "RLSP-1234"
        print(f"open {opened:.2f} s, search {searched:.2f} s, {large_page.stat().st_size / 1e6:.1f} MB")
        assert opened < 10
        assert searched < 3
        assert page.errors == []
        assert page.asked == [large_page.as_uri()]

    def test_outcomes(self, visit, large_page, large_run):
        page = visit(large_page)
        before, after = (e.completions for e in large_run.evaluations)
        pairs = [(a.score, b.score) for a, b in zip(before, after, strict=True)]
        for outcome, expected in (("gained", (0, 1)), ("lost", (1, 0)), ("right", (1, 1)), ("wrong", (0, 0))):
            page.select_option("#outcome", outcome)
            assert status(page) == f"{pairs.count(expected):,} of 2,500 pairs."
        assert page.locator(".side.is-right").count() == 0  # both are wrong

    def test_more(self, visit, large_page):
        page = visit(large_page)
        page.click("#more")
        assert page.locator(".pair").count() == 40
        assert page.locator(".pair h3").nth(20).inner_text() == "Problem 20"
        page.fill("#search", "RLSP-1234 ")
        page.locator("#status", has_text=re.compile("^1 of")).wait_for()
        assert page.locator("#more").is_hidden()

    def test_training(self, visit, large_page):
        page = visit(large_page)
        page.select_option("#left", label="training")
        assert status(page) == "5,120 of 5,120 completions."
        page.fill("#from", "39")
        assert status(page) == "256 of 5,120 completions."  # steps 39 and 40, 16 x 8 each
        page.fill("#from", "")
        page.select_option("#right", label="the same problem, last time")
        assert status(page) == "16 of 16 pairs."
        assert "step 1" in page.locator(".side .facts").nth(0).inner_text()
        assert "step 40" in page.locator(".side .facts").nth(1).inner_text()

    def test_behaviours(self, visit, large_page):
        page = visit(large_page)
        marks = page.locator(".pair mark")
        assert "Let me check" in " ".join(marks.all_inner_texts())
        assert set(page.evaluate("[...document.querySelectorAll('.pair mark')].map((m) => m.title)")) >= {
            "verification",
            "alternatives",
        }

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("width", [1280, 390])
    def test_reads_well(self, visit, large_page, scheme, width):
        page = visit(large_page, color_scheme=scheme, viewport={"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width  # nothing sticks out
        for selector in ("body", ".facts", ".text", ".note", "nav a", ".verdict.right", ".verdict.wrong"):
            assert page.evaluate(CONTRAST, selector) >= 4.5, selector  # WCAG 2.1, AA


CONTRAST = """(selector) => {
  const node = document.querySelector(selector);
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  let behind = node;
  while (behind && numbers(getComputedStyle(behind).backgroundColor)[3] === 0) behind = behind.parentElement;
  const light = (colour) => {
    const curve = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = numbers(colour).map((v) => curve(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const pair = [light(getComputedStyle(node).color), light(getComputedStyle(behind).backgroundColor)];
  pair.sort((a, b) => b - a);
  return (pair[0] + 0.05) / (pair[1] + 0.05);
}"""


class TestInjection:
    def test_nothing_runs(self, visit, nasty_run, tmp_path):
        path = tmp_path / "index.html"
        path.write_text(render(build([nasty_run])), encoding="utf-8")
        page = visit(path)
        page.select_option("#left", index=2)
        for outcome in ("right", "wrong", "all"):
            page.select_option("#outcome", outcome)
        page.wait_for_timeout(300)
        assert page.evaluate("window.hacked") is None
        assert page.errors == []
        assert page.asked == [path.as_uri()]
        assert page.locator("#list script, #list img, #list svg").count() == 0
        assert "</script><script>window.hacked = 1</script>" in page.inner_text("#list")
        assert "U+202E" in page.inner_text("#list")

    def test_the_policy_stops_what_would_get_in(self, visit, nasty_run, tmp_path):
        path = tmp_path / "index.html"
        path.write_text(render(build([nasty_run])), encoding="utf-8")
        page = visit(path)
        image = '<img src="https://example.org/x.png" onerror="window.hacked = 5">'
        page.evaluate("(html) => document.body.insertAdjacentHTML('beforeend', html)", image)
        added = (
            "const s = document.createElement('script'); s.textContent = 'window.hacked = 6'; document.body.append(s)"
        )
        page.evaluate(added)
        page.wait_for_timeout(300)
        assert page.evaluate("window.hacked") is None
        assert any("Content Security Policy" in error for error in page.errors)
