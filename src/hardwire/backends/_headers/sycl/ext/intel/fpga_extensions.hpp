// Intel's FPGA extensions of SYCL, as far as a kernel of HLS for oneAPI needs them: selectors, pipes and properties.
//
// Part of hardwire, Apache-2.0; written from the extensions' documents (intel/llvm, sycl/doc/extensions) for C
// simulation with g++ or clang (C++17), and only the part that designs need. In the vendor's compiler its own header
// takes the place of this one.
//
// A pipe is a queue that never is full here; a read waits for data. Properties mean something in hardware only.

#ifndef HARDWIRE_SYCL_FPGA_EXTENSIONS_HPP
#define HARDWIRE_SYCL_FPGA_EXTENSIONS_HPP

#include <deque>

#include "../../sycl.hpp"

namespace hw {

template <class ID, class T>
class Pipe {
  // Lives until the process ends, as `Exchange` does.
  static std::deque<T> &queue() {
    static std::deque<T> *const values = new std::deque<T>;
    return *values;
  }

 public:
  static T read() {
    T x{};
    Exchange::get().wait([] { return !queue().empty(); },
                         [&x] {
                           x = queue().front();
                           queue().pop_front();
                         });
    return x;
  }
  static T read(bool &success) {
    T x{};
    Exchange::get().change([&x, &success] {
      success = !queue().empty();
      if (!success) return;
      x = queue().front();
      queue().pop_front();
    });
    return x;
  }
  static void write(const T &x) {
    Exchange::get().change([&x] { queue().push_back(x); });
  }
  static void write(const T &x, bool &success) {
    write(x);
    success = true;
  }
};

}  // namespace hw

namespace sycl::ext::oneapi::experimental {

struct properties_tag {};

template <class... P>
struct properties {
  constexpr explicit properties(P...) {}
};

}  // namespace sycl::ext::oneapi::experimental

namespace sycl::ext::intel {

inline constexpr default_selector fpga_selector_v{};
inline constexpr default_selector fpga_emulator_selector_v{};
inline constexpr default_selector fpga_simulator_selector_v{};

// A register on the way of a value, where the vendor's compiler takes the hint.
template <class T>
T fpga_reg(const T &x) {
  return x;
}

// A pipe between kernels.
template <class ID, class T, int MIN_CAPACITY = 0>
class pipe : public hw::Pipe<ID, T> {
 public:
  using value_type = T;
  static constexpr int min_capacity = MIN_CAPACITY;
};

namespace experimental {

// A pipe between kernels, or between the host (which names its queue) and a kernel.
template <class ID, class T, int MIN_CAPACITY = 0, class PROPERTIES = oneapi::experimental::properties<>>
class pipe : public hw::Pipe<ID, T> {
  using Base = hw::Pipe<ID, T>;

 public:
  using value_type = T;
  static constexpr int min_capacity = MIN_CAPACITY;
  using Base::read;
  using Base::write;
  static T read(const queue &) { return Base::read(); }
  static T read(const queue &, bool &success) { return Base::read(success); }
  static void write(const queue &, const T &x) { Base::write(x); }
  static void write(const queue &, const T &x, bool &success) { Base::write(x, success); }
};

// A beat of a stream with the first and the last one of a packet marked, and the number of symbols that are not data.
template <class T, bool PACKETS, bool EMPTY>
struct StreamingBeat;
template <class T>
struct StreamingBeat<T, false, false> {
  T data;
  explicit StreamingBeat(const T &x = T()) : data(x) {}
};
template <class T>
struct StreamingBeat<T, true, false> {
  T data;
  bool sop, eop;
  explicit StreamingBeat(const T &x = T(), bool first = false, bool last = false) : data(x), sop(first), eop(last) {}
};
template <class T>
struct StreamingBeat<T, true, true> {
  T data;
  bool sop, eop;
  int empty;
  explicit StreamingBeat(const T &x = T(), bool first = false, bool last = false, int unused = 0)
      : data(x), sop(first), eop(last), empty(unused) {}
};

// Properties of pipes and kernels.
template <int N>
struct number_property {};
struct plain_property {};
template <int N>
inline constexpr number_property<N> ready_latency{};
template <int N>
inline constexpr number_property<N> bits_per_symbol{};
template <bool B>
inline constexpr number_property<B> uses_valid{};
template <bool B>
inline constexpr number_property<B> first_symbol_in_high_order_bits{};
template <int N = 1>
inline constexpr number_property<N> pipelined{};
enum class protocol_name { avalon_streaming, avalon_streaming_uses_ready, avalon_mm, avalon_mm_uses_ready };
template <protocol_name P>
inline constexpr number_property<static_cast<int>(P)> protocol{};
inline constexpr plain_property protocol_avalon_streaming{};
inline constexpr plain_property protocol_avalon_streaming_uses_ready{};
template <int N = 0>
inline constexpr number_property<N> streaming_interface{};
inline constexpr plain_property streaming_interface_accept_downstream_stall{};
inline constexpr plain_property streaming_interface_remove_downstream_stall{};
template <int N = 0>
inline constexpr number_property<N> register_map_interface{};
inline constexpr plain_property register_map_interface_wait_for_done_write{};
inline constexpr plain_property register_map_interface_do_not_wait_for_done_write{};

}  // namespace experimental
}  // namespace sycl::ext::intel

#endif
