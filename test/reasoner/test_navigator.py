"""The navigator on a hand-made flat that is discovered as an ideal robot drives through it."""

import math

import numpy as np
import pytest

from embodied_nav.errors import InputError
from embodied_nav.frames import FREE, OCCUPIED, UNKNOWN, MemoryObject, OccupancyGrid
from embodied_nav.geometry import Camera, pose2d
from embodied_nav.reasoner import Navigator, NavigatorConfig, create, format_answer
from embodied_nav.reasoner.framing import Eye, Framing
from embodied_nav.robot import RobotProfile

RES = 0.05


class Flat:
    """Two rooms of 4 x 4 m with a door; things appear in the memory once the robot has seen them."""

    def __init__(self, things, start=(1.0, 2.0)):
        self.truth = np.full((80, 162), FREE, np.int8)
        self.truth[[0, -1]] = OCCUPIED
        self.truth[:, [0, 80, 81, -1]] = OCCUPIED
        self.truth[30:48, 80:82] = FREE
        self.things = things
        for o in things:
            half = 0.5 * o.extent[:2]
            low, high = ((o.position[:2] - half) / RES).astype(int), ((o.position[:2] + half) / RES).astype(int)
            self.truth[low[1] : high[1], low[0] : high[0]] = OCCUPIED
        self.known = np.full(self.truth.shape, UNKNOWN, np.int8)
        self.x, self.y, self.yaw, self.stamp = *start, 0.0, 10**9
        self.seen = {}
        self.path_length = 0.0

    def look(self):
        """Rays over 90 degrees until they hit something."""
        angles = np.linspace(-math.pi / 4, math.pi / 4, 181) + self.yaw
        r = np.arange(0.0, 5.0, 0.025)
        columns = ((self.x + r * np.cos(angles)[:, None]) / RES).astype(int).clip(0, self.truth.shape[1] - 1)
        rows = ((self.y + r * np.sin(angles)[:, None]) / RES).astype(int).clip(0, self.truth.shape[0] - 1)
        hit = self.truth[rows, columns] == OCCUPIED
        shown = np.cumsum(hit, axis=1) - hit == 0
        self.known[rows[shown], columns[shown]] = self.truth[rows[shown], columns[shown]]
        ends = (np.stack([columns, rows], axis=-1)[shown & hit] + 0.5) * RES
        for o in self.things:
            if (np.abs(ends - o.position[:2]) - 0.5 * o.extent[:2] < RES).all(axis=1).any():
                self.seen[o.id] = MemoryObject(**{**o.__dict__, "last_seen": self.stamp})

    def run(self, navigator, seconds=120.0):
        """Drives exactly along the plans; returns the last output and all decisions."""
        decisions = []
        for _ in range(int(seconds * 5)):
            self.look()
            grid = OccupancyGrid(self.known.copy(), RES, (0.0, 0.0), self.stamp)
            objects = tuple(self.seen[k] for k in sorted(self.seen))
            out = navigator.update(self.stamp, pose2d(self.x, self.y, self.yaw), grid, objects)
            if out.decision is not None:
                decisions.append(out.decision)
            if out.status != "running":
                break
            self.drive(out)
            self.stamp += 200_000_000
        return out, decisions

    def drive(self, out):
        if out.heading is not None:
            error = math.remainder(out.heading - self.yaw, 2 * math.pi)
            self.yaw += max(-0.3, min(0.3, error))
            return
        left = 0.1
        for a, b in zip(out.path[:-1], out.path[1:], strict=True):
            gap = math.dist((self.x, self.y), b)
            if gap < 1e-6 or (math.dist((self.x, self.y), a) > 0.11 and a is not out.path[0]):
                continue
            step = min(left, gap)
            self.yaw = math.atan2(b[1] - self.y, b[0] - self.x)
            self.x, self.y = self.x + step * math.cos(self.yaw), self.y + step * math.sin(self.yaw)
            self.path_length += step
            left -= step
            if left <= 1e-9:
                return


def thing(i, label, color, x, y, size=(0.6, 0.6), height=0.8):
    extent = np.array([*size, height])
    return MemoryObject(i, label, color, np.array([x, y, height / 2]), extent, 1.0, 100, 1, 1, 0)


def things():
    return [
        thing(1, "sofa", "blue", 2.0, 3.4, (1.6, 0.8)),
        thing(2, "oven", "black", 7.6, 0.5),
        thing(3, "refrigerator", "white", 7.6, 1.5),
        thing(4, "plant", "green", 4.7, 3.5, (0.4, 0.4)),
    ]


