// ap_fixed<W, I, Q, O> and ap_ufixed<W, I, Q, O>: the fixed-point numbers of Vitis HLS and Vivado HLS.
//
// Part of hardwire, Apache-2.0; written from the documented behaviour (AMD UG1399) for C simulation with g++ or clang,
// and only the part that designs need: no division, no AP_WRAP_SM and no saturation bits. In Vitis HLS the vendor's
// header takes the place of this one.
//
// A number of W bits, I of them before the binary point, is its bits read as an integer times 2^(I - W). + - * & | ^
// are exact in a type that is wide enough; << >> keep the type and lose bits; an assignment first rounds as Q says,
// then brings the number into range as O says. `x.range(high, low)` and `x[i]` are its bits.

#ifndef HARDWIRE_AP_FIXED_H
#define HARDWIRE_AP_FIXED_H

#include "ap_int.h"

enum ap_q_mode {
  AP_RND,          // to the nearest, halves towards plus infinity
  AP_RND_ZERO,     // to the nearest, halves towards zero
  AP_RND_MIN_INF,  // to the nearest, halves towards minus infinity
  AP_RND_INF,      // to the nearest, halves away from zero
  AP_RND_CONV,     // to the nearest, halves to the even neighbour
  AP_TRN,          // towards minus infinity
  AP_TRN_ZERO      // towards zero
};
enum ap_o_mode {
  AP_SAT,       // to the nearest end of the range
  AP_SAT_ZERO,  // to zero
  AP_SAT_SYM,   // as AP_SAT, and the most negative number is not used (one signed bit is 0 then)
  AP_WRAP,      // modulo 2^I
  AP_WRAP_SM    // not here
};

namespace hw {

// x / 2^n rounded, n at least 1; T has more bits than n.
template <ap_q_mode Q, class T>
inline T rounded(const T &x, int n) {
  const T below = shift_right(x, n);
  const T rest = x - shift_left(below, n);
  const T half = shift_left(T(1), n - 1);
  const bool negative = x < T(0), tie = rest == half, more = half < rest;
  const bool up = Q == AP_TRN           ? false
                  : Q == AP_TRN_ZERO    ? negative && !(rest == T(0))
                  : Q == AP_RND         ? more || tie
                  : Q == AP_RND_ZERO    ? more || (tie && negative)
                  : Q == AP_RND_MIN_INF ? more
                  : Q == AP_RND_INF     ? more || (tie && !negative)
                                        : more || (tie && !((below & T(1)) == T(0)));
  return up ? below + T(1) : below;
}

// x brought into the range of W bits; T has more bits than W.
template <int W, bool S, ap_o_mode O, class T>
inline Num<W + !S> limited(const T &x) {
  typedef Num<W + !S> R;
  if (O == AP_WRAP) return wrap<W, S>(x);
  const T high = ~shift_left(T(-1), S ? W - 1 : W);
  const T low = !S ? T(0) : O == AP_SAT_SYM ? T(0) - high : ~high;
  if (!(x < low) && !(high < x)) return static_cast<R>(x);
  if (O == AP_SAT_ZERO) return R(0);
  return static_cast<R>(x < low ? low : high);
}

}  // namespace hw

template <int W, int I, bool S, ap_q_mode Q = AP_TRN, ap_o_mode O = AP_WRAP, int N = 0>
class ap_fixed_base {
  static_assert(N == 0, "saturation bits are not in hardwire's header");
  static_assert(O != AP_WRAP_SM, "AP_WRAP_SM is not in hardwire's header");

 public:
  static const int width = W;
  static const int iwidth = I;
  static const bool sign_flag = S;
  static const ap_q_mode qmode = Q;
  static const ap_o_mode omode = O;
  // The bits; the number is this integer times 2^(I - W).
  ap_int_base<W, S> raw;

  ap_fixed_base() {}
  template <int V, int J, bool T, ap_q_mode R, ap_o_mode P>
  ap_fixed_base(const ap_fixed_base<V, J, T, R, P> &x) : raw(ap_int_base<W, S>::of(scaled<V, V - J, T>(x.raw.value))) {}
  template <int V, bool T>
  ap_fixed_base(const ap_int_base<V, T> &x) : raw(ap_int_base<W, S>::of(scaled<V, 0, T>(x.value))) {}
  template <class C, typename std::enable_if<std::is_integral<C>::value, int>::type = 0>
  ap_fixed_base(C x) : ap_fixed_base(ap_int_base<hw::CType<C>::width, hw::CType<C>::sign>(x)) {}
  ap_fixed_base(double x) : raw(ap_int_base<W, S>::of(nearest(x))) {}
  ap_fixed_base(float x) : ap_fixed_base(static_cast<double>(x)) {}

