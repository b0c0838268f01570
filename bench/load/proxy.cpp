#include "bench/load/proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <new>
#include <stdexcept>

#include "bench/load/raw_socket.h"
#include "core/base/random.h"

namespace covey::load {
namespace {

int connected_to(std::uint16_t port) {
  const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = loopback(port);
  if (::connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return descriptor;
  ::close(descriptor);
  return -1;
}

// A greeting and a handshake take about 600 bytes a way, a heartbeat about 80.
constexpr std::uint64_t kFlipWithin = 1200;

// False: the connection is over.
bool carry(int from, int to, std::uint64_t& position, std::uint64_t flip_at, std::uint64_t bit, SharedCounter& flips) {
  std::array<std::uint8_t, 16384> buffer;
  const ssize_t got = ::recv(from, buffer.data(), buffer.size(), 0);
  if (got <= 0) return false;
  const auto count = static_cast<std::uint64_t>(got);
  if (flip_at >= position && flip_at < position + count) {
    buffer[static_cast<std::size_t>(flip_at - position)] ^= static_cast<std::uint8_t>(1U << bit);
    flips.add();
  }
  position += count;
  for (ssize_t sent = 0; sent < got;) {
    const ssize_t now = ::send(to, buffer.data() + sent, static_cast<std::size_t>(got - sent), MSG_NOSIGNAL);
    if (now <= 0) return false;
    sent += now;
  }
  return true;
}

void carry_both(int client, int server, Random& random, SharedCounter& flips) {
  const bool upwards = random.below(4) != 0;  // mostly what the service reads
  const std::uint64_t at = random.below(kFlipWithin), bit = random.below(8), never = ~std::uint64_t{0};
  std::uint64_t up = 0, down = 0;
  for (bool going = true; going;) {
    std::array<pollfd, 2> ends{pollfd{client, POLLIN, 0}, pollfd{server, POLLIN, 0}};
    if (::poll(ends.data(), ends.size(), 2000) <= 0) return;
    if (ends[0].revents != 0) going = carry(client, server, up, upwards ? at : never, bit, flips);
    if (going && ends[1].revents != 0) going = carry(server, client, down, upwards ? never : at, bit, flips);
  }
}

}  // namespace

SharedCounter::SharedCounter() {
  void* const memory = ::mmap(nullptr, sizeof *value_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::runtime_error("no shared memory");
  value_ = new (memory) std::atomic<std::uint64_t>(0);
}

SharedCounter::~SharedCounter() { ::munmap(value_, sizeof *value_); }

FlippingProxy::FlippingProxy(std::uint16_t server, std::uint64_t seed) : port_(listening_port()) {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int yes = 1;
  ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  const sockaddr_in address = loopback(port_);
  if (::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 || ::listen(listener, 64) != 0)
    throw std::runtime_error("the proxy finds no port");
  process_.emplace([&]() -> int {
    Random random(seed);
    for (;;) {
      const int client = ::accept(listener, nullptr, nullptr);
      if (client < 0) return 1;
      const int upstream = connected_to(server);
      if (upstream >= 0) carry_both(client, upstream, random, flips_);
      ::close(client);
      if (upstream >= 0) ::close(upstream);
    }
  });
  ::close(listener);
}

}  // namespace covey::load
