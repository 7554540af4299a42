"""Vocabulary of things, rooms and colours; parses sentences as instructions or questions. Knows no maps, no pixels."""

from .instruction import Instruction, Target, parse_instruction
from .matching import color_fit, color_score, describes, label_score, match_text, understood
from .question import Question, take_apart, wording, words_of
from .vocabulary import COLORS, LABELS, canonical, known_color, known_label, known_room

__all__ = [
    "COLORS",
    "LABELS",
    "Instruction",
    "Question",
    "Target",
    "canonical",
    "color_fit",
    "color_score",
    "describes",
    "known_color",
    "known_label",
    "known_room",
    "label_score",
    "match_text",
    "parse_instruction",
    "take_apart",
    "understood",
    "wording",
    "words_of",
]