  // The number without its fraction (towards zero), in W bits less the fraction's or more where I is larger.
  ap_int_base<(I > 1 ? I : 1), S> to_ap_int_base() const {
    return ap_fixed_base<(I > 1 ? I : 1), (I > 1 ? I : 1), S, AP_TRN_ZERO, AP_WRAP>(*this).raw;
  }
  template <int V>
  operator ap_int<V>() const {
    return ap_int<V>(to_ap_int_base());
  }
  template <int V>
  operator ap_uint<V>() const {
    return ap_uint<V>(to_ap_int_base());
  }
  int to_int() const { return to_ap_int_base().to_int(); }
  unsigned to_uint() const { return to_ap_int_base().to_uint(); }
  long to_long() const { return to_ap_int_base().to_long(); }
  long long to_int64() const { return to_ap_int_base().to_int64(); }
  unsigned long long to_uint64() const { return to_ap_int_base().to_uint64(); }
  double to_double() const { return std::ldexp(raw.to_double(), I - W); }
  float to_float() const { return static_cast<float>(to_double()); }
  explicit operator double() const { return to_double(); }
  explicit operator float() const { return to_float(); }
  explicit operator int() const { return to_int(); }
  explicit operator long long() const { return to_int64(); }
  explicit operator bool() const { return raw.or_reduce(); }

  int length() const { return W; }
  bool is_neg() const { return raw.sign(); }
  bool is_zero() const { return !raw.or_reduce(); }

  // The bits, which can be assigned to.
  ap_bit_ref<W, S> operator[](int i) { return raw[i]; }
  bool operator[](int i) const { return raw[i]; }
  ap_range_ref<W, S> range(int high, int low) { return raw.range(high, low); }
  ap_range_ref<W, S> range() { return raw.range(); }
  ap_range_ref<W, S> operator()(int high, int low) { return raw.range(high, low); }
  ap_int_base<W, false> range(int high, int low) const { return raw.range(high, low); }
  ap_int_base<W, false> range() const { return raw.range(); }
  ap_int_base<W, false> operator()(int high, int low) const { return raw.range(high, low); }

  ap_fixed_base operator+() const { return *this; }
  ap_fixed_base<W + 1, I + 1, true> operator-() const {
    ap_fixed_base<W + 1, I + 1, true> r;
    r.raw = -raw;
    return r;
  }
  ap_fixed_base operator~() const {
    ap_fixed_base r;
    r.raw = ~raw;
    return r;
  }
  bool operator!() const { return is_zero(); }
  ap_fixed_base &operator++() { return *this = ap_fixed_base(*this + 1); }
  ap_fixed_base &operator--() { return *this = ap_fixed_base(*this - 1); }
  ap_fixed_base operator++(int) {
    const ap_fixed_base before = *this;
    ++*this;
    return before;
  }
  ap_fixed_base operator--(int) {
    const ap_fixed_base before = *this;
    --*this;
    return before;
  }
  ap_fixed_base operator<<(int n) const {
    ap_fixed_base r;
    r.raw = raw << n;
    return r;
  }
  ap_fixed_base operator>>(int n) const {
    ap_fixed_base r;
    r.raw = raw >> n;
    return r;
  }
  ap_fixed_base &operator<<=(int n) { return *this = *this << n; }
  ap_fixed_base &operator>>=(int n) { return *this = *this >> n; }

  // The bits with more of them behind the point, F in all.
  template <int F>
  ap_int_base<I + F, S> aligned() const {
    return ap_int_base<I + F, S>(raw) << (F - (W - I));
  }

