"""The thinking budget: what is cut, what goes on and with what, and that nothing else changes."""

from __future__ import annotations

import json
import re

import pytest
from datasets import Dataset

from trl_rlsp.errors import ConfigError, DataError
from trl_rlsp.evaluation import draw
from trl_rlsp.evaluation._store import SampleStore
from trl_rlsp.evaluation.budget import ThinkingBudget, draw_within
from trl_rlsp.generation import Prefixed, Sample, Sampling, TransformersEngine, load_model

BOX = "\\boxed{"
ENDING = [BOX, "99", "}"]


def counting(stop_at, goes_on=None):
    """1 2 3 ... stop_at \\boxed{ 99 } <eos>; after `goes_on`, from 101 to 140 and then the box."""
    chain = {str(i): {str(i + 1): 1.0} for i in range(1, stop_at)}
    chain |= {str(stop_at): {BOX: 1.0}, BOX: {"99": 1.0}, "99": {"}": 1.0}, "}": {"<eos>": 1.0}}
    chain |= {str(i): {str(i + 1): 1.0} for i in range(101, 140)} | {"140": {BOX: 1.0}}
    if goes_on:
        chain[goes_on] = {"101": 1.0}
    return chain


def row(first, last):
    return [str(i) for i in range(first, last + 1)]


def texts(thoughts):
    return [thought.sample.text for thought in thoughts]


class TestAtLeast:
    def test_goes_on_in_the_place_of_the_answer(self, markov, think):
        (found,) = think(*markov(counting(5, goes_on="|")), ["1"], ThinkingBudget(at_least=6, continuation="|"))
        # 2 3 4 5 are 4 reasoning tokens, fewer than 6: the box gives way to |, and the chain goes on at 101
        assert found.sample.text == " ".join([*row(2, 5), "|", *row(101, 140), *ENDING])
        assert found.sample.tokens == 4 + 1 + 40 + 4  # the end token too
        assert (found.continued, found.forced, found.sample.truncated) == (1, False, False)

    @pytest.mark.parametrize(("at_least", "continued"), [(3, 0), (4, 0), (5, 1)])
    def test_the_limit_itself_is_enough(self, markov, think, at_least, continued):
        (found,) = think(*markov(counting(5, "|")), ["1"], ThinkingBudget(at_least, continuation="|"))
        assert found.continued == continued
        assert found.sample.text.endswith(" ".join(ENDING))

    def test_instead_of_the_end_token(self, markov, think):
        model, tokenizer = markov({"1": {"2": 1.0}, "2": {"<eos>": 1.0}, "|": {"2": 1.0}})
        (found,) = think(model, tokenizer, ["1"], ThinkingBudget(at_least=5, continuation="|"))
        # 1, then 3, then 5 reasoning tokens
        assert (found.sample.text, found.continued) == ("2 | 2 | 2", 2)

    def test_not_after_a_word_that_settles_it(self, markov, think):
        model, tokenizer = markov({"1": {"yes": 1.0}, "2": {"no": 1.0}, "yes": {BOX: 1.0}, "no": {BOX: 1.0}})
        budget = ThinkingBudget(at_least=3, continuation="| |", settled=["yes"])
        # the second has 3 reasoning tokens after the continuation and then ends
        assert texts(think(model, tokenizer, ["1", "2"], budget)) == [f"yes {BOX}", "no | |"]

    def test_the_prompt_is_no_part_of_it(self, markov, think):
        model, tokenizer = markov({"(": {")": 1.0}, ")": {"7": 1.0}})
        budget = ThinkingBudget(at_least=2, continuation="|", ends=["( )"])
        assert texts(think(model, tokenizer, ["("], budget)) == [") 7"]

    def test_without_a_ceiling_the_sampling_cuts(self, markov, think):
        (found,) = think(*markov(counting(50)), ["1"], ThinkingBudget(at_least=9, continuation="|"), max_new_tokens=5)
        assert (found.sample.text, found.sample.truncated) == ("2 3 4 5 6", True)


