"""What came, went and moved, with its time: noted once, kept in the file, told in words."""

import dataclasses
import sqlite3
from contextlib import closing
from datetime import datetime

import numpy as np
import pytest
from box_rooms import Box, camera_pose
from hypothesis import given
from hypothesis import strategies as st
from test_objects import CHAIR_A, CHAIR_B, SOFA, World

from embodied_nav.errors import InputError
from embodied_nav.frames import MemoryObject
from embodied_nav.language import words_of
from embodied_nav.language.times import clock, window_in
from embodied_nav.memory import RetentionConfig, SpatialMemory
from embodied_nav.memory.file.inspection import describe, find_faults
from embodied_nav.memory.file.memory_file import make_tables
from embodied_nav.memory.objects.history import HIDDEN, History, forget
from embodied_nav.memory.query.answering import Knowledge
from embodied_nav.memory.query.happenings import stays
from embodied_nav.memory.query.replies import answer_in_words
from embodied_nav.memory.records import Event
from embodied_nav.rooms import Room, Rooms

SECOND = 10**9
HOUR = 3600 * SECOND
NOON = int(datetime(2026, 11, 30, 15, 30).timestamp()) * SECOND
PLANT = Box((1.6, 1.6, 0.0), (1.9, 1.9, 0.8), (30, 160, 30), 4)
NAMES = {1: ("sofa", "red"), 2: ("chair", "blue"), 3: ("chair", "blue"), 4: ("plant", "green")}
AWAY = camera_pose(0.3, 1.5, 3.0)


def thing(i, label="cup", color="red", xyz=(1.0, 1.0, 0.8), status="present", size=0.2, **more):
    extent = np.broadcast_to(np.asarray(size, np.float64), 3)
    seen = {"first_seen": NOON - 9 * HOUR, "last_seen": NOON - 60 * SECOND, **more}
    return MemoryObject(i, label, color, np.array(xyz), extent, 0.9, 50, keyframe_id=i, status=status, **seen)


def unknown(_):
    return 0


def kinds(memory):
    return [(e.kind, e.label) for e in memory.state.content.events.values()]


# ---- noting ----


def test_what_goes_comes_and_moves_is_noted_with_where_and_when():
    w = World()
    w.look([SOFA, CHAIR_A], frames=12, names=NAMES)
    assert kinds(w.memory) == [], "everything is seen for the first time once"
    before = w.t
    w.t += 100 * SECOND
    w.look([SOFA], frames=14, names=NAMES)
    (went,) = w.memory.state.content.events.values()
    assert (went.kind, went.name) == ("went", "blue chair") and went.target is None
    assert before - SECOND <= went.since <= before < went.stamp <= w.t
    assert np.abs(went.source[:2] - 1.75).max() < 0.2
    w.t += 100 * SECOND
    w.look([SOFA, CHAIR_B], frames=12, names=NAMES)
    (moved,) = w.memory.state.content.events.values()
    assert (moved.kind, moved.name, moved.since) == ("moved", "blue chair", went.since), "one event, not three"
    assert moved.source[1] < 2.0 < 2.5 < moved.target[1]
    w.t += 100 * SECOND
    w.look([SOFA, CHAIR_B, PLANT], frames=12, names=NAMES)
    came = w.memory.state.content.events[max(w.memory.state.content.events)]
    assert (came.kind, came.name, came.source) == ("came", "green plant", None)
    assert came.since < came.stamp == w.t


def test_what_is_left_at_its_old_place_does_not_become_an_object():
    w = World()
    w.look([SOFA, CHAIR_A], frames=12, names=NAMES)
    objects = w.memory.state.objects
    chair = next(o for o in w.memory.objects() if o.label == "chair")
    number = objects.classes[chair.id]
    w.t += 100 * SECOND
    w.look([SOFA], frames=14, names=NAMES)
    store = w.memory.state.voxels.store
    assert (store.arrays.labels[: len(store.rows)] == number).any(), "its foot, too near to the floor to be carved"
    w.look([SOFA, CHAIR_B], frames=12, names=NAMES)
    (found,) = [o for o in w.memory.objects() if o.label == "chair"]
    assert found.id == chair.id and objects.classes[chair.id] != number
    assert not (store.arrays.labels[: len(store.rows)] == number).any()


def test_a_thing_in_a_part_never_looked_at_has_not_come():
    w = World()
    w.look([SOFA], pose=AWAY, frames=12, names=NAMES)
    w.t += 100 * SECOND
    w.look([SOFA, CHAIR_A], frames=12, names=NAMES)
    assert kinds(w.memory) == []


