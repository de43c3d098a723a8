"""Parts of the C++ emulator that are the same for every model: the interface's headers and the number conversions."""

from __future__ import annotations

C_HEADER = """\
/* The C interface of every hardwire emulator, whatever the model. SPDX-License-Identifier: Apache-2.0 */
#ifndef HARDWIRE_EMULATOR_H
#define HARDWIRE_EMULATOR_H

#include <stddef.h>
#include <stdint.h>

/* Raised when a member of these structs changes its meaning or place; new members only come at the end. */
#define HW_EMULATOR_ABI 1

#if defined(_WIN32)
#define HW_EMULATOR_API __declspec(dllexport)
#elif defined(__GNUC__)
#define HW_EMULATOR_API __attribute__((visibility("default")))
#else
#define HW_EMULATOR_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* What a call returns. */
enum hw_emulator_status {
  HW_OK = 0,
  HW_OUT_OF_RANGE = 1, /* a code outside the range of its input */
  HW_NOT_A_NUMBER = 2, /* NaN has no fixed-point value */
  HW_INFINITE = 3,     /* an infinity where the input's type wraps, or where the input takes codes only */
  HW_OFF_GRID = 4,     /* a value between the codes of an input that has no quantiser */
  HW_NO_MEMORY = 5,
  HW_NULL_POINTER = 6
};

/* Where the first bad value that was met is: the number of the input, the event, the element within the event. */
typedef struct hw_emulator_error {
  int status;
  size_t port;
  size_t row;
  size_t element;
} hw_emulator_error;

/*
 * An input or output. An event has `elements` numbers, in C order of `shape`. A number is code * scale; the scale is
 * exactly numerator / denominator (decimal integers). `lo` and `hi` are the least and greatest code. These tables have
 * `distinct` entries: one per element, or a single one for all.
 */
typedef struct hw_emulator_port {
  const char* name;       /* x, x0, x1, ... or y, y0, y1, ... */
  const char* model_name; /* what the model calls it */
  size_t elements;
  size_t rank;
  const size_t* shape;
  size_t distinct;
  const int64_t* lo;
  const int64_t* hi;
  const double* scale; /* nearest to the exact one */
  const char* const* numerator;
  const char* const* denominator;
  const char* quantiser; /* how real inputs become codes, for people */
} hw_emulator_port;

/*
 * An emulator. Each function takes one pointer per input and output to `n` events, one after the other, and returns a
 * status; where it is not HW_OK the contents of the outputs are unspecified, and `where` (may be NULL) says what was
 * wrong. All functions may be called from any number of threads at a time.
 */
typedef struct hw_emulator {
  uint32_t abi;  /* HW_EMULATOR_ABI of the library */
  uint32_t size; /* sizeof(hw_emulator) of the library */
  const char* name;
  const char* model;          /* what the model calls itself */
  const char* generator;      /* hardwire and its version */
  const char* program_sha256; /* of what is computed, whatever layers are called */
  size_t n_inputs;
  size_t n_outputs;
  const hw_emulator_port* inputs;
  const hw_emulator_port* outputs;
  size_t memory; /* bytes that a call takes */
  int (*run_codes)(const int64_t* const* x, int64_t* const* y, size_t n, hw_emulator_error* where);
  int (*predict)(const double* const* x, double* const* y, size_t n, hw_emulator_error* where);
  int (*predict_float)(const float* const* x, float* const* y, size_t n, hw_emulator_error* where);
  const char* (*message)(int status);
} hw_emulator;

#ifdef __cplusplus
}
#endif

#endif
"""

