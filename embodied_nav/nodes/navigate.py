"""A client of the navigate action that detects a dead server; as a node it sends one goal. Knows nothing of decisions.

Calls the action navigate; in simulation sim/finish when the goal has ended; memory/save before it exits. Prints one
line per decision. The server sends feedback several times a second as its heartbeat: silence means that it is gone.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from action_msgs.msg import GoalStatus
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.action import ActionClient
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from std_srvs.srv import Trigger

from embodied_nav.action import Navigate
from embodied_nav.msg import MapIdentity
from embodied_nav.srv import SaveMemory

from ..config import Config, param
from .ros import map_identity, params, qos
from .ros.conversions import decision_from_msg
from .ros.lifecycle import run
from .ros.living import Living
from .ros.service_calls import ask

#: Time-out of the feedback (s) after which the server counts as gone: reported within 2 s.
SERVER_GONE = 1.5
#: Period of that check (s).
_WATCH = 0.1
#: Extra time (s) for a server whose process is alive: a busy machine may delay it.
_LIVING = 60.0
#: Time-outs (s) of memory/save and sim/finish. The command must exit within 5 s of the goal's end, whatever the memory
#: is doing; what it has not saved by then is less than the last second. The scores are worth a longer wait.
_SAVING, _SCORING = 2.0, 60.0
#: Decisions that the outcome tells in full, at most.
_KEPT = 2000
#: Period (s) of the line that says what is waited for.
_TELL = 10.0
#: The server answers a goal request before its first feedback; this long (s) after that the answer counts as lost.
_ANSWER = 1.0

Done = Callable[[bool, str, Navigate.Result], None]


class NavigateClient:
    """Sends a goal, and another one when that is over or to replace it.

    Args:
        node: on which the client lives.
        feedback: called with each feedback.
        done: called once for a goal with success, the reason and the result (empty where the server died or refused);
            not for one that was replaced.
        patience: seconds without feedback after which the server counts as dead, unless its process is alive.
        server: name of its node.
    """

    def __init__(
        self,
        node: Node,
        feedback: Callable[[Navigate.Feedback], object],
        done: Done,
        patience: float = SERVER_GONE,
        server: str = "reasoner",
    ) -> None:
        self._living, self._server, self._process = Living(node), server, ""
        self._node, self._feedback, self._done, self._patience = node, feedback, done, patience
        self._client = ActionClient(node, Navigate, "navigate")
        self._silence, self._watched = 0.0, 0.0
        self._sent = None
        self._instruction = ""
        self._heard, self._unanswered, self._asked_again = False, 0.0, False
        self._handle = None
        self._over = False
        node.create_timer(_WATCH, self._watch, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def ready(self) -> bool:
        """Whether there is a server."""
        return self._client.server_is_ready()

    @property
    def sent(self) -> bool:
        """Whether a goal was sent that has not ended."""
        return self._sent is not None and not self._over

    def send(self, instruction: str) -> None:
        """Sends a goal; it replaces the one before."""
        self._instruction, self._silence = instruction, 0.0
        self._heard, self._unanswered = False, 0.0
        self._over, self._handle, self._asked_again = False, None, False
        self._process = self._living.process(self._server)
        self._sent = self._client.send_goal_async(Navigate.Goal(instruction=instruction), self._on_feedback)
        self._sent.add_done_callback(self._on_answer)

    def cancel(self) -> None:
        """Asks the server to end the goal."""
        if self._handle is not None and not self._over:
            self._handle.cancel_goal_async()

    def _on_answer(self, future) -> None:
        if future is not self._sent:
            return  # a late answer to a goal that a newer one has replaced
        self._handle = future.result()
        if not self._handle.accepted:
            self._end(False, "the goal was refused", Navigate.Result())
            return
        self._silence = 0.0
        self._ask_result()

    def _ask_result(self) -> None:
        handle = self._handle
        handle.get_result_async().add_done_callback(lambda future: self._on_result(handle, future))

    def _on_feedback(self, message) -> None:
        self._silence, self._asked_again = 0.0, False
        self._heard = True
        self._process = self._process or self._living.process(self._server)
        self._feedback(message.feedback)

    def _on_result(self, handle, future) -> None:
        if handle is not self._handle:
            return  # of a goal that a newer one has replaced
        answer = future.result()
        if answer.status == GoalStatus.STATUS_UNKNOWN:  # the server does not know this goal (asked for once more)
            self._end(False, "aborted: the reasoner was started again", Navigate.Result())
            return
        self._end(answer.status == GoalStatus.STATUS_SUCCEEDED, answer.result.reason, answer.result)

    def _watch(self) -> None:
        """Watchdog on feedback. Time in which this process itself was stalled does not count: messages are unread."""
        now = time.monotonic()
        passed, self._watched = min(now - self._watched, 2 * _WATCH), now
        self._silence += passed
        if self._sent is None or self._over:
            return
        lives = bool(self._process) and self._living.lives(self._server, self._process)
        if self._silence > self._patience + _LIVING * lives:
            self._end(False, "aborted: the reasoner does not answer", Navigate.Result())
        elif self._handle is None and self._heard:
            self._unanswered += passed
            if self._unanswered > _ANSWER:
                self.send(self._instruction)  # replaces the first goal, whose handle was lost with the answer
        elif self._handle is not None and self._silence > 0.5 * self._patience and not self._asked_again:
            self._asked_again = True
            self._ask_result()  # a goal that ended at once has a result, and its message may have been lost

    def _end(self, success: bool, reason: str, result: Navigate.Result) -> None:
        if not self._over:
            self._over = True
            self._done(success, reason, result)


class GoalLines:
    """Prints what becomes of a goal: a line for each decision, and one for its end.

    Args:
        seconds: since the goal was sent.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds, self._told = seconds, (-1, 0, 0)

    def decision(self, feedback: Navigate.Feedback) -> bool:
        """Prints the decision of a feedback, where it is a new one; returns whether it is."""
        decision = feedback.decision
        # Decision ids restart at 0 when the memory switches to another map.
        name = (decision.id, decision.header.stamp.sec, decision.header.stamp.nanosec)
        if not decision.options or name == self._told:
            return False
        self._told = name
        option = decision.options[decision.chosen]
        think = f" ({decision.think})" if decision.think else ""
        self._line(f"{feedback.path_length:5.1f} m  {option.letter}: {option.text}{think}")
        return True

    def end(self, success: bool, reason: str) -> None:
        """Prints how the goal ended."""
        self._line(f"{'STOP' if success else 'ended'}: {reason}")

    def _line(self, text: str) -> None:
        print(f"{self._seconds():6.1f} s  {text}", flush=True)


