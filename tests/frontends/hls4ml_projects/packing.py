"""What of a project is kept as a fixture: hls4ml's own text, neither its libraries nor `ap_types`; and the vectors."""

from __future__ import annotations

import gzip
import io
import shutil
import tarfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
KEPT = ("defines.h", "parameters.h")


def keep(folder, name, xs, ys):
    """Store a project's own text, packed but for `mlp`, and the vectors."""
    (folder / "kept" / "firmware" / "weights").mkdir(parents=True)
    for file in (*KEPT, "myproject.cpp"):
        shutil.copy(folder / "firmware" / file, folder / "kept" / "firmware" / file)
    for path in sorted((folder / "firmware" / "weights").iterdir()):
        shutil.copy(path, folder / "kept" / "firmware" / "weights")
    generated = folder / "firmware" / "nnet_utils" / "nnet_code_gen.h"
    own = generated.read_text().partition("// hls4ml insert code")[2] if generated.exists() else ""
    if "void " in own:  # the project's own functions
        (folder / "kept" / "firmware" / "nnet_utils").mkdir()
        (folder / "kept" / "firmware" / "nnet_utils" / generated.name).write_text(own)
    if (folder / "hls4ml_config.yml").exists():
        text = (folder / "hls4ml_config.yml").read_text()
        lines = [line for line in text.splitlines() if str(folder) not in line]
        (folder / "kept" / "hls4ml_config.yml").write_text("\n".join(lines) + "\n")
    if name == "mlp":
        shutil.rmtree(HERE / name, ignore_errors=True)
        shutil.copytree(folder / "kept", HERE / name)
    else:
        pack(folder / "kept", HERE / f"{name}.tar.gz")
    arrays = {f"x{i}": x for i, x in enumerate(xs)} | {f"y{i}": np.asarray(y) for i, y in enumerate(ys)}
    np.savez_compressed(HERE / f"{name}.npz", **arrays)
    print(name, [np.shape(y) for y in ys], flush=True)


def pack(folder, target):
    """Write a directory as a `.tar.gz` whose bytes depend on its files alone."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                info = tarfile.TarInfo(path.relative_to(folder).as_posix())
                info.size = path.stat().st_size
                tar.addfile(info, io.BytesIO(path.read_bytes()))
    target.write_bytes(gzip.compress(raw.getvalue(), mtime=0))
