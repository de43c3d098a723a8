"""The queue behind the core, proven by induction: no vector is lost, doubled or overtaken, however long it runs.

The pipeline is any that keeps its vectors' order; the reader stops when it likes. One vector, chosen freely, carries a
mark: it must be where the number of vectors ahead of it says, which for one free vector is order for all of them.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from hardwire.errors import ToolError
from hardwire.tools.process import run
from hardwire.tools.yosys import TOOL
from hardwire.wrappers._parts import queue_file

pytestmark = pytest.mark.tools

PROPERTIES = """
(* keep *) wire mark = $anyseq;     // this vector carries the mark
reg started = 0;
reg [COUNT_BITS:0] piped;           // vectors in the pipeline
reg reader, reader_mark;            // the reader's register
reg present;                        // the marked vector is inside
reg chosen;                         // there has been one
reg [COUNT_BITS:0] ahead;           // vectors ahead of it

// What surrounds the queue.
always @* begin
    if (!started) assume (rst);
    if (!rst) begin
        if (accept) assume (ready);
        if (push) assume (piped != 0);
        assume (deliver ? reader : 1'b1);
        assume (pop == (deliver | ~reader));
        if (mark) assume (accept && !chosen);
    end
    assume (push_data[0] == (present && ahead == waiting + reader));
end

always @(posedge clk) begin
    if (rst) begin
        started <= 1;
        piped <= 0; reader <= 0; present <= 0; chosen <= 0; ahead <= 0;
    end else begin
        piped <= piped + accept - push;
        if (pop) reader <= head_valid;
        if (mark) begin
            present <= 1;
            chosen <= 1;
            ahead <= held - deliver;
        end else begin
            if (deliver && present && ahead == 0) present <= 0;
            if (deliver && ahead != 0) ahead <= ahead - 1;
        end
    end
    if (pop) reader_mark <= head_data[0];
end

genvar j;
generate
    for (j = 0; j < PLACES; j = j + 1) begin : place
        wire [COUNT_BITS:0] slot = (oldest + j >= PLACES) ? oldest + j - PLACES : oldest + j;
        always @* if (started && j < waiting) assert (memory[slot][0] == (present && ahead == j + 1));
    end
endgenerate
always @* if (started) begin
    // Nothing lost, nothing doubled: every place is accounted for.
    assert (held == piped + waiting + reader);
    assert (held <= DEPTH && piped <= DEPTH);
    assert (!ready || held != DEPTH);
    assert (waiting <= PLACES);
    assert (empty || reader);
    assert (oldest < PLACES);
    assert (free == ((oldest + waiting >= PLACES) ? oldest + waiting - PLACES : oldest + waiting));
    if (store && !rst) assert (waiting != PLACES);
    // In order: the mark is where it belongs.
    if (present) assert (ahead < held);
    if (present) assert (chosen);
    if (reader) assert (reader_mark == (present && ahead == 0));
end

endmodule
"""


def prove(text: str, depth: int, folder: Path) -> None:
    """Raises `ToolError` unless Yosys proves every assertion, from the reset on and by induction."""
    (folder / "q_queue.v").write_text(text.replace("\nendmodule\n", PROPERTIES))
    script = f"""read_verilog -formal q_queue.v
chparam -set DEPTH {depth} -set WIDTH 1 q_queue
prep -top q_queue -nordff
memory_map
async2sync
chformal -lower
opt -full
sat -tempinduct -maxsteps 6 -prove-asserts -set-assumes -verify q_queue
"""
    (folder / "prove.ys").write_text(script)
    found = TOOL.find()
    run([*found.command, "-s", "prove.ys"], cwd=folder, log=folder / "log", env=found.environment, timeout=300)


@pytest.mark.parametrize("depth", [2, 3, 4, 7])
def test_the_queue_keeps_every_vector_in_order(depth: int, tmp_path: Path) -> None:
    prove(queue_file("q")["q_queue.v"], depth, tmp_path)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("ready <= held_next != FULL", "ready <= held != FULL"),
        ("wire store = push & ~(pop & empty)", "wire store = push & ~pop"),
        ("assign head_data = empty ? push_data", "assign head_data = push ? push_data"),
        ("(oldest == LAST)", "(oldest + 1'b1 == LAST)"),
    ],
    ids=["a credit too many", "a vector lost", "a vector overtaken", "a pointer short of the end"],
)
def test_a_wrong_queue_is_found_out(right: str, wrong: str, tmp_path: Path) -> None:
    text = queue_file("q")["q_queue.v"]
    assert text.count(right) == 1
    with pytest.raises(ToolError):
        prove(text.replace(right, wrong), 4, tmp_path)
