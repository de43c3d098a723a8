// Streams vectors through a verilated module, one a clock cycle; see verilator.py, which writes ports.h:
//   HW_INPUTS(F)   F(port, words) for each input bus, in the order of the input files
//   HW_OUTPUTS(F)  the same for each output bus
// Usage: sim CYCLES CONTROL VALID INPUT... OUTPUT...
// CONTROL has a byte a cycle: 1 in_valid, 2 rst, 4 collect the outputs; VALID gets out_valid, a byte a cycle.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include "Vdut.h"
#include "ports.h"
#include "verilated.h"

namespace {

template <typename T> void put(T& port, const uint64_t* words) { port = static_cast<T>(words[0]); }
template <std::size_t N> void put(VlWide<N>& port, const uint64_t* words) {
    for (std::size_t i = 0; i < N; ++i) port[i] = static_cast<uint32_t>(words[i / 2] >> (32 * (i % 2)));
}
template <typename T> void get(const T& port, uint64_t* words) { words[0] = port; }
template <std::size_t N> void get(const VlWide<N>& port, uint64_t* words) {
    for (std::size_t i = 0; i < (N + 1) / 2; ++i) words[i] = 0;
    for (std::size_t i = 0; i < N; ++i) words[i / 2] |= static_cast<uint64_t>(port[i]) << (32 * (i % 2));
}

[[noreturn]] void fail(const char* what, const char* path) {
    std::fprintf(stderr, "%s %s\n", what, path);
    std::exit(2);
}

template <typename T> std::vector<T> load(const char* path, std::size_t count) {
    std::vector<T> data(count);
    std::FILE* file = std::fopen(path, "rb");
    if (!file || std::fread(data.data(), sizeof(T), count, file) != count) fail("cannot read", path);
    std::fclose(file);
    return data;
}

template <typename T> void save(const char* path, const std::vector<T>& data) {
    std::FILE* file = std::fopen(path, "wb");
    if (!file || std::fwrite(data.data(), sizeof(T), data.size(), file) != data.size() || std::fclose(file) != 0)
        fail("cannot write", path);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 4) fail("usage: sim CYCLES CONTROL VALID INPUT... OUTPUT...", "");
    const std::size_t cycles = std::strtoull(argv[1], nullptr, 10);
    const auto control = load<uint8_t>(argv[2], cycles);
    std::vector<uint8_t> valid(cycles);
    char** argument = argv + 4;
#define HW_LOAD(port, words) const auto in_##port = load<uint64_t>(*argument++, cycles * (words));
    HW_INPUTS(HW_LOAD)
    std::size_t answers = 0;
    for (const uint8_t byte : control) answers += (byte >> 2) & 1;
#define HW_ROOM(port, words) std::vector<uint64_t> out_##port(answers * (words));
    HW_OUTPUTS(HW_ROOM)
    const auto context = std::make_unique<VerilatedContext>();
    const auto dut = std::make_unique<Vdut>(context.get());
    std::size_t answer = 0;
    for (std::size_t cycle = 0; cycle < cycles; ++cycle) {
        dut->in_valid = control[cycle] & 1;
        dut->rst = (control[cycle] >> 1) & 1;
#define HW_PUT(port, words) put(dut->port, &in_##port[cycle * (words)]);
        HW_INPUTS(HW_PUT)
        dut->clk = 0;
        dut->eval();
        valid[cycle] = dut->out_valid;
        if (control[cycle] & 4) {
#define HW_GET(port, words) get(dut->port, &out_##port[answer * (words)]);
            HW_OUTPUTS(HW_GET)
            ++answer;
        }
        dut->clk = 1;
        dut->eval();
        if ((cycle & 0xffff) == 0xffff) {
            std::printf("%zu of %zu cycles\n", cycle + 1, cycles);
            std::fflush(stdout);
        }
    }
    dut->final();
    save(argv[3], valid);
#define HW_SAVE(port, words) save(*argument++, out_##port);
    HW_OUTPUTS(HW_SAVE)
    return 0;
}
