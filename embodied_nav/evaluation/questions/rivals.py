"""What an answerer must beat: chance, majority and models that see the question's words alone. They read no digest.

Each is an :class:`~embodied_nav.reasoner.answering.Answerer` that is fitted to questions of other apartments first.
"""

from __future__ import annotations

import math
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from ...errors import InputError
from ...reasoner.answering import without_letter
from ...resources import how_to_install
from ...training.questions.choosing import Question
from .scoring import mean_relative_accuracy

#: What a question is about, found by its wording: the kind is not told to an answerer, its words tell it.
_KINDS = (
    ("count", "how many"), ("distance", "what is the distance"), ("nearest", "is the closest to"),
    ("hard", "front-left"), ("medium", "or back?"), ("easy", "to the left or the right"), ("size", "longest dimension"),
    ("room_size", "what is the size"), ("route", "you are a robot beginning"), ("order", "appearance order"),
    ("action", "did the robot"), ("action", "action did the robot"), ("here", "in which room"),
    ("next", "from here, what"), ("gone", "is gone since"),
)  # fmt: skip


@runtime_checkable
class Fitted(Protocol):
    """An answerer that learns from questions with their answers."""

    name: str

    def fit(self, questions: Sequence[Question]) -> None:
        """Learns; what it learned before is forgotten."""

    def answer(self, digest: str, question: str, options: Sequence[str]) -> str:
        """As ``Answerer.answer``."""


def wording(question: str) -> str:
    """The kind of a question by its wording, "" for another one."""
    text = question.lower()
    return next((kind for kind, words in _KINDS if words in text), "")


def subject(question: str) -> str:
    """The last thing that a question names: what it is about, as far as a counter of majorities can tell."""
    text = re.sub(r"\(.*?\)|in this apartment|, measured.*|from here.*", " ", question.lower())
    first = re.split(r"[?.]", text)[0]
    words = re.findall(r"(?:the|many) ((?:[a-z]+ ?){1,3})", first)
    return words[-1].strip() if words else ""


class Chance:
    """Any letter; of numbers none."""

    name = "chance"

    def answer(self, digest: str, question: str, options: Sequence[str]) -> str:
        """The same letter for the same question."""
        draw = random.Random(question + "".join(options))
        return draw.choice(options).strip()[0] if options else ""


class Majority:
    """What was right most often for a wording and its subject, else for the wording; of numbers the best constant."""

    name = "majority"

    def fit(self, questions: Sequence[Question]) -> None:
        """Counts answers."""
        self._right: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self._shown: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        numbers: dict[tuple[str, str], list[float]] = defaultdict(list)
        for q in questions:
            kind, about = wording(q.text), subject(q.text)
            for key in ((kind, about), (kind, "")):
                if q.options:
                    for option in q.options:
                        self._shown[key][without_letter(option)] += 1
                        self._right[key][without_letter(option)] += option[0] == q.answer
                else:
                    numbers[key].append(float(q.answer))
        self._best = {key: best_constant(values) for key, values in numbers.items()}

    def answer(self, digest: str, question: str, options: Sequence[str]) -> str:
        """The option that was right most often when it was offered."""
        kind, about = wording(question), subject(question)
        if not options:
            value = self._best.get((kind, about), self._best.get((kind, ""), math.nan))
            return f"{value:g}" if math.isfinite(value) else ""
        rates = [max(options, key=lambda o: self._rate((kind, k), o)) for k in (about, "")]
        known = any(self._shown[(kind, about)][without_letter(o)] for o in options)
        return rates[0 if known else 1].strip()[0]

    def _rate(self, key: tuple[str, str], option: str) -> float:
        text = without_letter(option)
        return (self._right[key][text] + 0.5) / (self._shown[key][text] + 2.0)


def best_constant(values: Sequence[float]) -> float:
    """Of the values, the one with the best mean relative accuracy as the answer to all."""
    tried = sorted(set(values))
    return max(tried, key=lambda v: sum(mean_relative_accuracy(v, true) for true in values))


