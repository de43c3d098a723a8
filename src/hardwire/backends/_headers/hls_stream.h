// hls::stream<T>: the streams of Vitis HLS and Vivado HLS.
//
// Part of hardwire, Apache-2.0; written from the documented behaviour (AMD UG1399) for C simulation with g++ or clang,
// and only the part that designs need. In Vitis HLS the vendor's header takes the place of this one.
//
// A stream is a queue that never is full here. Reading an empty one, which would hang in hardware, stops the
// simulation; one that is destroyed with data in it is reported.

#ifndef HARDWIRE_HLS_STREAM_H
#define HARDWIRE_HLS_STREAM_H

#include <cstddef>
#include <cstdio>
#include <deque>
#include <string>

#include "hw_int.h"

namespace hls {

template <class T, int DEPTH = 0>
class stream;

template <class T>
class stream<T, 0> {
  std::deque<T> queue;
  const std::string name;

 public:
  stream() : name("a stream") {}
  explicit stream(const char *given) : name(given) {}
  stream(const stream &) = delete;
  stream &operator=(const stream &) = delete;
  ~stream() {
    if (!queue.empty()) std::fprintf(stderr, "warning: %s ends with data that nobody read\n", name.c_str());
  }

  T read() {
    if (queue.empty()) hw::fail((name + " is read while it is empty").c_str());
    const T x = queue.front();
    queue.pop_front();
    return x;
  }
  void read(T &x) { x = read(); }
  bool read_nb(T &x) {
    if (queue.empty()) return false;
    x = read();
    return true;
  }
  void write(const T &x) { queue.push_back(x); }
  bool write_nb(const T &x) {
    write(x);
    return true;
  }
  void operator>>(T &x) { x = read(); }
  void operator<<(const T &x) { write(x); }
  bool empty() const { return queue.empty(); }
  bool full() const { return false; }
  std::size_t size() const { return queue.size(); }
};

// The depth is the one of the hardware's FIFO; a function takes any depth as `hls::stream<T> &`.
template <class T, int DEPTH>
class stream : public stream<T, 0> {
 public:
  stream() {}
  explicit stream(const char *given) : stream<T, 0>(given) {}
};

}  // namespace hls

#endif
