"""Hard-scatter events with one kind of 1 TeV jet, from Pythia 8; the only module that imports pythia8mc.

Proton-proton at 13 TeV with Pythia's default (Monash) tune. Both partons of an event are of the asked kind with a
transverse momentum of 995-1005 GeV (gluons: no upper limit). W, Z and top are produced exactly on shell: a first Pythia
makes the hard process alone with its resonances undecayed, a second reads it back through the Les Houches interface
(hep-ph/0109068), decays W and Z isotropically to quarks, showers and hadronises.

Pythia is GPL-2.0-or-later and an optional extra; hardwire does not ship it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.datasets.physics.detector import ECAL, HCAL, TRACKER, UNSEEN
from hardwire.errors import InternalError, MissingToolError

BEAM_ENERGY = 13000.0
# Pythia takes seeds from 1 to this.
SEEDS = 900_000_000

_COMMON = (f"Beams:eCM = {BEAM_ENERGY}", "PhaseSpace:pTHatMin = 995", "Next:numberCount = 0")
_WINDOW = ("PhaseSpace:pTHatMax = 1005",)
_ON_SHELL = ("PhaseSpace:useBreitWigners = off", "ProcessLevel:resonanceDecays = off", "PartonLevel:all = off")

# The settings of the hard process of each kind of jet.
PROCESSES: dict[str, tuple[str, ...]] = {
    "g": ("HardQCD:gg2gg = on", "HardQCD:qqbar2gg = on"),
    "q": (
        "HardQCD:gg2qqbar = on",
        "HardQCD:qqbar2qqbarNew = on",
        "HardQCD:qq2qq = on",
        "HardQCD:nQuarkNew = 3",
        *_WINDOW,
    ),
    "t": ("Top:gg2ttbar = on", "Top:qqbar2ttbar = on", *_WINDOW, *_ON_SHELL),
    "w": ("WeakDoubleBoson:ffbar2WW = on", *_WINDOW, *_ON_SHELL),
    "z": ("WeakDoubleBoson:ffbar2gmZgmZ = on", "WeakZ0:gmZmode = 2", *_WINDOW, *_ON_SHELL),
}
# Top, W and Z decay hadronically.
_HADRONIC = ("23:onMode = off", "23:onIfAny = 1 2 3 4 5", "24:onMode = off", "24:onIfAny = 1 2 3 4 5")


@dataclass(frozen=True)
class Events:
    """A batch of events as flat arrays.

    Event i has the stable particles offsets[i] … offsets[i+1]: `momenta` (N, 4) px py pz E [GeV] and `seen_by` (N,)
    as in `detector`. `partons` (events, 2, 4) are the two outgoing partons of the hard process.
    """

    offsets: NDArray[np.int64]
    momenta: NDArray[np.float64]
    seen_by: NDArray[np.int8]
    partons: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.offsets) - 1


def _require(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingToolError(
            f"generating jets needs the package {name}, which cannot be imported here ({error})",
            hint="pip install 'hardwire[physics]'; the jets that ship with hardwire (load_jets) need no generator",
        ) from error


def generator_versions() -> dict[str, str]:
    """Versions of the packages that make the events.

    Raises:
        MissingToolError: one of them is not installed.
    """
    metadata = importlib.import_module("importlib.metadata")
    for name in ("pythia8mc", "awkward"):
        _require(name)
    return {name: str(metadata.version(name)) for name in ("pythia8mc", "awkward")}


def _new(p8: Any, settings: Sequence[str], seed: int, user: Any = None) -> Any:
    """A Pythia that prints nothing, initialised."""
    pythia = p8.Pythia("", False)
    lines = ["Print:quiet = on", "Random:setSeed = on", f"Random:seed = {seed}", *settings]
    if user is not None:
        pythia.setLHAupPtr(user)
        lines.append("Beams:frameType = 5")
    for line in lines:
        if not pythia.readString(line):
            raise InternalError(f"Pythia refuses its setting '{line}'")
    if not pythia.init():
        raise InternalError(f"Pythia does not start with its settings {lines}")
    return pythia


def _fields(record: Any, names: Sequence[str]) -> list[NDArray[Any]]:
    """Columns of an awkward record array whose fields are flat numpy arrays."""
    return [np.asarray(record.content(name).data) for name in names]


def _four_vectors(particles: Any) -> NDArray[np.float64]:
    return np.stack(_fields(particles.content("p"), ("px", "py", "pz", "e")), axis=1)


def _outgoing_and_incoming(process: Any) -> list[tuple[Any, ...]]:
    """The two incoming and two outgoing partons of a hard process, as the arguments of `LHAup::addParticle`."""
    lines = []
    for k in range(3, process.size()):
        particle = process[k]
        incoming = particle.status() < 0
        p = particle.p()
        flow = (-1, 0, 0) if incoming else (1, 1, 2)
        momentum = (p.px(), p.py(), p.pz(), p.e(), particle.m())
        lines.append((particle.id(), *flow, particle.col(), particle.acol(), *momentum, 0.0, 9.0))
    return lines


def _feedback(p8: Any, hard: Any) -> Any:
    """A Les Houches source whose events are another Pythia's hard processes."""

    class Feedback(p8.LHAup):  # type: ignore[misc]
        def setInit(self) -> bool:
            self.setBeamA(2212, BEAM_ENERGY / 2)
            self.setBeamB(2212, BEAM_ENERGY / 2)
            self.setStrategy(3)
            self.addProcess(1, 1.0, 0.0, 1.0)
            return True

        def setEvent(self, idProcIn: int = 0) -> bool:
            # The hard process alone fails too rarely to count its tries: a fault that repeats is Pythia's abort.
            if not any(hard.next() for _ in range(100)):
                return False
            info = hard.infoPython()
            self.setProcess(1, 1.0, hard.process.scale(), info.alphaEM(), info.alphaS())
            for line in _outgoing_and_incoming(hard.process):
                self.addParticle(*line)
            return True

    return Feedback()


