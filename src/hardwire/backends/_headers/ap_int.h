// ap_int<W> and ap_uint<W>: the integers of Vitis HLS and Vivado HLS.
//
// Part of hardwire, Apache-2.0; written from the documented behaviour (AMD UG1399) for C simulation with g++ or clang,
// and only the part that designs need. In Vitis HLS the vendor's header takes the place of this one.
//
// + - give one bit more than both operands need, * the sum of the widths, / % & | ^ the width that holds every result;
// << >> ~ keep the type of the left operand; an assignment keeps the low W bits. `x[i]` is a bit, `x.range(high, low)`
// or `x(high, low)` a range of bits, `(x, y)` or `x.concat(y)` both, one above the other.

#ifndef HARDWIRE_AP_INT_H
#define HARDWIRE_AP_INT_H

#include "hw_int.h"

// The widest integer that a design may declare, as in the vendor's header.
#ifndef AP_INT_MAX_W
#define AP_INT_MAX_W 1024
#endif

template <int W, bool S>
class ap_bit_ref;
template <int W, bool S>
class ap_range_ref;

template <int W, bool S>
class ap_int_base : public hw::Integer<ap_int_base, W, S> {
  static_assert(W <= AP_INT_MAX_W, "define AP_INT_MAX_W before ap_int.h is included");
  typedef hw::Integer<::ap_int_base, W, S> Base;

 public:
  static const bool sign_flag = S;

  ap_int_base() {}
  template <int V, bool T>
  ap_int_base(const ap_int_base<V, T> &x) : Base(x) {}
  template <class C, typename std::enable_if<std::is_arithmetic<C>::value, int>::type = 0>
  ap_int_base(C x) : Base(x) {}
  ap_int_base(const char *text, signed char base = 10) : Base(Base::parsed(text, base)) {}

  operator hw::Native<W, S>() const { return static_cast<hw::Native<W, S>>(this->to_int64()); }

  ap_int_base<W, S> operator~() const { return Base::of(hw::wrap<W, S>(~this->value)); }

  // Bits, the lowest is number 0.
  ap_bit_ref<W, S> operator[](int i) { return ap_bit_ref<W, S>(*this, i); }
  bool operator[](int i) const { return get_bit(i); }
  ap_bit_ref<W, S> bit(int i) { return ap_bit_ref<W, S>(*this, i); }
  bool bit(int i) const { return get_bit(i); }
  bool test(int i) const { return get_bit(i); }
  bool get_bit(int i) const {
    Base::check_bit(i);
    return this->bit_at(i);
  }
  void set_bit(int i, bool b) {
    Base::check_bit(i);
    this->set_bit_at(i, b);
  }
  void set(int i, bool b) { set_bit(i, b); }
  void set(int i) { set_bit(i, true); }
  void clear(int i) { set_bit(i, false); }
  void invert(int i) { set_bit(i, !get_bit(i)); }
  void reverse() { this->value = this->reversed().value; }
  // The sign: whether the number is negative.
  bool sign() const { return this->value < typename Base::Value(0); }

  // Bits `high` down to `low`; the other way round with the order reversed.
  ap_range_ref<W, S> range(int high, int low) { return ap_range_ref<W, S>(this, high, low); }
  ap_range_ref<W, S> range() { return range(W - 1, 0); }
  ap_range_ref<W, S> operator()(int high, int low) { return range(high, low); }
  ap_int_base<W, false> range(int high, int low) const { return bits(high, low); }
  ap_int_base<W, false> range() const { return bits(W - 1, 0); }
  ap_int_base<W, false> operator()(int high, int low) const { return bits(high, low); }

  // This integer's bits above those of `x`.
  template <int V, bool T>
  ap_int_base<W + V, false> concat(const ap_int_base<V, T> &x) const {
    typedef ap_int_base<W + V, false> R;
    return (R(ap_int_base<W, false>(*this)) << V) | R(ap_int_base<V, false>(x));
  }

  bool to_bool() const { return this->or_reduce(); }
  bool nand_reduce() const { return !this->and_reduce(); }
  bool nor_reduce() const { return !this->or_reduce(); }
  bool xnor_reduce() const { return !this->xor_reduce(); }

  // The digits in a base; other than decimal ones show the bits, unless `show_sign` asks for the number.
  std::string to_string(signed char base = 2, bool show_sign = false) const {
    const bool bare = base != 10 && !show_sign;
    return bare ? ap_int_base<W, false>(*this).digits(base) : this->digits(base);
  }

 protected:
  ap_int_base<W, false> bits(int high, int low) const {
    Base::check_bit(high);
    Base::check_bit(low);
    ap_int_base<W, false> r;
    if (high < low) {
      for (int i = 0; i <= low - high; ++i) r.set_bit_at(i, this->bit_at(low - i));
      return r;
    }
    const int spare = W - 1 - (high - low);
    return ((ap_int_base<W, false>(*this) >> low) << spare) >> spare;
  }
  friend class ap_range_ref<W, S>;
};

