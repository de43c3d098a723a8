// Integers of any width: what the stand-ins `ap_int.h` and `ac_int.h` have in common.
//
// Part of hardwire, Apache-2.0; written from the documented behaviour of the types, for C simulation with g++ or clang.
// In a vendor's tool the vendor's own headers take the place of this folder.
//
// A family of types is a class template F<width, is signed> that derives from hw::Integer<F, width, is signed>. A value
// is kept as the signed number that it means, in the smallest type that holds it, so that an expression is computed
// without loss: results have the width that every value of the operands needs, and only an assignment wraps.

#ifndef HARDWIRE_HW_INT_H
#define HARDWIRE_HW_INT_H

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <istream>
#include <limits>
#include <ostream>
#include <string>
#include <type_traits>

namespace hw {

__extension__ typedef __int128 int128;
__extension__ typedef unsigned __int128 uint128;

[[noreturn]] inline void fail(const char *what) {
  std::fprintf(stderr, "simulation stopped: %s\n", what);
  std::abort();
}

constexpr int larger(int a, int b) { return a > b ? a : b; }
constexpr int smaller(int a, int b) { return a < b ? a : b; }

// ---- Numbers of more than 128 bits: N words in two's complement, the lowest word first; arithmetic is modulo 2^64N.
template <int N>
struct Wide {
  std::uint64_t word[static_cast<unsigned>(N)];

  Wide() : word() {}
  Wide(int128 x) {
    for (int i = 0; i < N; ++i) {
      word[i] = static_cast<std::uint64_t>(x);
      x >>= 64;
    }
  }
  template <int M>
  explicit Wide(const Wide<M> &x) {
    for (int i = 0; i < N; ++i) word[i] = i < M ? x.word[i] : x.fill();
  }
  explicit operator int128() const {
    return static_cast<int128>(static_cast<uint128>(word[1]) << 64 | static_cast<uint128>(word[0]));
  }
  explicit operator std::int64_t() const { return static_cast<std::int64_t>(word[0]); }

  bool negative() const { return (word[N - 1] >> 63) != 0; }
  std::uint64_t fill() const { return negative() ? ~static_cast<std::uint64_t>(0) : 0; }

