"""The panel beside the scene: sentence, question, stop, picture, decision, layers, plots. Knows viser and records."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..frames import Decision, MemoryObject
from . import words
from .records import Health, Moment, Wishes
from .scene import LAYERS

if TYPE_CHECKING:
    import viser

#: Samples of a plot (one a second), and curves in it.
_SAMPLES, _CURVES = 120, 6
_INKS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b")
_NO_PICTURE = np.full((90, 120, 3), 225, np.uint8)
#: What the map is painted by.
PAINTS = ("colour", "label")
#: m: height above which the map is left out at first, and at which nothing is.
CUT, HIGHEST = 2.2, 6.0


class Panel:
    """Everything that is no scene. What a visitor does becomes a call of ``wishes`` or of the functions given.

    Args:
        layer: called with a layer's name and whether it is shown. paint: called with one of PAINTS.
        cut: called with the height (m) above which the map is left out.
        follow: called with whether the camera follows the robot. above: called to look from above.
        moment: called with the number of the keyframe to look at, None for now.
    """

    def __init__(
        self, server: viser.ViserServer, wishes: Wishes, layer: Callable[[str, bool], None],
        paint: Callable[[str], None], cut: Callable[[float], None], follow: Callable[[bool], None],
        above: Callable[[], None], moment: Callable[[int | None], None],
    ) -> None:  # fmt: skip
        self._gui, self._wishes = server.gui, wishes
        self._plots: dict[str, _Plot] = {}
        self._goal_text = ("", "")
        tabs = self._gui.add_tab_group()
        with tabs.add_tab("Drive"):
            self._add_drive()
        with tabs.add_tab("Map"):
            self._add_map(layer, paint, cut, follow, above)
        with tabs.add_tab("Memory"):
            self._add_memory(moment)
        with tabs.add_tab("Health"):
            self._light_detail = self._gui.add_html(words.light(()))
            self._plots = {"latency (ms)": _Plot(self._gui, "latency (ms)"), "CPU (%)": _Plot(self._gui, "CPU (%)")}

    @property
    def live_camera(self) -> bool:
        """Whether the picture is to be what the camera sees now."""
        return bool(self._live.value)

    # -- what is shown -------------------------------------------------------------------------------------------------

    def goal(self, instruction: str, state: str) -> None:
        """The sentence that is followed and what becomes of it."""
        self._goal_text = (instruction, state)
        self._goal.content = words.goal(instruction, state)

    def told(self, text: str) -> None:
        """A remark under the sentence, such as why a goal was not sent."""
        self._goal.content = words.goal(self._goal_text[0], text)

    def answer(self, text: str) -> None:
        """The answer to the question."""
        self._answer.content = words.note(text)

    def picture(self, image: np.ndarray) -> None:
        """What the camera sees: (H, W, 3) uint8."""
        self._picture.image = image

    def decision(self, made: Decision | None) -> None:
        """The options, the choice and why."""
        self._decision.content = words.decision(made)

    def objects(self, found: Sequence[MemoryObject]) -> None:
        """The list of objects."""
        self._objects.content = words.objects(found)

    def health(self, parts: Sequence[Health]) -> None:
        """The traffic light."""
        self._light.content = words.lamp(parts)
        self._light_detail.content = words.light(parts)

    def sample(self, latency: Mapping[str, float], cpu: Mapping[str, float]) -> None:
        """One more second of the plots: ms by stage, shares of a core by node."""
        self._plots["latency (ms)"].add(latency)
        self._plots["CPU (%)"].add({name: 100 * share for name, share in cpu.items()})

    def moments(self, count: int) -> None:
        """How many keyframes there are to look back at."""
        last = max(1, count - 1)
        if self._slider.max != last:
            at_end = self._slider.value >= self._slider.max
            self._slider.max = last
            if at_end and self._now.value:
                self._slider.value = last
        self._slider.disabled = count < 2

    def moment(self, number: int, count: int, moment: Moment, image: np.ndarray | None, began: int) -> None:
        """One keyframe of the past."""
        self._past.image = _NO_PICTURE if image is None else image
        seconds = (moment.stamp - began) * 1e-9
        about = f"keyframe {number + 1} of {count}, after {seconds:.1f} s"
        self._past_words.content = words.note(f"{about}: {moment.words}" if moment.words else about)

    # -- what it is made of --------------------------------------------------------------------------------------------

    def _add_drive(self) -> None:
        gui, wishes = self._gui, self._wishes
        self._light = gui.add_html(words.lamp(()))
        self._goal = gui.add_html(words.goal("", wishes.why_not))
        sentence = gui.add_text("Sentence", "", disabled=wishes.go is None, hint="such as: find the red sofa")
        go = gui.add_button("Go", disabled=wishes.go is None, color="green")
        stop = gui.add_button("Stop", disabled=wishes.stop is None, color="red")
        if wishes.go is not None:
            send = wishes.go
            go.on_click(
                lambda _: send(sentence.value) if sentence.value.strip() else self.told("write a sentence first")
            )
        if wishes.stop is not None:
            end = wishes.stop
            stop.on_click(lambda _: end())
        self._picture = gui.add_image(_NO_PICTURE, format="jpeg", jpeg_quality=70)
        self._live = gui.add_checkbox("live camera", False, disabled=not wishes.camera)
        self._decision = gui.add_html(words.decision(None))
        question = gui.add_text("Question", "", disabled=wishes.ask is None, hint="such as: where is the red chair?")
        ask = gui.add_button("Ask", disabled=wishes.ask is None)
        self._answer = gui.add_html(words.note(""))
        if wishes.ask is not None:
            inquire = wishes.ask
            ask.on_click(lambda _: inquire(question.value) if question.value.strip() else self.answer("ask something"))

    def _add_map(self, layer, paint, cut, follow, above) -> None:
        gui = self._gui
        kind = gui.add_dropdown("Painted by", PAINTS, initial_value=PAINTS[0])
        kind.on_update(lambda _: paint(kind.value))
        height = gui.add_slider(
            "Up to (m)", 0.1, HIGHEST, 0.1, CUT, hint="leaves out what is higher, such as the ceiling"
        )
        height.on_update(lambda _: cut(height.value))
        for name, shown in LAYERS.items():
            self._add_layer(name, shown, layer)
        camera = gui.add_checkbox("follow the robot", False)
        camera.on_update(lambda _: follow(camera.value))
        gui.add_button("Look from above").on_click(lambda _: above())

    def _add_layer(self, name: str, shown: bool, layer: Callable[[str, bool], None]) -> None:
        box = self._gui.add_checkbox(name, shown)
        box.on_update(lambda _: layer(name, box.value))

    def _add_memory(self, moment: Callable[[int | None], None]) -> None:
        gui = self._gui
        self._now: Any = gui.add_checkbox("now", True, hint="show the present, not a keyframe of the past")
        self._slider: Any = gui.add_slider("Keyframe", 0, 1, 1, 1, disabled=True)
        self._past = gui.add_image(_NO_PICTURE, format="jpeg", jpeg_quality=75)
        self._past_words = gui.add_html(words.note(""))
        self._objects = gui.add_html(words.objects(()))

        def moved(event: Any) -> None:
            if event.client is None:
                return  # moved by the page, as keyframes come
            self._now.value = False
            moment(int(self._slider.value))

        def switched(event: Any) -> None:
            if event.client is not None:
                moment(None if self._now.value else int(self._slider.value))

        self._slider.on_update(moved)
        self._now.on_update(switched)


class _Plot:
    """Curves over the last two minutes."""

    def __init__(self, gui: Any, title: str) -> None:
        self._gui, self._title, self._handle = gui, title, None
        self._names: tuple[str, ...] = ()
        self._values: deque[Mapping[str, float]] = deque(maxlen=_SAMPLES)
        self._place = gui.add_folder(title)

    def add(self, values: Mapping[str, float]) -> None:
        """One more sample, by curve."""
        self._values.append(dict(values))
        highest: dict[str, float] = {}
        for sample in self._values:
            for name, value in sample.items():
                highest[name] = max(value, highest.get(name, 0.0))
        # Curves stay as long as they have values: making a plot anew for each change of rank would make it flicker.
        stay = [n for n in self._names if n in highest]
        others = sorted((n for n in highest if n not in stay), key=lambda n: -highest[n])
        names = tuple([*stay, *others][:_CURVES])
        if not names:
            return
        x = np.arange(-len(self._values) + 1, 1, dtype=np.float64)
        data = (x, *(np.array([s.get(n, np.nan) for s in self._values], np.float64) for n in names))
        if self._handle is None or names != self._names:
            self._begin(names, data)
        else:
            self._handle.data = data

    def _begin(self, names: tuple[str, ...], data: tuple[np.ndarray, ...]) -> None:
        from viser import uplot

        if self._handle is not None:
            self._handle.remove()
        self._names = names
        series = (
            uplot.Series(label="s"),
            *(uplot.Series(label=n, stroke=ink, width=2) for n, ink in zip(names, _INKS, strict=False)),
        )
        with self._place:
            self._handle = self._gui.add_uplot(
                data, series, scales={"x": uplot.Scale(time=False)}, legend=uplot.Legend(show=True), aspect=1.8
            )
