from __future__ import annotations

import pytest

from hardwire.report import summary
from report.report_samples import critical_path


def test_path_is_told_by_layer_and_kind():
    totals = summary.path_totals({"critical_path": critical_path(), "layers": ["last", "first"]})
    assert list(totals) == ["first", "last"]
    assert totals["first"] == pytest.approx({"logic": 0.3, "routing": 1.6, "register": 0.4})
    assert totals["last"] == pytest.approx({"logic": 0.5, "routing": 1.1, "register": 0.1})


def test_path_without_layer_names_is_still_told_by_kind():
    totals = summary.path_totals({"critical_path": critical_path()})
    assert totals[""] == pytest.approx({"logic": 0.8, "routing": 2.7, "register": 0.5})
    assert summary.path_totals({"critical_path": [], "layers": ["a"]}) == {}


def test_path_prefers_the_longer_of_two_names():
    path = [{"kind": "logic", "ns": 1.0, "cell": "dut.fc_1_2_CCU2C", "net": None}]
    assert list(summary.path_totals({"critical_path": path, "layers": ["fc", "fc/1"]})) == ["fc/1"]


def test_rungs_not_run_do_not_count_as_equal():
    found = {"emulator_rtl": {"vectors": 0, "mismatches": None, "why": "no simulator"}}
    assert summary.mismatches(found) is None
    assert summary.rungs(found)[0].why == "no simulator"
    found["netlist"] = {"vectors": 7, "mismatches": 2}
    assert summary.mismatches(found) == (2, 7)


def test_own_model_is_the_one_that_the_name_ends_in():
    physics = {"models": {"compact": {}, "reference": {}}}
    assert summary.own_model({"name": "jet_compact", "physics": physics}) == "compact"
    assert summary.own_model({"name": "other", "physics": physics}) == "reference"
    assert summary.own_model({"name": "other"}) is None


def test_contract_words():
    contract = {"latency_ns": 100.0, "latency_cycles": None, "clock_mhz": 200, "predicted": {"met": True}}
    assert summary.asked({"contract": contract}) == "at most 100 ns, at least 200 MHz"
    assert [stage for stage, _ in summary.stages({"contract": contract})] == ["predicted"]
    assert summary.stages({"contract": {"latency_ns": None, "predicted": {"met": True}}}) == []