class TestAtMost:
    @pytest.mark.parametrize("at_most", [0, 1, 7])
    def test_exactly_then_the_answer(self, markov, think, at_most):
        (found,) = think(*markov(counting(50)), ["1"], ThinkingBudget(at_most=at_most))
        assert found.sample.text == " ".join([*row(2, at_most + 1), *ENDING])
        assert found.sample.tokens == at_most + 4
        assert (found.forced, found.sample.truncated) == (True, False)

    def test_each_for_itself(self, markov, think):
        # from 48 the chain has 49, 50 and its own box; from 1 it is stopped after 4; from 47 its own box comes 4th
        found = think(*markov(counting(50)), ["48", "? 1", "? ? 47"], ThinkingBudget(at_most=4))
        assert texts(found) == [
            " ".join([*row(49, 50), *ENDING]),
            " ".join([*row(2, 5), *ENDING]),
            f"48 49 50 {BOX} 99 }}",
        ]
        assert [thought.forced for thought in found] == [False, True, False]

    def test_what_is_written_of_the_answer_already_is_not_written_twice(self, markov, think):
        model, tokenizer = markov({"1": {"2": 1.0}, "2": {"|": 1.0}, "|": {"3": 1.0}, BOX: {"5": 1.0}})
        budget = ThinkingBudget(at_most=2, answer="| \\boxed{")
        (found,) = think(model, tokenizer, ["1"], budget)
        assert (found.sample.text, found.sample.tokens) == (f"2 | {BOX} 5", 5)

    def test_the_answer_has_its_own_limit(self, markov, think):
        model, tokenizer = markov({"1": {"2": 1.0}, BOX: {"5": 1.0}, "5": {"6": 1.0}, "6": {"5": 1.0}})
        budget = ThinkingBudget(at_most=1, answer_tokens=4)
        assert texts(think(model, tokenizer, ["1"], budget)) == [f"2 {BOX} 5 6 5 6"]

    def test_an_answer_of_its_own_has_the_same_limit(self, markov, think):
        model, tokenizer = markov({"1": {BOX: 1.0}, BOX: {"5": 1.0}, "5": {"6": 1.0}, "6": {"5": 1.0}})
        (found,) = think(model, tokenizer, ["1"], ThinkingBudget(at_most=3, answer_tokens=2))
        assert (found.sample.text, found.forced) == (f"{BOX} 5 6 5 6", False)  # 3 and 2

    def test_a_continuation_that_does_not_fit_gives_way_to_the_answer(self, markov, think):
        budget = ThinkingBudget(4, 4, continuation="| | | |")
        (found,) = think(*markov(counting(3)), ["1"], budget)
        assert (found.sample.text, found.forced) == (" ".join(["2", "3", *ENDING]), True)


class Scripted:
    """An engine without a tokenizer, as a server's: completions by what has been written before."""

    def __init__(self, script):
        self.script, self.asked = script, []

    def count(self, text):
        return len(re.findall(r"\w+|[^\w\s]", text))

    def sample(self, prompts, requests, sampling):
        for request in requests:
            prompt = prompts[request.prompt]
            begun = "".join(prompt.parts)
            self.asked.append((begun, prompt.tokens, prompt.limit))
            new, truncated = self.script[begun]
            tokens = prompt.tokens + self.count(new)
            yield [Sample(request.prompt, begun + new, tokens, truncated, request.sample)]


def within(script, budget):
    engine = Scripted(script)
    (found,) = draw_within(engine, Dataset.from_dict({"prompt": ["?"]}), Sampling(), budget)
    return found, engine.asked