CPP_HEADER = """\
// The C++ interface of every hardwire emulator, whatever the model. SPDX-License-Identifier: Apache-2.0
#ifndef HARDWIRE_EMULATOR_HPP
#define HARDWIRE_EMULATOR_HPP

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "hardwire/emulator.h"

namespace hardwire {
inline namespace v1 {

/// A value that has no code; where() says which.
class BadInput : public std::invalid_argument {
 public:
  BadInput(const std::string& text, const hw_emulator_error& where) : std::invalid_argument(text), where_(where) {}
  const hw_emulator_error& where() const noexcept { return where_; }

 private:
  hw_emulator_error where_;
};

/// An emulator of a model. Everything is const: one object serves any number of threads.
class Emulator {
 public:
  Emulator() = default;
  Emulator(const Emulator&) = delete;
  Emulator& operator=(const Emulator&) = delete;
  Emulator(Emulator&&) = delete;
  Emulator& operator=(Emulator&&) = delete;
  virtual ~Emulator() = default;

  /// Names, shapes, scales and provenance.
  virtual const hw_emulator& about() const noexcept = 0;
  /// n events of real numbers, one pointer per input and output; a status, see hardwire/emulator.h.
  virtual int predict(const double* const* x, double* const* y, std::size_t n,
                      hw_emulator_error* where) const noexcept = 0;
  virtual int predict(const float* const* x, float* const* y, std::size_t n,
                      hw_emulator_error* where) const noexcept = 0;
  /// n events of integer codes, as the firmware's ports carry them.
  virtual int run_codes(const std::int64_t* const* x, std::int64_t* const* y, std::size_t n,
                        hw_emulator_error* where) const noexcept = 0;

  /// One input and one output: rows in, rows out. Throws BadInput, or std::invalid_argument for another size.
  std::vector<double> predict(const std::vector<double>& x) const {
    const hw_emulator& model = about();
    if (model.n_inputs != 1 || model.n_outputs != 1 || model.inputs[0].elements == 0 ||
        x.size() % model.inputs[0].elements != 0) {
      throw std::invalid_argument(std::string(model.name) + ": needs one input and one output, and whole events");
    }
    const std::size_t n = x.size() / model.inputs[0].elements;
    std::vector<double> y(n * model.outputs[0].elements);
    const double* in = x.data();
    double* out = y.data();
    hw_emulator_error where = hw_emulator_error();
    check(predict(&in, &out, n, &where), where);
    return y;
  }

  /// Throws BadInput unless the status is HW_OK.
  void check(int status, const hw_emulator_error& where) const {
    if (status != HW_OK) {
      throw BadInput(std::string(about().name) + ": " + about().message(status) + " (input " +
                         std::to_string(where.port) + ", event " + std::to_string(where.row) + ", element " +
                         std::to_string(where.element) + ")",
                     where);
    }
  }
};

/// The emulator behind a C interface.
class TableEmulator : public Emulator {
 public:
  explicit TableEmulator(const hw_emulator& table) noexcept : table_(table) {}
  using Emulator::predict;
  const hw_emulator& about() const noexcept override { return table_; }
  int predict(const double* const* x, double* const* y, std::size_t n,
              hw_emulator_error* where) const noexcept override {
    return table_.predict(x, y, n, where);
  }
  int predict(const float* const* x, float* const* y, std::size_t n,
              hw_emulator_error* where) const noexcept override {
    return table_.predict_float(x, y, n, where);
  }
  int run_codes(const std::int64_t* const* x, std::int64_t* const* y, std::size_t n,
                hw_emulator_error* where) const noexcept override {
    return table_.run_codes(x, y, n, where);
  }

 private:
  const hw_emulator& table_;
};

}  // namespace v1
}  // namespace hardwire

#endif
"""