 private:
  // The bits of x 2^-G, an integer of V bits, in this type.
  template <int V, int G, bool T>
  static hw::Num<W + !S> scaled(const hw::Num<V + !T> &x) {
    constexpr int lost = G - (W - I);
    constexpr int down = lost > 0 ? lost : 0, up = lost > 0 ? 0 : -lost;
    typedef hw::Num<hw::larger(V + up, hw::larger(down, W)) + 2> M;
    const M exact = hw::shift_left(static_cast<M>(x), up);
    return hw::limited<W, S, O>(down == 0 ? exact : hw::rounded<Q>(exact, down == 0 ? 1 : down));
  }
  static hw::Num<W + !S> nearest(double x) {
    typedef hw::Num<W + 64 + 56> M;
    if (std::isnan(x) || std::isinf(x)) hw::fail("a fixed-point number is made of one that is not finite");
    int exponent = 0;
    const double fraction = std::frexp(x, &exponent);
    std::int64_t mantissa = static_cast<std::int64_t>(std::ldexp(fraction, 53));
    exponent += W - I - 53;  // The bits are mantissa 2^exponent.
    if (exponent >= 0) return hw::limited<W, S, O>(hw::shift_left(M(mantissa), hw::smaller(exponent, W + 64)));
    if (exponent < -60) {  // Far less than half: a quarter rounds alike.
      mantissa = (mantissa > 0) - (mantissa < 0);
      exponent = -2;
    }
    return hw::limited<W, S, O>(M(hw::rounded<Q>(mantissa, -exponent)));
  }
};

template <int W, int I, bool S, ap_q_mode Q, ap_o_mode O, int N>
const int ap_fixed_base<W, I, S, Q, O, N>::width;
template <int W, int I, bool S, ap_q_mode Q, ap_o_mode O, int N>
const int ap_fixed_base<W, I, S, Q, O, N>::iwidth;
template <int W, int I, bool S, ap_q_mode Q, ap_o_mode O, int N>
const bool ap_fixed_base<W, I, S, Q, O, N>::sign_flag;
template <int W, int I, bool S, ap_q_mode Q, ap_o_mode O, int N>
const ap_q_mode ap_fixed_base<W, I, S, Q, O, N>::qmode;
template <int W, int I, bool S, ap_q_mode Q, ap_o_mode O, int N>
const ap_o_mode ap_fixed_base<W, I, S, Q, O, N>::omode;

// ---- Arithmetic: that of the bits, with as many behind the point in both operands; an ap_int or a C integer on either
// side counts as a number without a fraction.
namespace hw {

// An integer with F bits behind the point.
template <int F, int W, bool S>
inline ap_fixed_base<W, W - F, S> pointed(const ap_int_base<W, S> &bits) {
  ap_fixed_base<W, W - F, S> r;
  r.raw = bits;
  return r;
}
template <class C>
using Whole = ap_fixed_base<CType<C>::width, CType<C>::width, CType<C>::sign>;
template <class C, class R>
using IfReal = typename std::enable_if<std::is_floating_point<C>::value, R>::type;

}  // namespace hw

#define HW_FIXED int W, int I, bool S, ap_q_mode Q, ap_o_mode O
#define HW_OTHER int V, int J, bool T, ap_q_mode R, ap_o_mode P

#define HW_MIXED(OP)                                                                                                  \
  template <HW_FIXED, int V, bool T>                                                                                  \
  inline auto operator OP(const ap_fixed_base<W, I, S, Q, O> &x, const ap_int_base<V, T> &y) {                        \
    return x OP hw::pointed<0>(y);                                                                                    \
  }                                                                                                                   \
  template <HW_FIXED, int V, bool T>                                                                                  \
  inline auto operator OP(const ap_int_base<V, T> &x, const ap_fixed_base<W, I, S, Q, O> &y) {                        \
    return hw::pointed<0>(x) OP y;                                                                                    \
  }                                                                                                                   \
  template <HW_FIXED, class C, class D = hw::Whole<C>>                                                                \
  inline auto operator OP(const ap_fixed_base<W, I, S, Q, O> &x, C y) {                                               \
    return x OP D(y);                                                                                                 \
  }                                                                                                                   \
  template <HW_FIXED, class C, class D = hw::Whole<C>>                                                                \
  inline auto operator OP(C x, const ap_fixed_base<W, I, S, Q, O> &y) {                                               \
    return D(x) OP y;                                                                                                 \
  }

#define HW_ASSIGNING(OP)                                                                                              \
  HW_MIXED(OP)                                                                                                        \
  template <HW_FIXED, class Y>                                                                                        \
  inline ap_fixed_base<W, I, S, Q, O> &operator OP##=(ap_fixed_base<W, I, S, Q, O> &x, const Y &y) {                  \
    return x = ap_fixed_base<W, I, S, Q, O>(x OP y);                                                                  \
  }

