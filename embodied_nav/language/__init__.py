"""Vocabulary of things, rooms and colours; parses sentences as instructions or questions. Knows no maps, no pixels."""

from .instruction import Proposer, parse_instruction
from .json_form import as_json, from_json, refused_json
from .matching import color_fit, color_score, describes, label_score, match_text, understood
from .naming import is_plain, named_place, with_places
from .question import Question, take_apart, wording, words_of
from .target import Instruction, Target
from .vocabulary import COLORS, LABELS, canonical, known_color, known_label, known_room

__all__ = [
    "COLORS",
    "LABELS",
    "Instruction",
    "Proposer",
    "Question",
    "Target",
    "as_json",
    "canonical",
    "color_fit",
    "color_score",
    "describes",
    "from_json",
    "is_plain",
    "known_color",
    "known_label",
    "known_room",
    "label_score",
    "match_text",
    "named_place",
    "parse_instruction",
    "refused_json",
    "take_apart",
    "understood",
    "with_places",
    "wording",
    "words_of",
]
