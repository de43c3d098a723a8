"""Files around the C++ emulator: the model's headers, CMake, an example that loads the library, the test bench."""

from __future__ import annotations

from hardwire.backends._cpp_ports import PortCode

HEADER = """\
/* {title}: C interface. Written by hardwire {version}; program {digest}. */
#ifndef HW_{upper}_EMULATOR_H
#define HW_{upper}_EMULATOR_H

#include "hardwire/emulator.h"

#ifdef __cplusplus
extern "C" {{
#endif

/* Numbers of an event, per input and output. */
enum {{
{sizes}
}};

/* Names, shapes, scales, provenance and the functions below with one array of pointers per side. */
HW_EMULATOR_API const hw_emulator* hw_{name}(void);

/* n events, one after the other; HW_OK or what was wrong, see hardwire/emulator.h. Thread-safe. */
HW_EMULATOR_API int hw_{name}_run_codes({codes}, size_t n);
HW_EMULATOR_API int hw_{name}_predict({doubles}, size_t n);
HW_EMULATOR_API int hw_{name}_predict_float({floats}, size_t n);

#ifdef __cplusplus
}}
#endif

#endif
"""

CLASS = """\
// {title}: C++ interface. Written by hardwire {version}; program {digest}.
#ifndef HW_{upper}_EMULATOR_HPP
#define HW_{upper}_EMULATOR_HPP

#include "{name}_emulator.h"
#include "hardwire/emulator.hpp"

namespace hardwire {{
namespace {name} {{

/// The emulator of {name}: a hardwire::Emulator for programs that link the library.
class Emulator final : public TableEmulator {{
 public:
  Emulator() noexcept : TableEmulator(*hw_{name}()) {{}}
}};

}}  // namespace {name}
}}  // namespace hardwire

#endif
"""

PLUGIN = """\
// What a program that loads the shared library looks for in it.
#include <new>

#include "{name}_emulator.hpp"

extern "C" {{
HW_EMULATOR_API unsigned hardwire_emulator_abi();
HW_EMULATOR_API const hw_emulator* hardwire_emulator();
HW_EMULATOR_API hardwire::Emulator* create_emulator();
HW_EMULATOR_API void destroy_emulator(hardwire::Emulator* emulator);

unsigned hardwire_emulator_abi() {{ return HW_EMULATOR_ABI; }}
const hw_emulator* hardwire_emulator() {{ return hw_{name}(); }}
hardwire::Emulator* create_emulator() {{ return new (std::nothrow) hardwire::{name}::Emulator; }}
void destroy_emulator(hardwire::Emulator* emulator) {{ delete emulator; }}
}}
"""

CMAKE = """\
# {name}_emulator: a library to link (static) and one to load at run time (plugin), with headers and a CMake package.
#   cmake -S . -B build && cmake --build build && ctest --test-dir build && cmake --install build --prefix DIR
cmake_minimum_required(VERSION 3.13)
project({name}_emulator VERSION {numbers} LANGUAGES CXX)

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "kind of build" FORCE)
endif()
set(HARDWIRE_MARCH "" CACHE STRING "instruction set, such as native or x86-64-v3; empty: the compiler's own default")
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

function(hardwire_emulator target)
  target_compile_features(${{target}} PUBLIC cxx_std_11)
  target_include_directories(${{target}} PUBLIC
    $<BUILD_INTERFACE:${{CMAKE_CURRENT_SOURCE_DIR}}> $<INSTALL_INTERFACE:${{CMAKE_INSTALL_INCLUDEDIR}}>)
  set_target_properties(${{target}} PROPERTIES
    CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON POSITION_INDEPENDENT_CODE ON)
  if(CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
    target_compile_options(${{target}} PRIVATE -fno-fast-math $<$<BOOL:${{HARDWIRE_MARCH}}>:-march=${{HARDWIRE_MARCH}}>)
  endif()
endfunction()

# Target names are the model's own, so that several models can be subdirectories of one project.
add_library({name}_static STATIC {name}_emulator.cpp)
set_target_properties({name}_static PROPERTIES OUTPUT_NAME {name}_emulator EXPORT_NAME static)
hardwire_emulator({name}_static)
add_library({name}_plugin SHARED {name}_emulator.cpp {name}_plugin.cpp)
set_target_properties({name}_plugin PROPERTIES
  OUTPUT_NAME {name}_emulator EXPORT_NAME plugin VERSION ${{PROJECT_VERSION}} SOVERSION 1)
hardwire_emulator({name}_plugin)
add_library({name}_emulator::static ALIAS {name}_static)
add_library({name}_emulator::plugin ALIAS {name}_plugin)

if(CMAKE_SOURCE_DIR STREQUAL CMAKE_CURRENT_SOURCE_DIR)
  enable_testing()
  add_executable(bench tb/{name}_bench.cpp)
  target_link_libraries(bench PRIVATE {name}_static)
  if(EXISTS ${{CMAKE_CURRENT_SOURCE_DIR}}/tb/{first}.dat)
    add_test(NAME vectors COMMAND bench WORKING_DIRECTORY ${{CMAKE_CURRENT_SOURCE_DIR}})
  endif()
  if(UNIX)
    add_executable(example example/main.cc)
    target_compile_features(example PRIVATE cxx_std_11)
    target_include_directories(example PRIVATE ${{CMAKE_CURRENT_SOURCE_DIR}})
    target_link_libraries(example PRIVATE ${{CMAKE_DL_LIBS}})
    add_test(NAME example COMMAND example $<TARGET_FILE:{name}_plugin>)
  endif()
endif()

install(TARGETS {name}_static {name}_plugin EXPORT {name}_emulatorTargets
  ARCHIVE DESTINATION ${{CMAKE_INSTALL_LIBDIR}} LIBRARY DESTINATION ${{CMAKE_INSTALL_LIBDIR}}
  RUNTIME DESTINATION ${{CMAKE_INSTALL_BINDIR}})
install(FILES {name}_emulator.h {name}_emulator.hpp DESTINATION ${{CMAKE_INSTALL_INCLUDEDIR}})
install(DIRECTORY hardwire DESTINATION ${{CMAKE_INSTALL_INCLUDEDIR}})
set(package ${{CMAKE_INSTALL_LIBDIR}}/cmake/{name}_emulator)
install(EXPORT {name}_emulatorTargets FILE {name}_emulatorConfig.cmake NAMESPACE {name}_emulator::
  DESTINATION ${{package}})
write_basic_package_version_file(${{CMAKE_CURRENT_BINARY_DIR}}/{name}_emulatorConfigVersion.cmake
  COMPATIBILITY SameMajorVersion)
install(FILES ${{CMAKE_CURRENT_BINARY_DIR}}/{name}_emulatorConfigVersion.cmake DESTINATION ${{package}})
"""