  Wide operator~() const {
    Wide r;
    for (int i = 0; i < N; ++i) r.word[i] = ~word[i];
    return r;
  }
  Wide operator-() const { return ~*this + Wide(1); }
  Wide operator+(const Wide &y) const {
    Wide r;
    uint128 carry = 0;
    for (int i = 0; i < N; ++i) {
      carry += static_cast<uint128>(word[i]) + y.word[i];
      r.word[i] = static_cast<std::uint64_t>(carry);
      carry >>= 64;
    }
    return r;
  }
  Wide operator-(const Wide &y) const { return *this + ~y + Wide(1); }
  Wide operator*(const Wide &y) const {
    Wide r;
    for (int i = 0; i < N; ++i) {
      uint128 carry = 0;
      for (int j = 0; i + j < N; ++j) {
        carry += static_cast<uint128>(word[i]) * y.word[j] + r.word[i + j];
        r.word[i + j] = static_cast<std::uint64_t>(carry);
        carry >>= 64;
      }
    }
    return r;
  }
  Wide operator&(const Wide &y) const {
    Wide r;
    for (int i = 0; i < N; ++i) r.word[i] = word[i] & y.word[i];
    return r;
  }
  Wide operator|(const Wide &y) const {
    Wide r;
    for (int i = 0; i < N; ++i) r.word[i] = word[i] | y.word[i];
    return r;
  }
  Wide operator^(const Wide &y) const {
    Wide r;
    for (int i = 0; i < N; ++i) r.word[i] = word[i] ^ y.word[i];
    return r;
  }
  Wide left(int n) const {
    Wide r;
    const int words = n / 64, bits = n % 64;
    for (int i = N - 1; i >= words; --i) {
      r.word[i] = word[i - words] << bits;
      if (bits != 0 && i > words) r.word[i] |= word[i - words - 1] >> (64 - bits);
    }
    return r;
  }
  Wide right(int n) const {
    Wide r;
    const int words = n / 64, bits = n % 64;
    for (int i = 0; i < N; ++i) {
      const std::uint64_t low = i + words < N ? word[i + words] : fill();
      const std::uint64_t high = i + words + 1 < N ? word[i + words + 1] : fill();
      r.word[i] = bits == 0 ? low : (low >> bits | high << (64 - bits));
    }
    return r;
  }
  // Quotient and remainder of magnitudes, bit by bit.
  static void divide(const Wide &x, const Wide &y, Wide &quotient, Wide &rest) {
    quotient = rest = Wide();
    for (int i = 64 * N - 1; i >= 0; --i) {
      rest = rest.left(1);
      rest.word[0] |= (x.word[i / 64] >> (i % 64)) & 1;
      if (!(rest < y)) {
        rest = rest - y;
        quotient.word[i / 64] |= static_cast<std::uint64_t>(1) << (i % 64);
      }
    }
  }
  Wide operator/(const Wide &y) const {
    Wide quotient, rest;
    divide(negative() ? -*this : *this, y.negative() ? -y : y, quotient, rest);
    return negative() != y.negative() ? -quotient : quotient;
  }
  Wide operator%(const Wide &y) const {
    Wide quotient, rest;
    divide(negative() ? -*this : *this, y.negative() ? -y : y, quotient, rest);
    return negative() ? -rest : rest;
  }
  bool operator==(const Wide &y) const {
    for (int i = 0; i < N; ++i)
      if (word[i] != y.word[i]) return false;
    return true;
  }
  bool operator<(const Wide &y) const {
    if (negative() != y.negative()) return negative();
    for (int i = N - 1; i >= 0; --i)
      if (word[i] != y.word[i]) return word[i] < y.word[i];
    return false;
  }
};

// ---- Num<B>: the type that holds a signed number of B bits; the same few functions for each kind of it.
template <int Kind>
struct Pick {
  typedef Wide<Kind> type;
};
template <>
struct Pick<1> {
  typedef std::int64_t type;
};
template <>
struct Pick<2> {
  typedef int128 type;
};
template <int B>
using Num = typename Pick<(B + 63) / 64>::type;

template <class T>
struct Unsigned {
  typedef std::uint64_t type;
};
template <>
struct Unsigned<int128> {
  typedef uint128 type;
};

template <class T>
inline T shift_left(T x, int n) {
  typedef typename Unsigned<T>::type U;
  return static_cast<T>(static_cast<U>(x) << n);
}
template <int N>
inline Wide<N> shift_left(const Wide<N> &x, int n) {
  return x.left(n);
}
template <class T>
inline T shift_right(T x, int n) {
  return x >> n;
}
template <int N>
inline Wide<N> shift_right(const Wide<N> &x, int n) {
  return x.right(n);
}

// The low W bits of `x`, read as a number with or without a sign.
template <int W, bool S, class T>
inline Num<W + !S> wrap(const T &x) {
  typedef Num<W + !S> R;
  constexpr int spare = static_cast<int>(8 * sizeof(R)) - W;
  const R y = static_cast<R>(x);
  if (S) return shift_right(shift_left(y, spare), spare);
  return y & ~shift_left(R(-1), W);
}

inline double to_double(std::int64_t x) { return static_cast<double>(x); }
inline double to_double(int128 x) { return static_cast<double>(x); }
template <int N>
inline double to_double(const Wide<N> &x) {
  // Rounded once: the bits below the top 128 matter only by whether one of them is set.
  Wide<N> m = x.negative() ? -x : x;
  int exponent = 0;
  while (m.right(126).word[0] != 0 || !(m.right(126) == Wide<N>())) {
    const std::uint64_t lost = m.word[0] & 0xffff;
    m = m.right(16);
    m.word[0] |= lost != 0;
    exponent += 16;
  }
  const double magnitude = std::ldexp(static_cast<double>(static_cast<int128>(m)), exponent);
  return x.negative() ? -magnitude : magnitude;
}

// The integer part of a double, modulo two to the bits of T.
template <class T>
inline T from_double(double x) {
  if (std::isnan(x) || std::isinf(x)) return T(0);
  int exponent = 0;
  const double fraction = std::frexp(x, &exponent);  // |x| = fraction 2^exponent, 0.5 <= |fraction| < 1
  std::int64_t mantissa = static_cast<std::int64_t>(std::ldexp(fraction, 53));
  exponent -= 53;
  if (exponent <= -63) return T(0);
  if (exponent < 0) return T(mantissa / (static_cast<std::int64_t>(1) << -exponent));
  if (exponent >= static_cast<int>(8 * sizeof(T))) return T(0);
  return shift_left(T(mantissa), exponent);
}

// ---- Width and sign of results, by width and sign of the operands (W, S and V, T): every value fits.
constexpr int both(int w, bool s, int v, bool t) { return larger(w + (t && !s), v + (s && !t)); }
constexpr int plus_width(int w, bool s, int v, bool t) { return both(w, s, v, t) + 1; }
constexpr bool plus_sign(bool s, bool t) { return s || t; }
constexpr int minus_width(int w, bool s, int v, bool t) { return both(w, s, v, t) + 1; }
constexpr bool minus_sign(bool, bool) { return true; }
constexpr int times_width(int w, bool, int v, bool) { return w + v; }
constexpr bool times_sign(bool s, bool t) { return s || t; }
constexpr int over_width(int w, bool, int, bool t) { return w + t; }
constexpr bool over_sign(bool s, bool t) { return s || t; }
constexpr int rest_width(int w, bool s, int v, bool t) { return smaller(w, v + (s && !t)); }
constexpr bool rest_sign(bool s, bool) { return s; }
constexpr int bits_width(int w, bool s, int v, bool t) { return both(w, s, v, t); }
constexpr bool bits_sign(bool s, bool t) { return s || t; }

// ---- The value, and what every family does alike. F<W, S> derives from Integer<F, W, S>.
template <template <int, bool> class F, int W, bool S>
class Integer {
  static_assert(W >= 1, "an integer needs at least one bit");

