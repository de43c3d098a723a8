// SYCL, as far as a kernel of HLS for oneAPI and its host need it: queues, single tasks, shared memory.
//
// Part of hardwire, Apache-2.0; written from the SYCL 2020 specification for C simulation with g++ or clang (C++17),
// and only the part that designs need. In the vendor's compiler its own header takes the place of this one.
//
// A task runs in a thread of its own from the moment it is given to the queue. Where every thread waits for another
// one, which would hang in hardware, the simulation stops.

#ifndef HARDWIRE_SYCL_HPP
#define HARDWIRE_SYCL_HPP

#include <condition_variable>
#include <cstddef>
#include <cstdlib>
#include <exception>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "../hw_int.h"

#define SYCL_EXTERNAL

namespace hw {

// One lock for all that threads share; whoever waits says for what, so that a deadlock is seen.
class Exchange {
  std::mutex mutex;
  std::condition_variable changed;
  std::list<const std::function<bool()> *> waiting;
  int running = 1;  // the host

 public:
  // Lives until the process ends: tasks that never end may still wait in it then.
  static Exchange &get() {
    static Exchange *const exchange = new Exchange;
    return *exchange;
  }
  // Run `action` alone, and let those who wait look again.
  template <class A>
  void change(const A &action) {
    {
      const std::lock_guard<std::mutex> lock(mutex);
      action();
    }
    changed.notify_all();
  }
  // Wait until `ready`, then run `action` alone.
  template <class A>
  void wait(const std::function<bool()> &ready, const A &action) {
    std::unique_lock<std::mutex> lock(mutex);
    if (!ready()) {
      const auto place = waiting.insert(waiting.end(), &ready);
      leave();
      changed.wait(lock, ready);
      waiting.erase(place);
      ++running;
    }
    action();
  }
  void begin_task() {
    change([this] { ++running; });
  }
  template <class A>
  void end_task(const A &action) {
    change([this, &action] {
      action();
      leave();
    });
  }

 private:
  void leave() {
    if (--running > 0) return;
    for (const auto *ready : waiting)
      if ((*ready)()) return;
    if (!waiting.empty()) fail("deadlock: every task and the host wait for a pipe or for each other");
  }
};

}  // namespace hw

namespace sycl {

using exception = std::runtime_error;

struct exception_list : std::vector<std::exception_ptr> {};

namespace info {
namespace device {
struct name {};
}  // namespace device
}  // namespace info

namespace property {
namespace queue {
struct enable_profiling {};
struct in_order {};
}  // namespace queue
}  // namespace property

struct property_list {
  template <class... P>
  explicit property_list(P...) {}
};

struct device {
  template <class I>
  std::string get_info() const {
    return "C simulation";
  }
};

struct default_selector {};
inline constexpr default_selector default_selector_v{};
inline constexpr default_selector cpu_selector_v{};

class event {
  std::shared_ptr<bool> done = std::make_shared<bool>(true);

 public:
  event() = default;
  explicit event(std::shared_ptr<bool> flag) : done(std::move(flag)) {}
  void wait() const {
    hw::Exchange::get().wait([this] { return *done; }, [] {});
  }
  void wait_and_throw() const { wait(); }
  static void wait(const std::vector<event> &events) {
    for (const event &e : events) e.wait();
  }
};

class handler {
  event last;

 public:
  template <class Name = void, class K>
  void single_task(K kernel) {
    const auto done = std::make_shared<bool>(false);
    last = event(done);
    hw::Exchange::get().begin_task();
    std::thread([kernel, done] {
      kernel();
      hw::Exchange::get().end_task([&done] { *done = true; });
    }).detach();
  }
  // With properties of the kernel, which mean something in hardware only.
  template <class Name = void, class P, class K>
  void single_task(P, K kernel) {
    single_task<Name>(std::move(kernel));
  }
  void depends_on(const event &e) { e.wait(); }
  const event &result() const { return last; }
};

class queue {
  std::vector<event> events;

 public:
  // Whatever selects a device, handles errors and sets properties: the device is this computer.
  template <class... A>
  explicit queue(const A &...) {}
  queue() = default;

  template <class G>
  event submit(const G &group) {
    handler h;
    group(h);
    events.push_back(h.result());
    return h.result();
  }
  template <class Name = void, class K>
  event single_task(K kernel) {
    return submit([&kernel](handler &h) { h.single_task<Name>(std::move(kernel)); });
  }
  template <class Name = void, class P, class K>
  event single_task(P, K kernel) {
    return single_task<Name>(std::move(kernel));
  }
  void wait() {
    event::wait(events);
    events.clear();
  }
  void wait_and_throw() { wait(); }
  void throw_asynchronous() {}
  device get_device() const { return {}; }
};

template <class T>
T *malloc_shared(std::size_t count, const queue &) {
  return static_cast<T *>(std::calloc(count, sizeof(T)));
}
template <class T>
T *malloc_host(std::size_t count, const queue &q) {
  return malloc_shared<T>(count, q);
}
template <class T>
T *malloc_device(std::size_t count, const queue &q) {
  return malloc_shared<T>(count, q);
}
inline void free(void *memory, const queue &) { std::free(memory); }

}  // namespace sycl

#endif