PLUGIN_HEADER = """\
// Loads the shared library of an emulator at run time (POSIX). SPDX-License-Identifier: Apache-2.0
#ifndef HARDWIRE_PLUGIN_HPP
#define HARDWIRE_PLUGIN_HPP

#include <dlfcn.h>

#include <memory>
#include <stdexcept>
#include <string>

#include "hardwire/emulator.hpp"

namespace hardwire {
inline namespace v1 {

/// A library and its emulator; both go with the object.
class Plugin {
 public:
  /// Throws std::runtime_error for a file that is no emulator of this version of the interface.
  explicit Plugin(const std::string& path) : library_(dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL), &close) {
    if (library_ == nullptr) {
      throw std::runtime_error(path + ": " + dlerror());
    }
    using Abi = unsigned (*)();
    const Abi abi = function<Abi>(path, "hardwire_emulator_abi");
    if (abi() != HW_EMULATOR_ABI) {
      throw std::runtime_error(path + ": interface version " + std::to_string(abi()) + ", this program was built for " +
                               std::to_string(HW_EMULATOR_ABI));
    }
    using Create = Emulator* (*)();
    using Destroy = void (*)(Emulator*);
    const Destroy destroy = function<Destroy>(path, "destroy_emulator");
    emulator_ = std::unique_ptr<Emulator, Destroy>(function<Create>(path, "create_emulator")(), destroy);
    if (emulator_ == nullptr) {
      throw std::runtime_error(path + ": no memory");
    }
  }
  const Emulator& operator*() const noexcept { return *emulator_; }
  const Emulator* operator->() const noexcept { return emulator_.get(); }

 private:
  static void close(void* library) noexcept { dlclose(library); }

  template <typename Function>
  Function function(const std::string& path, const char* name) const {
    void* const found = dlsym(library_.get(), name);
    if (found == nullptr) {
      throw std::runtime_error(path + ": no hardwire emulator (it has no " + name + ")");
    }
    return reinterpret_cast<Function>(found);
  }

  std::unique_ptr<void, void (*)(void*)> library_;
  std::unique_ptr<Emulator, void (*)(Emulator*)> emulator_{nullptr, nullptr};
};

}  // namespace v1
}  // namespace hardwire

#endif
"""

RUNTIME = """\
#if defined(__FAST_MATH__)
#error "the emulator's conversions are exact arithmetic: build this file without -ffast-math"
#endif
static_assert(FLT_EVAL_METHOD == 0, "float64 is computed as float64: no extended precision");
static_assert(DBL_MANT_DIG == 53, "double is IEEE 754 binary64");
static_assert((-1 >> 1) == -1, "right shifts of negative numbers are arithmetic");

#if defined(__GNUC__)
#define HW_RESTRICT __restrict__
#elif defined(_MSC_VER)
#define HW_RESTRICT __restrict
#else
#define HW_RESTRICT
#endif

namespace {

using i8 = std::int8_t;
using u8 = std::uint8_t;
using i16 = std::int16_t;
using u16 = std::uint16_t;
using i32 = std::int32_t;
using u32 = std::uint32_t;
using i64 = std::int64_t;
using u64 = std::uint64_t;

// Events that are computed side by side.
constexpr std::size_t kLanes = @LANES@;

"""

DOTS = """\
// Sums of a layer: y[j] = bias[j] + sum of w[j][k] * x[k], modulo the bits of U. Each sum of eight products fits Part.
template <typename U>
inline U product(i64 x, i64 w) {
  return static_cast<U>(x) * static_cast<U>(w);
}
template <typename U>
inline U product(i32 x, i32 w) {
  return static_cast<U>(x) * static_cast<U>(w);
}
template <typename U>
inline U product(i16 x, i16 w) {
  return static_cast<U>(static_cast<i32>(x) * static_cast<i32>(w));
}
template <typename U, typename Part, typename X, typename W, typename S, std::size_t Rows, std::size_t Columns>
void dots(const X (*HW_RESTRICT x)[kLanes], const W (&w)[Rows][Columns], const S (&bias)[Rows],
          S (*HW_RESTRICT y)[kLanes]) {
  for (std::size_t j = 0; j < Rows; ++j) {
    U sum[kLanes];
    for (std::size_t l = 0; l < kLanes; ++l) {
      sum[l] = static_cast<U>(bias[j]);
    }
    std::size_t k = 0;
    for (; k + 8 <= Columns; k += 8) {
      const X a = static_cast<X>(w[j][k]);
      const X b = static_cast<X>(w[j][k + 1]);
      const X c = static_cast<X>(w[j][k + 2]);
      const X d = static_cast<X>(w[j][k + 3]);
      const X e = static_cast<X>(w[j][k + 4]);
      const X f = static_cast<X>(w[j][k + 5]);
      const X g = static_cast<X>(w[j][k + 6]);
      const X h = static_cast<X>(w[j][k + 7]);
      for (std::size_t l = 0; l < kLanes; ++l) {
        const U part = product<U>(x[k][l], a) + product<U>(x[k + 1][l], b) + product<U>(x[k + 2][l], c) +
                       product<U>(x[k + 3][l], d) + product<U>(x[k + 4][l], e) + product<U>(x[k + 5][l], f) +
                       product<U>(x[k + 6][l], g) + product<U>(x[k + 7][l], h);
        sum[l] += static_cast<U>(static_cast<Part>(part));
      }
    }
    for (; k < Columns; ++k) {
      const X a = static_cast<X>(w[j][k]);
      for (std::size_t l = 0; l < kLanes; ++l) {
        sum[l] += product<U>(x[k][l], a);
      }
    }
    for (std::size_t l = 0; l < kLanes; ++l) {
      y[j][l] = static_cast<S>(sum[l]);
    }
  }
}

"""