 public:
  typedef Num<W + !S> Value;
  static const int width = W;
  static const bool is_signed = S;

  Integer() : value() {}
  Integer(const Integer &) = default;
  Integer &operator=(const Integer &) = default;

  template <int V, bool T>
  explicit Integer(const Integer<F, V, T> &x) : value(wrap<W, S>(x.value)) {}
  template <class C, typename std::enable_if<std::is_integral<C>::value, int>::type = 0>
  explicit Integer(C x) : value(wrap<W, S>(static_cast<Num<8 * sizeof(C) + std::is_unsigned<C>::value>>(x))) {}
  template <class C, typename std::enable_if<std::is_floating_point<C>::value, int>::type = 0>
  explicit Integer(C x) : value(wrap<W, S>(from_double<Num<larger(W + 1, 64)>>(static_cast<double>(x)))) {}

  // A value that is known to fit.
  static F<W, S> of(const Value &x) {
    F<W, S> r;
    r.value = x;
    return r;
  }

  int to_int() const { return static_cast<int>(to_int64()); }
  unsigned to_uint() const { return static_cast<unsigned>(to_int64()); }
  long to_long() const { return static_cast<long>(to_int64()); }
  unsigned long to_ulong() const { return static_cast<unsigned long>(to_int64()); }
  long long to_int64() const { return static_cast<long long>(static_cast<std::int64_t>(value)); }
  unsigned long long to_uint64() const { return static_cast<unsigned long long>(to_int64()); }
  double to_double() const { return hw::to_double(value); }
  int length() const { return W; }

