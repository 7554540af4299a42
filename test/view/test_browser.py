"""The pages in a real browser: a click drives, nothing is asked of other machines, visitors come and go."""

import http.server
import threading
import time

import numpy as np
import pytest
from browser import Browser
from pages import decision, floor, small_memory, thing

from embodied_nav.view import Health, LivePage, PageConfig, Wishes, record_episode, write_page

EVIL = '<img src="http://{0}/picture"> ![x](http://{0}/mark) <script src="http://{0}/s"></script>'


class Wanted:
    """What visitors asked for."""

    def __init__(self):
        self.sentences, self.questions, self.stops = [], [], 0

    def stop(self):
        self.stops += 1

    def wishes(self):
        return Wishes(go=self.sentences.append, stop=self.stop, ask=self.questions.append)


class Shown:
    """A page with a thread that keeps it up to date."""

    def __init__(self, wanted, port=0):
        self.page = LivePage(PageConfig(port=port), wanted.wishes(), next_port=False)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._over.wait(0.1):
            self.page.update()

    def close(self):
        self._over.set()
        self._thread.join()
        self.page.close()


@pytest.fixture
def wanted():
    return Wanted()


@pytest.fixture
def shown(wanted):
    pytest.importorskip("viser")
    shown = Shown(wanted)
    shown.page.whole_map(*floor())
    shown.page.objects([thing(position=(2.0, 2.0, 0.5), size=1.4)])
    yield shown
    shown.close()


@pytest.fixture
def open_browser(tmp_path):
    browsers = []

    def make(address):
        browser = Browser(tmp_path / f"browser{len(browsers)}")
        browsers.append(browser)
        browser.open(address)
        return browser

    yield make
    for browser in browsers:
        browser.close()


def wait(done, seconds=60.0):
    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        time.sleep(0.1)
    return done()


def middle_of_the_scene(browser):
    """Pixels: the middle of the canvas that is not below the panel."""
    return browser.value(
        "(r => [r.x + r.width / 2, r.y + r.height / 2])(document.querySelector('canvas').getBoundingClientRect())"
    )


@pytest.mark.timeout(240)
def test_a_click_on_an_object_sends_the_goal(shown, wanted, open_browser):
    browser = open_browser(shown.page.address)
    assert browser.until("document.querySelector('canvas')"), browser.logs
    assert wait(lambda: shown.page.visitors == 1)
    time.sleep(3.0)  # drawn, the camera looks at the middle of the map
    end = time.monotonic() + 90
    while not wanted.sentences and time.monotonic() < end:
        browser.click(*middle_of_the_scene(browser))
        wait(lambda: wanted.sentences, 3.0)
    assert wanted.sentences[0] == "go to the red sofa"


@pytest.mark.timeout(240)
def test_sentence_question_and_stop_reach_their_place(shown, wanted, open_browser):
    browser = open_browser(shown.page.address)
    assert browser.until("document.body.innerText.includes('Question')"), browser.logs
    assert wait(lambda: shown.page.visitors == 1)
    for label, text, button in (("Sentence", "find the blue chair", "Go"), ("Question", "where am I?", "Ask")):
        fields = "[...document.querySelectorAll('input')].filter(e => e.type === 'text').slice(-2)"
        browser.value(f"{fields}[{0 if label == 'Sentence' else 1}].focus()")
        browser.write(text)
        time.sleep(1.0)
        browser.click_text(button)
    browser.click_text("Stop")
    assert wait(lambda: wanted.stops and wanted.questions and wanted.sentences, 30.0)
    assert (wanted.sentences, wanted.questions, wanted.stops) == (["find the blue chair"], ["where am I?"], 1)
    shown.page.answer("you are in the kitchen")
    shown.page.decision(decision("since it is near"))
    assert browser.until("document.body.innerText.includes('you are in the kitchen')")
    assert browser.until("document.body.innerText.includes('since it is near')")


@pytest.mark.timeout(240)
def test_nothing_is_asked_of_other_machines_whatever_is_shown(shown, open_browser):
    """Names, reasoning and answers that try: a server of the test's would hear of it."""
    heard = []

    class Ear(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            heard.append(self.path)
            self.send_error(404)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ear) as ear:
        threading.Thread(target=ear.serve_forever, daemon=True).start()
        evil = EVIL.format(f"127.0.0.1:{ear.server_address[1]}")
        page = shown.page
        page.goal(evil, evil)
        page.decision(decision(evil, evil))
        page.objects([thing(label=evil), thing(2, label=evil, position=(0, 0, 0), status="gone")])
        page.health([Health(evil, 2, evil, {evil: 1.0})])
        page.answer(evil)
        browser = open_browser(page.address)
        assert browser.until("document.body.innerText.includes('/mark')"), browser.logs
        for tab in ("Map", "Memory", "Health", "Drive"):
            browser.click_text(tab)
            time.sleep(0.7)
        ear.shutdown()
    outside = [u for u in browser.requests if not u.startswith(("data:", "blob:", page.address, "about:"))]
    assert heard == [] and outside == []


@pytest.mark.timeout(240)
def test_a_second_visitor_sees_the_same_and_may_leave(shown, open_browser):
    first = open_browser(shown.page.address)
    assert first.until("document.body.innerText.includes('Question')")
    shown.page.goal("find the red sofa", "on the way")
    second = open_browser(shown.page.address)
    for browser in (first, second):
        assert browser.until("document.body.innerText.includes('on the way')")
    assert wait(lambda: shown.page.visitors == 2)
    second.close()
    assert wait(lambda: shown.page.visitors == 1)
    shown.page.goal("find the red sofa", "arrived")
    assert first.until("document.body.innerText.includes('arrived')")


@pytest.mark.timeout(240)
def test_a_page_that_was_lost_comes_back(shown, wanted, open_browser):
    browser, port = open_browser(shown.page.address), shown.page.port
    assert browser.until("document.body.innerText.includes('Question')")
    assert wait(lambda: shown.page.visitors == 1)
    shown.close()
    time.sleep(1.0)
    again = Shown(wanted, port)
    try:
        again.page.goal("go to the bed", "after the restart")
        assert wait(lambda: again.page.visitors == 1, 90.0)
        assert browser.until("document.body.innerText.includes('after the restart')", 90.0)
    finally:
        again.close()


@pytest.mark.timeout(240)
def test_the_recorded_page_plays_from_the_disk(open_browser, tmp_path):
    import cv2

    record = record_episode(small_memory(), EVIL.format("127.0.0.1:9"), "from the disk")
    write_page(tmp_path / "view.html", record)
    browser = open_browser(f"file://{tmp_path / 'view.html'}")
    assert browser.until("document.body.dataset.ready === 'yes'"), browser.logs
    assert browser.value("document.title") == record.title and "from the disk" in browser.text()
    whole = cv2.imdecode(np.frombuffer(browser.picture(), np.uint8), cv2.IMREAD_COLOR)
    browser.value("setTime(0)")
    begin = cv2.imdecode(np.frombuffer(browser.picture(), np.uint8), cv2.IMREAD_COLOR)
    background = np.array([245, 241, 238])  # BGR of the scene's
    drawn = [(np.abs(p[60:700, 20:780].astype(int) - background).max(axis=2) > 20).mean() for p in (whole, begin)]
    assert drawn[0] > 0.1 and drawn[1] < 0.7 * drawn[0], "the map grows with time"
    browser.click_text("Play")
    assert browser.until("now > 1.0")
    outside = [u for u in browser.requests if not u.startswith(("data:", "blob:", "file:", "about:"))]
    assert outside == [] and not [entry for entry in browser.logs if "Content Security Policy" in entry]
