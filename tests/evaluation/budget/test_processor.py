"""The thinking budget: what is forced, where, and that nothing else changes."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from trl_rlsp.errors import ConfigError
from trl_rlsp.evaluation.budget.processor import ThinkingBudget, Usage
from trl_rlsp.evaluation.budget.token_strings import encode

BOX = "\\boxed{"


def counting(stop_at, goes_on=None):
    """1 2 3 ... stop_at \\boxed{ 9 } <eos>; after `goes_on`, from 101 to 140 and then the box."""
    chain = {str(i): {str(i + 1): 1.0} for i in range(1, stop_at)}
    chain |= {str(stop_at): {BOX: 1.0}, BOX: {"99": 1.0}, "99": {"}": 1.0}, "}": {"<eos>": 1.0}}
    chain |= {str(i): {str(i + 1): 1.0} for i in range(101, 140)} | {"140": {BOX: 1.0}}
    if goes_on:
        chain[goes_on] = {"101": 1.0}
    return chain


def row(first, last):
    return [str(i) for i in range(first, last + 1)]


ENDING = [BOX, "99", "}", "<eos>"]


class TestAtLeast:
    def test_goes_on_in_the_place_of_the_answer(self, markov, write):
        model, tokenizer = markov(counting(5, goes_on="|"))
        budget = ThinkingBudget(tokenizer, at_least=6, continuation="|")
        # 2 3 4 5 are 4 reasoning tokens, fewer than 6: the box gives way to |, and the chain goes on at 101
        assert write(model, tokenizer, ["1"], budget) == [" ".join([*row(2, 5), "|", *row(101, 140), *ENDING])]
        assert budget.usage() == Usage(rows=1, extended=1, extensions=1, cut=0)

    @pytest.mark.parametrize(("at_least", "extended"), [(3, 0), (4, 0), (5, 1)])
    def test_the_limit_itself_is_enough(self, markov, write, at_least, extended):
        model, tokenizer = markov(counting(5, goes_on="|"))
        budget = ThinkingBudget(tokenizer, at_least=at_least, continuation="|")
        (text,) = write(model, tokenizer, ["1"], budget)
        assert text.count("|") == extended
        assert text.endswith(" ".join(ENDING))

    def test_several_words_follow_one_another_exactly(self, markov, write):
        model, tokenizer = markov(counting(5, goes_on="("))
        budget = ThinkingBudget(tokenizer, at_least=5, continuation="no | ( ( (")
        expected = [*row(2, 5), "no", "|", "(", "(", "(", *row(101, 140), *ENDING]
        assert write(model, tokenizer, ["1"], budget) == [" ".join(expected)]

    def test_instead_of_the_end_token(self, markov, write):
        model, tokenizer = markov({"1": {"2": 1.0}, "2": {"<eos>": 1.0}, "|": {"2": 1.0}})
        budget = ThinkingBudget(tokenizer, at_least=5, continuation="|")
        # 1 | 3 | 5: the row of 2 | 2 | 2 has 5 reasoning tokens when it may end
        assert write(model, tokenizer, ["1"], budget) == ["2 | 2 | 2 <eos>"]
        assert budget.usage().extensions == 2

    def test_not_after_a_word_that_settles_it(self, markov, write):
        model, tokenizer = markov({"1": {"yes": 1.0}, "2": {"no": 1.0}, "yes": {BOX: 1.0}, "no": {BOX: 1.0}})
        budget = ThinkingBudget(tokenizer, at_least=3, continuation="| |", settled=["yes"])
        # the second row has 3 reasoning tokens after the continuation and then ends
        assert write(model, tokenizer, ["1", "2"], budget) == [f"yes {BOX} <eos>", "no | | <eos>"]

    def test_its_own_word_is_not_made_a_continuation(self, markov, write):
        # | is likelier than the box, so it is the model's own and 7 follows, not the rest of the continuation
        model, tokenizer = markov({"1": {"|": 0.6, BOX: 0.4}, "|": {"7": 1.0}})
        budget = ThinkingBudget(tokenizer, at_least=2, continuation="| no")
        assert write(model, tokenizer, ["1"], budget) == ["| 7 <eos>"]
        assert budget.usage().extensions == 0

    def test_sampled_as_often_as_it_would_have_ended(self, markov, write):
        # 1 -> 2 (0.25), box (0.75): of 2,000 rows 1,500 are continued; 5 standard deviations are 97
        model, tokenizer = markov({"1": {"2": 0.25, BOX: 0.75}, "2": {"<eos>": 1.0}, "|": {"3": 1.0}})
        budget = ThinkingBudget(tokenizer, at_least=1, continuation="|")
        torch.manual_seed(0)
        firsts = Counter(t[0] for t in write(model, tokenizer, ["1"] * 2000, budget, do_sample=True, top_k=0))
        assert set(firsts) == {"|", "2"}
        assert abs(firsts["|"] - 1500) < 97


class TestAtMost:
    @pytest.mark.parametrize("at_most", [0, 1, 7])
    def test_exactly_then_the_answer(self, markov, write, at_most):
        model, tokenizer = markov(counting(50))
        budget = ThinkingBudget(tokenizer, at_most=at_most)
        assert write(model, tokenizer, ["1"], budget) == [" ".join([*row(2, at_most + 1), *ENDING])]
        assert budget.usage().cut == 1

    def test_a_row_for_itself(self, markov, write):
        model, tokenizer = markov(counting(50))
        budget = ThinkingBudget(tokenizer, at_most=4)
        # from 48 the chain has 49, 50 and its own box; from 1 it is stopped after 4; from 47 its own box comes 4th
        found = write(model, tokenizer, ["48", "? 1", "? ? 47"], budget)
        assert found == [
            " ".join([*row(49, 50), *ENDING]),
            " ".join([*row(2, 5), *ENDING]),
            f"48 49 50 {BOX} 99 }} <eos>",
        ]
        assert budget.usage() == Usage(rows=3, extended=0, extensions=0, cut=1)

    def test_an_answer_of_several_words(self, markov, write):
        model, tokenizer = markov(counting(50))
        budget = ThinkingBudget(tokenizer, at_most=2, answer="no | \\boxed{")
        assert write(model, tokenizer, ["1"], budget) == [" ".join(["2", "3", "no", "|", *ENDING])]

    def test_what_is_written_of_the_answer_already_is_not_written_twice(self, markov, write):
        model, tokenizer = markov({"1": {"2": 1.0}, "2": {"no": 1.0}, "no": {"3": 1.0}} | counting(1))
        model.table.weight.data[tokenizer.convert_tokens_to_ids("1")] = -1e9
        model.table.weight.data[tokenizer.convert_tokens_to_ids("1"), tokenizer.convert_tokens_to_ids("2")] = 0.0
        budget = ThinkingBudget(tokenizer, at_most=2, answer="no | \\boxed{")
        assert write(model, tokenizer, ["1"], budget) == [" ".join(["2", "no", "|", *ENDING])]

    def test_the_answer_has_its_own_limit(self, markov, write):
        model, tokenizer = markov({BOX: {"5": 1.0}, "5": {"6": 1.0}, "6": {"5": 1.0}})
        budget = ThinkingBudget(tokenizer, at_most=0, answer_tokens=4)
        (text,) = write(model, tokenizer, ["1"], budget)
        assert text == f"{BOX} 5 6 5 6 <eos>"
        assert len(text.split()) == budget.longest

    def test_an_answer_of_its_own_has_the_same_end(self, markov, write):
        model, tokenizer = markov({"1": {BOX: 1.0}, BOX: {"5": 1.0}, "5": {"6": 1.0}, "6": {"5": 1.0}})
        budget = ThinkingBudget(tokenizer, at_most=3, answer_tokens=2)
        # 3 + 1 + 2 tokens and the end token
        assert write(model, tokenizer, ["1"], budget) == [f"{BOX} 5 6 5 6 5 <eos>"]
        assert budget.usage().cut == 0

    def test_has_the_last_word_over_a_continuation(self, markov, write):
        model, tokenizer = markov(counting(3))
        budget = ThinkingBudget(tokenizer, at_least=4, at_most=4, continuation="| | | |")
        assert write(model, tokenizer, ["1"], budget) == [" ".join(["2", "3", "|", "|", *ENDING])]


class TestEndOfSeveralTokens:
    def test_the_last_token_is_stopped(self, markov, write):
        model, tokenizer = markov({"1": {"(": 1.0}, "(": {")": 1.0}, ")": {"7": 1.0}, "|": {"5": 1.0}, "5": {"(": 1.0}})
        budget = ThinkingBudget(tokenizer, at_least=3, continuation="|", ends=["( )"])
        assert write(model, tokenizer, ["1"], budget) == ["( | 5 ( ) 7 <eos>"]

    def test_its_last_token_alone_is_free(self, markov, write):
        model, tokenizer = markov({"1": {")": 1.0}, ")": {"7": 1.0}})
        budget = ThinkingBudget(tokenizer, at_least=2, continuation="|", ends=["( )"])
        assert write(model, tokenizer, ["1"], budget) == [") 7 <eos>"]

    def test_settled_before_it_began(self, markov, write):
        model, tokenizer = markov({"1": {"yes": 1.0}, "yes": {"(": 1.0}, "(": {")": 1.0}, ")": {"<eos>": 1.0}})
        budget = ThinkingBudget(tokenizer, at_least=9, continuation="|", ends=["( )"], settled=["yes"])
        assert write(model, tokenizer, ["1"], budget) == ["yes ( ) <eos>"]

    def test_the_prompt_is_no_part_of_it(self, markov, write):
        model, tokenizer = markov({"(": {")": 1.0}, ")": {"7": 1.0}})
        budget = ThinkingBudget(tokenizer, at_least=2, continuation="|", ends=["( )"])
        assert write(model, tokenizer, ["("], budget) == [") 7 <eos>"]


class TestNotBinding:
    @pytest.mark.parametrize("limits", [{}, {"at_most": 60}, {"at_least": 0, "at_most": 100}])
    def test_same_seed_same_tokens(self, model_folder, write, limits):
        from trl_rlsp.generation import load_model

        model, tokenizer = load_model(str(model_folder))
        prompts = ["<user> 1 2 : 3 <assistant>", "<user> 8 1 9 : 72 <assistant>"] * 8
        texts = []
        for budget in (None, ThinkingBudget(tokenizer, **limits)):
            torch.manual_seed(3)
            texts.append(write(model, tokenizer, prompts, budget, do_sample=True, top_k=0, max_new_tokens=40))
        assert texts[0] == texts[1]
        assert len(set(texts[0])) > 8  # a random model: nearly all differ

    def test_scores_are_returned_untouched(self, tokenizer):
        budget = ThinkingBudget(tokenizer, at_least=2, at_most=9, continuation="|")
        ids = torch.tensor([[5, 30, 31]])
        scores = torch.randn(1, len(tokenizer))
        budget(ids[:, :1], scores)
        budget(ids[:, :2], scores)
        assert budget(ids, scores) is scores  # 2 of at least 2 and at most 9 written

    def test_a_row_that_would_not_have_ended_is_the_same(self, markov, write):
        model, tokenizer = markov({"1": {"2": 0.5, "3": 0.5}, "2": {"1": 1.0}, "3": {"1": 1.0}})
        texts = []
        for budget in (None, ThinkingBudget(tokenizer, at_least=30, continuation="|")):
            torch.manual_seed(1)
            texts.append(write(model, tokenizer, ["1"] * 20, budget, do_sample=True, top_k=0, max_new_tokens=20))
        assert texts[0] == texts[1]


class TestBatches:
    def test_each_row_as_if_alone(self, taught_folder, write):
        from trl_rlsp.generation import load_model

        model, tokenizer = load_model(str(taught_folder))
        prompts = ["<user> 8 1 9 : 72 <assistant>", "<user> 1 2 : 3 <assistant>", "<user> 7 7 : 7 <assistant>"]
        limits = {"at_least": 9, "at_most": 12, "continuation": "| 1 +", "answer_tokens": 4}
        budget = ThinkingBudget(tokenizer, **limits)
        together = write(model, tokenizer, prompts, budget)
        assert together == [write(model, tokenizer, [prompt], budget)[0] for prompt in prompts]
        assert any("| 1 +" in text for text in together)

    def test_may_be_used_again(self, markov, write):
        model, tokenizer = markov(counting(50))
        budget = ThinkingBudget(tokenizer, at_most=3)
        first = write(model, tokenizer, ["1", "2"], budget)
        assert write(model, tokenizer, ["1", "2"], budget) == first
        assert write(model, tokenizer, ["? 4"], budget) == [" ".join([*row(5, 7), *ENDING])]

    def test_reset(self, tokenizer):
        budget = ThinkingBudget(tokenizer, at_most=1)
        scores = torch.zeros(1, len(tokenizer))
        assert budget(torch.tensor([[5]]), scores) is scores
        budget.reset()
        assert budget.usage() == Usage()
        assert budget(torch.tensor([[5, 6]]), scores) is scores  # a prompt of two, not one and a token


class TestOtherTokenizers:
    @pytest.fixture
    def pieces(self):
        """A byte-level BPE in which `\\boxed` has several tokens, some of them merged with what stands before."""
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
        from transformers import PreTrainedTokenizerFast

        core = Tokenizer(models.BPE())
        core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        core.decoder = decoders.ByteLevel()
        texts = ["Wait, the answer is $\\boxed{7}$. So \\boxed{12} (\\boxed{3})\n\\boxed{4}</think>"] * 20
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        core.train_from_iterator(
            texts, trainers.BpeTrainer(vocab_size=290, special_tokens=["<eos>"], initial_alphabet=alphabet)
        )
        return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<eos>", pad_token="<eos>")

    @pytest.mark.parametrize("before", ["so ", "so $", "so\n", "(", "x", "is **"])
    def test_the_end_is_known_after_what_often_stands_before(self, pieces, before):
        budget = ThinkingBudget(pieces, at_least=50, continuation=" Wait")
        ids = torch.tensor([[1, *encode(pieces, before + "\\boxed")]])
        scores = torch.zeros(1, len(pieces))
        for length in range(1, ids.shape[1]):
            last = budget(ids[:, :length], scores)
            budget._rows.answering_B[:] = False
        assert last[0, ids[0, -1]] == -torch.inf  # the token that would complete it
        assert len(encode(pieces, "\\boxed")) > 1


class TestBadValues:
    @pytest.mark.parametrize(
        ("limits", "match"),
        [
            ({"at_least": 5, "at_most": 4}, "0 <= at_least <= at_most must hold, got at_least=5 and at_most=4"),
            ({"at_least": -1}, "got at_least=-1 and at_most=None"),
            ({"at_most": -1}, "got at_least=0 and at_most=-1"),
            ({"at_most": 4, "answer_tokens": 0}, "answer_tokens is at least 1, got 0"),
            ({"at_least": 4, "continuation": ""}, "continuation must have at least one token, got ''"),
            ({"at_least": 4, "continuation": []}, "continuation must have at least one token"),
            ({"at_least": 4}, "continuation must be words of the tokenizer's vocabulary, but 'Wait' holds '<unk>'"),
            ({"at_most": 4, "answer": "  "}, "answer must have at least one token, got '  '"),
            ({"at_most": 4, "answer": "So"}, "answer must be words of the tokenizer's vocabulary"),
            ({"at_most": 4, "answer": [10_000]}, "answer must be token ids from 0 to 164, got .10000."),
            ({"at_most": 4, "ends": ["</think>"]}, "each of ends must be words of the tokenizer's vocabulary"),
            ({"at_most": 4, "ends": "("}, "each of ends must be a sequence of texts, got the text '.'; write"),
            ({"at_least": 4, "continuation": "|", "settled": ["so"]}, "each of settled must be words"),
            ({"at_least": 4, "continuation": "| \\boxed{"}, "the continuation must not end the reasoning itself"),
            ({"at_least": 4, "continuation": ") 1", "ends": ["( )"]}, "or begin with its last token"),
        ],
    )
    def test_refused(self, tokenizer, limits, match):
        with pytest.raises(ConfigError, match=match):
            ThinkingBudget(tokenizer, **limits)

    def test_no_end_token(self):
        from trl_rlsp.countdown.tiny import build_tokenizer

        tokenizer = build_tokenizer()
        tokenizer.eos_token = None
        with pytest.raises(ConfigError, match="a budget needs the token that ends a completion"):
            ThinkingBudget(tokenizer, at_most=4)
        assert ThinkingBudget(tokenizer, at_most=4, eos=[2]).eos == (2,)
