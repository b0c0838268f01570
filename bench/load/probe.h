// One client that measures: it joins, asks, and says how long each took. Blocks; one thread.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "core/protocol/certificate.h"
#include "core/protocol/message.h"
#include "net/link_watch.h"

namespace covey::load {

class Probe {
 public:
  struct Options {
    std::string routing_id = {};  // to claim; empty: none
    bool bulk = false;
    bool curve = true;            // false: the NULL mechanism
  };
  Probe(const CoordinatorAddress& address, CurveKey key, const Options& options);
  Probe(const CoordinatorAddress& address, CurveKey key) : Probe(address, std::move(key), Options{}) {}
  ~Probe();
  Probe(const Probe&) = delete;
  Probe& operator=(const Probe&) = delete;

  // The handshake's end, or nothing after `seconds`.
  std::optional<LinkState> await_link(double seconds);
  bool join(double seconds);  // true: accepted
  // Seconds until the answer to one heartbeat.
  std::optional<double> round_trip(double seconds);
  void send(const Message& message);
  void send_raw(const Bytes& frame);
  std::optional<Message> receive(double seconds);
  std::uint64_t instance() const { return instance_; }
  const ZmqSocket& socket() const { return *socket_; }

 private:
  std::uint64_t instance_;
  ZmqContext context_;
  std::optional<LinkWatch> watch_;    // before the socket: closed after it
  std::optional<ZmqSocket> socket_;
};

}  // namespace covey::load
