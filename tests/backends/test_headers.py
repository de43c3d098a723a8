"""The stand-in headers: what they compute, against the documented meaning; what they refuse; whether they are clean."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

import pytest

from backends.header_programs import AC, AP, Family, program, statements_program
from backends.header_runs import ALL, SANITISED, compare, outputs
from backends.test_headers_fixed import ORDINARY
from hardwire.backends._headers import FLAVOURS, header_files
from hardwire.errors import MissingToolError, ToolError
from hardwire.tools import csim
from hardwire.tools.process import run

pytestmark = pytest.mark.tools


@pytest.mark.parametrize("family", [AP, AC], ids=lambda family: family.name)
def test_expressions_have_the_documented_types_and_values(family: Family, compiler: str, tmp_path: Path) -> None:
    compare(program(family, 1, functions=60, evaluations=50, depth=3, most=128), tmp_path, compiler)


@pytest.mark.parametrize("family", [AP, AC], ids=lambda family: family.name)
def test_statements_change_what_they_say(family: Family, compiler: str, tmp_path: Path) -> None:
    compare(statements_program(family, 3, functions=30, evaluations=12, most=130), tmp_path, compiler)


@pytest.mark.parametrize("family", [AP, AC], ids=lambda family: family.name)
def test_wide_buses(family: Family, tmp_path: Path) -> None:
    compare(program(family, 4, functions=25, evaluations=40, depth=2, most=700), tmp_path)


@pytest.mark.parametrize("family", [AP, AC], ids=lambda family: family.name)
def test_nothing_undefined_happens(family: Family, tmp_path: Path) -> None:
    compare(program(family, 5, functions=25, evaluations=60, depth=3, most=128), tmp_path, "g++", SANITISED)


@pytest.mark.slow
@pytest.mark.parametrize("family", [AP, AC], ids=lambda family: family.name)
@pytest.mark.parametrize("seed", range(100, 102))
def test_many_more_programs(family: Family, seed: int, compiler: str, tmp_path: Path) -> None:
    compare(program(family, seed, functions=120, evaluations=80, depth=4, most=200), tmp_path / "e", compiler, ("-O2",))
    compare(statements_program(family, seed, functions=40, evaluations=30, most=200), tmp_path / "s", compiler)


INTEGERS = """\
#include <ap_int.h>
#include <ac_int.h>
#include <iostream>
#include <type_traits>
template <class T> T same(T x) { return x; }
int main() {
  // What a reader who edits the code would write: mixed with C integers, in conditions, as an index, in a switch.
  ap_int<8> a = -3;
  ap_uint<4> b = 9;
  int table[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  int n = b;
  n += a;
  switch (b) {
    case 9: n += 100; break;
    default: break;
  }
  if (a && !(a == 3) && b > 3) n += table[b];
  for (ap_uint<3> i = 0; i < 5; i++) n += i;
  std::cout << n << ' ' << (a > 0 ? a : ap_int<8>(b)) << ' ' << a * 2 + 1 << ' ' << 1.5 * a << '\\n';
  // Constructed from C++ numbers, truncated towards zero, and from a text.
  std::cout << ap_int<8>(-3.99) << ' ' << ap_uint<70>(1e20) << ' ' << ac_int<5, false>(33.2f) << ' '
            << ap_int<12>("-7ff", 16) << ' ' << ap_uint<90>("0x3ffffffffffffffffffffff", 16) << ' '
            << ap_int<4>(true) << '\\n';
  static_assert(std::is_same<decltype(same(ac_int<7, true>() * ac_int<9, false>())), ac_int<16, true>>::value, "");
  static_assert(std::is_same<ac_int<7, true>::rt<9, false>::plus, ac_int<11, true>>::value, "");
  static_assert(decltype(a + b)::width == 9 && ac_int<7>::sign && ac_int<3, false>::i_width == 3, "");
  ac_int<6, false> c = 0;
  std::cout << c.set_val<AC_VAL_MAX>() << ' ' << c.set_val<AC_VAL_MIN>() << ' ' << c.set_val<AC_VAL_QUANTUM>() << ' '
            << ac_int<6, true>().set_val<AC_VAL_MIN>() << ' ' << ac_int<64, true>().set_val<AC_VAL_MAX>() << '\\n';
  // References to bits and ranges keep the whole in step.
  ap_uint<12> whole = 0xabc;
  whole[0] = whole[2];
  whole.range(7, 4) = whole.range(11, 8);
  whole(3, 1) = 0;
  ac_int<12, false> other = 0xabc;
  other[11] = other[0] = true;
  std::cout << std::hex << whole << ' ' << other << ' ' << (whole[4] ^ other[4]) << ' '
            << whole.range(7, 4) + 1 << '\\n';
  // Concatenation, by the example of UG1399.
  ap_int<3> high = -3;
  ap_int<7> low = 54;
  std::cout << (low, high) << ' ' << high.concat(low) << std::dec;
  (high, low) = 0xab;
  std::cout << ' ' << high << ' ' << low << '\\n';
  // A wide integer is rounded to a double once: just above, at and below half of the last place.
  const ap_uint<200> tie = (ap_uint<200>(1) << 150) + (ap_uint<200>(1) << 97), unit = ap_uint<200>(1) << 150;
  for (int i = -1; i <= 1; ++i) {
    const ap_uint<200> near = tie + i;
    std::cout << (near.to_double() - unit.to_double()) / (1LL << 50) / (1LL << 48) << ' ';
  }
  std::cout << '\\n';
}
"""


def test_integers_in_ordinary_code(compiler: str, tmp_path: Path) -> None:
    assert outputs({"main.cpp": INTEGERS}, tmp_path, compiler) == [
        "125 9 -5 -4.5",
        "-3 100000000000000000000 1 -2047 1237940039285380274899124223 1",
        "63 0 1 -32 9223372036854775807",
        "aa1 abd 1 b",
        "1b5 2b6 1 43",
        "0 0 1 ",
    ]


STREAMS = """\
#include <ap_axi_sdata.h>
#include <hls_stream.h>
#include <ac_channel.h>
#include <ac_int.h>
#include <mc_scverify.h>
#include <iostream>
typedef hls::axis<ap_uint<20>, 3> beat;
void CCS_BLOCK(design)(hls::stream<beat> &in, hls::stream<ap_int<4>> &out) {
#pragma HLS interface axis port=in
  const beat b = in.read();
  out.write(b.data.range(7, 4));
  if (b.last && b.user == 5) out << 3;
}
CCS_MAIN(int argc, char **argv) {
  hls::stream<beat> in("in");
  hls::stream<ap_int<4>, 8> out;
  beat b;
  b.data = 0xabcde;
  b.user = 5;
  b.last = 1;
  b.keep_all();
  in.write(b);
  CCS_DESIGN(design)(in, out);
  ap_int<4> x, y, z = 6;
  out >> x;
  const bool second = out.read_nb(y), third = out.read_nb(z);
  std::cout << x << y << z << second << third << b.keep << in.empty() << out.full() << in.size() << '\\n';
  ap_axiu<16, 1, 1, 1> full;
  full.id = 1;
  full.dest = 1;
  ac_channel<ac_int<3, false>> channel(2, 5);
  channel.write(9);
  ac_int<3, false> w = channel.read(), v;
  std::cout << channel.available(2) << channel.available(3) << w << channel[1] << channel.size();
  channel.read(v);
  std::cout << v << channel.nb_read(v) << v << channel.nb_read(v) << v << channel.empty() << full.keep.length()
            << '\\n';
  if (argc > 2) in.write(b);
  CCS_RETURN(argv[0] == nullptr);
}
"""


def test_streams_and_channels(compiler: str, tmp_path: Path) -> None:
    assert outputs({"main.cpp": STREAMS}, tmp_path, compiler) == ["-336107100", "105125110112"]


SYCL = """\
#include <sycl/sycl.hpp>
#include <sycl/ext/intel/fpga_extensions.hpp>
#include <sycl/ext/intel/ac_types/ac_int.hpp>
#include <iostream>
namespace intel = sycl::ext::intel::experimental;
namespace oneapi = sycl::ext::oneapi::experimental;
class IdIn;
class IdOut;
class IdMiddle;
class IdFirst;
class IdSecond;
using Value = ac_int<12, true>;
using Beat = intel::StreamingBeat<Value, true, false>;
using Properties = decltype(oneapi::properties(intel::ready_latency<0>, intel::bits_per_symbol<12>,
                                               intel::uses_valid<true>, intel::first_symbol_in_high_order_bits<true>,
                                               intel::protocol<intel::protocol_name::avalon_streaming_uses_ready>));
using In = intel::pipe<IdIn, Value, 4, Properties>;
using Out = intel::pipe<IdOut, Value, 4>;
using Middle = sycl::ext::intel::pipe<IdMiddle, Beat, 2>;
struct First {
  auto get(oneapi::properties_tag) const {
    return oneapi::properties{intel::streaming_interface<>, intel::pipelined<1>};
  }
  void operator()() const {
    [[intel::initiation_interval(1)]] while (true) {
      const Value x = In::read();
      Middle::write(Beat(x * x, true, true));
    }
  }
};
struct Second {
  int count;
  void operator()() const {
    for (int i = 0; i < count; ++i) {
      bool valid = false;
      Beat b;
      while (!valid) b = Middle::read(valid);
      Out::write(sycl::ext::intel::fpga_reg(Value(b.data + b.eop)));
    }
  }
};
int main(int, char **argv) {
  sycl::queue q(sycl::ext::intel::fpga_emulator_selector_v, sycl::property::queue::enable_profiling{});
  q.single_task<IdFirst>(First{});
  auto second = q.submit([&](sycl::handler &h) { h.single_task<IdSecond>(Second{100}); });
  for (int i = 0; i < 100; ++i) In::write(q, i);
  int sum = 0;
  for (int i = 0; i < 100; ++i) sum += Out::read(q).to_int();
  second.wait();
  bool more = true;
  Out::read(q, more);
  int *memory = sycl::malloc_shared<int>(4, q);
  q.single_task([=] { memory[2] = 7; }).wait();
  for (int i = 0; i < 500; ++i) q.single_task([=] { memory[3] = memory[3] + 1; }).wait();
  std::cout << sum << ' ' << more << ' ' << memory[2] << ' ' << memory[3] << '\\n' << std::flush;
  sycl::free(memory, q);
  if (argv[1][0] == 'd') Out::read(q);
}
"""


def test_queues_and_pipes(compiler: str, tmp_path: Path) -> None:
    total = sum((i * i + 1 + 2048) % 4096 - 2048 for i in range(100))
    assert outputs({"main.cpp": SYCL}, tmp_path, compiler) == [f"{total} 0 7 500"]
    with pytest.raises(ToolError, match="simulation stopped: deadlock: every task and the host wait"):
        run([tmp_path / "csim_run" / "bench", "deadlock"], cwd=tmp_path, timeout=60)


def test_the_threads_of_tasks_do_not_race(tmp_path: Path) -> None:
    flags = ("-O1", "-g", "-fsanitize=thread")
    try:
        lines = outputs({"main.cpp": SYCL}, tmp_path, "g++", flags)
    except ToolError as error:
        if "ThreadSanitizer" in str(error) and "data race" not in str(error):
            pytest.skip("this computer does not run the thread sanitiser")
        raise
    assert len(lines) == 1


@pytest.mark.parametrize(
    ("includes", "body", "message"),
    [
        ("ap_int.h", "ap_int<8> a = 5, b = 0; a = a / b;", "a division by zero"),
        ("ac_int.h", "ac_int<8> a = 5, b = 0; a %= b;", "a division by zero"),
        ("ap_int.h", "ap_int<8> a = 5; a[8] = 1;", "a bit outside of the integer is accessed"),
        ("ap_int.h", "ap_int<8> a = 5; a = a.range(8, 3);", "a bit outside of the integer is accessed"),
        ("ac_int.h", "ac_int<8> a = 5; a.set_slc(5, ac_int<4>(1));", "a slice is written beyond the integer"),
        ("ac_int.h", "const ac_int<8> a = 5; return a[-1];", "a bit outside of the integer is accessed"),
        ("ap_int.h", 'ap_int<8> a("12a", 10); return a;', "an integer is read from a text that is no number"),
        ("hls_stream.h", 'hls::stream<int> s("scores"); return s.read();', "scores is read while it is empty"),
        ("ac_channel.h", "ac_channel<int> c; return c.read();", "a channel is read while it is empty"),
    ],
)
def test_what_cannot_be_is_said(includes: str, body: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=f"simulation stopped: {message}"):
        outputs({"main.cpp": f"#include <{includes}>\nint main() {{ {body} return 0; }}\n"}, tmp_path)


def test_data_that_nobody_read_is_reported(tmp_path: Path) -> None:
    text = '#include <hls_stream.h>\nint main() { hls::stream<int> s("scores"); s.write(1); }\n'
    assert outputs({"main.cpp": text}, tmp_path) == ["warning: scores ends with data that nobody read"]


STRICT = (
    "-Wall",
    "-Wextra",
    "-Werror",
    "-pedantic",
    "-Wconversion",
    "-Wsign-conversion",
    "-Wshadow",
    "-Wold-style-cast",
)


@pytest.mark.parametrize("name", sorted(ALL))
def test_each_header_stands_alone_without_a_warning(name: str, compiler: str, tmp_path: Path) -> None:
    csim.write_files({**ALL, "main.cpp": f"#include <{name.removeprefix('csim/')}>\nint main() {{}}\n"}, tmp_path)
    standard = "c++17" if "sycl" in name else "c++14"
    command = [*csim.find_compiler(compiler).command, f"-std={standard}", "-fsyntax-only", *STRICT, "-Icsim"]
    run([*command, "main.cpp"], cwd=tmp_path, tool=compiler)


@pytest.mark.parametrize(
    "text", [INTEGERS, STREAMS, SYCL, ORDINARY], ids=["integers", "streams", "sycl", "fixed point"]
)
def test_what_uses_the_headers_is_without_a_warning(text: str, compiler: str, tmp_path: Path) -> None:
    findings = csim.lint({**ALL, "main.cpp": text}, tmp_path, compiler=compiler)
    assert not findings, [str(finding) for finding in findings]


@pytest.mark.slow
def test_the_static_analyser_finds_nothing_in_the_headers(tmp_path: Path) -> None:
    try:
        csim.CLANG_TIDY.find()
    except MissingToolError as error:
        pytest.skip(str(error))
    headers = {name.removeprefix("csim/"): text for name, text in ALL.items()}
    uses = {"a.cpp": INTEGERS, "b.cpp": STREAMS, "c.cpp": SYCL, "d.cpp": ORDINARY}
    findings = csim.tidy({**headers, **uses}, tmp_path)
    assert not findings, [str(finding) for finding in findings]


def test_every_flavour_brings_what_its_headers_include() -> None:
    for flavour in FLAVOURS:
        files = header_files(flavour)
        assert all(name.startswith("csim/") and "Apache-2.0" in text for name, text in files.items())
        assert all(re.search(r"takes?\s(// )?the\s(// )?place\sof", text) for text in files.values())
        names = {name.removeprefix("csim/") for name in files}
        for name, text in files.items():
            for included in re.findall(r'#include "(.*)"', text):
                found = posixpath.normpath(posixpath.join(posixpath.dirname(name), included))
                assert found.removeprefix("csim/") in names