CONVERSIONS = """\
// What is wrong with a value; see hardwire/emulator.h.
using Status = int;

// One element of the events of a block, `stride` apart; lanes without an event repeat the last one, so that every lane
// holds values in range.
template <typename X, typename Y>
inline void column(const X* rows, std::size_t stride, std::size_t n, Y (&HW_RESTRICT out)[kLanes]) {
  if (n == kLanes) {
    for (std::size_t l = 0; l < kLanes; ++l) {
      out[l] = static_cast<Y>(rows[l * stride]);
    }
    return;
  }
  for (std::size_t l = 0; l < kLanes; ++l) {
    out[l] = static_cast<Y>(rows[(l < n ? l : n - 1) * stride]);
  }
}

// Codes into lanes; whether all are in range.
template <typename T>
inline bool codes_in(const i64* rows, std::size_t stride, std::size_t n, i64 lo, i64 hi, T (&HW_RESTRICT out)[kLanes]) {
  i64 code[kLanes];
  column(rows, stride, n, code);
  i64 outside = 0;
  for (std::size_t l = 0; l < kLanes; ++l) {
    outside |= (code[l] < lo ? 1 : 0) | (code[l] > hi ? 1 : 0);
    out[l] = static_cast<T>(code[l]);
  }
  return outside == 0;
}

// How real numbers become codes: code = overflow(round(x / scale + zero), lo, hi) - zero.
enum Rounding { TRN, TRN_ZERO, RND, RND_ZERO, RND_INF, RND_MIN_INF, RND_CONV, CEIL, AWAY };
enum Overflow { WRAP, SAT, SAT_SYM, SAT_ZERO, WRAP_SM };

struct Rule {
  double scale;  // its reciprocal where `power` is set, which is exact for a power of two
  bool power;
  double zero;
  i64 lo;  // of the code
  i64 hi;
};

constexpr double kFar = 4611686018427387904.0;    // 2^62
constexpr double kWhole = 6755399441055744.0;     // 1.5 * 2^52: added and taken away, it rounds numbers below 2^51
constexpr double kNear = 1073741824.0;            // 2^30
constexpr i64 kNearCode = 1073741823;

// Rounds as the mode says, given the floor and the nearest whole number (ties to even).
template <int Mode>
inline double rounded(double v, double below, double nearest) {
  const double rest = v - below;
  switch (Mode) {
    case TRN:
      return below;
    case TRN_ZERO:
      return v < 0 && rest != 0 ? below + 1.0 : below;
    case CEIL:
      return rest != 0 ? below + 1.0 : below;
    case AWAY:
      return v >= 0 && rest != 0 ? below + 1.0 : below;
    case RND:
      return rest >= 0.5 ? below + 1.0 : below;
    case RND_MIN_INF:
      return rest > 0.5 ? below + 1.0 : below;
    case RND_ZERO:
      return rest > 0.5 || (rest == 0.5 && v < 0) ? below + 1.0 : below;
    case RND_INF:
      return rest > 0.5 || (rest == 0.5 && v >= 0) ? below + 1.0 : below;
    default:
      return nearest;
  }
}

// For numbers of up to 2^51.
template <int Mode>
inline double round_near(double v) {
  const double nearest = (v + kWhole) - kWhole;
  const double below = nearest > v ? nearest - 1.0 : nearest;
  return rounded<Mode>(v, below, nearest);
}

// For all numbers, infinities too: those stay.
template <int Mode>
inline double round_any(double v) {
  return std::fabs(v) < kFar ? rounded<Mode>(v, std::floor(v), std::nearbyint(v)) : v;
}

template <int Mode>
inline i64 overflowed(i64 code, i64 lo, i64 hi) {
  const u64 last = static_cast<u64>(hi) - static_cast<u64>(lo);
  const u64 lifted = static_cast<u64>(code) - static_cast<u64>(lo);
  switch (Mode) {
    case WRAP:
      return static_cast<i64>((lifted & last) + static_cast<u64>(lo));
    case WRAP_SM: {
      // A triangle wave of twice the period.
      const u64 phase = lifted & (2 * last + 1);
      return static_cast<i64>((phase <= last ? phase : 2 * last + 1 - phase) + static_cast<u64>(lo));
    }
    case SAT_ZERO:
      return code < lo || code > hi ? 0 : code;
    default:
      return std::min(std::max(code, lo), hi);
  }
}

template <int Mode>
inline Status value_status(double x) {
  if (std::isnan(x)) {
    return HW_NOT_A_NUMBER;
  }
  return (Mode == WRAP || Mode == WRAP_SM) && std::isinf(x) ? HW_INFINITE : HW_OK;
}

// The code of one number that has one. A minifloat keeps `Mantissa` bits behind the leading one; others say -1.
template <int Round, int Over, bool ZeroFirst, int Mantissa>
i64 code_of(double x, const Rule& rule) {
  const double scaled = rule.power ? x * rule.scale : x / rule.scale;
  double whole = 0.0;
  if (ZeroFirst) {
    whole = round_any<Round>(scaled + rule.zero) - rule.zero;
  } else if (Mantissa >= 0) {
    int exponent = 0;
    (void)std::frexp(std::min(std::max(scaled, -kFar), kFar), &exponent);
    const double step = std::ldexp(1.0, std::max(exponent - 1 - Mantissa, 0));
    whole = round_any<Round>(scaled / step) * step;
  } else {
    whole = round_any<Round>(scaled);
  }
  return overflowed<Over>(static_cast<i64>(std::min(std::max(whole, -kFar), kFar)), rule.lo, rule.hi);
}

// Real numbers into lanes; whether all of them have a code.
template <int Round, int Over, bool ZeroFirst, int Mantissa, typename T>
bool values_in(const double (&HW_RESTRICT x)[kLanes], const Rule& rule, T (&HW_RESTRICT out)[kLanes]) {
  i64 bad = 0;
  const bool near = rule.lo >= -kNearCode && rule.hi <= kNearCode && std::fabs(rule.zero) < kNear && Mantissa < 0;
  const double zero = ZeroFirst ? rule.zero : 0.0;
  if (near && (Over == SAT || Over == SAT_SYM)) {
    // Clamping first is the same, as rounding keeps the order and whole numbers; then all numbers are near.
    const double lo = static_cast<double>(rule.lo) + zero;
    const double hi = static_cast<double>(rule.hi) + zero;
    for (std::size_t l = 0; l < kLanes; ++l) {
      const double v = std::isnan(x[l]) ? 0.0 : x[l];
      bad |= std::isnan(x[l]) ? 1 : 0;
      const double scaled = (rule.power ? v * rule.scale : v / rule.scale) + zero;
      const double low = scaled < lo ? lo : scaled;
      const double clamped = low > hi ? hi : low;
      out[l] = static_cast<T>(static_cast<i32>(round_near<Round>(clamped) - zero));
    }
    return bad == 0;
  }
  if (near && Over == WRAP) {
    i64 far = 0;
    const u32 lo = static_cast<u32>(rule.lo);
    const u32 last = static_cast<u32>(rule.hi) - lo;
    for (std::size_t l = 0; l < kLanes; ++l) {
      const double scaled = (rule.power ? x[l] * rule.scale : x[l] / rule.scale) + zero;
      const bool fits = scaled > -kNear && scaled < kNear;
      far |= fits ? 0 : 1;
      const i32 code = static_cast<i32>(round_near<Round>(fits ? scaled : 0.0) - zero);
      out[l] = static_cast<T>(static_cast<i32>(((static_cast<u32>(code) - lo) & last) + lo));
    }
    if (far == 0) {
      return true;
    }
  }
  for (std::size_t l = 0; l < kLanes; ++l) {
    if (value_status<Over>(x[l]) != HW_OK) {
      return false;
    }
    out[l] = static_cast<T>(code_of<Round, Over, ZeroFirst, Mantissa>(x[l], rule));
  }
  return true;
}

// Lanes to rows: codes, or code * scale, which is exact or rounded once.
template <typename T>
inline void codes_out(const T (&HW_RESTRICT lanes)[kLanes], std::size_t n, i64* rows, std::size_t stride) {
  for (std::size_t l = 0; l < n; ++l) {
    rows[l * stride] = static_cast<i64>(lanes[l]);
  }
}

template <typename T, typename Y>
inline void values_out(const T (&HW_RESTRICT lanes)[kLanes], std::size_t n, double scale, Y* rows, std::size_t stride) {
  for (std::size_t l = 0; l < n; ++l) {
    rows[l * stride] = static_cast<Y>(static_cast<double>(lanes[l]) * scale);
  }
}

// Working memory on the heap, 64-byte aligned; lost with the object.
template <typename T>
class Heap {
 public:
  Heap() noexcept : block_(std::malloc(sizeof(T) + 64)) {
    if (block_ != nullptr) {
      std::size_t space = sizeof(T) + 64;
      void* place = block_;
      work_ = ::new (std::align(64, sizeof(T), place, space)) T;
    }
  }
  Heap(const Heap&) = delete;
  Heap& operator=(const Heap&) = delete;
  Heap(Heap&&) = delete;
  Heap& operator=(Heap&&) = delete;
  ~Heap() { std::free(block_); }
  T* get() const noexcept { return work_; }

 private:
  void* block_;
  T* work_ = nullptr;
};
template <typename T>
class Stack {
 public:
  T* get() noexcept { return &work_; }

 private:
  T work_;
};

"""

