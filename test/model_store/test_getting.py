"""Models are fetched from their registries, checked, converted and kept whole, or not at all."""

import errno
import hashlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_tfjs
from registry_server import RegistryServer, tgz

from embodied_nav.errors import InputError
from embodied_nav.model_store import Source, Store, read_sources, registries, source_named
from embodied_nav.model_store.getting import get

ROOT = Path(__file__).resolve().parents[2]
HUB = Source(
    name="net", source="hub", package="someone/net", revision="main", keeps="config.json", size_mb=1, about=True
)
EYES = Source(
    name="eyes", source="npm", package="eyes", version="1.0.0", keeps="net.onnx", size_mb=1, member="package/model"
)
WHEEL = Source(
    name="words",
    source="pypi",
    package="word-model",
    version="1.0",
    keeps="a.bin",
    size_mb=1,
    member="word_model/model",
)
needs_onnx = pytest.mark.skipif(importlib.util.find_spec("onnx") is None, reason="needs onnx, to convert")


@pytest.fixture
def server(monkeypatch):
    server = RegistryServer()
    for name in ("npm_config_registry", "NPM_CONFIG_REGISTRY"):
        monkeypatch.setenv(name, server.url)
    monkeypatch.setenv("npm_config_cache", "/nonexistent/npm-cache")
    monkeypatch.setenv("PIP_INDEX_URL", f"{server.url}/simple")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_RETRIES", "0")
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    yield server
    server.close()


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "models")


@pytest.fixture
def without_npm(monkeypatch):
    which = shutil.which
    monkeypatch.setattr(registries.shutil, "which", lambda name: None if name == "npm" else which(name))


@pytest.fixture
def without_hub_library(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda n, *a: None if n == "huggingface_hub" else find(n, *a))


def plain(server, data=b"weights" * 10000, **more):
    """A source of npm that is kept as it came, on the server."""
    packed = server.add_npm("eyes", "1.0.0", {"model/net.onnx": data, "other.js": b"x"})
    return replace(EYES, **{"sha256": hashlib.sha256(packed).hexdigest()} | more)


def nothing_left(store):
    """Whether no unfinished work lies in the store."""
    return not store.folder.exists() or not [p for p in store.folder.iterdir() if p.name.startswith(".partial")]


def test_package_of_npm_is_kept_and_not_fetched_twice(server, store, without_npm):
    source, said = plain(server), []
    path = get(source, store, say=said.append)
    assert path == store.folder / "eyes" / "net.onnx" and path.read_bytes() == b"weights" * 10000
    assert store.kept(source) == path and not store.damage("eyes")
    assert [p.name for p in path.parent.iterdir()] == ["net.onnx"], "only the wanted part of the package"
    assert store.record("eyes").origin == "npm eyes 1.0.0" and nothing_left(store)
    asked = len(server.asked)
    assert get(source, store, say=said.append) == path
    assert len(server.asked) == asked and "is there already" in said[-1]


@pytest.mark.skipif(not shutil.which("npm"), reason="needs npm")
def test_npm_itself_fetches_where_it_is_installed(server, store, tmp_path, monkeypatch):
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))
    assert get(plain(server), store, say=str).is_file()
    assert "/eyes" in server.asked, "npm asks for the whole package, we for one version"


@needs_onnx
def test_graph_of_tensorflow_js_is_converted(server, store, without_npm):
    import numpy as np
    import onnxruntime as ort

    files, weights = tiny_tfjs.tiny_model()
    packed = server.add_npm("eyes", "1.0.0", {f"model/{name}": data for name, data in files.items()})
    convert = {"kind": "tfjs", "model": "model.json", "inputs": {"start": [1, 7, 7, 3]}, "outputs": ["scores"]}
    path = get(replace(EYES, sha256=hashlib.sha256(packed).hexdigest(), convert=convert), store, say=str)
    x = np.ones((1, 7, 7, 3), np.float32)
    found = ort.InferenceSession(str(path)).run(["scores"], {"start": x})[0]
    assert np.abs(found - tiny_tfjs.answer(weights, x)).max() < 1e-5
    assert [p.name for p in path.parent.iterdir()] == ["net.onnx"]


