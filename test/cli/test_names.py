"""Options that name a back end and its model are checked before anything is started."""

import pytest

from embodied_nav.cli import names
from embodied_nav.errors import InputError


def test_detector_is_the_short_form_of_a_setting(tmp_path):
    file = tmp_path / "model.onnx"
    file.write_text("")
    assert names.with_detector(["memory.carve=false"], str(file)) == ["memory.carve=false", f"detector.file={file}"]
    assert names.with_detector(["a=1"], None) == ["a=1"]
    with pytest.raises(InputError, match=r"--detector /no/such\.onnx: there is no such file"):
        names.with_detector([], "/no/such.onnx")


def test_a_back_end_that_cannot_be_made_is_refused_unless_there_is_a_fallback():
    names.check_perception("geometric", {})
    with pytest.raises(InputError, match="did you mean detector"):
        names.check_perception("detecter", {})
    with pytest.raises(InputError, match="needs a model"):
        names.check_perception("detector", {})
    with pytest.raises(InputError, match="there is no such file"):
        names.check_perception("detector", {"detector.file": "/no/such.onnx", "memory.carve": True})
    names.check_perception("detector", {"detector.file": "/no/such.onnx", "perception.fallback": "geometric"})
