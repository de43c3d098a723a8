"""Arguments of `compile` in every form that its messages and documentation offer."""

from __future__ import annotations

import numpy as np
import pytest
from whole_design import compiled, weights

import hardwire as hw
from hardwire.errors import DataError, ModelError, TypeStringError
from hardwire.fixed import FixedType
from hardwire.network.graph import Network, NetworkBuilder


def _float(inputs: int = 1) -> Network:
    net = NetworkBuilder("float")
    tensors = [net.input(f"in{k}", (3,)) for k in range(inputs)]
    x = tensors[0] if inputs == 1 else net.add("concat", "c", tensors, {"axis": -1})
    return net.build([net.add("dense", "fc", [x], {}, weights(3 * inputs, 2))])


def test_input_types_by_name():
    """The hint of the error for a missing type proposed a form that was refused."""
    with pytest.raises(ModelError, match=r"input_type=\{'in0': 's8\.4'\}"):
        hw.compile(_float(), exact=True)
    design = compiled(_float(2), exact=True, input_type={"in1": "u3.1", "in0": FixedType(True, 4, 2)})
    assert [port.quantiser.describe()[:4] for port in design.program.inputs] == ["s4.2", "u3.1"]
    assert design.report_data["options"]["input_type"] == {"in1": "u3.1", "in0": "s4.2"}
    with pytest.raises(ModelError, match="a type for input 'other'; the model's inputs are 'in0', 'in1'"):
        hw.compile(_float(2), exact=True, input_type={"other": "s4.2"})
    with pytest.raises(TypeStringError, match="type 'x' is not of the form"):
        hw.compile(_float(), exact=True, input_type={"in0": "x"})


def test_calibration_data_as_lists():
    """A list of rows was taken for one array per row; an empty list was an `IndexError`."""
    x = np.random.default_rng(0).normal(size=(50, 3))
    one, same = (hw.compile(_float(), calibrate=data, fidelity=0.99) for data in (x, x.tolist()))
    assert one.report_data["calibration"] == same.report_data["calibration"]
    hw.compile(_float(2), calibrate=[x, x], fidelity=0.99)
    for empty in ([], ()):
        with pytest.raises(DataError):
            hw.compile(_float(), calibrate=empty)


@pytest.mark.parametrize("also", [{"input_type": "s8.4"}, {"exact": True}])
def test_calibration_and_what_contradicts_it(also):
    """`exact` was ignored; a stated type was said to contradict the model's own, which was calibration's."""
    with pytest.raises(ModelError, match=rf"calibrate and {next(iter(also))}.* are both given"):
        hw.compile(_float(), calibrate=np.ones((5, 3)), **also)