template <int W, bool S>
const bool ap_int_base<W, S>::sign_flag;

// A bit of an integer: reads as an unsigned integer of one bit, and can be assigned to.
template <int W, bool S>
class ap_bit_ref : public ap_int_base<1, false> {
  ap_int_base<W, S> &whole;
  const int place;

 public:
  ap_bit_ref(ap_int_base<W, S> &x, int i) : ap_int_base<1, false>(x.get_bit(i)), whole(x), place(i) {}
  ap_bit_ref(const ap_bit_ref &) = default;
  ap_bit_ref &operator=(bool b) {
    whole.set_bit(place, b);
    this->value = b;
    return *this;
  }
  ap_bit_ref &operator=(const ap_bit_ref &x) { return *this = x.or_reduce(); }
  template <int V, bool T>
  ap_bit_ref &operator=(const ap_int_base<V, T> &x) {
    return *this = x.or_reduce();
  }
};

// A range of an integer's bits: reads as an unsigned integer, and can be assigned to.
template <int W, bool S>
class ap_range_ref : public ap_int_base<W, false> {
  ap_int_base<W, S> &whole;
  const int high, low;

 public:
  ap_range_ref(ap_int_base<W, S> *x, int h, int l) : ap_int_base<W, false>(x->bits(h, l)), whole(*x), high(h), low(l) {}
  ap_range_ref(const ap_range_ref &) = default;
  template <int V, bool T>
  ap_range_ref &operator=(const ap_int_base<V, T> &x) {
    const ap_int_base<W, false> source(x);
    const int step = high < low ? -1 : 1;
    for (int i = 0; i < length(); ++i) whole.set_bit_at(low + step * i, source.bit_at(i));
    this->value = whole.bits(high, low).value;
    return *this;
  }
  ap_range_ref &operator=(const ap_range_ref &x) { return *this = static_cast<const ap_int_base<W, false> &>(x); }
  template <class C, typename std::enable_if<std::is_integral<C>::value, int>::type = 0>
  ap_range_ref &operator=(C x) {
    return *this = ap_int_base<W, false>(x);
  }
  int length() const { return (high < low ? low - high : high - low) + 1; }
};

// (x, y): the bits of x above those of y; of two variables it can be assigned to.
template <int W, bool S, int V, bool T>
class ap_concat_ref : public ap_int_base<W + V, false> {
  ap_int_base<W, S> &above;
  ap_int_base<V, T> &below;

 public:
  ap_concat_ref(ap_int_base<W, S> &x, ap_int_base<V, T> &y)
      : ap_int_base<W + V, false>(x.concat(y)), above(x), below(y) {}
  ap_concat_ref(const ap_concat_ref &) = default;
  template <int U, bool R>
  ap_concat_ref &operator=(const ap_int_base<U, R> &x) {
    const ap_int_base<W + V, false> bits(x);
    below = ap_int_base<V, T>(bits);
    above = ap_int_base<W, S>(bits >> V);
    this->value = bits.value;
    return *this;
  }
  ap_concat_ref &operator=(const ap_concat_ref &x) { return *this = ap_int_base<W + V, false>(x); }
  template <class C, typename std::enable_if<std::is_integral<C>::value, int>::type = 0>
  ap_concat_ref &operator=(C x) {
    return *this = ap_int_base<hw::CType<C>::width, hw::CType<C>::sign>(x);
  }
};

template <int W, bool S, int V, bool T>
inline ap_int_base<W + V, false> operator,(const ap_int_base<W, S> &x, const ap_int_base<V, T> &y) {
  return x.concat(y);
}
template <int W, bool S, int V, bool T>
inline ap_concat_ref<W, S, V, T> operator,(ap_int_base<W, S> &x, ap_int_base<V, T> &y) {
  return ap_concat_ref<W, S, V, T>(x, y);
}

template <int W>
class ap_int : public ap_int_base<W, true> {
 public:
  ap_int() {}
  template <int V, bool T>
  ap_int(const ap_int_base<V, T> &x) : ap_int_base<W, true>(x) {}
  template <class C, typename std::enable_if<std::is_arithmetic<C>::value, int>::type = 0>
  ap_int(C x) : ap_int_base<W, true>(x) {}
  ap_int(const char *text, signed char base = 10) : ap_int_base<W, true>(text, base) {}
};

template <int W>
class ap_uint : public ap_int_base<W, false> {
 public:
  ap_uint() {}
  template <int V, bool T>
  ap_uint(const ap_int_base<V, T> &x) : ap_int_base<W, false>(x) {}
  template <class C, typename std::enable_if<std::is_arithmetic<C>::value, int>::type = 0>
  ap_uint(C x) : ap_int_base<W, false>(x) {}
  ap_uint(const char *text, signed char base = 10) : ap_int_base<W, false>(text, base) {}
};

#endif