class TextOnly:
    """Bag of words: logistic regression over options, ridge regression over log numbers, one of each a wording.

    Raises:
        InputError: scikit-learn is not installed.
    """

    name = "text-only"

    def __init__(self) -> None:
        _sklearn()

    def fit(self, questions: Sequence[Question]) -> None:
        """Trains the models of all wordings."""
        self._models: dict[tuple[str, bool], Any] = {}
        groups: dict[tuple[str, bool], list[Question]] = defaultdict(list)
        for q in questions:
            groups[wording(q.text), bool(q.options)].append(q)
        for key, members in groups.items():
            self._models[key] = self._fitted(members)

    def _fitted(self, questions: Sequence[Question]) -> Any:
        if not questions[0].options:
            rows = [number_features(q.text) for q in questions]
            return self._regressor().fit(rows, [math.log(max(float(q.answer), 1e-3)) for q in questions])
        rows = [option_features(q.text, q.options, k) for q in questions for k in range(len(q.options))]
        right = [option[0] == q.answer for q in questions for option in q.options]
        return self._classifier().fit(rows, right)

    def _classifier(self) -> Any:
        from sklearn.feature_extraction import DictVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline

        return make_pipeline(DictVectorizer(), LogisticRegression(C=0.3, max_iter=500))

    def _regressor(self) -> Any:
        from sklearn.feature_extraction import DictVectorizer
        from sklearn.linear_model import Ridge
        from sklearn.pipeline import make_pipeline

        return make_pipeline(DictVectorizer(), Ridge(alpha=1.0))

    def answer(self, digest: str, question: str, options: Sequence[str]) -> str:
        """The likeliest option, or the number expected; "" for a wording that it was not trained on."""
        model = self._models.get((wording(question), bool(options)))
        if model is None:
            return ""
        if not options:
            return f"{math.exp(float(model.predict([number_features(question)])[0])):g}"
        rows = [option_features(question, options, k) for k in range(len(options))]
        return options[int(np.argmax(model.predict_proba(rows)[:, 1]))].strip()[0]


class ForestAttack(TextOnly):
    """The same with random forests, which find what a linear model cannot."""

    name = "forest"

    def _classifier(self) -> Any:
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.feature_extraction import DictVectorizer
        from sklearn.pipeline import make_pipeline

        forest = RandomForestClassifier(200, min_samples_leaf=2, max_features=0.3, random_state=0)
        return make_pipeline(DictVectorizer(), forest)

    def _regressor(self) -> Any:
        from sklearn.ensemble import RandomForestRegressor
        from sklearn.feature_extraction import DictVectorizer
        from sklearn.pipeline import make_pipeline

        forest = RandomForestRegressor(200, min_samples_leaf=2, max_features=0.3, random_state=0)
        return make_pipeline(DictVectorizer(), forest)


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z-]+", text.lower())


def number_features(question: str) -> dict[str, float]:
    """Words and pairs of neighbouring words."""
    words = _words(question)
    return dict(Counter([*words, *(f"{a} {b}" for a, b in zip(words, words[1:], strict=False))]))


def option_features(question: str, options: Sequence[str], index: int) -> dict[str, float]:
    """One option: its letter, its words, where they stand, and with which words of the question."""
    text = without_letter(options[index])
    about, parts = subject(question), text.split(", ")
    features = Counter([f"letter {index}", f"is {text}", f"{about}: {text}"])
    features.update(f"place {k}: {part}" for k, part in enumerate(parts))
    features.update(f"{a} before {b}" for k, a in enumerate(parts) for b in parts[k + 1 :])
    features.update(f"{word} with {text}" for word in set(_words(question)))
    features.update(f"not {without_letter(o)} but {text}" for k, o in enumerate(options) if k != index)
    return dict(features)


def k_fold(make: Callable[[], Fitted], questions: Sequence[Question], folds: int = 5) -> dict[str, str]:
    """Answers of a fitted rival to each question, trained on the other folds; a fold keeps its apartments whole.

    Raises:
        InputError: fewer apartments than folds.
    """
    scenes = sorted({q.scene for q in questions})
    if len(scenes) < folds:
        raise InputError(f"{len(scenes)} apartments cannot be parted into {folds} folds; make more questions")
    fold_of = {scene: k % folds for k, scene in enumerate(scenes)}
    answers: dict[str, str] = {}
    for k in range(folds):
        rival = make()
        rival.fit([q for q in questions if fold_of[q.scene] != k])
        answers |= {q.id: rival.answer("", q.text, q.options) for q in questions if fold_of[q.scene] == k}
    return answers


def _sklearn() -> None:
    try:
        import sklearn  # noqa: F401
    except ImportError:
        raise InputError(f"text-only rivals need scikit-learn; {how_to_install('questions')}") from None