@dataclass(frozen=True)
class NavigateNodeConfig(Config):
    """The instruction and what to do after it."""

    instruction: str = param("", "the sentence")
    time_limit: float = param(180.0, "ROS time after which the goal is cancelled", unit="s", low=1.0, high=36000.0)
    patience: float = param(
        SERVER_GONE, "without feedback for so long the reasoner is taken for dead", unit="s", low=0.5, high=600.0
    )
    simulated: bool = param(True, "tell sim/finish when the goal is over")
    result: str = param("", "JSON file for the outcome; empty: none", path=True)


class NavigateNode(qos.Overridable, Node):
    """Sends one goal when the graph is ready; ends when the goal is over and the memory is saved."""

    def __init__(self) -> None:
        super().__init__("navigate_client")
        self._config = params.declare(self, NavigateNodeConfig)
        params.refuse_unknown(self)
        self.finished, self.exit_code = False, 0
        self._lines = GoalLines(self._seconds)
        self._client = NavigateClient(self, self._on_feedback, self._on_done, self._config.patience)
        self._made: list[dict] = []
        self._told_to_wait = time.monotonic()
        self._sent_at: int | None = None
        self._outcome: dict = {}
        self._stages: dict[str, dict[str, float]] = {}
        self._facts: dict[str, str] = {}
        self._joined: list[tuple[int, str]] = []
        self._finish = self.create_client(Trigger, "sim/finish")
        self._save = self.create_client(SaveMemory, "memory/save")
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, qos.reliable(50))
        self.create_subscription(MapIdentity, map_identity.TOPIC, self._on_map, map_identity.profile())
        self.create_timer(0.1, self._begin, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _begin(self) -> None:
        now = self.get_clock().now().nanoseconds
        if self._sent_at is None:
            missing = self._missing()
            if not missing:
                self._sent_at = now
                self._client.send(self._config.instruction)
            elif time.monotonic() - self._told_to_wait > _TELL:
                self._told_to_wait = time.monotonic()
                print(f"         waiting for {', '.join(missing)} to be ready", flush=True)
        elif self._outcome == {} and (now - self._sent_at) * 1e-9 > self._config.time_limit:
            self._client.cancel()

    def _missing(self) -> list[str]:
        """The nodes that have not started yet."""
        ready = {"reasoner": self._client.ready(), "memory": self._save.service_is_ready()}
        if self._config.simulated:
            ready["sim"] = self._finish.service_is_ready()
        clock = self.get_clock()
        ready["simulated time"] = not clock.ros_time_is_active or clock.now().nanoseconds > 0
        return [name for name, there in ready.items() if not there]

    def _on_map(self, message: MapIdentity) -> None:
        """SLAM has relocalised in a map of an earlier session."""
        if message.joined:
            stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
            self._joined.append((stamp, message.joined_map_id or message.map_id))
            print(f"         SLAM recognises map {self._joined[-1][1]}: the memory goes on in it", flush=True)

    def _seconds(self) -> float:
        """Since the goal was sent, in ROS time."""
        assert self._sent_at is not None
        return (self.get_clock().now().nanoseconds - self._sent_at) * 1e-9

    def _on_feedback(self, feedback: Navigate.Feedback) -> None:
        if self._lines.decision(feedback) and len(self._made) < _KEPT:
            self._made.append(_told_in_full(feedback))

    def _on_done(self, success: bool, reason: str, result: Navigate.Result) -> None:
        seconds = self._seconds()
        self._lines.end(success, reason)
        self._outcome = {
            "stopped": success,
            "reason": reason,
            "sim_time_s": round(seconds, 3),
            "decisions": result.decisions,
            "made": self._made,
            "stages": self._stages,
            "facts": self._facts,
            # Maps of earlier sessions that were recognised, and at what time of this session.
            "recognised": [
                {"map": uuid, "after_s": round((stamp - self._sent_at) * 1e-9, 3)} for stamp, uuid in self._joined
            ],
        }
        if self._config.simulated and self._finish.service_is_ready():
            ask(self, self._finish, Trigger.Request(), lambda _: self._save_memory(), 1.0, _SCORING)
        else:
            self._save_memory()

    def _save_memory(self) -> None:
        if self._save.service_is_ready():
            ask(self, self._save, SaveMemory.Request(), self._saved, _SAVING, 0.9 * _SAVING)
        else:
            self._end()

    def _saved(self, answer: SaveMemory.Response | None) -> None:
        if answer is None:
            print(f"         the memory is busy: its file is that of a moment ago ({_SAVING:.0f} s waited)", flush=True)
        self._end()

    def _end(self) -> None:
        if self._config.result:
            Path(self._config.result).write_text(json.dumps(self._outcome), encoding="utf-8")
        self.finished = True

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        """Keeps the latencies of the nodes' stages from /diagnostics, such as "fusion p50" = "3.1 ms"."""
        for status in message.status:
            for pair in status.values:
                stage, _, quantile = pair.key.rpartition(" ")
                if quantile in ("p50", "p95") and pair.value.endswith(" ms"):
                    name = stage if stage.startswith(status.name) else f"{status.name}_{stage}"
                    self._stages.setdefault(name, {})[quantile] = float(pair.value[:-3])
                else:
                    self._facts[f"{status.name} {pair.key}"] = pair.value


def _told_in_full(feedback: Navigate.Feedback) -> dict:
    """A decision as JSON has it: stamp (ns), options, which was chosen and why, m driven until then."""
    made = decision_from_msg(feedback.decision)
    options = [
        {
            "letter": o.letter, "kind": o.kind, "position": o.position, "distance": round(o.distance, 3),
            "direction": round(o.direction, 3), "text": o.text, "object_id": o.object_id,
        }
        for o in made.options
    ]  # fmt: skip
    return {
        "id": made.id,
        "stamp": made.stamp,
        "options": options,
        "chosen": made.chosen,
        "think": made.think,
        "reasoner": made.reasoner,
        "path_length": round(feedback.path_length, 3),
    }


def main(args: list[str] | None = None) -> int:
    """Runs the node in this process."""
    return run(NavigateNode, args)


if __name__ == "__main__":
    sys.exit(main())
