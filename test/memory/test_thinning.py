"""Deltas of the past are put together by the hour and by the day, and what changed stays told."""

import numpy as np

from embodied_nav.frames import ObjectObservation, SemanticDelta
from embodied_nav.memory import RetentionConfig
from embodied_nav.memory.objects.thinning import DIGEST, thin

HOUR = 3_600_000_000_000


def seen(label, color="red", x=0.0):
    return ObjectObservation(label, color, 1.0, np.array([x, 0.0, 0.0]), np.ones(3))


def day(hours, every=0.1, retention=None):
    """A delta every tenth of an hour; each hour a cup comes, and in the fourth hour a chair goes."""
    deltas = {}
    for k in range(int(hours / every)):
        hour, first = divmod(k, int(1 / every))
        new = (seen("cup", x=hour),) if first == 0 else ()
        gone = (seen("chair", "blue"),) if (hour, first) == (4, 3) else ()
        stamp = int(k * every * HOUR)
        deltas[k] = SemanticDelta(k, k - 1, stamp, "test", "turn", (seen("sofa"),), new, gone, text="a frame")
        thin(deltas, stamp, retention or RetentionConfig())
    return deltas


def test_the_last_hour_is_whole_and_hours_before_are_one_each():
    deltas = list(day(10.0).values())
    digests = [d for d in deltas if d.source == DIGEST]
    assert len(digests) in (8, 9) and 10 <= len(deltas) - len(digests) <= 20
    assert all(d.source == "test" for d in deltas[len(digests) :])
    assert [d.keyframe_id for d in digests] == [9 + 10 * k for k in range(len(digests))]
    assert [d.previous_id for d in digests] == [-1 + 10 * k for k in range(len(digests))]
    assert all([o.name for o in d.new] == ["red cup"] for d in digests)
    assert [o.name for d in digests for o in d.gone] == ["blue chair"] and digests[4].gone
    assert digests[4].text == "within 54 minutes: new red cup; gone blue chair"


def test_days_are_one_each_and_the_number_grows_by_days():
    counts = [len(day(24.0 * n)) for n in (2, 4, 7)]
    assert counts[1] - counts[0] == 2 and counts[2] - counts[1] == 3
    week = list(day(24.0 * 7).values())
    oldest = week[0]
    assert oldest.source == DIGEST and oldest.keyframe_id == 239
    assert [o.name for o in oldest.gone] == ["blue chair"] and oldest.new[0].position[0] == 23.0


def test_numbers_stay_those_of_the_last_of_each_span():
    deltas = day(10.0)
    assert list(deltas) == sorted(deltas) and [deltas[n].keyframe_id for n in deltas] == list(deltas)


def test_settings_say_how_long():
    kept = day(10.0, retention=RetentionConfig(whole=100.0, hourly=200.0))
    assert len(kept) == 100
    few = day(10.0, retention=RetentionConfig(whole=1.0, hourly=2.0))
    assert len(few) < len(day(10.0)) + 1
