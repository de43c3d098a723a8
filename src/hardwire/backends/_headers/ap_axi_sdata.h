// ap_axiu, ap_axis and hls::axis: the beats of an AXI4-Stream in Vitis HLS.
//
// Part of hardwire, Apache-2.0; written from the documented behaviour (AMD UG1399) for C simulation with g++ or clang,
// and only the part that designs need. In Vitis HLS the vendor's header takes the place of this one.
//
// A beat holds TDATA, TKEEP, TSTRB (a bit a byte), TLAST and, where their width is not 0, TUSER, TID and TDEST.

#ifndef HARDWIRE_AP_AXI_SDATA_H
#define HARDWIRE_AP_AXI_SDATA_H

#include "ap_int.h"

namespace hls {

// A side channel that is not there.
struct axis_disabled_signal {};

template <int W>
struct axis_signal {
  typedef ap_uint<W> type;
};
template <>
struct axis_signal<0> {
  typedef axis_disabled_signal type;
};

template <class T>
struct axis_bytes {
  static constexpr int value = static_cast<int>(sizeof(T));
};
template <int W>
struct axis_bytes<ap_int<W>> {
  static constexpr int value = (W + 7) / 8;
};
template <int W>
struct axis_bytes<ap_uint<W>> {
  static constexpr int value = (W + 7) / 8;
};

template <class T, int WUSER = 0, int WID = 0, int WDEST = 0>
struct axis {
  T data;
  ap_uint<axis_bytes<T>::value> keep;
  ap_uint<axis_bytes<T>::value> strb;
  typename axis_signal<WUSER>::type user;
  ap_uint<1> last;
  typename axis_signal<WID>::type id;
  typename axis_signal<WDEST>::type dest;

  axis() : data(), keep(), strb(), user(), last(), id(), dest() {}
  explicit axis(const T &x) : data(x), keep(), strb(), user(), last(), id(), dest() {}

  T get_data() const { return data; }
  void set_data(const T &x) { data = x; }
  bool get_last() const { return last == 1; }
  void set_last(bool x) { last = x; }
  ap_uint<axis_bytes<T>::value> get_keep() const { return keep; }
  void set_keep(const ap_uint<axis_bytes<T>::value> &x) { keep = x; }
  ap_uint<axis_bytes<T>::value> get_strb() const { return strb; }
  void set_strb(const ap_uint<axis_bytes<T>::value> &x) { strb = x; }
  // Every byte of the beat is data.
  void keep_all() {
    keep = -1;
    strb = -1;
  }
};

}  // namespace hls

template <int W, int WUSER = 1, int WID = 1, int WDEST = 1>
using ap_axiu = hls::axis<ap_uint<W>, WUSER, WID, WDEST>;
template <int W, int WUSER = 1, int WID = 1, int WDEST = 1>
using ap_axis = hls::axis<ap_int<W>, WUSER, WID, WDEST>;

#endif
