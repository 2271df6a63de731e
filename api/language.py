"""Which of our two languages a reader prefers (RFC 9110, section 12.5.4)."""

from typing import Literal

Language = Literal["en", "zh-CN"]
Text = tuple[str, str]
"""A sentence in English and in Chinese."""


def preferred(accept_language: str | None) -> Language:
    """The language to answer in; English when the reader asks for neither.

    The highest weight wins, and the earlier of two alike. Any Chinese is read as `zh-CN`.
    """
    best: Language = "en"
    best_weight = 0.0
    for wish in (accept_language or "").split(","):
        tag, _, parameters = wish.strip().partition(";")
        language = _ours(tag.strip().lower())
        weight = _weight(parameters)
        if language is not None and weight > best_weight:
            best, best_weight = language, weight
    return best


def say(text: Text, language: Language) -> str:
    """The sentence in `language`."""
    return text[1] if language == "zh-CN" else text[0]


def _ours(tag: str) -> Language | None:
    primary = tag.partition("-")[0]
    ours: dict[str, Language] = {"zh": "zh-CN", "en": "en", "*": "en"}
    return ours.get(primary)


def _weight(parameters: str) -> float:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            return _number(value.strip())
    return 1.0


def _number(value: str) -> float:
    """A weight between 0 and 1; what is no such number asks for nothing."""
    try:
        weight = float(value)
    except ValueError:
        return 0.0
    return weight if 0.0 <= weight <= 1.0 else 0.0
