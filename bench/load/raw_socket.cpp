#include "bench/load/raw_socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "bench/load/child.h"
#include "core/base/random.h"

namespace covey::load {

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

std::uint16_t listening_port() {
  static unsigned next = static_cast<unsigned>(::getpid()) * 131;
  for (unsigned tried = 0; tried < 20000; ++tried) {
    const auto port = static_cast<std::uint16_t>(10000 + next++ % 20000);
    const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in address = loopback(port);
    const bool free = ::bind(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    ::close(descriptor);
    if (free) return port;
  }
  throw std::runtime_error("no free port");
}

RawSocket::RawSocket(std::uint16_t port) : descriptor_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
  if (descriptor_ < 0) return;
  const sockaddr_in address = loopback(port);
  if (::connect(descriptor_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return;
  pollfd ready{descriptor_, POLLOUT, 0};
  int error = 0;
  socklen_t size = sizeof error;
  if (errno == EINPROGRESS && ::poll(&ready, 1, 2000) == 1 &&
      ::getsockopt(descriptor_, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0)
    return;
  ::close(std::exchange(descriptor_, -1));
}

RawSocket::~RawSocket() {
  if (descriptor_ < 0) return;
  const linger now{1, 0};  // a reset: thousands of closed sockets must not linger in the kernel
  ::setsockopt(descriptor_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  ::close(descriptor_);
}

bool RawSocket::send(ByteSpan bytes) {
  if (descriptor_ < 0) return false;
  const ssize_t sent = ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  return sent >= 0 || errno == EAGAIN;
}

bool RawSocket::closed() {
  if (descriptor_ < 0) return true;
  std::array<char, 4096> buffer;
  for (;;) {
    const ssize_t got = ::recv(descriptor_, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got > 0) continue;
    return got == 0 || (errno != EAGAIN && errno != EINTR);
  }
}

bool RawSocket::wait_for_bytes(std::size_t count, double seconds) {
  const double end = now_seconds() + seconds;
  std::array<char, 4096> buffer;
  for (std::size_t have = 0; have < count;) {
    pollfd ready{descriptor_, POLLIN, 0};
    const double left = end - now_seconds();
    if (left <= 0 || ::poll(&ready, 1, static_cast<int>(left * 1000) + 1) <= 0) return false;
    const ssize_t got = ::recv(descriptor_, buffer.data(), std::min(buffer.size(), count - have), MSG_DONTWAIT);
    if (got <= 0) return false;
    have += static_cast<std::size_t>(got);
  }
  return true;
}

// ZMTP 3.1 (RFC 37): signature, version, mechanism, as-server, filler.
Bytes zmtp_greeting(const char* mechanism, bool as_server) {
  Bytes greeting(64, 0);
  greeting[0] = 0xff;
  greeting[9] = 0x7f;
  greeting[10] = 3;
  greeting[11] = 1;
  std::memcpy(greeting.data() + 12, mechanism, std::strlen(mechanism));
  greeting[32] = as_server ? 1 : 0;
  return greeting;
}

Bytes zmtp_command_header(std::uint64_t bytes) {
  Bytes header{0x06};
  for (int shift = 56; shift >= 0; shift -= 8) header.push_back(static_cast<std::uint8_t>(bytes >> shift));
  return header;
}

// RFC 26: a command frame of 200 bytes: name, version 1.0, filler, transient key, nonce, box.
Bytes curve_hello_of_noise(std::uint64_t seed) {
  constexpr std::uint8_t kBegin[] = {0x04, 200, 5, 'H', 'E', 'L', 'L', 'O', 1, 0};
  Bytes frame(2 + 200);
  std::copy(std::begin(kBegin), std::end(kBegin), frame.begin());
  Random random(seed);
  for (std::size_t i = 2 + 80; i < frame.size(); ++i) frame[i] = static_cast<std::uint8_t>(random.next());
  return frame;
}

}  // namespace covey::load