@pytest.mark.parametrize("policy", ["rules", "frontier"])
def test_finds_an_object_in_another_room_and_stops_beside_it(policy):
    flat, navigator = Flat(things()), Navigator(policy=create(policy))
    navigator.reset("find the black oven")
    out, decisions = flat.run(navigator)
    assert out.status == "stopped"
    assert math.dist((flat.x, flat.y), (7.3, 0.5)) < 1.0
    assert decisions[0].option.kind == "look_around"
    assert decisions[-1].option.kind == "stop"
    assert [d.id for d in decisions] == list(range(len(decisions)))
    assert flat.path_length < 14.0


def bearing_to(flat, x, y):
    """rad from the robot's heading to a place."""
    return abs(math.remainder(math.atan2(y - flat.y, x - flat.x) - flat.yaw, 2.0 * math.pi))


@pytest.mark.parametrize("start", [(1.0, 2.0), (3.0, 1.0), (3.4, 3.6)])
@pytest.mark.parametrize(
    "sentence, place", [("find the oven", (7.6, 0.5)), ("find the plant", (4.7, 3.5)), ("go to the sofa", (2.0, 3.4))]
)
def test_it_faces_what_it_has_found(sentence, place, start):
    flat, navigator = Flat(things(), start), Navigator()
    navigator.reset(sentence)
    out, _ = flat.run(navigator)
    assert out.status == "stopped"
    assert bearing_to(flat, *place) < 0.7, "a long sofa is faced where it is nearest"
    eye = Eye(Camera.from_hfov(320, 240, navigator.config.field_of_view), RobotProfile().T_base_camera())
    framing = Framing(eye, OccupancyGrid(flat.truth, RES, (0.0, 0.0)), flat.things)
    (target,) = [o for o in flat.things if tuple(o.position[:2]) == place]
    assert framing.look(target, np.array([[flat.x, flat.y]]))[1][0] >= 0.01


def test_a_robot_that_cannot_turn_to_its_target_stops_in_bounded_time():
    """The guard may forbid the turn: something stands beside the robot."""
    flat, navigator = Flat(things()), Navigator()
    navigator.reset("find the plant")
    drive, asked = flat.drive, []

    def cannot_turn(out):
        if out.heading is None or not navigator.facing.since:
            drive(out)
        else:
            asked.append(flat.stamp)

    flat.drive = cannot_turn
    out, decisions = flat.run(navigator)
    assert out.status == "stopped" and decisions[-1].option.kind == "stop"
    assert asked, "it tried to turn"
    assert (flat.stamp - asked[0]) * 1e-9 < navigator.config.facing_time + 2.0


def test_the_stop_waits_until_the_target_has_been_seen_from_where_it_stops():
    flat, navigator = Flat(things()), Navigator()
    navigator.reset("find the plant")
    out, _ = flat.run(navigator)
    assert out.status == "stopped"
    assert (flat.stamp - flat.seen[4].last_seen) * 1e-9 <= navigator.config.confirm_age


def test_it_stands_back_from_what_is_high():
    """A clock high on the wall is above the picture of a camera right before it."""
    stops, driven = {}, {}
    for z in (0.7, 1.35, 1.8):  # the last one is above the picture from wherever it is near
        extent = np.array([0.2, 0.4, 0.4])
        clock = MemoryObject(5, "clock", "red", np.array([7.9, 2.0, z]), extent, 1.0, 100, 1, 1, 0)
        flat, navigator = Flat([*things(), clock]), Navigator()
        navigator.reset("find the red clock")
        out, _ = flat.run(navigator)
        assert out.status == "stopped"
        stops[z], driven[z] = math.dist((flat.x, flat.y), (7.8, 2.0)), flat.path_length
    assert stops[0.7] + 0.05 < stops[1.35] < 1.1
    assert stops[1.8] < 1.0 and driven[1.8] < driven[0.7] + 0.3, "no detour for what is seen from nowhere"


def test_goes_into_a_room_not_just_to_its_door():
    flat, navigator = Flat(things()), Navigator()
    navigator.reset("go to the kitchen")
    out, _ = flat.run(navigator)
    assert out.status == "stopped"
    assert flat.x > 4.4


