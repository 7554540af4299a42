"""Tells episodes of a policy that reasons: the known map with the options, the reasoning and the choice, as pictures.

    OMP_NUM_THREADS=1 python bench/tell_episodes.py --out runs/told [--set small_lm.weights=F.onnx] [--episodes 40]

Runs episodes of apartments 1000 and up in the explorer of the training and tells three of them: one in which the policy
decided otherwise than ``rules`` and got there, one that decided as they do, and one that failed; of each three
decisions. Writes a picture for each and told.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from embodied_nav.frames import OccupancyGrid
from embodied_nav.reasoner import Context, Policy, parse_answer, policies
from embodied_nav.sim.suites import suite_episode
from embodied_nav.training.reasoner.explorer import EpisodeRow, Explorer, ExplorerConfig

#: Colours of unknown, free and occupied.
_UNKNOWN, _FREE, _OCCUPIED = (0.82, 0.82, 0.85), (1.0, 1.0, 1.0), (0.2, 0.2, 0.25)
_SHOWN = 3


@dataclass(frozen=True, eq=False)
class Moment:
    """A decision: what was asked, what was said, what ``rules`` say; the map, the way so far and the pose then."""

    context: Context
    chosen: int
    rules: int
    think: str
    grid: OccupancyGrid
    way: np.ndarray
    pose: np.ndarray


@dataclass(frozen=True, eq=False)
class Told:
    """An episode and its decisions."""

    instruction: str
    goal: np.ndarray
    row: EpisodeRow
    moments: list[Moment]

    @property
    def differs(self) -> int:
        """How many decisions are not those of ``rules``."""
        return sum(m.chosen != m.rules for m in self.moments)


def told(index: int, policy: Policy, scenes: range) -> Told:
    """Runs one episode of the plain suite."""
    episode, rules = suite_episode("plain", index, scenes), policies.create("rules")
    explorer = Explorer(episode, ExplorerConfig(noise_seed=index))
    moments: list[Moment] = []
    way: list[np.ndarray] = []
    for state in explorer.states(policy):
        chosen, think = _read(state.answer, state.context, rules)
        before, grid = state.before, state.before.grid()
        way.append(before.pose[:2].copy())
        grid = OccupancyGrid(grid.data.copy(), grid.resolution, grid.origin, grid.stamp)
        by_rules = parse_answer(rules.answer(state.context), state.context.options)[0]
        moments.append(Moment(state.context, chosen, by_rules, think, grid, np.array(way), before.pose.copy()))
    goal = np.array([g.position[:2] for g in episode.goals])
    return Told(episode.instruction, goal, explorer.row(), moments)


def _read(answer: str, context: Context, rules: Policy) -> tuple[int, str]:
    try:
        return parse_answer(answer, context.options)
    except ValueError:  # no answer: the rules decide
        return parse_answer(rules.answer(context), context.options)[0], ""


def pick(episodes: list[Told]) -> list[Told]:
    """Three of them: decided otherwise and got there; as the rules and got there; failed."""
    wanted: tuple[Callable[[Told], bool], ...] = (
        lambda t: t.row.success and t.differs > 0,
        lambda t: t.row.success and t.differs == 0,
        lambda t: not t.row.success,
    )
    found = [next((t for t in sorted(episodes, key=lambda t: -t.row.spl) if fits(t)), None) for fits in wanted]
    return [t for t in found if t is not None]


def shown(episode: Told) -> list[Moment]:
    """The decisions to tell, in order: those that differ from the rules', then the first, the last, one between."""
    n = len(episode.moments)
    order = [k for k, m in enumerate(episode.moments) if m.chosen != m.rules] + [0, n - 1, n // 2, n // 3]
    return [episode.moments[k] for k in sorted([*dict.fromkeys(order)][:_SHOWN])]


def draw(episode: Told, moments: list[Moment], path: Path) -> None:
    """A panel for each decision."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, len(moments), figsize=(5.0 * len(moments), 5.0), squeeze=False)
    for panel, moment in zip(panels[0], moments, strict=True):
        grid = moment.grid
        image = np.full((*grid.data.shape, 3), _UNKNOWN)
        image[(grid.data >= 0) & (grid.data < 50)], image[grid.data >= 50] = _FREE, _OCCUPIED
        x, y = grid.origin
        height, width = (n * grid.resolution for n in grid.data.shape)
        panel.imshow(image, origin="lower", extent=(x, x + width, y, y + height))
        panel.plot(*moment.way.T, color="tab:red", lw=1)
        panel.quiver(*moment.pose[:2], np.cos(moment.pose[2]), np.sin(moment.pose[2]), color="tab:blue", scale=15)
        if len(episode.goal):
            panel.plot(*episode.goal.T, "*", color="gold", markeredgecolor="black", ms=13)
        for k, option in enumerate(moment.context.options):
            if option.position is not None:
                color = "tab:green" if k == moment.chosen else "tab:orange" if k == moment.rules else "tab:gray"
                style = {"boxstyle": "round", "fc": color, "ec": "none", "alpha": 0.85}
                panel.text(*option.position[:2], option.letter, color="white", fontsize=9, bbox=style)
        seen = np.argwhere(grid.data >= 0) * grid.resolution
        (top, left), (bottom, right) = seen.min(axis=0), seen.max(axis=0)
        panel.set(xlim=(x + left - 0.5, x + right + 0.5), ylim=(y + top - 0.5, y + bottom + 0.5), aspect="equal")
        panel.set_title(f"{moment.context.options[moment.chosen].letter}, after {moment.grid.stamp * 1e-9:.0f} s")
    figure.suptitle(episode.instruction)
    figure.tight_layout()
    figure.savefig(path, dpi=75)
    plt.close(figure)


def text(episode: Told, moments: list[Moment], picture: str) -> str:
    """The episode in Markdown."""
    end = "reached" if episode.row.success else "not reached"
    lines = [f"**{episode.instruction}** ({end}; SPL {episode.row.spl:.2f}, {len(episode.moments)} decisions, "
             f"{episode.differs} of them not the rules')", "", f"![{episode.instruction}]({picture})", ""]  # fmt: skip
    for moment in moments:
        options = moment.context.options
        other = "" if moment.chosen == moment.rules else f" The rules: {options[moment.rules].letter}."
        think = moment.think or "(answered without reasoning)"
        lines.append(f"- {options[moment.chosen].letter}, {options[moment.chosen].text}: *{think}*{other}")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Runs, picks, writes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--episodes", type=int, default=40)
    parser.add_argument("--scenes", default="1000-1099")
    parser.add_argument("--agent", default="compact")
    parser.add_argument("--set", action="append", default=["small_lm.thinking=always"], metavar="NAME=VALUE")
    parser.add_argument("--out", type=Path, default=Path("runs/told"))
    args = parser.parse_args()
    settings = {name: yaml.safe_load(value) for name, _, value in (given.partition("=") for given in args.set)}
    policy = policies.create(args.agent, policies.POLICIES[args.agent].settings_from(settings))
    low, high = (int(v) for v in args.scenes.split("-"))
    episodes = [told(k, policy, range(low, high + 1)) for k in range(args.episodes)]
    args.out.mkdir(parents=True, exist_ok=True)
    parts = []
    for number, episode in enumerate(pick(episodes), 1):
        moments = shown(episode)
        draw(episode, moments, args.out / f"told_{number}.png")
        parts.append(text(episode, moments, f"told_{number}.png"))
    (args.out / "told.md").write_text("\n".join(parts), encoding="utf-8")
    print(args.out / "told.md")


if __name__ == "__main__":
    main()