def test_missing_converter_is_said_before_anything_is_fetched(server, store, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda n, *a: None if n == "onnx" else find(n, *a))
    with pytest.raises(InputError, match=r"needs onnx.*install it with"):
        get(plain(server, convert={"kind": "tfjs"}), store, say=str)
    assert not server.asked and not store.folder.exists()


@pytest.mark.skipif(importlib.util.find_spec("pip") is None, reason="needs pip")
def test_wheel_comes_by_pip_from_the_index_that_it_is_configured_with(server, store):
    wheel = server.add_wheel("word-model", "1.0", {"word_model/__init__.py": b"", "word_model/model/a.bin": b"abc"})
    source = replace(WHEEL, sha256=hashlib.sha256(wheel).hexdigest())
    assert get(source, store, say=str).read_bytes() == b"abc"
    with pytest.raises(InputError, match=r"pip could not fetch word-model 9\.9: .*9\.9"):
        get(replace(source, name="other", version="9.9"), store, say=str)


def test_wrong_hash_is_refused_and_what_was_there_stays(server, store, without_npm):
    path = get(plain(server), store, say=str)
    server.add_npm("eyes", "1.0.0", {"model/net.onnx": b"replaced on the way"})
    path.write_bytes(b"damaged here")
    good = store.record("eyes").sha256
    with pytest.raises(InputError, match=f"expected {good}.*nothing is kept"):
        get(replace(EYES, sha256=good), store, say=str)
    assert path.read_bytes() == b"damaged here" and nothing_left(store)


def test_damaged_file_is_fetched_again(server, store, without_npm):
    source, said = plain(server), []
    path = get(source, store, say=str)
    path.write_bytes(b"")
    assert "changed" in store.damage("eyes")
    get(source, store, say=said.append)
    assert "has changed since it was fetched; fetching it again" in said[0]
    assert path.read_bytes() == b"weights" * 10000


def test_stream_that_ends_early_leaves_nothing(server, store, without_npm):
    server.cut = True
    with pytest.raises(InputError, match=r"(ended after \d+ of \d+ bytes|connection broke)"):
        get(plain(server, os.urandom(200000)), store, say=str)
    assert nothing_left(store) and store.kept(plain(server)) is None


@pytest.mark.parametrize("how", ["npm", "hub", "pypi"])
def test_registry_that_cannot_be_reached_is_one_line(server, store, how, without_npm, without_hub_library, monkeypatch):
    server.close()
    monkeypatch.setenv("PIP_RETRIES", "1")  # pip says nothing of the network before its second try
    source = {"npm": plain(server), "hub": HUB, "pypi": WHEEL}[how]
    with pytest.raises(InputError, match=r"cannot be reached.*is there a network"):
        get(source, store, say=str)
    assert nothing_left(store)


def test_package_that_is_not_there_is_one_line(server, store, without_npm):
    with pytest.raises(InputError, match="404"):
        get(replace(plain(server), version="2.0.0"), store, say=str)


@pytest.mark.skipif(not shutil.which("npm"), reason="needs npm")
def test_what_npm_complains_of_is_one_line(server, store, tmp_path, monkeypatch):
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))
    with pytest.raises(InputError, match=r"npm could not fetch eyes 2\.0\.0: ETARGET"):
        get(replace(plain(server), version="2.0.0"), store, say=str)


@pytest.mark.parametrize("library", [False, True])
def test_hub_is_trusted_the_first_time_and_compared_later(server, store, library, request):
    if library:
        pytest.importorskip("huggingface_hub")
    else:
        request.getfixturevalue("without_hub_library")
    files = {
        "config.json": b'{"a": 1}',
        "model.safetensors": b"w" * 1000,
        "pytorch_model.bin": b"pickle",
        "onnx/m.json": b"{}",
    }
    server.add_repository("someone/net", files)
    said = []
    path = get(HUB, store, say=said.append)
    assert sorted(p.name for p in path.parent.iterdir()) == ["config.json", "model.safetensors"], "no pickle comes"
    record = store.record("net")
    assert any(f"trusted and recorded: SHA-256 {record.sha256} at commit {'1' * 40}" in line for line in said)

    # The branch moves on: what was recorded is asked for all the same.
    shutil.rmtree(path.parent)
    server.pages["/api/models/someone/net/revision/main"] = json.dumps(
        {"id": "someone/net", "sha": "2" * 40, "siblings": [{"rfilename": "config.json"}]}
    ).encode()
    get(HUB, store, say=str)
    assert store.record("net").revision == "1" * 40 and not store.damage("net")

    # The same commit gives other files: refused, until the user trusts them.
    shutil.rmtree(path.parent)
    server.add_repository("someone/net", files | {"model.safetensors": b"v" * 1000})
    with pytest.raises(InputError, match=rf"the first time it was {record.sha256}.*--renew"):
        get(HUB, store, say=str)
    assert store.kept(HUB) is None and nothing_left(store)
    get(HUB, store, renew=True, say=str)
    assert store.record("net").sha256 != record.sha256