class TestText:
    def test_what_was_opened_for_the_answer_is_closed(self):
        script = {
            "": ("So it is 7.\n\nHence $\\boxed{7}$.", False),
            "So it is 7.\n\nHence\nWait": (", 2 + 6 = 8. Hence $\\boxed{8}$.", False),
        }
        budget = ThinkingBudget(at_least=8, at_most=40, continuation="\nWait")
        found, asked = within(script, budget)
        assert found.sample.text == "So it is 7.\n\nHence\nWait, 2 + 6 = 8. Hence $\\boxed{8}$."
        # So it is 7 . Hence: 6 words; with Wait 7 of at most 40
        assert asked == [("", 0, 40), ("So it is 7.\n\nHence\nWait", 7, 33)]

    def test_another_end_of_thinking(self):
        script = {
            "": ("<think>Seven, I", True),
            "<think>Seven, I</think>\n\\boxed{": ("7}", False),
        }
        budget = ThinkingBudget(at_most=4, answer="</think>\n\\boxed{", ends=["</think>"], answer_tokens=9)
        found, asked = within(script, budget)
        assert found.sample.text == "<think>Seven, I</think>\n\\boxed{7}"
        assert asked[1][2] == 9
        assert found.forced

    def test_a_letter_that_the_answer_begins_with_stays(self):
        found, _ = within(
            {"": ("of side A", True), "of side AAnswer: ": ("A", False)}, ThinkingBudget(0, 3, answer="Answer: ")
        )
        assert found.sample.text == "of side AAnswer: A"

    def test_a_blank_that_the_answer_begins_with_is_written_once(self):
        found, _ = within(
            {"": ("so\n", True), "so\n\n\\boxed{": ("1}", False)}, ThinkingBudget(0, 3, answer="\n\n\\boxed{")
        )
        assert found.sample.text == "so\n\n\\boxed{1}"


class TestNotBinding:
    @pytest.mark.parametrize("budget", [ThinkingBudget(), ThinkingBudget(at_most=40), ThinkingBudget(0, 100)])
    @pytest.mark.parametrize("n", [1, 3])
    def test_what_a_run_without_a_budget_draws(self, model_folder, budget, n):
        model, tokenizer = load_model(str(model_folder), dtype="float32")
        prompts = ["<user> 1 2 : 3 <assistant>", "<user> 8 1 9 : 72 <assistant>"] * 4
        engine, problems = TransformersEngine(model, tokenizer), Dataset.from_dict({"prompt": prompts})
        sampling = Sampling(n=n, temperature=1.0, max_new_tokens=40)
        plain = draw(engine, problems, sampling)
        found = [thought.sample for thought in draw_within(engine, problems, sampling, budget)]
        ended = [not sample.truncated for sample in plain]
        assert [s for s, ends in zip(found, ended, strict=True) if ends] == [s for s in plain if not s.truncated]
        if budget.at_most is None:
            assert found == plain

    def test_a_taught_model_answers_as_without_one(self, taught_folder):
        model, tokenizer = load_model(str(taught_folder), dtype="float32")
        engine = TransformersEngine(model, tokenizer)
        problems = Dataset.from_dict({"prompt": ["<user> 8 1 9 : 72 <assistant>", "<user> 1 2 : 3 <assistant>"] * 3})
        sampling = Sampling(n=4, temperature=1.0, max_new_tokens=60, batch_size=5)
        plain = draw(engine, problems, sampling)
        found = draw_within(engine, problems, sampling, ThinkingBudget(at_most=60))
        assert sum(not sample.truncated for sample in plain) > 12
        for sample, thought in zip(plain, found, strict=True):
            assert thought.sample == sample or sample.truncated


class Interrupted(Exception):
    pass


