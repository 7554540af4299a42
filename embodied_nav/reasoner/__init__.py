"""Options in, decisions out, all in text: prompts, policies, the navigator. Knows nothing of pixels and of ROS."""

from .instruction import Instruction, Target, parse_instruction
from .navigator import Navigator, NavigatorConfig, NavigatorOutput
from .options import Context, Facts, OptionConfig
from .policies import NAMES, FrontierPolicy, Policy, RandomPolicy, RulesConfig, RulesPolicy, create
from .prompt import AnswerError, format_answer, parse_answer, prompt

__all__ = [
    "NAMES",
    "AnswerError",
    "Context",
    "Facts",
    "FrontierPolicy",
    "Instruction",
    "Navigator",
    "NavigatorConfig",
    "NavigatorOutput",
    "OptionConfig",
    "Policy",
    "RandomPolicy",
    "RulesConfig",
    "RulesPolicy",
    "Target",
    "create",
    "format_answer",
    "parse_answer",
    "parse_instruction",
    "prompt",
]