def test_passes_way_points_before_the_end_of_a_route():
    flat, navigator = Flat(things()), Navigator()
    navigator.reset("leave this room, pass the plant, stop at the oven")
    trace, drive = [], flat.drive
    flat.drive = lambda out: (drive(out), trace.append((flat.x, flat.y)))
    out, _ = flat.run(navigator)
    assert out.status == "stopped"
    assert navigator.stage == 1
    assert min(math.dist(p, (4.7, 3.5)) for p in trace) < 1.5
    assert math.dist((flat.x, flat.y), (7.6, 0.5)) < 1.5


def test_a_way_point_that_cannot_be_come_near_is_passed_where_it_is_nearest():
    """A lamp in the middle of a table: nearer than to the table's edge nobody gets."""
    table, lamp = (
        thing(5, "coffee table", "brown", 6.0, 2.0, (1.3, 1.3), 0.4),
        thing(6, "lamp", "red", 6.0, 2.0, (0.3, 0.3)),
    )
    flat, navigator = Flat([*things(), table]), Navigator()
    look = flat.look

    def sees_the_lamp_too():
        look()
        if 5 in flat.seen:
            flat.seen[6] = MemoryObject(**{**lamp.__dict__, "last_seen": flat.seen[5].last_seen})

    flat.look = sees_the_lamp_too
    assert navigator.config.pass_gap < 0.8 < navigator.config.last_gap
    navigator.reset("leave this room, pass the red lamp, stop at the oven")
    out, decisions = flat.run(navigator)
    assert out.status == "stopped" and math.dist((flat.x, flat.y), (7.6, 0.5)) < 1.5
    assert len(decisions) < 30, "asked again and again"


def test_a_way_point_of_which_only_the_near_end_is_seen_is_not_passed_from_the_door():
    """Its middle is believed to be where the end is, as long as nothing more of it is seen."""
    bench = thing(5, "bench", "red", 4.4, 3.2, (0.4, 1.3))
    end = thing(5, "bench", "red", 4.4, 2.7, (0.4, 0.3))
    flat, navigator = Flat([*things()[:3], bench]), Navigator()
    look, passed = flat.look, []

    def sees_the_end():
        look()
        if 5 in flat.seen and flat.x < 4.3:
            flat.seen[5] = MemoryObject(**{**end.__dict__, "last_seen": flat.seen[5].last_seen})
        if navigator.stage == 1 and not passed:
            passed.append((flat.x, flat.y))

    flat.look = sees_the_end
    navigator.reset("leave this room, pass the red bench, stop at the oven")
    out, _ = flat.run(navigator)
    assert out.status == "stopped"
    assert math.dist(passed[0], bench.position[:2]) < 1.2, f"passed at {passed[0]}"


def test_what_is_hardly_the_way_point_is_looked_at_and_not_taken_for_it():
    flat, navigator = Flat([*things(), thing(5, "sofa", "blue", 2.0, 0.6)]), Navigator()
    navigator.reset("pass the purple sofa, stop at the oven")
    out, decisions = flat.run(navigator, 180.0)
    assert any("blue sofa" in d.option.text for d in decisions if d.option.kind == "object")
    assert out.status == "failed" and navigator.stage == 0


class _Stubborn:
    """Goes to the least likely thing whenever one is offered, as a model may that errs."""

    name, reads = "stubborn", False

    def answer(self, context):
        things = [o for o in context.options if o.kind == "object"]
        return format_answer("", things[-1].letter) if things else create("rules").answer(context)


def test_who_stands_at_the_wrong_thing_is_not_offered_to_go_there_again():
    flat = Flat([*things(), thing(5, "sofa", "blue", 2.0, 0.6)])
    navigator = Navigator(policy=_Stubborn())
    navigator.reset("find the purple sofa")
    _, decisions = flat.run(navigator, 180.0)
    gone_to = [d.option.object_id for d in decisions if d.option.kind == "object"]
    assert all(a != b for a, b in zip(gone_to, gone_to[1:], strict=False)) and set(gone_to) == {1, 5}


def test_wrong_colour_is_not_the_target_and_the_search_ends_as_failed():
    flat, navigator = Flat(things()), Navigator()
    navigator.reset("find the yellow piano")
    out, decisions = flat.run(navigator)
    assert out.status == "failed"
    assert out.reason == "looked everywhere reachable (2 rooms), no yellow piano; nothing known comes near it"
    assert (flat.known[1:-1, 83:-1] != UNKNOWN).mean() > 0.9
    assert len(decisions[-1].options) >= 1


