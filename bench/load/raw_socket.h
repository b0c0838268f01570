// A plain TCP connection to the loopback interface, for what no client of ours would send.
#pragma once
#include <netinet/in.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "core/base/bytes.h"

namespace covey::load {

// A port below those that the kernel gives to outgoing connections, free a moment ago: a service that was
// killed must find it free again.
std::uint16_t listening_port();

sockaddr_in loopback(std::uint16_t port);

class RawSocket {
 public:
  explicit RawSocket(std::uint16_t port);  // waits at most 2 s
  ~RawSocket();
  RawSocket(RawSocket&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  RawSocket& operator=(RawSocket&&) = delete;
  bool connected() const { return descriptor_ >= 0; }
  // As much as the kernel takes now. False: the peer has closed it.
  bool send(ByteSpan bytes);
  // True once the peer has closed it. What it sent is thrown away.
  bool closed();
  bool wait_for_bytes(std::size_t count, double seconds);  // reads and throws away

 private:
  int descriptor_ = -1;
};

Bytes zmtp_greeting(const char* mechanism, bool as_server);  // ZMTP 3.1, 64 bytes
Bytes zmtp_command_header(std::uint64_t bytes);              // of a long command frame, 9 bytes
Bytes curve_hello_of_noise(std::uint64_t seed);              // a well-framed HELLO whose box opens for nobody

}  // namespace covey::load