GRID = """\
// An input without a quantiser takes numbers that are code * scale with a code in range.
inline Status grid_status(double x, double scale, i64 lo, i64 hi) {
  const double code = std::nearbyint(x / scale);
  if (!std::isfinite(x)) {
    return std::isnan(x) ? HW_NOT_A_NUMBER : HW_INFINITE;
  }
  if (code * scale != x || std::fabs(code) >= kFar) {
    return HW_OFF_GRID;
  }
  const i64 whole = static_cast<i64>(code);
  return whole < lo || whole > hi ? HW_OUT_OF_RANGE : HW_OK;
}

template <typename T>
bool grid_in(const double (&x)[kLanes], double scale, i64 lo, i64 hi, T (&out)[kLanes]) {
  for (std::size_t l = 0; l < kLanes; ++l) {
    if (grid_status(x[l], scale, lo, hi) != HW_OK) {
      return false;
    }
    out[l] = static_cast<T>(std::nearbyint(x[l] / scale));
  }
  return true;
}

"""

RATIOS = """\
// A scale that float64 does not hold: numerator and denominator as 32-bit digits, the lowest first; its two nearest
// float64, high and rest.
struct Ratio {
  const u32* numerator;
  std::size_t numerator_digits;
  const u32* denominator;
  std::size_t denominator_digits;
  double high;
  double rest;
};

constexpr std::size_t kDigits = @DIGITS@;

struct Whole {
  u32 digit[kDigits];

  Whole() noexcept : digit() {}
  Whole(const u32* digits, std::size_t n) noexcept : digit() { std::copy(digits, digits + n, digit); }

  int bits() const {
    for (std::size_t k = kDigits; k > 0; --k) {
      for (int b = 31; b >= 0; --b) {
        if (((digit[k - 1] >> static_cast<unsigned>(b)) & 1U) != 0) {
          return static_cast<int>(32 * (k - 1)) + b + 1;
        }
      }
    }
    return 0;
  }
  bool bit(int at) const {
    return at >= 0 && ((digit[at / 32] >> static_cast<unsigned>(at % 32)) & 1U) != 0;
  }
  void times(u32 factor) {
    u64 carry = 0;
    for (u32& d : digit) {
      carry += static_cast<u64>(d) * factor;
      d = static_cast<u32>(carry);
      carry >>= 32U;
    }
  }
  void plus(const Whole& other, std::size_t shift) {
    u64 carry = 0;
    for (std::size_t k = shift; k < kDigits; ++k) {
      carry += static_cast<u64>(digit[k]) + other.digit[k - shift];
      digit[k] = static_cast<u32>(carry);
      carry >>= 32U;
    }
  }
  void twice(u32 low) {
    for (u32& d : digit) {
      const u32 high = d >> 31U;
      d = (d << 1U) | low;
      low = high;
    }
  }
  bool reaches(const Whole& other) const {
    for (std::size_t k = kDigits; k > 0; --k) {
      if (digit[k - 1] != other.digit[k - 1]) {
        return digit[k - 1] > other.digit[k - 1];
      }
    }
    return true;
  }
  void minus(const Whole& other) {
    u64 borrow = 0;
    for (std::size_t k = 0; k < kDigits; ++k) {
      const u64 difference = static_cast<u64>(digit[k]) - other.digit[k] - borrow;
      digit[k] = static_cast<u32>(difference);
      borrow = (difference >> 63U) & 1U;
    }
  }
  bool zero() const {
    return std::all_of(digit, digit + kDigits, [](u32 d) { return d == 0; });
  }
};

// code * ratio in exact integers, rounded once to nearest, ties to even.
double ratio_exact(i64 code, const Ratio& ratio) {
  if (code == 0) {
    return 0.0;
  }
  const u64 size = code < 0 ? 0 - static_cast<u64>(code) : static_cast<u64>(code);
  const Whole numerator(ratio.numerator, ratio.numerator_digits);
  Whole denominator(ratio.denominator, ratio.denominator_digits);
  Whole product(numerator);
  product.times(static_cast<u32>(size));
  Whole upper(numerator);
  upper.times(static_cast<u32>(size >> 32U));
  product.plus(upper, 1);
  // A quotient of 63 or 64 bits, one at a time, of product * 2^shift and the denominator.
  const int product_bits = product.bits();
  const int shift = denominator.bits() - product_bits + 63;
  for (int k = shift; k < 0; ++k) {
    denominator.twice(0);
  }
  u64 quotient = 0;
  Whole rest;
  for (int at = product_bits + std::max(shift, 0) - 1; at >= 0; --at) {
    rest.twice(product.bit(at - std::max(shift, 0)) ? 1U : 0U);
    const bool reached = rest.reaches(denominator);
    if (reached) {
      rest.minus(denominator);
    }
    quotient = (quotient << 1U) | (reached ? 1U : 0U);
  }
  const int length = (quotient >> 63U) != 0 ? 64 : 63;
  const int exponent = length - 1 - shift;
  const int kept = exponent >= -1022 ? 53 : 53 - (-1022 - exponent);
  if (kept < 0) {
    return code < 0 ? -0.0 : 0.0;
  }
  const unsigned dropped = static_cast<unsigned>(length - kept);
  const u64 low = dropped < 64 ? quotient & ((u64{1} << dropped) - 1) : quotient;
  const u64 half = u64{1} << (dropped - 1);
  u64 whole = dropped < 64 ? quotient >> dropped : 0;
  if (low > half || (low == half && (!rest.zero() || (whole & 1U) != 0))) {
    ++whole;
  }
  const double result = std::ldexp(static_cast<double>(whole), static_cast<int>(dropped) - shift);
  return code < 0 ? -result : result;
}

// The same, fast where the two halves of the scale leave no doubt about the last bit.
inline double ratio_times(i64 code, const Ratio& ratio) {
  if (ratio.high > 1e-200 && ratio.high < 1e200 && code > -9007199254740992 && code < 9007199254740992) {
    const double c = static_cast<double>(code);
    const double product = c * ratio.high;
    const double small = std::fma(c, ratio.high, -product) + c * ratio.rest;
    const double doubt = std::fabs(small) * 3.552713678800501e-15 + std::fabs(product) * 3.1554436208840472e-30;
    const double result = product + (small - doubt);
    if (result == product + (small + doubt)) {
      return result;
    }
  }
  return ratio_exact(code, ratio);
}

template <typename T, typename Y>
void ratios_out(const T (&lanes)[kLanes], std::size_t n, const Ratio& ratio, Y* rows, std::size_t stride) {
  for (std::size_t l = 0; l < n; ++l) {
    rows[l * stride] = static_cast<Y>(ratio_times(static_cast<i64>(lanes[l]), ratio));
  }
}

"""