@pytest.mark.parametrize(
    "sentence, guess",
    [("find the purple sofa", "blue sofa"), ("find the turquoise plant", "green plant"),
     ("find the gray refrigerator", "white refrigerator in the kitchen")],
)  # fmt: skip
def test_a_best_guess_is_gone_to_and_named_but_never_taken_for_the_target(sentence, guess):
    flat, navigator = Flat(things()), Navigator()
    navigator.reset(sentence)
    out, decisions = flat.run(navigator, 240.0)
    assert any(guess.split(" in ")[0] in d.option.text for d in decisions if d.option.kind == "object")
    assert out.status == "failed"
    assert out.reason.startswith("looked everywhere reachable (2 rooms), no ")
    assert out.reason.partition("; nearest match: ")[2].startswith(guess)


def test_what_the_memory_holds_may_be_asked_for_by_its_label():
    navigator = Navigator()
    with pytest.raises(InputError, match="'gizmo'"):
        navigator.reset("find the red gizmo")
    navigator.reset("find the red gizmo", {"gizmo"})
    assert navigator.target.label == "gizmo"


def test_same_updates_give_the_same_decisions():
    answers = []
    for _ in range(2):
        flat, navigator = Flat(things()), Navigator()
        navigator.reset("find the black oven")
        answers.append([(d.answer, d.stamp) for d in flat.run(navigator)[1]])
    assert answers[0] == answers[1]


def test_stays_stopped_after_stop():
    flat, navigator = Flat(things()), Navigator()
    navigator.reset("find the blue sofa")
    out, _ = flat.run(navigator)
    again = navigator.update(flat.stamp + 1, pose2d(0, 0, 0), OccupancyGrid(flat.known, RES, (0.0, 0.0)), ())
    assert (again.status, again.reason, again.decision) == (out.status, out.reason, None)
    navigator.reset("find the black oven")
    assert flat.run(navigator, 1.0)[0].status == "running"


def test_options_are_at_most_eight_with_stop_last_and_texts_that_tell():
    flat, navigator = Flat(things()), Navigator()
    navigator.reset("find the black oven")
    for decision in flat.run(navigator)[1]:
        assert 1 <= len(decision.options) <= 8
        assert decision.options[-1].kind == "stop"
        assert [o.letter for o in decision.options] == list("ABCDEFGH"[: len(decision.options)])
        assert all(len(o.text) > 8 for o in decision.options)


def test_blocked_way_is_given_up_and_another_one_taken():
    flat, navigator = Flat(things()), Navigator()
    flat.truth[30:48, 80:82] = OCCUPIED
    navigator.reset("find the black oven")
    assert flat.run(navigator)[0].status == "failed"


def explored_flat():
    """All is known and has been seen; the door is closed, as by people who stand in it."""
    flat = Flat(things())
    flat.seen = {o.id: o for o in flat.things}
    flat.truth[30:48, 80:82] = OCCUPIED
    flat.known[:] = flat.truth
    return flat


def test_a_known_target_is_waited_for_while_people_stand_in_the_door():
    flat, navigator = explored_flat(), Navigator()
    navigator.reset("find the black oven")
    out, _ = flat.run(navigator, 6.0)
    assert out.status == "running" and out.reason == "the way to the black oven is blocked: looking around"
    turned = {round(flat.yaw)}
    for _ in range(12):
        flat.run(navigator, 1.0)
        turned.add(round(flat.yaw))
    assert len(turned) >= 3, "what stood there is only taken out of the map where it looks"
    assert flat.path_length < 0.5
    flat.truth[30:48, 80:82] = FREE
    out, _ = flat.run(navigator, 60.0)
    assert out.status == "stopped" and "black oven" in out.reason


def test_a_known_target_behind_a_closed_door_is_given_up_in_bounded_time_and_the_reason_says_so():
    flat, navigator = explored_flat(), Navigator()
    navigator.reset("find the black oven")
    begun = flat.stamp
    out, _ = flat.run(navigator, 120.0)
    assert out.status == "failed"
    assert out.reason == "looked everywhere reachable (2 rooms), but no way to the black oven in the kitchen is free"
    assert (flat.stamp - begun) * 1e-9 < 60.0
    flat, impatient = explored_flat(), Navigator(NavigatorConfig(way_patience=0.0))
    impatient.reset("find the black oven")
    out, _ = flat.run(impatient, 120.0)
    assert out.status == "failed" and (flat.stamp - begun) * 1e-9 < 10.0