def test_paths_of_a_repository_that_lead_out_are_left_out(server, store, without_hub_library):
    server.add_repository("someone/net", {"config.json": b"{}", "../../evil.json": b"{}", "/evil.json": b"{}"})
    get(HUB, store, say=str)
    assert not list(store.folder.parent.rglob("evil.json"))


def test_paths_of_a_package_that_lead_out_are_left_out(server, store, without_npm):
    packed = tgz({"package/model/net.onnx": b"x", "package/model/../../../evil.onnx": b"x"})
    server.add_npm("eyes", "1.0.0", {})
    server.pages["/files/eyes-1.0.0.tgz"] = packed
    get(replace(EYES, sha256=hashlib.sha256(packed).hexdigest()), store, say=str)
    assert not list(store.folder.parent.rglob("evil.onnx"))


def test_full_disk_is_one_line_and_leaves_nothing(server, store, without_npm, monkeypatch):
    usage = shutil.disk_usage(store.folder.parent)
    with monkeypatch.context() as patch:
        patch.setattr("embodied_nav.model_store.getting.shutil.disk_usage", lambda _: usage._replace(free=2_000_000))
        with pytest.raises(InputError, match=r"2 MB are free, eyes needs \d+"):
            get(plain(server), store, say=str)

    def full(*_args, **_more):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("embodied_nav.model_store.getting.shutil.copyfileobj", full)
    with pytest.raises(InputError, match="the disk is full"):
        get(plain(server), store, say=str)
    assert nothing_left(store) and store.record("eyes") is None


def test_folder_that_cannot_be_written_is_one_line(server, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="EMBODIED_NAV_MODELS"):
        get(plain(server), Store(tmp_path / "file" / "models"), say=str)


def test_file_brought_by_other_means_is_checked_alike(server, store, tmp_path):
    source = plain(server)
    (tmp_path / "a.tgz").write_bytes(server.pages["/files/eyes-1.0.0.tgz"])
    (tmp_path / "b.tgz").write_bytes(b"something else")
    assert get(source, store, file=str(tmp_path / "a.tgz"), say=str).is_file() and not server.asked
    assert (tmp_path / "a.tgz").is_file(), "it is the user's"
    with pytest.raises(InputError, match="expected"):
        get(source, store, file=str(tmp_path / "b.tgz"), say=str)
    with pytest.raises(InputError, match="no such file"):
        get(source, store, file=str(tmp_path / "c.tgz"), say=str)


def test_second_process_does_not_disturb_the_first(store):
    with store.working() as work:
        with pytest.raises(InputError, match="another 'models get' is at work"), Store(store.folder).working():
            pass
        assert work.is_dir()


def test_what_a_killed_process_left_is_removed(server, store, without_npm):
    left = store.folder / ".partial-killed"
    left.mkdir(parents=True)
    (left / "half").touch()
    get(plain(server), store, say=str)
    assert not left.exists()


def test_interrupted_download_leaves_nothing_half(server, tmp_path):
    """Ctrl-C in the middle of it, as a user does it."""
    server.slow = 0.02
    plain(server, os.urandom(2_000_000))
    code = (
        "import shutil, sys; from embodied_nav.start_up import raise_interrupts; raise_interrupts()\n"
        "from embodied_nav.model_store import Source, Store, getting, registries\n"
        "registries.shutil.which = lambda name: None\n"
        "source = Source(name='eyes', source='npm', package='eyes', version='1.0.0', keeps='net.onnx', size_mb=1)\n"
        f"getting.get(source, Store({str(tmp_path / 'models')!r}), progress=lambda n, _: print(n, flush=True))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT
    )
    while process.stdout.readline().strip() not in (b"1048576",):
        assert process.poll() is None
    assert list((tmp_path / "models").glob(".partial-*/raw/*"))
    process.send_signal(signal.SIGINT)
    assert process.wait(20) != 0
    assert [p.name for p in (tmp_path / "models").iterdir()] == [".lock"]