class JetEvents:
    """Endless events of one kind of jet, the same for the same seed.

    Args:
        kind: one of `PROCESSES`.
        seed: any integer ≥ 0.

    Raises:
        MissingToolError: pythia8mc or awkward is not installed.
    """

    def __init__(self, kind: str, seed: int) -> None:
        p8 = _require("pythia8mc")
        # Pythia's nextBatch hands its events over as awkward arrays.
        _require("awkward")
        hard = (*_COMMON, *PROCESSES[kind])
        # Two Pythias of one event must not draw the same numbers.
        first, second = (int(s) % SEEDS + 1 for s in np.random.SeedSequence(seed).generate_state(2, np.uint64))
        if "PartonLevel:all = off" in hard:
            # Both must outlive the Pythia that calls back into them.
            self._hard = _new(p8, hard, first)
            self._feedback = _feedback(p8, self._hard)
            self._pythia = _new(p8, (*_HADRONIC, "Next:numberCount = 0"), second, self._feedback)
        else:
            self._pythia = _new(p8, hard, first)
        self._charge: dict[int, int] = {}

    def batch(self, n: int) -> Events:
        """The next n events; one that Pythia cannot finish is left out, so that fewer may come."""
        listed = self._pythia.nextBatch(n).prt.layout
        offsets = np.asarray(listed.offsets.data).astype(np.int64)
        particles = listed.content
        ids, status = _fields(particles, ("id", "status"))
        p = _four_vectors(particles)
        stable = status > 0
        kept = np.concatenate([[0], np.cumsum(stable)])
        outgoing = (status == -22) | (status == -23)
        first = np.concatenate([[0], np.cumsum(outgoing)])[offsets]
        hard = np.flatnonzero(outgoing)
        partons = np.stack([p[hard[first[:-1]]], p[hard[first[:-1] + 1]]], axis=1)
        return Events(kept[offsets], p[stable], self._detectors(ids[stable]), partons)

    def _detectors(self, ids: NDArray[np.int32]) -> NDArray[np.int8]:
        kinds, index = np.unique(ids, return_inverse=True)
        seen: Callable[[int], int] = self._detector
        return np.array([seen(int(k)) for k in kinds], dtype=np.int8)[index]

    def _detector(self, pdg: int) -> int:
        if abs(pdg) in (12, 14, 16):
            return UNSEEN
        if pdg == 22:
            return ECAL
        return TRACKER if self._pythia.particleData.chargeType(pdg) != 0 else HCAL