def test_what_the_base_felt_is_driven_around_for_the_rest_of_the_goal():
    """A bar that no camera sees closes the near one of two doors."""

    def drive_to_the_oven(feels):
        flat, navigator = Flat(things()), Navigator()
        flat.truth[60:76, 80:82] = FREE
        drive, y = flat.drive, []

        def drive_up_to_the_bar(out):
            before = flat.x, flat.y
            drive(out)
            if max(before[0], flat.x) > 3.75 and before[0] < 4.0 and 1.4 < flat.y < 2.5 and flat.x > before[0]:
                if feels:
                    bar = np.column_stack([np.full(5, 1.0), flat.y - 1.0 + np.linspace(-0.1, 0.1, 5)])
                    navigator.touch(bar, pose2d(3.0, 1.0, 0.0))
                flat.x, flat.y = before
            if 3.9 < flat.x < 4.2:
                y.append(flat.y)

        flat.drive = drive_up_to_the_bar
        navigator.reset("find the black oven")
        return flat.run(navigator, 90.0)[0], y, flat, navigator

    out, y, flat, navigator = drive_to_the_oven(feels=True)
    assert out.status == "stopped" and min(y) > 2.5, "it comes through the other door"
    assert drive_to_the_oven(feels=False)[0].status == "running"

    navigator.reset("find the black oven")
    grid = OccupancyGrid(flat.truth, RES, (0.0, 0.0), flat.stamp)
    path = navigator.update(flat.stamp, pose2d(1.0, 2.0, 0.0), grid, tuple(flat.seen.values())).path
    assert 1.4 < np.interp(4.05, path[:, 0], path[:, 1]) < 2.5, "the next goal knows nothing of it"


def test_of_two_rooms_without_a_door_between_it_stops_at_the_things_of_the_right_one():
    flat, navigator = (
        Flat([*things(), thing(5, "coffee table", "white", 2.0, 1.0), thing(6, "tv", "black", 0.4, 3.0)]),
        Navigator(),
    )
    flat.truth[1:-1, 80:82] = FREE
    navigator.reset("go to the kitchen")
    out, _ = flat.run(navigator)
    assert out.status == "stopped"
    assert min(math.dist((flat.x, flat.y), p) for p in ((7.6, 0.5), (7.6, 1.5))) < 2.0


@pytest.mark.parametrize("sentence", ["find the black oven", "go to the kitchen"])
def test_a_robot_held_fast_tries_elsewhere(sentence):
    """Deciding anew for the same place does not make it more patient."""
    flat, navigator = Flat(things()), Navigator()
    flat.drive = lambda out: setattr(flat, "yaw", flat.yaw if out.heading is None else out.heading)
    navigator.reset(sentence)
    _, decisions = flat.run(navigator, 60.0)
    places = [d.option.position for d in decisions if d.option.kind == "frontier"]
    assert len(places) > 3
    assert max(math.dist(p, places[0]) for p in places) > 1.0


def test_a_hallway_without_anything_in_it_is_found_and_stopped_in():
    flat, navigator = Flat(things()), Navigator()
    flat.truth[:, 81:] = OCCUPIED
    flat.truth[31:63, 81:161] = OCCUPIED
    flat.truth[32:62, 82:160] = FREE
    flat.truth[36:54, 80:82] = FREE
    flat.things = [thing(1, "sofa", "blue", 2.0, 3.4, (1.6, 0.8)), thing(2, "tv", "black", 0.3, 1.0)]
    navigator.reset("go into the hallway")
    out, _ = flat.run(navigator)
    assert out.status == "stopped"
    assert 4.3 < flat.x < 6.0


def test_a_gap_no_wider_than_the_robot_is_tried_once_nothing_else_is_left():
    flat, navigator = Flat(things()), Navigator(robot=RobotProfile(footprint_radius=0.21))
    flat.truth[30:48, 80:82] = OCCUPIED
    flat.truth[36:45, 80:82] = FREE
    navigator.reset("find the black oven")
    out, _ = flat.run(navigator)
    assert out.status == "stopped"


def test_update_before_reset_and_bad_instruction():
    with pytest.raises(RuntimeError):
        Navigator().update(1, np.eye(4), OccupancyGrid(np.zeros((4, 4), np.int8), RES, (0, 0)), ())
    with pytest.raises(InputError):
        Navigator().reset("  ")