  bool bit_at(int i) const { return (static_cast<std::int64_t>(shift_right(value, i)) & 1) != 0; }
  void set_bit_at(int i, bool b) {
    const Value mask = shift_left(Value(1), i);
    value = wrap<W, S>(b ? value | mask : value & ~mask);
  }
  static void check_bit(int i) {
    if (i < 0 || i >= W) fail("a bit outside of the integer is accessed");
  }

  bool and_reduce() const { return value == (S ? Value(-1) : ~shift_left(Value(-1), W)); }
  bool or_reduce() const { return !(value == Value(0)); }
  bool xor_reduce() const {
    bool parity = false;
    for (int i = 0; i < W; ++i) parity ^= bit_at(i);
    return parity;
  }
  F<W, S> reversed() const {
    F<W, S> r;
    for (int i = 0; i < W; ++i) r.set_bit_at(i, bit_at(W - 1 - i));
    return r;
  }

  // As the distance of a shift: what is beyond 64 bits shifts out everything.
  long long distance() const {
    constexpr long long most = std::numeric_limits<int>::max();
    if (value < Value(-most)) return -most;
    return Value(most) < value ? most : to_int64();
  }
  // A shift keeps the type of what is shifted; a negative distance shifts the other way.
  F<W, S> shifted_left(long long n) const { return n < 0 ? right_by(-n) : left_by(n); }
  F<W, S> shifted_right(long long n) const { return n < 0 ? left_by(-n) : right_by(n); }

  // Digits with a minus sign for a negative number.
  std::string digits(int base) const {
    typedef Num<larger(W + 1, 64)> N;
    N left = static_cast<N>(value);
    const bool negative = left < N(0);
    if (negative) left = N(0) - left;
    std::string text;
    do {
      const int digit = static_cast<int>(static_cast<std::int64_t>(left % N(base)));
      text.insert(text.begin(), "0123456789abcdef"[digit]);
      left = left / N(base);
    } while (!(left == N(0)));
    return negative ? "-" + text : text;
  }
  // The inverse of `digits`, modulo 2^W.
  static F<W, S> parsed(const char *text, int base) {
    typedef Num<larger(W + 9, 64)> N;
    const bool negative = *text == '-';
    if (*text == '-' || *text == '+') ++text;
    const char prefix = base == 16 ? 'x' : base == 2 ? 'b' : base == 8 ? 'o' : '0';
    if (text[0] == '0' && text[1] != 0 && (text[1] | ' ') == prefix) text += 2;
    if (*text == 0) fail("an integer is read from a text without digits");
    N sum(0);
    for (; *text != 0; ++text) {
      const int digit = digit_of(*text);
      if (digit >= base) fail("an integer is read from a text that is no number of its base");
      sum = static_cast<N>(wrap<W + 1, true>(sum * N(base) + N(digit)));
    }
    return of(wrap<W, S>(negative ? N(0) - sum : sum));
  }

  Value value;

