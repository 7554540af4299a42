"""Who runs which episode: every one once, apartments kept together, what is lost given out again."""

import random

from embodied_nav.evaluation.scheduling import Scheduler


def jobs(scenes, each):
    return [(s, f"{s}/{k}") for k in range(each) for s in range(scenes)]


def test_workers_keep_to_an_apartment():
    schedule, at = Scheduler(jobs(4, 6)), {"a": [], "b": []}
    while not schedule.done:
        for worker in at:
            job = schedule.next(worker)
            if job is not None:
                at[worker].append(job)
                schedule.finished(worker)
    assert sorted(at["a"] + at["b"]) == sorted(job for _, job in jobs(4, 6))
    for done in at.values():
        scenes = [job.split("/")[0] for job in done]
        assert sum(a != b for a, b in zip(scenes, scenes[1:], strict=False)) == 1, "each makes two apartments, once"


def test_idle_workers_share_the_last_apartment():
    schedule = Scheduler(jobs(1, 5))
    assert [schedule.next(w) for w in "abc"] == ["0/0", "0/1", "0/2"] and schedule.waiting == 2
    assert schedule.running == 3


def test_what_a_lost_worker_had_comes_back_first():
    schedule = Scheduler(jobs(2, 2))
    assert [schedule.next("a"), schedule.next("b")] == ["0/0", "1/0"]
    assert schedule.lost("a") is None and schedule.next("c") == "0/0"
    assert schedule.lost("idle") is None


def test_a_job_that_kills_its_workers_ends_but_not_one_whose_nodes_died():
    pairs = jobs(1, 1)
    schedule = Scheduler(pairs, tries=3)
    for _ in range(5):
        assert schedule.next("a") == "0/0" and schedule.lost("a", counts=False) is None
    for k in range(3):
        assert schedule.next("a") == "0/0"
        assert schedule.lost("a") == (None if k < 2 else "0/0")
    assert schedule.done


def test_every_job_is_done_once_whatever_dies():
    rng = random.Random(3)
    pairs = jobs(5, 7)
    schedule, in_hand, done, born = Scheduler(pairs, tries=10**6), {}, [], 0
    while not schedule.done:
        born += 1
        while len(in_hand) < 3 and (job := schedule.next(born := born + 1)) is not None:
            in_hand[born] = job
        worker = rng.choice(list(in_hand))
        job = in_hand.pop(worker)
        if rng.random() < 0.4:
            schedule.lost(worker)
        else:
            schedule.finished(worker)
            done.append(job)
    assert sorted(done) == sorted(job for _, job in pairs)