#define HW_ALIGNED(OP)                                                                                                \
  template <HW_FIXED, HW_OTHER>                                                                                       \
  inline auto operator OP(const ap_fixed_base<W, I, S, Q, O> &x, const ap_fixed_base<V, J, T, R, P> &y) {             \
    constexpr int fraction = hw::larger(W - I, V - J);                                                                \
    return hw::pointed<fraction>(x.template aligned<fraction>() OP y.template aligned<fraction>());                   \
  }                                                                                                                   \
  HW_ASSIGNING(OP)

HW_ALIGNED(+)
HW_ALIGNED(-)
HW_ALIGNED(&)
HW_ALIGNED(|)
HW_ALIGNED(^)

template <HW_FIXED, HW_OTHER>
inline auto operator*(const ap_fixed_base<W, I, S, Q, O> &x, const ap_fixed_base<V, J, T, R, P> &y) {
  return hw::pointed<W - I + V - J>(x.raw * y.raw);
}
HW_ASSIGNING(*)

#define HW_COMPARISON(OP)                                                                                             \
  template <HW_FIXED, HW_OTHER>                                                                                       \
  inline bool operator OP(const ap_fixed_base<W, I, S, Q, O> &x, const ap_fixed_base<V, J, T, R, P> &y) {             \
    constexpr int fraction = hw::larger(W - I, V - J);                                                                \
    return x.template aligned<fraction>() OP y.template aligned<fraction>();                                          \
  }                                                                                                                   \
  HW_MIXED(OP)                                                                                                        \
  template <HW_FIXED, class C>                                                                                        \
  inline hw::IfReal<C, bool> operator OP(const ap_fixed_base<W, I, S, Q, O> &x, C y) {                                \
    const double a = x.to_double(), b = static_cast<double>(y);                                                       \
    return a OP b;                                                                                                    \
  }                                                                                                                   \
  template <HW_FIXED, class C>                                                                                        \
  inline hw::IfReal<C, bool> operator OP(C x, const ap_fixed_base<W, I, S, Q, O> &y) {                                \
    const double a = static_cast<double>(x), b = y.to_double();                                                       \
    return a OP b;                                                                                                    \
  }

HW_COMPARISON(==)
HW_COMPARISON(!=)
HW_COMPARISON(<)
HW_COMPARISON(>)
HW_COMPARISON(<=)
HW_COMPARISON(>=)

#undef HW_MIXED
#undef HW_ASSIGNING
#undef HW_ALIGNED
#undef HW_COMPARISON

template <HW_FIXED>
inline std::ostream &operator<<(std::ostream &stream, const ap_fixed_base<W, I, S, Q, O> &x) {
  return stream << x.to_double();
}

#undef HW_FIXED
#undef HW_OTHER

template <int W, int I, ap_q_mode Q = AP_TRN, ap_o_mode O = AP_WRAP, int N = 0>
class ap_fixed : public ap_fixed_base<W, I, true, Q, O, N> {
  typedef ap_fixed_base<W, I, true, Q, O, N> Base;

 public:
  ap_fixed() {}
  template <int V, int J, bool T, ap_q_mode R, ap_o_mode P>
  ap_fixed(const ap_fixed_base<V, J, T, R, P> &x) : Base(x) {}
  template <int V, bool T>
  ap_fixed(const ap_int_base<V, T> &x) : Base(x) {}
  template <class C, typename std::enable_if<std::is_arithmetic<C>::value, int>::type = 0>
  ap_fixed(C x) : Base(x) {}
};

template <int W, int I, ap_q_mode Q = AP_TRN, ap_o_mode O = AP_WRAP, int N = 0>
class ap_ufixed : public ap_fixed_base<W, I, false, Q, O, N> {
  typedef ap_fixed_base<W, I, false, Q, O, N> Base;

 public:
  ap_ufixed() {}
  template <int V, int J, bool T, ap_q_mode R, ap_o_mode P>
  ap_ufixed(const ap_fixed_base<V, J, T, R, P> &x) : Base(x) {}
  template <int V, bool T>
  ap_ufixed(const ap_int_base<V, T> &x) : Base(x) {}
  template <class C, typename std::enable_if<std::is_arithmetic<C>::value, int>::type = 0>
  ap_ufixed(C x) : Base(x) {}
};

#endif
