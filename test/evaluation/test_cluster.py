"""Episodes on a Ray cluster of two nodes, one of which is killed; and one line where it cannot be."""

import json
import socket
import threading
import time

import pytest

from embodied_nav.cli import eval as command
from embodied_nav.cli.main import main
from embodied_nav.evaluation import cluster

#: Options of episodes without rendering.
CHEAP = ["--scenes", "900-901", "--agent", "random", "--localization", "truth", "--quiet"]


def run(capsys, *arguments):
    code = main(["eval", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def rows(path):
    content = json.loads(path.read_text())
    for row in content["episodes"]:
        del row["wall_s"]
    for part in content["summary"].values():
        del part["wall_s"]
    return content


# -- without Ray -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["head", "host:port", "host:99999", "http://x:1", "a b:1"])
def test_what_is_no_address_is_one_line(capsys, tmp_path, monkeypatch, address):
    pytest.importorskip("ray", reason="needs ray: the extra 'cluster'")
    code, _, err = run(capsys, *CHEAP, "--episodes", 1, "--cluster", address, "--out", tmp_path / "r.json")
    assert code == 2 and "HOST:PORT" in err and len(err.strip().splitlines()) == 1


def test_nobody_there_is_one_line_and_soon(capsys, tmp_path):
    pytest.importorskip("ray", reason="needs ray: the extra 'cluster'")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    started = time.monotonic()
    code, _, err = run(capsys, *CHEAP, "--episodes", 1, "--cluster", address, "--out", tmp_path / "r.json")
    assert code == 2 and "nobody answers there" in err and "ray start --head" in err
    assert len(err.strip().splitlines()) == 1 and time.monotonic() - started < 20.0


def test_without_ray_it_is_one_line(capsys, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    code, _, err = run(capsys, *CHEAP, "--episodes", 1, "--cluster", "auto", "--out", tmp_path / "r.json")
    assert code == 2 and "needs ray, which is not installed; install it with" in err
    assert len(err.strip().splitlines()) == 1


def test_a_node_without_the_package_or_with_another_is_named():
    wanted = cluster.package_of("embodied_nav")
    assert len(wanted["digest"]) == 64 and cluster.fault_of(wanted, wanted, "10.0.0.2") is None
    assert cluster.package_of("embodied_nav_elsewhere")["digest"] == ""
    missing = cluster.fault_of(wanted, cluster.package_of("embodied_nav_elsewhere"), "10.0.0.2")
    assert missing.startswith("the node 10.0.0.2 (Python 3.") and "has no embodied_nav; install it there" in missing
    other = cluster.fault_of(wanted, {**wanted, "digest": "ab" * 32, "version": "0.0.9"}, "10.0.0.3")
    assert "has another embodied_nav (0.0.9, source abababab; here" in other and "\n" not in other


def test_files_that_differ_on_a_worker_are_named(tmp_path):
    file = tmp_path / "weights.onnx"
    file.write_bytes(b"one")
    digest = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"  # SHA-256 of "one"
    make = lambda path, wanted: cluster.EpisodeWorker({"x.weights": str(path)}, {"x.weights": wanted}).ready()  # noqa: E731
    assert make(file, digest) == {}
    assert "is another file there" in make(file, "0" * 64)["error"]
    assert "cannot be read there" in make(tmp_path / "none.onnx", digest)["error"]


def test_time_to_go_is_told(capsys):
    assert [command.duration(s) for s in (5.4, 89.0, 125.0, 3599.0, 12000.0)] == [
        "5 s", "89 s", "2 min", "1 h 0 min", "3 h 20 min"
    ]  # fmt: skip
    progress = command._Progress(40, quiet=False)
    progress.start(40)
    progress._started -= 100.0
    for _ in range(40):
        progress.step({"success": True})
    first, last = capsys.readouterr().err.strip().splitlines()
    assert first == "20/40 episodes, 100% successful, 2 min to go" and last == "40/40 episodes, 100% successful"


# -- with Ray ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_nodes():
    """A cluster of two nodes with a core each on this machine, beside any other that it may belong to."""
    pytest.importorskip("ray", reason="needs ray: the extra 'cluster'")
    import os

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    small = {"num_cpus": 1, "object_store_memory": 80 * 1024**2, "include_dashboard": False}
    found = Cluster(initialize_head=True, head_node_args=small)
    found.spare = [found.add_node(num_cpus=1, object_store_memory=80 * 1024**2)]
    yield found
    found.shutdown()


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """The results of this machine alone."""
    out = tmp_path_factory.mktemp("here") / "r.json"
    assert main(["eval", *CHEAP, "--episodes", "12", "--out", str(out)]) == 0
    return rows(out)


def test_a_node_without_the_package_is_one_line(capsys, tmp_path, monkeypatch, two_nodes):
    monkeypatch.setattr(cluster, "PACKAGE", "embodied_nav_elsewhere")
    out = tmp_path / "r.json"
    code, _, err = run(capsys, *CHEAP, "--episodes", 1, "--cluster", two_nodes.address, "--out", out)
    assert code == 2 and "has no embodied_nav_elsewhere; install it there" in err
    assert len(err.strip().splitlines()) == 1 and not out.exists()


def test_episodes_that_cannot_be_run_are_one_line(capsys, tmp_path, two_nodes, monkeypatch):
    out, weights = tmp_path / "r.json", tmp_path / "w.onnx"
    weights.write_bytes(b"one")
    monkeypatch.setattr(command, "_identity", lambda *_: (
        (("compact.weights", str(weights)),), {"agent": "random", "weights": {"compact.weights": "0" * 64}}
    ))  # fmt: skip
    code, _, err = run(capsys, *CHEAP, "--episodes", 1, "--cluster", two_nodes.address, "--out", out)
    assert code == 2 and "is another file there; copy the same one to each node" in err


def test_results_are_those_of_one_machine_though_a_node_is_killed(capsys, tmp_path, two_nodes, here, monkeypatch):
    """The second node is killed while it works; later the evaluation is resumed with what is left."""
    out, killed, ran_at = tmp_path / "r.json", threading.Event(), []
    finished = command._Progress.step

    def step(self, row):
        finished(self, row)
        ran_at.append(time.monotonic())
        if len(ran_at) == 3 and two_nodes.spare:
            two_nodes.remove_node(two_nodes.spare.pop(), allow_graceful=False)
            killed.set()

    monkeypatch.setattr(command._Progress, "step", step)
    code, _, err = run(capsys, *CHEAP, "--episodes", 12, "--cluster", two_nodes.address, "--out", out)
    assert code == 0, err
    assert killed.is_set() and "lost" in err and "will run again" in err
    assert rows(out) == here
    assert len(ran_at) == 12, "each was reported once"
    code, _, err = run(capsys, *CHEAP, "--episodes", 14, "--cluster", two_nodes.address, "--out", out)
    assert code == 0 and len(ran_at) == 14, "those that were there are not run again"
    assert rows(out)["episodes"][:12] == here["episodes"]


def test_a_worker_that_dies_is_replaced_and_an_episode_that_kills_them_is_named(
    capsys, tmp_path, two_nodes, monkeypatch
):
    """An episode that ends its process, as one does that needs more memory than there is."""
    fatal = tmp_path / "fatal"
    fatal.write_text("")
    monkeypatch.setattr(cluster, "EpisodeWorker", mortal(str(fatal)))
    out = tmp_path / "r.json"
    code, _, err = run(capsys, *CHEAP, "--episodes", 3, "--cluster", two_nodes.address, "--out", out)
    assert code == 2 and "episode 1 ended its worker 3 times" in err and "memory" in err.splitlines()[-1]
    fatal.unlink()
    code, _, err = run(capsys, *CHEAP, "--episodes", 3, "--cluster", two_nodes.address, "--out", out)
    assert code == 0, err


def test_a_node_whose_workers_do_not_come_to_life_is_named(capsys, tmp_path, two_nodes, monkeypatch):
    monkeypatch.setattr(cluster, "EpisodeWorker", stillborn())
    code, _, err = run(capsys, *CHEAP, "--episodes", 2, "--cluster", two_nodes.address, "--out", tmp_path / "r.json")
    assert code == 2 and "workers end before their first episode" in err.splitlines()[-1]


def stillborn():
    """A worker's class that travels by value and dies at once."""

    class Stillborn(cluster.EpisodeWorker):
        def ready(self):
            import os

            os._exit(1)

    return Stillborn


def mortal(fatal):
    """A worker's class that travels by value and dies of episode 1 as long as a file is there."""

    class Mortal(cluster.EpisodeWorker):
        def run(self, job):
            import os

            if job["index"] == 1 and os.path.exists(fatal):
                os._exit(1)
            return super().run(job)

    return Mortal


def test_episodes_of_a_data_set_need_no_apartments():
    from embodied_nav.evaluation.batch import Job
    from embodied_nav.evaluation.cluster import _scene

    job = Job(7, (), "rules", "detector", "truth", "embedded", 0, dataset="val.json.gz")
    assert _scene(job) == ("val.json.gz", 7)
