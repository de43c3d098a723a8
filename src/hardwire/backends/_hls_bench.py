"""The C++ test bench that is written beside an HLS design, its vectors, and the Makefile of the C simulation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hardwire.backends import Vectors
from hardwire.backends._hls_network import PortText
from hardwire.errors import DataError
from hardwire.fixed import Ints

_BENCH = """\
// Test bench of {name}.
//
//   {bench}               reads the vectors tb/<port>.dat, compares with the expected tb/<port>.dat of the outputs
//   {bench} FOLDER        the same with the files of another folder
//   {bench} IN OUT        reads IN/<port>.dat, writes OUT/<port>.dat
//
// A line is a vector: integer codes in decimal with blanks between them. Returns 1 where an answer differs, 2 where a
// file is missing or too short.

{includes}

#include <cstddef>
#include <cstdio>
#include <exception>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {{

typedef std::vector<long long> Codes;         // of one port
typedef std::vector<std::vector<Codes>> Data;  // by port, by vector

struct Port {{
    const char *name;
    std::size_t size;
}};

const std::vector<Port> &inputs() {{
    static const std::vector<Port> ports = {{{inputs}}};
    return ports;
}}

const std::vector<Port> &outputs() {{
    static const std::vector<Port> ports = {{{outputs}}};
    return ports;
}}

Data read_all(const std::string &folder, const std::vector<Port> &ports) {{
    Data data;
    for (const Port &port : ports) {{
        const std::string path = folder + "/" + port.name + ".dat";
        std::ifstream file(path.c_str());
        if (!file) throw std::runtime_error(path + " cannot be read");
        std::vector<Codes> rows;
        std::string line;
        while (std::getline(file, line)) {{
            std::istringstream words(line);
            Codes row(port.size);
            for (long long &code : row) {{
                if (!(words >> code)) throw std::runtime_error(path + " has a vector that is too short");
            }}
            rows.push_back(row);
        }}
        data.push_back(rows);
        if (data.front().size() != rows.size()) throw std::runtime_error(path + " has another number of vectors");
    }}
    return data;
}}

void write_all(const std::string &folder, const Data &data) {{
    for (std::size_t n = 0; n < data.size(); ++n) {{
        const std::string path = folder + "/" + outputs()[n].name + ".dat";
        std::ofstream file(path.c_str());
        for (const Codes &row : data[n]) {{
            for (std::size_t k = 0; k < row.size(); ++k) file << (k != 0 ? " " : "") << row[k];
            file << '\\n';
        }}
        file.close();
        if (!file) throw std::runtime_error(path + " cannot be written");
    }}
}}

std::size_t differences(const Data &found, const Data &wanted, const std::string &what) {{
    std::size_t count = 0;
    for (std::size_t n = 0; n < wanted.size(); ++n) {{
        for (std::size_t v = 0; v < wanted[n].size(); ++v) {{
            for (std::size_t k = 0; k < wanted[n][v].size(); ++k) {{
                if (found[n][v][k] == wanted[n][v][k]) continue;
                if (++count > 20) continue;
                std::printf("%s: vector %lu: %s[%lu] is %lld, expected %lld\\n", what.c_str(),
                            static_cast<unsigned long>(v), outputs()[n].name, static_cast<unsigned long>(k),
                            found[n][v][k], wanted[n][v][k]);
            }}
        }}
    }}
    return count;
}}

{drive}

int simulate(int argc, char *argv[]) {{
    const std::string folder = argc > 1 ? argv[1] : "tb";
    const Data in = read_all(folder, inputs());
    const Data out = run(in);
    std::size_t wrong = 0;
{check}
    if (argc > 2) {{
        write_all(argv[2], out);
        return wrong == 0 ? 0 : 1;
    }}
    wrong += differences(out, read_all(folder, outputs()), "{name}");
    std::printf("%lu vectors, %lu codes differ\\n", static_cast<unsigned long>(in[0].size()),
                static_cast<unsigned long>(wrong));
    return wrong == 0 ? 0 : 1;
}}

}}  // namespace

{main} {{
    try {{
        {end}(simulate(argc, argv));
    }} catch (const std::exception &error) {{
        std::fprintf(stderr, "%s\\n", error.what());
    }}
    {end}(2);
}}
"""

_MAKEFILE = """\
# C simulation of {name} with g++ or clang++, and the vendor's tool.
#
#   make csim              compile with the stand-in headers in csim/ and compare the test vectors
#   make csim CXX=clang++  the same with clang++
#   make lint              all warnings
#   make cosim             {cosim_words}

CXX ?= g++
CXXFLAGS ?= -O1
# Pragmas and attributes are for the vendor's tool: here they are not known.
FLAGS = -std=c++17 -Wall -Wextra -Wno-unknown-pragmas -Wno-attributes -pthread -I . -I csim
SOURCES = {sources}

.PHONY: csim lint cosim clean

csim: bench
\t./bench

bench: $(SOURCES) $(wildcard *.h csim/*.h)
\t$(CXX) $(FLAGS) $(CXXFLAGS) $(SOURCES) -o $@

lint:
\t$(CXX) $(FLAGS) -Werror -fsyntax-only $(SOURCES)

cosim:
\t{cosim}

clean:
\trm -f bench
"""


def bench_text(
    name: str,
    inputs: Sequence[PortText],
    outputs: Sequence[PortText],
    *,
    includes: Sequence[str],
    drive: Sequence[str],
    check: Sequence[str] = (),
    main: str = "int main(int argc, char *argv[])",
    end: str = "return ",
) -> str:
    """Text of the bench. `drive` defines `Data run(const Data &in)`; `check` adds to `wrong` what else differs."""

    def ports(texts: Sequence[PortText]) -> str:
        return ", ".join(f'{{"{text.name}", {text.size}}}' for text in texts)

    return _BENCH.format(
        name=name,
        bench="bench",
        includes="\n".join(includes),
        inputs=ports(inputs),
        outputs=ports(outputs),
        drive="\n".join(drive),
        check="\n".join(check),
        main=main,
        end=end,
    ).replace("\n\n    if (argc > 2)", "\n    if (argc > 2)")


def makefile(name: str, sources: Sequence[str], *, cosim: str, cosim_words: str) -> str:
    """The Makefile; `cosim` is the command of the vendor's tool."""
    return _MAKEFILE.format(name=name, sources=" ".join(sources), cosim=cosim, cosim_words=cosim_words)


def vector_files(inputs: Sequence[PortText], outputs: Sequence[PortText], vectors: Vectors | None) -> dict[str, str]:
    """`tb/<port>.dat` of every port. Raises `DataError` for codes of another shape than the port's."""
    if vectors is None:
        return {}
    files = {}
    for texts, arrays in ((inputs, vectors[0]), (outputs, vectors[1])):
        for text, codes in zip(texts, arrays, strict=True):
            if codes.ndim != 2 or codes.shape[1] != text.size:
                raise DataError(f"port {text.port.name!r}: vectors of shape {codes.shape}, expected (N, {text.size})")
            files[f"tb/{text.name}.dat"] = _lines(codes)
    return files


def _lines(codes: Ints) -> str:
    return "".join(" ".join(map(str, row)) + "\n" for row in np.asarray(codes).tolist())
