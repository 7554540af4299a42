"""What is typed at a terminal reaches a running agent: a goal, its end by Ctrl-C, a stop from another terminal."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

pytest.importorskip("rclpy")

from embodied_nav.bringup import Process

pytestmark = pytest.mark.ros


class Terminal:
    """A command of ours in a graph's environment, with the lines that it has printed."""

    def __init__(self, environment, *arguments):
        command = [sys.executable, "-m", "embodied_nav", *arguments]
        self.process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.lines = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line)

    @property
    def text(self):
        return "".join(self.lines)

    def ended(self):
        """Whether it has ended and all that it printed was read."""
        return self.process.poll() is not None and not self._reader.is_alive()


@pytest.fixture
def agent(start_graph):
    """A reasoner in a room; nothing drives, so a goal lasts until somebody ends it."""
    settings = {"standing_patience": 600.0, "navigator.patience": 300.0, "map_patience": 600.0}
    graph = start_graph([Process("reasoner", "reasoner", settings, respawn=False)])
    graph.show_a_room_with_a_sofa()
    return graph


def test_a_goal_from_the_terminal_is_shown_and_cancelled(agent):
    go = Terminal(agent.environment, "go", "find the red sofa", "--wait", "60")
    assert agent.until(lambda: "sofa" in go.text, 90.0), go.text
    go.process.send_signal(signal.SIGINT)
    assert agent.until(go.ended, 30.0) and go.process.returncode == 130, go.text
    assert "cancelling the goal" in go.text and "ended: cancelled" in go.text

    again = Terminal(agent.environment, "go", "find the red sofa", "--wait", "60")
    assert agent.until(lambda: "sofa" in again.text, 90.0), again.text
    for expected in ("the goal is cancelled", "there was no goal"):
        stop = Terminal(agent.environment, "stop", "--wait", "60")
        assert agent.until(stop.ended, 90.0) and stop.process.returncode == 0, stop.text
        assert expected in stop.text
        assert agent.until(again.ended, 30.0) and again.process.returncode == 1, again.text
    assert "ended: cancelled" in again.text


def test_a_goal_that_is_not_answered_yet_is_cancelled_too(monkeypatch, capsys):
    """Ctrl-C may come before the server has answered: the first request to cancel then reaches nobody."""
    from embodied_nav.nodes import terminal

    class Client:
        asked = 0

        def cancel(self):
            self.asked += 1
            shown.over = self.asked == 3

    class Executor:
        def spin_once(self, timeout_sec):
            time.sleep(0.001)

    monkeypatch.setattr(terminal, "_AGAIN", 0.01)
    monkeypatch.setattr(terminal, "_CANCELLING", 5.0)
    client, shown = Client(), terminal._Shown()
    terminal._cancel(client, Executor(), shown)
    assert client.asked == 3 and "emergency stop" not in capsys.readouterr().out
    client, shown = Client(), terminal._Shown()
    client.asked = 5
    monkeypatch.setattr(terminal, "_CANCELLING", 0.05)
    terminal._cancel(client, Executor(), shown)
    assert "use the emergency stop" in capsys.readouterr().out


def test_who_finds_no_agent_is_told_where_it_looked(agent):
    nobody = {**agent.environment, "ROS_DOMAIN_ID": str((int(agent.environment["ROS_DOMAIN_ID"]) + 1) % 100)}
    for command in (("go", "find the red sofa"), ("stop",)):
        alone = Terminal(nobody, *command, "--wait", "1", "--namespace", "robot7")
        assert agent.until(alone.ended, 60.0) and alone.process.returncode == 2, alone.text
        assert "no reasoner serves /robot7/navigate" in alone.text
