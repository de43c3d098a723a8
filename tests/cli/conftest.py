from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from command import FORMATS, Command, model, write

import hardwire as hw


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the small model in every format, inputs for it, and a build of the quantised one."""
    folder = tmp_path_factory.mktemp("models")
    for name in ("quantised.onnx", *FORMATS):
        write(name, folder)
    x = model(False).reals(50)
    np.save(folder / "x.npy", x)
    hw.compile(folder / "quantised.onnx").save(folder / "build")
    return folder


@pytest.fixture
def here(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of a test: empty, but for a copy of the build."""
    folder = tmp_path / "here"
    folder.mkdir()
    shutil.copytree(models / "build", folder / "build")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    return Command(capsys, monkeypatch)