EXAMPLE = """\
// Loads the emulator's shared library, prints what it says of itself and runs an event of zeros.
#include <exception>
#include <iostream>
#include <vector>

#include "hardwire/plugin.hpp"

namespace {

void run(const char* path) {
  const hardwire::Plugin plugin(path);
  const hw_emulator& model = plugin->about();
  std::cout << model.name << ", " << model.generator << ", program " << model.program_sha256 << '\\n';
  std::vector<std::vector<double>> x;
  std::vector<std::vector<double>> y;
  std::vector<const double*> in;
  std::vector<double*> out;
  for (std::size_t k = 0; k < model.n_inputs; ++k) {
    std::cout << "input " << model.inputs[k].model_name << ": " << model.inputs[k].elements << " numbers, "
              << model.inputs[k].quantiser << '\\n';
    x.emplace_back(model.inputs[k].elements, 0.0);
    in.push_back(x.back().data());
  }
  for (std::size_t k = 0; k < model.n_outputs; ++k) {
    y.emplace_back(model.outputs[k].elements);
    out.push_back(y.back().data());
  }
  hw_emulator_error where = hw_emulator_error();
  plugin->check(plugin->predict(in.data(), out.data(), 1, &where), where);
  for (std::size_t k = 0; k < model.n_outputs; ++k) {
    std::cout << "output " << model.outputs[k].model_name << ':';
    for (const double value : y[k]) {
      std::cout << ' ' << value;
    }
    std::cout << '\\n';
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: example LIBRARY\\n";
    return 2;
  }
  try {
    run(argv[1]);
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\\n';
    return 1;
  }
  return 0;
}
"""

