"""The live page without a browser: what a click asks for, what an update sends, and that it stays small."""

import numpy as np
import pytest
from pages import SECOND, decision, floor, small_memory, thing

from embodied_nav.view import Health, Lines, LivePage, MemoryPage, Moment, PageConfig, RoomFloor, Wishes

pytest.importorskip("viser")


@pytest.fixture
def make_page(monkeypatch):
    """Makes pages that believe to be looked at."""
    pages = []

    def make(looked_at=True, **wishes):
        page = LivePage(PageConfig(port=0), Wishes(**wishes))
        monkeypatch.setattr(LivePage, "visitors", property(lambda _: int(looked_at)))
        pages.append(page)
        return page

    yield make
    for page in pages:
        page.close()


def kept(page):
    """Messages that viser keeps for who comes later, by name of their kind."""
    return [type(m).__name__ for m in page._server._websock_server._broadcast_buffer.message_from_id.values()]


def props(page, kind):
    messages = page._server._websock_server._broadcast_buffer.message_from_id.values()
    return [m for m in messages if type(m).__name__ == kind]


def test_a_click_sends_the_robot_and_says_the_room_where_names_are_alike(make_page):
    sent = []
    page = make_page(go=sent.append)
    page.rooms(
        [
            RoomFloor("kitchen", (1.0, 1.0), (1, 2, 3), np.array([[1.0, 1.0], [1.1, 1.0]]), 0.1),
            RoomFloor("bedroom", (5.0, 1.0), (1, 2, 3), np.array([[5.0, 1.0]]), 0.1),
        ]
    )
    chairs = [thing(1, "chair", "", (1.0, 1.0, 0.4)), thing(2, "chair", "", (5.0, 1.0, 0.4))]
    page.objects([*chairs, thing(3)])
    page.update()
    page.clicked(thing(3))
    page.clicked(chairs[1])
    assert sent == ["go to the red sofa", "go to the chair in the bedroom"]


def test_the_sentence_of_a_click_is_understood(make_page):
    from embodied_nav.language import parse_instruction

    page = make_page(go=lambda _: None)
    for o in (thing(), thing(label="coffee table", color="brown"), thing(label="tv", color="")):
        parsed = parse_instruction(page.sentence_for(o))
        assert (parsed.target.label, parsed.target.color) == (o.label, o.color)


def test_what_is_gone_and_who_cannot_drive_are_said(make_page):
    sent, told = [], []
    page = make_page(go=sent.append)
    page.tell = told.append
    page.clicked(thing(status="gone"))
    assert not sent and "is gone" in told[0]
    page = make_page(why_not="a recording")
    page.tell = told.append
    page.clicked(thing())
    assert told[-1] == "a recording"


def test_nothing_is_sent_while_nobody_looks(make_page):
    page = make_page(looked_at=False)
    before = len(kept(page))
    page.whole_map(*floor())
    page.objects([thing()])
    page.decision(decision())
    assert page.update() is False and len(kept(page)) == before


def test_an_update_sends_only_what_changed(make_page):
    page = make_page()
    page.whole_map(*floor(16.0))
    page.objects([thing(), thing(2, position=(6, 2, 0.3))])
    page.update()
    drawn = []
    page._scene.chunk = lambda *chunk: drawn.append(chunk[0])
    page._scene._draw = page._scene._move = lambda o, *_: drawn.append(o)
    page.update()
    assert drawn == []
    page.objects([thing(), thing(2, position=(7, 2, 0.3))])
    page.changed_map(np.array([[0.5, 0.5, 0.02]], np.float32), np.array([[255, 0, 0]], np.uint8))
    page.update()
    assert [o.id for o in drawn if hasattr(o, "id")] == [2] and len(drawn) == 2


def feed(page, n):
    """Everything that changes while a robot drives."""
    T = np.eye(4)
    T[:3, 3] = n % 7, n % 5, 0.0
    page.robot(T)
    page.sight(T)
    page.plan(np.array([[0, 0], [1, n % 3], [2, 1]], float))
    page.way(np.array([[0, 0, 0], [1, n % 3, 0]], float))
    page.decision(decision(f"because {n}", number=n))
    page.goal("find the sofa", f"{n} m")
    page.picture(np.full((60, 80, 3), n % 255, np.uint8))
    page.objects([thing(i, position=(i, n % 3, 0.3), status="gone" if n % 4 == i else "present") for i in range(1, 4)])
    page.graph([Lines(np.full((2, 2, 3), float(n)), (1, 2, 3))])
    page.rooms([RoomFloor("kitchen", (1.0, 1.0), (1, 2, 3), np.array([[1.0, n % 3]]), 0.1)])
    page.health([Health("memory", n % 4, "ok", {"fusion": float(n % 9), f"stage {n % 8}": 1.0}, 0.1)])
    page.moment(Moment(n * SECOND, T, b"", "seen"))
    positions, colors = floor(4.0)
    page.changed_map(positions[n % 100 :: 100], colors[n % 100 :: 100])


def test_a_page_left_open_for_long_keeps_no_more_than_the_newest(make_page):
    """An hour at five updates a second would be 18,000: what is kept must not grow with their number."""
    page = make_page()
    for n in range(30):
        feed(page, n)
        page.update()
    early = len(kept(page))
    for n in range(30, 150):
        feed(page, n)
        page.update()
    page._server._run_garbage_collector(force=True)
    assert len(kept(page)) <= 1.1 * early, "messages are kept for who comes later: one for each thing that is shown"
    assert len(page._moments) <= 400


def test_moments_are_thinned_from_the_past(make_page):
    page = make_page(looked_at=False)
    for n in range(2000):
        page.moment(Moment(n * SECOND, np.eye(4), b""))
    stamps = [m.stamp // SECOND for m in page._moments]
    assert len(stamps) <= 400 and stamps == sorted(stamps) and stamps[-1] == 1999 and stamps[0] == 0
    assert np.diff(stamps)[:50].mean() > np.diff(stamps)[-50:].mean(), "the newer, the denser"


def test_a_memory_is_shown_as_it_was_at_a_keyframe(make_page):
    memory = small_memory()
    page = make_page()
    MemoryPage(page, memory)
    page.update()
    whole = len(page._cloud)
    page._look_at(3)
    early = len(page._cloud)
    page._look_at(None)
    assert whole == len(memory) == len(page._cloud) and 0 < early < 0.9 * whole
    page._painted("label")
    page.update()
    assert kept(page).count("PointCloudMessage") == len(page._cloud._chunks)


def test_paint_by_label_is_that_of_the_objects(make_page):
    from embodied_nav.memory.output.render import label_color

    memory = small_memory()
    page = make_page()
    shown = []
    page.whole_map = lambda positions, colors: shown.append(colors)
    MemoryPage(page, memory)
    page._painted("label")
    assert (shown[0] == memory.voxels().colors).all()
    voxels = memory.voxels()
    assert {tuple(c) for c in shown[1].tolist()} == {
        label_color(voxels.class_names[i][0]) for i in np.unique(voxels.labels)
    }