class TestStore:
    BUDGET = ThinkingBudget(9, 12, continuation="| 1 +", answer_tokens=4)
    PROMPTS = ["<user> 8 1 9 : 72 <assistant>", "<user> 1 2 : 3 <assistant>", "<user> 7 7 : 7 <assistant>"]

    def run(self, taught_folder, folder, stop_after=None):
        """(completions, batches asked of the engine); cut off after some batches."""
        model, tokenizer = load_model(str(taught_folder), dtype="float32")
        engine, problems = TransformersEngine(model, tokenizer), Dataset.from_dict({"prompt": self.PROMPTS})
        whole, batches = engine.sample, []

        def sample(*arguments):
            for batch in whole(*arguments):
                if stop_after is not None and len(batches) == stop_after:
                    raise Interrupted
                batches.append(len(batch))
                yield batch

        engine.sample = sample
        sampling = Sampling(n=2, temperature=1.0, batch_size=2)
        with SampleStore(folder, {"budget": 12}, problems) as store:
            return draw_within(engine, problems, sampling, self.BUDGET, store=store), batches

    def test_each_segment_is_drawn_once_whatever_interrupts(self, taught_folder, tmp_path):
        expected, batches = self.run(taught_folder, tmp_path / "whole")
        assert any(thought.continued for thought in expected)
        for stop_after in range(len(batches)):
            with pytest.raises(Interrupted):
                self.run(taught_folder, tmp_path / str(stop_after), stop_after)
            found, rest = self.run(taught_folder, tmp_path / str(stop_after))
            assert found == expected
            assert stop_after + len(rest) == len(batches)

    def test_segments_have_numbers_of_their_own(self, taught_folder, tmp_path):
        found, _ = self.run(taught_folder, tmp_path)
        lines = [json.loads(line) for line in (tmp_path / "samples.jsonl").read_text().splitlines()]
        keys = [(line["problem"], line["sample"]) for line in lines]
        assert len(set(keys)) == len(keys)
        last = max(
            (line for line in lines if line["problem"] == 0 and line["sample"] % 2 == 1), key=lambda x: x["sample"]
        )
        assert last["text"] == found[1].sample.text


class TestRefused:
    @pytest.mark.parametrize(
        ("limits", "match"),
        [
            ({"at_least": 5, "at_most": 4}, "0 <= at_least <= at_most must hold, got at_least=5 and at_most=4"),
            ({"at_least": -1}, "got at_least=-1 and at_most=None"),
            ({"at_most": -1}, "got at_least=0 and at_most=-1"),
            ({"at_most": 4, "answer_tokens": 0}, "answer_tokens is at least 1, got 0"),
            ({"at_least": 4, "continuation": ""}, "each of ends and settled is a text, got an empty one"),
            ({"at_most": 4, "ends": []}, "each of ends and settled is a text, got an empty one"),
            ({"at_most": 4, "ends": "("}, r"ends and settled are lists of texts, got '\(' and \(\)"),
            ({"at_least": 4, "continuation": "| \\boxed{"}, "the continuation must not end the reasoning itself"),
            ({"at_least": 4, "continuation": " $\n"}, "the continuation must hold a word or a mark of its own"),
        ],
    )
    def test_limits_and_texts(self, limits, match):
        with pytest.raises(ConfigError, match=match):
            ThinkingBudget(**limits)

    @pytest.mark.parametrize(
        ("limits", "match"),
        [
            ({"at_least": 4}, "continuation must be words of the tokenizer's vocabulary, but 'Wait' holds '<unk>'"),
            ({"at_most": 4, "answer": "So"}, "answer must be words of the tokenizer's vocabulary"),
        ],
    )
    def test_words_that_the_model_cannot_write(self, markov, think, limits, match):
        with pytest.raises(ConfigError, match=match):
            think(*markov({}), ["1"], ThinkingBudget(**limits))

    def test_no_problems(self):
        with pytest.raises(DataError, match="there are no problems"):
            draw_within(Scripted({}), Dataset.from_dict({"prompt": []}), Sampling(), ThinkingBudget())


def test_a_beginning_is_tokenized_part_by_part(tokenizer):

    asked, begun = Prefixed("1 2 : 3", ("1 + 2", "|"), 4, 9).ids(tokenizer)
    assert tokenizer.convert_ids_to_tokens(asked + begun) == ["1", "2", ":", "3", "1", "+", "2", "|"]
