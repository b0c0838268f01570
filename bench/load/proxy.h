// A process in the middle: carries bytes between a client and a server and alters some of them.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>

#include "bench/load/child.h"

namespace covey::load {

// A number that several processes count with.
class SharedCounter {
 public:
  SharedCounter();
  ~SharedCounter();
  SharedCounter(const SharedCounter&) = delete;
  SharedCounter& operator=(const SharedCounter&) = delete;
  void add(std::uint64_t count = 1) { value_->fetch_add(count); }
  std::uint64_t get() const { return value_->load(); }

 private:
  std::atomic<std::uint64_t>* value_;
};

// In each connection it flips one bit, somewhere in the first bytes of either direction.
class FlippingProxy {
 public:
  FlippingProxy(std::uint16_t server, std::uint64_t seed);
  std::uint16_t port() const { return port_; }
  std::uint64_t flips() const { return flips_.get(); }

 private:
  std::uint16_t port_;
  SharedCounter flips_;
  std::optional<Child> process_;
};

}  // namespace covey::load