 private:
  F<W, S> left_by(long long n) const {
    return of(n >= W ? Value(0) : wrap<W, S>(shift_left(value, static_cast<int>(n))));
  }
  F<W, S> right_by(long long n) const { return of(shift_right(value, static_cast<int>(n >= W ? W - S : n))); }
  static int digit_of(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 99;
  }
};

template <template <int, bool> class F, int W, bool S>
const int Integer<F, W, S>::width;
template <template <int, bool> class F, int W, bool S>
const bool Integer<F, W, S>::is_signed;

// The C integer that an integer turns into where one is needed; wider ones have to be asked.
struct None {
  explicit None(long long) {}
};
template <int W, bool S>
using Native = typename std::conditional<
    (W > 64), None,
    typename std::conditional<(W + !S > 64), unsigned long long,
                              typename std::conditional<(W + !S > 32), long long, int>::type>::type>::type;

// ---- Arithmetic. Every operator is there for two integers of a family, and for one and a C integer on either side.
// bool counts as one bit without a sign, every other C integer as its own width.
template <class C, typename std::enable_if<std::is_integral<C>::value, int>::type = 0>
struct CType {
  static constexpr int width = std::is_same<C, bool>::value ? 1 : static_cast<int>(8 * sizeof(C));
  static constexpr bool sign = std::is_signed<C>::value;
};

#define HW_INTEGER template <int, bool> class F, int W, bool S
#define HW_LIFTED(C) F<CType<C>::width, CType<C>::sign>

#define HW_OPERATOR(OP, RULE, EXPRESSION)                                                                             \
  template <HW_INTEGER, int V, bool T>                                                                                \
  inline F<RULE##_width(W, S, V, T), RULE##_sign(S, T)> operator OP(const Integer<F, W, S> &x,                        \
                                                                    const Integer<F, V, T> &y) {                      \
    typedef F<RULE##_width(W, S, V, T), RULE##_sign(S, T)> R;                                                         \
    typedef Num<larger(R::width + !R::is_signed, larger(W + !S, V + !T))> N;                                          \
    const N a = static_cast<N>(x.value), b = static_cast<N>(y.value);                                                 \
    return R::of(static_cast<typename R::Value>(EXPRESSION));                                                         \
  }                                                                                                                   \
  template <HW_INTEGER, class C>                                                                                      \
  inline F<RULE##_width(W, S, CType<C>::width, CType<C>::sign), RULE##_sign(S, CType<C>::sign)> operator OP(          \
      const Integer<F, W, S> &x, C y) {                                                                               \
    return x OP HW_LIFTED(C)(y);                                                                                      \
  }                                                                                                                   \
  template <HW_INTEGER, class C>                                                                                      \
  inline F<RULE##_width(CType<C>::width, CType<C>::sign, W, S), RULE##_sign(CType<C>::sign, S)> operator OP(          \
      C x, const Integer<F, W, S> &y) {                                                                               \
    return HW_LIFTED(C)(x) OP y;                                                                                      \
  }                                                                                                                   \
  template <HW_INTEGER, int V, bool T>                                                                                \
  inline F<W, S> &operator OP##=(Integer<F, W, S> &x, const Integer<F, V, T> &y) {                                    \
    x.value = wrap<W, S>((x OP y).value);                                                                             \
    return static_cast<F<W, S> &>(x);                                                                                 \
  }                                                                                                                   \
  template <HW_INTEGER, class C>                                                                                      \
  inline typename std::enable_if<std::is_integral<C>::value, F<W, S>>::type &operator OP##=(                          \
      Integer<F, W, S> &x, C y) {                                                                                     \
    x.value = wrap<W, S>((x OP y).value);                                                                             \
    return static_cast<F<W, S> &>(x);                                                                                 \
  }

template <class N>
inline N divided(const N &a, const N &b) {
  if (b == N(0)) fail("a division by zero");
  return a / b;
}
template <class N>
inline N remainder(const N &a, const N &b) {
  if (b == N(0)) fail("a division by zero");
  return b == N(-1) ? N(0) : a % b;  // The smallest integer has no quotient by -1 of its own type.
}

HW_OPERATOR(+, plus, a + b)
HW_OPERATOR(-, minus, a - b)
HW_OPERATOR(*, times, a *b)
HW_OPERATOR(/, over, divided(a, b))
HW_OPERATOR(%, rest, remainder(a, b))
HW_OPERATOR(&, bits, a &b)
HW_OPERATOR(|, bits, a | b)
HW_OPERATOR(^, bits, a ^ b)