BENCH = """\
// Test bench: `bench IN_DIR OUT_DIR` reads IN_DIR/<input>.dat and writes OUT_DIR/<output>.dat, a vector of integer
// codes a line; `bench` reads the vectors beside this file and compares with the expected outputs.
#include <cstdint>
#include <exception>
#include <fstream>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "@NAME@_emulator.h"

namespace {

using Codes = std::vector<std::int64_t>;

// The file of a port.
std::string file_of(const std::string& folder, const std::string& port) {
  std::string path = folder;
  path += '/';
  path += port;
  path += ".dat";
  return path;
}

// All vectors of a port, one after the other, and how many there are.
std::size_t read(const std::string& path, std::size_t elements, Codes& codes) {
  std::ifstream file(path);
  if (!file) {
    throw std::runtime_error(path + ": cannot be read");
  }
  std::size_t vectors = 0;
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream numbers(line);
    std::int64_t code = 0;
    std::size_t found = 0;
    for (; numbers >> code; ++found) {
      codes.push_back(code);
    }
    if (!numbers.eof() || found != elements) {
      throw std::runtime_error(path + ", vector " + std::to_string(vectors) + ": needs " + std::to_string(elements) +
                               " integers");
    }
    ++vectors;
  }
  return vectors;
}

void write(const std::string& path, std::size_t elements, const Codes& codes, std::size_t vectors) {
  std::ofstream file(path);
  for (std::size_t v = 0; v < vectors; ++v) {
    for (std::size_t e = 0; e < elements; ++e) {
      file << (e == 0 ? "" : " ") << codes[v * elements + e];
    }
    file << '\\n';
  }
  if (!file.flush()) {
    throw std::runtime_error(path + ": cannot be written");
  }
}

// Outputs for the inputs in a folder.
std::vector<Codes> run(const std::string& folder, std::size_t& vectors) {
  const hw_emulator& model = *hw_@NAME@();
  std::vector<Codes> x(model.n_inputs);
  std::vector<Codes> y(model.n_outputs);
  std::vector<const std::int64_t*> in;
  std::vector<std::int64_t*> out;
  for (std::size_t k = 0; k < model.n_inputs; ++k) {
    const std::size_t found = read(file_of(folder, model.inputs[k].name), model.inputs[k].elements, x[k]);
    if (k != 0 && found != vectors) {
      throw std::runtime_error("inputs with different numbers of vectors");
    }
    vectors = found;
    in.push_back(x[k].data());
  }
  for (std::size_t k = 0; k < model.n_outputs; ++k) {
    y[k].resize(vectors * model.outputs[k].elements);
    out.push_back(y[k].data());
  }
  hw_emulator_error where = hw_emulator_error();
  const int status = model.run_codes(in.data(), out.data(), vectors, &where);
  if (status != HW_OK) {
    throw std::runtime_error(std::string(model.message(status)) + ": input " + std::to_string(where.port) +
                             ", vector " + std::to_string(where.row) + ", element " + std::to_string(where.element));
  }
  return y;
}

// How many vectors differ from the expected ones.
std::size_t compare(const std::string& folder) {
  const hw_emulator& model = *hw_@NAME@();
  std::size_t vectors = 0;
  const std::vector<Codes> y = run(folder, vectors);
  std::size_t wrong = 0;
  for (std::size_t k = 0; k < model.n_outputs; ++k) {
    Codes expected;
    const std::size_t elements = model.outputs[k].elements;
    const std::string name = model.outputs[k].name;
    if (read(file_of(folder, name), elements, expected) != vectors) {
      throw std::runtime_error(name + ": another number of vectors than the inputs have");
    }
    for (std::size_t at = 0; at < expected.size(); ++at) {
      if (y[k][at] != expected[at]) {
        std::cout << name << ", vector " << at / elements << ", element " << at % elements << ": " << y[k][at]
                  << ", expected " << expected[at] << '\\n';
        ++wrong;
      }
    }
  }
  std::cout << vectors << " vectors, " << wrong << " mismatches\\n";
  return wrong;
}

// The folder with the vectors, seen from where the program was started or from where it lies.
std::string vectors_folder(const std::string& program) {
  const std::string first = hw_@NAME@()->inputs[0].name;
  const std::size_t slash = program.rfind('/');
  const std::string here = slash == std::string::npos ? "." : program.substr(0, slash);
  for (const std::string& folder : {std::string("tb"), std::string("."), here + "/tb", here}) {
    if (std::ifstream(file_of(folder, first))) {
      return folder;
    }
  }
  throw std::runtime_error(first + ".dat is neither in tb/ nor here");
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc == 3) {
      const hw_emulator& model = *hw_@NAME@();
      std::size_t vectors = 0;
      const std::vector<Codes> y = run(argv[1], vectors);
      for (std::size_t k = 0; k < model.n_outputs; ++k) {
        write(file_of(argv[2], model.outputs[k].name), model.outputs[k].elements, y[k], vectors);
      }
      return 0;
    }
    if (argc != 1) {
      std::cerr << "usage: bench [IN_DIR OUT_DIR]\\n";
      return 2;
    }
    return compare(vectors_folder(argv[0])) == 0 ? 0 : 1;
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\\n';
    return 1;
  }
}
"""


def parameters(inputs: list[PortCode], outputs: list[PortCode], kind: str) -> str:
    """The parameters of a function with a pointer for every port."""
    return ", ".join([*(f"const {kind}* {p.name}" for p in inputs), *(f"{kind}* {p.name}" for p in outputs)])


def sizes(name: str, ports: list[PortCode]) -> str:
    """Enumerators with the elements of each port."""
    return ",\n".join(f"  HW_{name.upper()}_{p.name.upper()} = {p.elements}" for p in ports)