def test_what_is_back_soon_was_hidden_and_what_is_back_late_came_back():
    for pause, told in ((HIDDEN // 2, []), (2 * HIDDEN, ["went", "came"])):
        history, events = History(), {}
        cup, gone = thing(1), thing(1, status="gone")
        history.restart({1: cup})
        history.note(events, {1: gone}, NOON, 3, unknown, unknown)
        history.note(events, {1: dataclasses.replace(cup)}, NOON + pause, 4, unknown, unknown)
        assert [e.kind for e in events.values()] == told


def test_an_object_that_never_was_leaves_no_events():
    history, events = History(), {}
    history.note(events, {1: thing(1), 2: thing(2)}, NOON, 0, unknown, lambda _: NOON - HOUR)
    assert [e.object for e in events.values()] == [1, 2]
    history.note(events, {2: thing(2)}, NOON, 0, unknown, unknown)
    assert [e.object for e in events.values()] == [2]


def test_old_events_and_objects_long_gone_are_forgotten():
    events = {k: Event("went", k, "cup", "", NOON - k * HOUR, NOON - k * HOUR) for k in (5, 3, 1)}
    known = {k: thing(k, status="gone", last_seen=NOON - k * HOUR) for k in (5, 3, 1)}
    known[7] = thing(7, last_seen=NOON - 9 * HOUR)
    assert forget(events, known, NOON - 2 * HOUR) == [5, 3]
    assert list(events) == [1]


def test_a_memory_forgets_after_the_time_that_is_set():
    w = World()
    w.memory.state.retain(RetentionConfig(events=0.05))
    w.look([SOFA, CHAIR_A], frames=12, names=NAMES)
    w.look([SOFA], frames=14, names=NAMES)
    assert kinds(w.memory) == [("went", "chair")] and len(w.memory.objects(include_gone=True)) == 2
    w.t += 300 * SECOND
    w.look([SOFA], frames=3, names=NAMES)
    assert kinds(w.memory) == [] and len(w.memory.objects(include_gone=True)) == 1


# ---- the file ----


def test_events_stay_in_the_file_and_go_on_after_it_is_read(tmp_path):
    w, path = World(), tmp_path / "memory.db"
    w.look([SOFA, CHAIR_A], frames=12, names=NAMES)
    w.look([SOFA], frames=14, names=NAMES)
    w.memory.save(path)
    assert find_faults(path) == [] and describe(path)["events"] == 1
    loaded = SpatialMemory.load(path)
    before, after = (m.state.content.events for m in (w.memory, loaded))
    assert before.keys() == after.keys()
    for number, e in before.items():
        assert (e.kind, e.object, e.name, e.since, e.stamp) == (
            after[number].kind, after[number].object, after[number].name, after[number].since, after[number].stamp
        )  # fmt: skip
        assert np.array_equal(e.source, after[number].source) and after[number].target is None
    assert [o.status for o in loaded.objects(include_gone=True)] == ["present", "gone"]
    assert loaded.state.content.events.keys() == after.keys(), "reading notes nothing"


def test_a_file_from_before_events_is_read_checked_and_written(tmp_path):
    w, path = World(), tmp_path / "memory.db"
    w.look([SOFA, CHAIR_A], frames=12, names=NAMES)
    w.memory.save(path)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DROP TABLE events")
    assert find_faults(path) == [] and describe(path)["events"] == 0
    loaded = SpatialMemory.load(path)
    assert len(loaded.objects()) == 2
    loaded.save(path)
    assert describe(path)["events"] == 0 and find_faults(path) == []
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*) FROM events").fetchone() == (0,)


def test_the_list_of_tables_fits_into_a_files_first_page(tmp_path):
    """Two pages of names instead of one are lost together with whatever is damaged behind them."""
    with closing(sqlite3.connect(tmp_path / "new.db")) as db, db:
        make_tables(db)
    assert (tmp_path / "new.db").read_bytes()[100] == 13, "no longer a single page"


# ---- words ----


def a_flat():
    labels = np.zeros((40, 80), np.int32)
    labels[:, :40], labels[:, 40:] = 1, 2
    rooms = Rooms(labels, tuple(Room(i, 16.0, (2.0, 2.0), 4.0, 4.0, 4.0, (), 0.0) for i in (1, 2)), 0.1, (0.0, 0.0))
    table = thing(1, "table", "brown", (1.0, 1.0, 0.35), size=(1.2, 0.8, 0.7))
    shelf = thing(2, "shelf", "white", (6.0, 1.0, 0.5), size=(1.0, 0.4, 1.0))
    cup = thing(3, xyz=(6.0, 1.0, 1.1), moves=1)
    plant = thing(4, "plant", "green", (3.0, 3.0, 0.4), first_seen=NOON - 5 * HOUR)
    lamp = thing(5, "lamp", "", (5.0, 3.0, 0.8), status="gone", last_seen=NOON - 30 * HOUR)
    events = (
        Event("went", 5, "lamp", "", NOON - 30 * HOUR, NOON - 29 * HOUR, source=lamp.position),
        Event("came", 4, "plant", "green", NOON - 8 * HOUR, NOON - 5 * HOUR, target=plant.position),
        Event("moved", 3, "cup", "red", NOON - 4 * HOUR, NOON - 3 * HOUR, np.array([1.0, 1.0, 0.8]), cup.position),
    )
    return Knowledge(
        (table, shelf, cup, plant, lamp), stamp=NOON, rooms=rooms, room_names={1: "kitchen"}, events=events
    )


@pytest.mark.parametrize(
    ("text", "kind", "told"),
    [
        ("What is different from this morning?", "changed",
         "Since 06:00: new: the green plant in the kitchen (10:30); found elsewhere: the red cup, on the white shelf "
         "in room 2, before on the brown table in the kitchen (12:30)."),
        ("what has moved since 9 o'clock?", "changed", "Since 09:00: found elsewhere: the red cup"),
        ("what has changed since 1:30 pm", "changed", "Since 13:30: nothing that I noticed."),
        ("what changed in the last hour?", "changed", "In the last 60 min: nothing that I noticed."),
        ("what disappeared yesterday?", "changed", "Yesterday: gone: the lamp in room 2 (yesterday at 10:30)."),
        ("what is new since yesterday?", "changed", "Since yesterday at 00:00:"),
        ("When was the cup last on the table?", "when",
         "The red cup was last seen on the table at 11:30; since 12:30 it is on the white shelf in room 2."),
        ("when was the red cup on the shelf?", "when", "The red cup is on the shelf as far as I know; I last saw it "
         "there at 15:29."),
        ("when was the cup in the kitchen?", "when", "The red cup was last seen in the kitchen at 11:30"),
        ("when was the cup in room 1?", "when", "The red cup was last seen in the room 1 at 11:30"),
        ("when was the cup last on the plant?", "when", "I never saw the red cup on the plant; I saw it on the brown "
         "table in the kitchen (at 11:30)"),
        ("when did you last see the lamp?", "when", "I last saw the lamp in room 2, yesterday at 09:30."),
        ("when was the cup moved?", "when", "The red cup moved between 11:30 and 12:30: it was on the brown table"),
        ("since when is the lamp gone?", "when", "The lamp went between yesterday at 09:30 and yesterday at 10:30"),
        ("when did the plant appear?", "when", "The green plant came between 07:30 and 10:30; it is in the kitchen."),
        ("when was the shelf moved?", "when", "That the white shelf moved I did not notice."),
        ("when did you last see the xylophone?", "when", "I know no xylophone"),
        ("when was the cup left of the shelf?", "", "depends on who looked"),
        ("when was the cup on the xylophone?", "", "I know no xylophone"),
        ("when was the cup in the bathroom?", "", "I know no room called 'bathroom'"),
        ("when?", "", "it names nothing"),
        ("what changed this evening?", "", "this evening is still to come: it is 15:30"),
        ("what changed since 31 o'clock?", "", "is no time of day"),
    ],
)  # fmt: skip
def test_what_happened_is_told_with_its_time(text, kind, told):
    reply = answer_in_words(text, a_flat())
    assert reply.kind == kind and told in reply.text, reply.text


def test_a_clock_without_days_tells_spans_and_refuses_times_of_day():
    known = a_flat()
    events = tuple(dataclasses.replace(e, since=e.since - NOON + 99 * HOUR, stamp=e.stamp - NOON + 99 * HOUR)
                   for e in known.events)  # fmt: skip
    known = dataclasses.replace(known, stamp=99 * HOUR, events=events)
    assert "(3 h ago)" in answer_in_words("what has moved in the last 5 hours?", known).text
    assert "counts from its start" in answer_in_words("what changed since this morning?", known).text


def test_where_a_thing_stood():
    known = a_flat()
    cup, lamp, shelf = known.objects[2], known.objects[4], known.objects[1]
    first, second = stays(cup, known.events)
    assert first.position.tolist() == [1.0, 1.0, 0.8] and first.until == NOON - 4 * HOUR and not first.lasts
    assert second.since == NOON - 3 * HOUR and second.until == cup.last_seen and second.lasts
    assert [s.lasts for s in stays(lamp, known.events)] == [False]
    assert [s.lasts for s in stays(shelf, known.events)] == [True]
    assert len(stays(lamp, (Event("came", 5, "lamp", "", NOON, NOON),))) == 1, "that it went is forgotten"


@given(
    st.integers(0, 3 * 24 * 3600), st.sampled_from(["today", "yesterday", "last night", "since 7 30", "since 11 pm"])
)
def test_a_window_begins_and_ends_before_now(seconds, words):
    now = NOON + seconds * SECOND
    window, rest = window_in(words_of(f"what changed {words}"), now)
    assert window.since <= window.until <= now and window.since >= now - 2 * 24 * HOUR and rest == "what changed"
    assert clock(window.since, now)


def test_what_names_no_time_is_left_as_it_is():
    assert window_in("what is in the kitchen", NOON) == (None, "what is in the kitchen")
    with pytest.raises(InputError, match="counts from its start"):
        window_in("what changed today", 5 * SECOND)
