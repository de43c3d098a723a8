// ac_channel<T>: the streams of Catapult.
//
// Part of hardwire, Apache-2.0; written from the documented behaviour (Algorithmic C datatypes, reference manual) for C
// simulation with g++ or clang, and only the part that designs need. In Catapult the vendor's header takes the place of
// this one.
//
// A channel is a queue that never is full here. Reading an empty one, which would hang in hardware, stops the
// simulation; ask `available(n)` first where data may be missing.

#ifndef HARDWIRE_AC_CHANNEL_H
#define HARDWIRE_AC_CHANNEL_H

#include <cstddef>
#include <deque>

#include "hw_int.h"

template <class T>
class ac_channel {
  std::deque<T> queue;

 public:
  typedef T element_type;

  ac_channel() {}
  // A channel that starts with so many values.
  explicit ac_channel(int count) : queue(static_cast<std::size_t>(count)) {}
  ac_channel(int count, const T &x) : queue(static_cast<std::size_t>(count), x) {}
  ac_channel(const ac_channel &) = delete;
  ac_channel &operator=(const ac_channel &) = delete;

  T read() {
    if (queue.empty()) hw::fail("a channel is read while it is empty");
    const T x = queue.front();
    queue.pop_front();
    return x;
  }
  void read(T &x) { x = read(); }
  bool nb_read(T &x) {
    if (queue.empty()) return false;
    x = read();
    return true;
  }
  void write(const T &x) { queue.push_back(x); }
  bool nb_write(const T &x) {
    write(x);
    return true;
  }
  bool available(unsigned count) const { return queue.size() >= count; }
  bool empty() const { return queue.empty(); }
  unsigned size() const { return static_cast<unsigned>(queue.size()); }
  unsigned debug_size() const { return size(); }
  // For test benches: the value at a place of the queue.
  const T &operator[](unsigned place) const {
    if (place >= size()) hw::fail("a channel is looked into beyond its end");
    return queue[place];
  }
};

#endif