def test_unreadable_record_is_one_line(store):
    store.folder.mkdir()
    (store.folder / "lock.json").write_text("{")
    with pytest.raises(InputError, match=r"lock\.json: cannot be read"):
        store.record("eyes")


def test_folder_is_that_of_the_user(monkeypatch):
    monkeypatch.delenv("EMBODIED_NAV_MODELS", raising=False)
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    assert Store().folder == Path("/home/me/.cache/embodied_nav/models")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert Store().folder == Path("/caches/embodied_nav/models")
    monkeypatch.setenv("EMBODIED_NAV_MODELS", "~/models")
    assert Store().folder == Path("/home/me/models")


def test_registry_is_the_one_that_npm_is_configured_with(monkeypatch, tmp_path):
    for name in ("npm_config_registry", "NPM_CONFIG_REGISTRY"):
        monkeypatch.delenv(name, raising=False)
    rc = tmp_path / "npmrc"
    monkeypatch.setenv("NPM_CONFIG_USERCONFIG", str(rc))
    monkeypatch.setenv("NPM_CONFIG_GLOBALCONFIG", str(tmp_path / "none"))
    monkeypatch.chdir(tmp_path)
    rc.write_text('; registry = http://no/\n@scope:registry=http://scope/\nregistry = "http://mine:4873/"\n')
    assert registries.npm_registry() == "http://mine:4873/"
    monkeypatch.setenv("npm_config_registry", "http://env/")
    assert registries.npm_registry() == "http://env/"


def test_shipped_table_is_whole():
    sources = read_sources()
    assert {"detector", "language", "rtdetr", "dfine", "owlv2", "grounding-dino", "dinov2", "siglip2"} <= set(sources)
    for source in sources.values():
        assert source.what and source.use and source.licence and source.keeps and source.package, source.name
        if source.source == "hub":
            assert source.revision and "/" in source.package
        else:
            assert source.version and len(source.sha256) == 64, "a package's file is pinned"


def test_unknown_name_and_wrong_table_are_one_line(tmp_path):
    with pytest.raises(InputError, match=r"unknown model 'detektor' \(did you mean detector\?\)"):
        source_named("detektor")
    file = tmp_path / "models.yaml"
    for text, said in (
        ("a: {size: 3}", "a: unknown parameter 'size'"),
        ("a: {size_mb: big}", "a: size_mb = 'big'"),
        ("a: 3", "a: holds no names"),
        ("a: {size_mb: 1, source: ftp}", "source = 'ftp'"),
    ):
        file.write_text(text)
        read_sources.cache_clear()
        with pytest.raises(InputError, match=said):
            read_sources(str(file))


@needs_onnx
def test_small_detector_comes_from_the_real_registry(tmp_path, request):
    """The whole way; where a converted one is at hand, the answers are the same."""
    import numpy as np
    import onnxruntime as ort

    from embodied_nav.perception.detectors import OnnxDetector

    store = Store(tmp_path / "models")
    try:
        path = get(source_named("detector"), store, say=str)
    except InputError as error:
        if "reached" in str(error):
            pytest.skip(f"no registry: {error}")
        raise
    assert OnnxDetector(str(path)).names[1] == "person"
    frames = os.environ.get("EMBODIED_NAV_KITCHEN", "")
    other = Path(frames).parent / "models" / "coco-ssd-300.onnx"
    if not frames or not other.is_file():
        return
    x = np.random.default_rng(0).uniform(-1, 1, (1, 300, 300, 3)).astype(np.float32)
    sessions = [ort.InferenceSession(str(p)) for p in (path, other)]
    for name in ("Postprocessor/convert_scores", "Squeeze"):
        a, b = (s.run([name], {s.get_inputs()[0].name: x})[0] for s in sessions)
        assert np.abs(a - b).max() < 1e-5
