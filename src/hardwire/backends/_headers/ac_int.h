// ac_int<W, S>: the integers of Catapult and of HLS for oneAPI.
//
// Part of hardwire, Apache-2.0; written from the documented behaviour (Algorithmic C datatypes, reference manual) for C
// simulation with g++ or clang, and only the part that designs need. In a vendor's tool the vendor's header takes the
// place of this one.
//
// + - give one bit more than both operands need, * the sum of the widths, / % & | ^ ~ what holds every result; << >>
// keep the type of the left operand; an assignment keeps the low W bits. `x[i]` is a bit, `x.slc<N>(low)` reads N
// bits, `x.set_slc(low, y)` writes those of y.

#ifndef HARDWIRE_AC_INT_H
#define HARDWIRE_AC_INT_H

#include "hw_int.h"

enum ac_base_mode { AC_BIN = 2, AC_OCT = 8, AC_DEC = 10, AC_HEX = 16 };
enum ac_special_val { AC_VAL_DC, AC_VAL_0, AC_VAL_MIN, AC_VAL_MAX, AC_VAL_QUANTUM };

template <int W, bool S>
class ac_bit_ref;

template <int W, bool S = true>
class ac_int : public hw::Integer<ac_int, W, S> {
  typedef hw::Integer<::ac_int, W, S> Base;

 public:
  static const int i_width = W;
  static const bool sign = S;
  // Types of results: ac_int<W, S>::rt<V, T>::plus and so on.
  template <int V, bool T>
  struct rt {
    typedef ac_int<hw::times_width(W, S, V, T), hw::times_sign(S, T)> mult;
    typedef ac_int<hw::plus_width(W, S, V, T), hw::plus_sign(S, T)> plus;
    typedef ac_int<hw::minus_width(W, S, V, T), hw::minus_sign(S, T)> minus;
    typedef ac_int<hw::over_width(W, S, V, T), hw::over_sign(S, T)> div;
    typedef ac_int<hw::rest_width(W, S, V, T), hw::rest_sign(S, T)> mod;
    typedef ac_int<hw::bits_width(W, S, V, T), hw::bits_sign(S, T)> logic;
    typedef ac_int<W, S> arg1;
  };

  ac_int() {}
  template <int V, bool T>
  ac_int(const ac_int<V, T> &x) : Base(x) {}
  template <class C, typename std::enable_if<std::is_arithmetic<C>::value, int>::type = 0>
  ac_int(C x) : Base(x) {}

  operator hw::Native<W, S>() const { return static_cast<hw::Native<W, S>>(this->to_int64()); }

  ac_int<W + !S, true> operator~() const {
    typedef ac_int<W + !S, true> R;
    return R::of(static_cast<typename R::Value>(~this->value));
  }

  // Bits, the lowest is number 0.
  ac_bit_ref<W, S> operator[](int i) { return ac_bit_ref<W, S>(*this, i); }
  bool operator[](int i) const {
    Base::check_bit(i);
    return this->bit_at(i);
  }
  // The N bits from `low` on, with this integer's sign.
  template <int N>
  ac_int<N, S> slc(int low) const {
    if (low < 0) hw::fail("a slice starts below bit 0");
    return ac_int<N, S>(*this >> low);
  }
  // Replaces the bits from `low` on by those of `x`.
  template <int V, bool T>
  ac_int &set_slc(int low, const ac_int<V, T> &x) {
    if (low < 0 || low + V > W) hw::fail("a slice is written beyond the integer");
    const ac_int<W, false> mask = ac_int<W, false>(ac_int<V, false>(-1)) << low;
    const ac_int<W, false> bits = ac_int<W, false>(ac_int<V, false>(x)) << low;
    this->value = ac_int(ac_int<W + 1, true>((*this & ~mask) | bits)).value;
    return *this;
  }

  template <ac_special_val V>
  ac_int &set_val() {
    typedef typename Base::Value N;
    const N top = hw::shift_left(N(1), S ? W - 1 : 0);
    this->value = V == AC_VAL_MIN   ? (S ? N(0) - top : N(0))
                  : V == AC_VAL_MAX ? (S ? ~(N(0) - top) : ~hw::shift_left(N(-1), W))
                                    : N(V == AC_VAL_QUANTUM);
    return *this;
  }

  ac_int<W, S> reverse() const { return this->reversed(); }
  // How many bits below the top one equal it (with a sign), or how many zeros lead (without one).
  int leading_sign() const {
    int n = 0;
    while (n + S < W && this->bit_at(W - 1 - S - n) == (S && this->bit_at(W - 1))) ++n;
    return n;
  }
  // The digits in a base: those of the bits, or with `magnitude` a sign and the magnitude.
  std::string to_string(ac_base_mode base, bool magnitude = false) const {
    const bool bare = base != AC_DEC && !magnitude;
    return bare ? ac_int<W, false>(*this).digits(base) : this->digits(base);
  }
};

template <int W, bool S>
const int ac_int<W, S>::i_width;
template <int W, bool S>
const bool ac_int<W, S>::sign;

// A bit of an integer: reads as an unsigned integer of one bit, and can be assigned to.
template <int W, bool S>
class ac_bit_ref : public ac_int<1, false> {
  ac_int<W, S> &whole;
  const int place;

 public:
  ac_bit_ref(ac_int<W, S> &x, int i) : ac_int<1, false>(static_cast<const ac_int<W, S> &>(x)[i]), whole(x), place(i) {}
  ac_bit_ref(const ac_bit_ref &) = default;
  ac_bit_ref &operator=(bool b) {
    whole.set_bit_at(place, b);
    this->value = b;
    return *this;
  }
  ac_bit_ref &operator=(const ac_bit_ref &x) { return *this = x.or_reduce(); }
  template <int V, bool T>
  ac_bit_ref &operator=(const ac_int<V, T> &x) {
    return *this = static_cast<bool>(x.bit_at(0));
  }
};

#endif