#define HW_COMPARISON(OP, EXPRESSION)                                                                                 \
  template <HW_INTEGER, int V, bool T>                                                                                \
  inline bool operator OP(const Integer<F, W, S> &x, const Integer<F, V, T> &y) {                                     \
    typedef Num<larger(W + !S, V + !T)> N;                                                                            \
    const N a = static_cast<N>(x.value), b = static_cast<N>(y.value);                                                 \
    return EXPRESSION;                                                                                                \
  }                                                                                                                   \
  template <HW_INTEGER, class C>                                                                                      \
  inline typename std::enable_if<std::is_integral<C>::value, bool>::type operator OP(                                 \
      const Integer<F, W, S> &x, C y) {                                                                               \
    return x OP HW_LIFTED(C)(y);                                                                                      \
  }                                                                                                                   \
  template <HW_INTEGER, class C>                                                                                      \
  inline typename std::enable_if<std::is_integral<C>::value, bool>::type operator OP(                                 \
      C x, const Integer<F, W, S> &y) {                                                                               \
    return HW_LIFTED(C)(x) OP y;                                                                                      \
  }

HW_COMPARISON(==, a == b)
HW_COMPARISON(!=, !(a == b))
HW_COMPARISON(<, a < b)
HW_COMPARISON(>, b < a)
HW_COMPARISON(<=, !(b < a))
HW_COMPARISON(>=, !(a < b))

#define HW_SHIFT(OP, DIRECTION)                                                                                       \
  template <HW_INTEGER, int V, bool T>                                                                                \
  inline F<W, S> operator OP(const Integer<F, W, S> &x, const Integer<F, V, T> &y) {                                  \
    return x.DIRECTION(y.distance());                                                                                 \
  }                                                                                                                   \
  template <HW_INTEGER, class C>                                                                                      \
  inline F<smaller(W, W + CType<C>::width), S> operator OP(const Integer<F, W, S> &x, C y) {                          \
    return x.DIRECTION(HW_LIFTED(C)(y).distance());                                                                   \
  }                                                                                                                   \
  template <HW_INTEGER, class Y>                                                                                      \
  inline F<W, S> &operator OP##=(Integer<F, W, S> &x, const Y &y) {                                                   \
    x.value = (x OP y).value;                                                                                         \
    return static_cast<F<W, S> &>(x);                                                                                 \
  }

HW_SHIFT(<<, shifted_left)
HW_SHIFT(>>, shifted_right)

#undef HW_OPERATOR
#undef HW_COMPARISON
#undef HW_SHIFT
#undef HW_LIFTED

template <HW_INTEGER>
inline F<W, S> operator+(const Integer<F, W, S> &x) {
  return F<W, S>::of(x.value);
}
template <HW_INTEGER>
inline F<W + 1, true> operator-(const Integer<F, W, S> &x) {
  typedef F<W + 1, true> R;
  return R::of(typename R::Value(0) - static_cast<typename R::Value>(x.value));
}
template <HW_INTEGER>
inline bool operator!(const Integer<F, W, S> &x) {
  return !x.or_reduce();
}
template <HW_INTEGER>
inline F<W, S> &operator++(Integer<F, W, S> &x) {
  return x += true;
}
template <HW_INTEGER>
inline F<W, S> &operator--(Integer<F, W, S> &x) {
  return x -= true;
}
template <HW_INTEGER>
inline F<W, S> operator++(Integer<F, W, S> &x, int) {
  const F<W, S> before = F<W, S>::of(x.value);
  x += true;
  return before;
}
template <HW_INTEGER>
inline F<W, S> operator--(Integer<F, W, S> &x, int) {
  const F<W, S> before = F<W, S>::of(x.value);
  x -= true;
  return before;
}

template <HW_INTEGER>
inline std::ostream &operator<<(std::ostream &stream, const Integer<F, W, S> &x) {
  const std::ios_base::fmtflags base = stream.flags() & std::ios_base::basefield;
  return stream << x.digits(base == std::ios_base::hex ? 16 : base == std::ios_base::oct ? 8 : 10);
}
template <HW_INTEGER>
inline std::istream &operator>>(std::istream &stream, Integer<F, W, S> &x) {
  std::string text;
  if (stream >> text) x.value = Integer<F, W, S>::parsed(text.c_str(), 10).value;
  return stream;
}

#undef HW_INTEGER

}  // namespace hw

#endif
