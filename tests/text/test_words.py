r"""What counts as exploration, and the ways to fake it, which earn nothing."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from trl_rlsp.text import (
    MAX_CHARS,
    distance,
    effective_length,
    folded_words,
    ngrams,
    novel_words,
    prompt_text,
    visible,
    words,
)

NGRAM = 6
PIECES = ["try", "add", "take", "3", "4", "12", "=", "+", "then", "so", ".", "?", ";", "left", "\n", "right"]
WORDS = st.lists(st.sampled_from(PIECES), max_size=40)
TEXTS = st.one_of(
    WORDS.map(" ".join),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
)
INVISIBLE = st.sampled_from(
    [
        "\u200b",  # zero-width space
        "\u2060",  # word joiner
        "\u00ad",  # soft hyphen
        "\u202e",  # right-to-left override
        "\ufeff",  # byte-order mark
        "\ufe0f",  # variation selector
        "\u034f",  # combining grapheme joiner
        "\u3164",  # Hangul filler, a letter to Unicode
        "\u115f",  # Hangul choseong filler
        "\u2800",  # empty Braille cell, a symbol to Unicode
        "\x00",
        "\x1b",
        "\ue000",  # private use
        "\U000e0041",  # tag letter
    ]
)


class TestUnits:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("", []),
            (" \n\t ", []),
            ("So x = 3.5, right?", ["so", "x", "=", "3", ".", "5", ",", "right", "?"]),
            ("a_b", ["a_b"]),
            ("12345678", ["12345678"]),  # digits glued together are one number
            ("三角形", ["三", "角", "形"]),
            ("は3", ["は", "3"]),
            ("Être", ["être"]),
            ("E\u0302tre", ["être"]),  # the same, decomposed
            ("a\u0301\u0301\u0301\u0301b", ["áb"]),  # any number of accents on one letter
            ("wait\u200b\u200bwait", ["waitwait"]),
            ("नमस्ते", ["नमसत"]),  # vowel signs are marks: one word stays one unit
        ],
    )
    def test_by_hand(self, text, expected):
        assert words(text) == expected

    @given(st.text(st.characters(codec="ascii"), max_size=80))
    def test_the_short_way_for_ascii_is_the_long_way(self, text):
        """One visible character outside ASCII sends the whole text the long way."""
        assert visible(text + "é") == visible(text) + "é"

    @given(TEXTS, st.lists(st.tuples(st.integers(0, 80), INVISIBLE), max_size=10))
    def test_invisible_characters_never_add_units(self, text, insertions):
        plain = words(text)
        for position, character in insertions:
            text = text[:position] + character + text[position:]
        assert len(words(text)) <= len(plain)

    def test_only_the_first_characters_are_looked_at(self):
        assert len(visible("ab " * MAX_CHARS)) == MAX_CHARS


class TestNovelUnits:
    @pytest.mark.parametrize(
        ("text", "ngram", "before", "expected"),
        [
            ("", 6, "", 0),
            # 7 different words
            ("3 + 4 = 7 , so", 6, "", 7),
            # three different sentences, and no 3-gram twice
            ("try two . add three . try two !", 3, "", 9),
            # the third sentence is the first: 9 - 3
            ("try two. add three. try two.", 3, "", 6),
            # a counted loop: `try # .`, `# . try` and `. try #` come twice: words 4 to 8
            ("try 2 . try 3 . try 4 !", 3, "", 4),
            # the second is the first but for its numbers: 14 - 7; with an operator it is another attempt
            ("look at it 1 time now. look at it 2 time now.", 6, "", 7),
            ("try 3 + 4 for it. try 3 + 5 for it.", 6, "", 14),
            # the second changes the numbers in its names alone: 6 - 6, with the point 14 - 7
            ("x_1 + y_1 = z_1 . x_2 + y_2 = z_2 .", 6, "", 6),
            ("x_1 + 3 = z_1 . x_2 + 4 = z_2 .", 6, "", 12),
            ("x_0 x_1 x_2 x_3 x_4 x_5 x_6 x_7 x_8 x_9", 6, "", 0),
            # words split into letters: 25 in a row are too many, 24 are not
            (" ".join("abcdefghijklmnopqrstuvwxy"), 6, "", 0),
            (" ".join("abcdefghijklmnopqrstuvwx"), 6, "", 24),
            # the same words between braces
            ("half of the base\n" + r"\text{half} \text{of} \text{the} \text{base}", 6, "", 4),
            # 3-grams of a b c a b c: abc bca cab abc: the last repeats the first and strikes words 3 to 5
            ("a b c a b c", 3, "", 3),
            # 4-grams: abca bcab cabc, none repeats
            ("a b c a b c", 4, "", 6),
            # overlap: abc bcd cda dab abc: the last strikes a b c at 4 to 6: 7 - 3
            ("a b c d a b c", 3, "", 4),
            # one-unit lines repeat too: `wait`, `hm`, `wait`
            ("wait\nhm\nwait", 6, "", 2),
            ("a b c\nA  B  C\na b c d", 10, "", 7),  # 3 + 0 + 4: case and spacing do not matter
            # copied from what came before, as an n-gram
            ("we know x y z w", 3, "let x y z", 3),
            # and as a line too short for an n-gram
            ("8 1 9 : 72\n8 * 9 = 72", 6, "8 1 9 : 72", 5),
            # a loop: what is said three times counts not even once
            ("wait\nhm\nwait\nno\nwait", 6, "", 2),
            ("a b c d a b c d a b c d", 4, "", 0),
            ("x a b c d y a b c d z a b c d", 4, "", 3),
            # the same words in another order: a sentence without a number is not new, one with a number is
            ("so it is not. it is not so.", 6, "", 5),
            ("9 - 8 = 1. 9 - 1 = 8.", 6, "", 12),
            # 6 numbers and 5 commas are a list, 7 and 6 are counting when two 6-grams are the most
            ("1, 2, 3, 4, 5, 6 so", 6, "", 12),
            ("1, 2, 3, 4, 5, 6, 7 so", 6, "", 1),
            ("1 + 2 + 3 + 4 + 5 + 6 + 7 so", 6, "", 14),
            # letters that only look new: Cyrillic, full-width, bold
            ("so a cap\nso \u0430 \u0441\u0430\u0440", 6, "", 3),
            ("2 + 3 = 5\n\uff12 + \uff13 = \uff15", 6, "", 5),
            ("so x\n\U0001d42c\U0001d428 \U0001d431", 6, "", 2),
            # a script that the prompt does not use, with its signs; a Greek symbol and a sign are mathematics
            ("so \u4e09\u89d2\u3002 then", 6, "Find x", 2),
            ("so \u0442\u043e\u0433\u0434\u0430, then", 6, "Find x", 2),
            ("so \u03b1 \u2264 3", 6, "Find x", 4),
            ("so \U0001f600 \u2606 then", 6, "Find x", 2),
            ("\u4e09\u89d2 so", 6, "\u4e09", 3),  # it does
            ("\u4e09\u89d2 so", 6, "1 2 : 3", 3),  # a problem without letters says nothing
            # 24 letters are a word, 25 are several without blanks
            ("x" * 24 + " " + "y" * 25, 6, "", 1),
        ],
    )
    def test_by_hand(self, text, ngram, before, expected):
        assert novel_words(text, ngram=ngram, before=before) == expected

    @given(TEXTS, TEXTS)
    def test_between_zero_and_all(self, text, before):
        assert 0 <= novel_words(text, ngram=NGRAM, before=before) <= len(words(text))

    @given(TEXTS, st.integers(1, 20))
    def test_monotone_in_novel_text(self, text, count):
        """`count` words that occur nowhere else add at least `count` words."""
        new = " ".join(f"novel{chr(97 + i)}" for i in range(count))
        longer = novel_words(f"{text} {new}", ngram=NGRAM)
        assert longer >= novel_words(text, ngram=NGRAM) + count

    @given(TEXTS, st.integers(2, 5))
    def test_repeating_lines_earns_nothing(self, text, times):
        assert novel_words("\n".join([text] * times), ngram=NGRAM) <= novel_words(text, ngram=NGRAM)

    @given(TEXTS, st.integers(2, 5))
    def test_repeating_in_any_other_way_earns_less_than_an_ngram(self, text, times):
        """Glued together, copies can hide only units outside a whole n-gram, and only once."""
        once = novel_words(text, ngram=NGRAM)
        assert novel_words(" ".join([text] * times), ngram=NGRAM) <= once + 2 * NGRAM

    @given(TEXTS, TEXTS)
    def test_copying_what_came_before_earns_nothing(self, text, before):
        copied = novel_words(f"{text}\n{before}", ngram=NGRAM, before=before)
        assert copied <= novel_words(text, ngram=NGRAM, before=before)

    @given(TEXTS, st.lists(st.tuples(st.integers(0, 80), INVISIBLE), max_size=10))
    def test_invisible_characters_do_not_make_a_copy_new(self, text, insertions):
        copy = text
        for position, character in insertions:
            copy = copy[:position] + character + copy[position:]
        assume(words(copy) == words(text))
        assert novel_words(f"{text}\n{copy}", ngram=NGRAM) <= novel_words(text, ngram=NGRAM)

    def test_long_degenerate_texts_are_quick(self):
        import time

        start = time.process_time()
        for text in ("a " * 200_000, "a. " * 130_000, "\n" * 400_000, "é" * 400_000, "a\u0301" * 200_000):
            novel_words(text, ngram=NGRAM)
        assert time.process_time() - start < 20  # quadratic time would take hours


class TestEffectiveLength:
    @pytest.mark.parametrize(
        ("completion", "expected"),
        [
            ("3 times 4 is 12 . \\boxed{12}", 6),
            ("\\boxed{12}", 0),
            ("3 times 4 is 12 .", 0),  # no final answer: no bonus
            ("3 times 4 is \\boxed{12} or \\boxed{13}", 0),  # two different answers
            ("3 times 4 is \\boxed{12", 0),  # cut off
            ("", 0),
            ("3 times 4 \\boxed{12} and much more said later", 3),
            (
                "no \\boxed{\\frac{1}{2}} but \\fbox{a {b {c}} \\boxed{d}} yes \\boxed 3 so \\boxed{12}",
                4,
            ),  # no but yes so
            ("<think>3 times 4</think> \\boxed{12}", 10),  # < think > 3 times 4 < / think >
        ],
    )
    def test_by_hand(self, completion, expected):
        assert effective_length(completion) == expected

    def test_messages_count_as_their_text(self):
        text = "3 times 4 is 12 . \\boxed{12}"
        assert effective_length([{"role": "assistant", "content": text}]) == effective_length(text) == 6

    def test_copying_the_prompt_earns_nothing(self):
        prompt = [
            {"role": "system", "content": "Think."},
            {"role": "user", "content": "What is 3 times 4 exactly now?"},
        ]
        copied = "What is 3 times 4 exactly now?\n12 it is \\boxed{12}"
        assert effective_length(copied, prompt=prompt) == 3  # 12 it is
        assert effective_length(copied) == 11  # and the 8 units of the question

    @settings(deadline=None)
    @given(TEXTS, TEXTS)
    def test_text_after_the_answer_earns_nothing(self, reasoning, after):
        assume("</think>" not in after)
        answered = f"{reasoning} \\boxed{{12}}"
        assert effective_length(f"{answered}\n{after}") <= effective_length(answered)

    @given(TEXTS, TEXTS, TEXTS)
    def test_never_more_than_the_units_of_the_completion(self, reasoning, answer, prompt):
        completion = f"{reasoning} \\boxed{{{answer}}}"
        assert 0 <= effective_length(completion, prompt=prompt) <= len(words(completion))


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        (None, ""),
        ("text", "text"),
        ([{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}], "one\ntwo"),
        ([{"role": "user", "content": [{"type": "text", "text": "part"}]}], "part"),
        ([], ""),
        (7, "7"),
    ],
)
def test_prompt_text(prompt, expected):
    assert prompt_text(prompt) == expected


class TestWords:
    @pytest.mark.parametrize("text", ["So X = 3.5!", "so  x =\n3.5 !", "\uff33\uff4f x = 3.5!", "So X\u200b = 3.5!"])
    def test_the_same_whatever_case_blanks_and_width(self, text):
        assert folded_words(text) == ("so", "x", "=", "3", ".", "5", "!")

    def test_other_numbers_are_other_words(self):
        assert folded_words("3 + 4") != folded_words("3 + 5")


class TestNgrams:
    def test_by_hand(self):
        assert ngrams(("a", "b", "c", "b"), 2) == {("a", "b"), ("b", "c"), ("c", "b")}

    def test_a_short_text_is_one_gram(self):
        assert ngrams(("a", "b"), 8) == {("a", "b")}
        assert ngrams((), 8) == frozenset()


class TestOverlap:
    def test_distance(self):
        # two in common, four in all
        assert distance(ngrams("abcd", 2), ngrams("bcdx", 2)) == pytest.approx(1 - 2 / 4)

    @given(st.text("abc", max_size=12), st.text("abc", max_size=12), st.integers(1, 4))
    def test_distance_is_symmetric_and_bounded(self, one, other, size):
        a, b = ngrams(one, size), ngrams(other, size)
        assert distance(a, b) == distance(b, a)
        assert 0 <= distance(a, b) <= 1
        assert (distance(a, b) == 0) == (a == b)
