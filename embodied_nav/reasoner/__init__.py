"""Builds options, lets a policy decide in text, and follows up decisions. Knows nothing of pixels and of ROS."""

from .navigator import Navigator
from .navigator_config import NavigatorConfig
from .options import Context, Facts, OptionConfig, RoomFact
from .policies import POLICIES, FrontierPolicy, Policy, RandomConfig, RandomPolicy, RulesPolicy, create
from .prompt import AnswerError, format_answer, parse_answer
from .sight import Sight
from .situation import situation
from .view import NavigatorOutput
from .worth import RulesConfig

__all__ = [
    "POLICIES",
    "AnswerError",
    "Context",
    "Facts",
    "FrontierPolicy",
    "Navigator",
    "NavigatorConfig",
    "NavigatorOutput",
    "OptionConfig",
    "Policy",
    "RandomConfig",
    "RandomPolicy",
    "RoomFact",
    "RulesConfig",
    "RulesPolicy",
    "Sight",
    "create",
    "format_answer",
    "parse_answer",
    "situation",
]
