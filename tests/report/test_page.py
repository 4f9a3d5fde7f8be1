"""The page: what it shows, and that no text of a run becomes markup."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest

from trl_rlsp.report import build, render
from trl_rlsp.report._page import asset, policy
from trl_rlsp.runs import Run
from trl_rlsp.text import HIDDEN, json_for_script, visible_text

VOID = {"meta", "input", "br"}
ADDRESSES = ("src", "href", "action", "style")


class Outline(HTMLParser):
    """Elements, their text, and the attributes that could run something or fetch something; refuses bad nesting."""

    def __init__(self):
        super().__init__()
        self.open, self.scripts, self.active, self.text = [], [], [], []
        self.tags = []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append("")
        self.active += [(tag, k, v) for k, v in attributes if k.startswith("on") or k in ADDRESSES]

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data
        elif self.open and self.open[-1] != "style":
            self.text.append(data)


def outline(page):
    found = Outline()
    found.feed(page)
    found.close()
    assert found.open == []
    return found


@pytest.fixture
def nasty_page(nasty_run):
    return render(build([nasty_run]))


class TestInjection:
    def test_only_the_pages_own_scripts(self, nasty_page):
        data, script = outline(nasty_page).scripts
        assert json.loads(data)["kinds"]
        assert script == asset("browser.js")

    def test_nothing_runs_and_nothing_is_fetched(self, nasty_page):
        found = outline(nasty_page)
        assert {address for _, name, address in found.active if name == "href"} == {
            "#warnings",
            "#table",
            "#training",
            "#effort",
            "#completions",
        }
        assert [entry for entry in found.active if entry[1] != "href"] == []
        assert not {"img", "iframe", "object", "link", "base"} & set(found.tags)

    def test_texts_are_shown_as_they_are(self, nasty_run, nasty_page):
        assert visible_text(nasty_run.name) in "".join(outline(nasty_page).text)
        assert "{{ 7 * 191 }}" in nasty_page

    def test_hidden_characters_reach_the_page_only_as_numbers(self, nasty_page):
        assert HIDDEN.findall(nasty_page) == []

    def test_completions_survive(self, nasty_run, nasty_page):
        data = json.loads(outline(nasty_page).scripts[0])
        items = [item for source in data["sources"] for item in source["items"]]
        completions = [*(c for e in nasty_run.evaluations for c in e.completions), *nasty_run.completions]
        texts = ["".join(piece for piece, _ in item["parts"]) for item in items]
        assert texts == [visible_text(c.text) for c in completions]
        assert [item["prompt"] for item in items] == [visible_text(c.question) for c in completions]

    def test_hidden_characters_reach_the_script_only_as_numbers(self, nasty_page):
        def strings(value):
            if isinstance(value, str):
                return [value]
            inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
            return [text for part in inner for text in strings(part)]

        data = json.loads(outline(nasty_page).scripts[0])
        for source in data["sources"]:
            del source["set"]  # compared, never shown
        found = strings(data)
        assert any("⟨U+202E⟩" in text for text in found)
        assert [text for text in found if HIDDEN.search(text)] == []

    def test_the_file_can_be_written(self, nasty_page):
        assert nasty_page.encode("utf-8")

    def test_policy(self, nasty_page):
        (found,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', nasty_page)
        found = found.replace("&#39;", "'")
        assert found == policy(asset("browser.js"), asset("page.css"))
        (script,) = re.findall(r"<script>(.*?)</script>", nasty_page, re.S)
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert found.startswith(f"default-src 'none'; script-src 'sha256-{digest}'; ")
        assert nasty_page.index("Content-Security-Policy") < nasty_page.index("<style>")


class TestVisible:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("a\u202eb", "a⟨U+202E⟩b"),
            ("a\x00b", "a⟨U+0000⟩b"),
            ("\U000e0041", "⟨U+E0041⟩"),
            ("a\tb\nc\r\nd", "a\tb\nc\r\nd"),
            ("a\rb", "a⟨U+000D⟩b"),
            ("naïve 中文 עברית 😀", "naïve 中文 עברית 😀"),
        ],
    )
    def test_text(self, text, shown):
        assert visible_text(text) == shown

    def test_json(self):
        text = json_for_script(["</script><!--", "\u2028", "&amp;"])
        assert json.loads(text) == ["</script><!--", "\u2028", "&amp;"]
        assert text.isascii()
        assert not re.search("[<>&]", text)

    def test_json_refuses_what_no_browser_reads(self):
        with pytest.raises(ValueError, match="not JSON compliant"):
            json_for_script(float("nan"))


class TestSections:
    def test_a_run_without_anything_but_a_log(self, make_run):
        text = render(build([make_run(reward=[0.1, 0.2])]))
        found = outline(text)
        assert "No warnings." in text
        assert found.scripts == []
        assert 'id="training"' in text
        for absent in ("table", "effort", "completions"):
            assert f'id="{absent}"' not in text

    def test_warnings_of_several_runs_name_theirs(self, make_run):
        runs = [make_run("one", frac_reward_zero_std=[1.0] * 3), make_run("two", frac_reward_zero_std=[0.0] * 3)]
        text = render(build(runs))
        assert text.count('class="warning"') == 1
        assert '<span class="run">one</span>' in text
        assert "<h1>one · two</h1>" in text

    def test_what_is_missing(self):
        text = render(build([Run("r", None, missing=["logged completions"])]))
        assert "<li>logged completions</li>" in text
