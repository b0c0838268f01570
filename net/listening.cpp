#include "net/listening.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace covey {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  int number() const { return number_; }
  bool set(int level, int option) const {
    const int on = 1;
    return ::setsockopt(number_, level, option, &on, sizeof on) == 0;
  }
  void release() { number_ = -1; }

 private:
  int number_;
};

struct Address {
  sockaddr_storage bytes{};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&bytes); }
};

// Nothing for a name.
std::optional<Address> numeric_address(const std::string& host, std::uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE;
  addrinfo* found = nullptr;
  if (::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found) != 0) return std::nullopt;
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> list(found, &::freeaddrinfo);
  Address address;
  std::memcpy(&address.bytes, found->ai_addr, found->ai_addrlen);
  address.size = found->ai_addrlen;
  return address;
}

// Never blocks in accept(): who dialed may be gone by then. :: hears IPv4 too, as ZeroMQ's own would.
std::optional<Descriptor> opened(const Address& address) {
  Descriptor socket(::socket(address.get()->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (socket.number() < 0 || !socket.set(SOL_SOCKET, SO_REUSEADDR)) return std::nullopt;
  const int v6only = 0;
  if (address.get()->sa_family == AF_INET6 &&
      ::setsockopt(socket.number(), IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof v6only) != 0)
    return std::nullopt;
  return socket;
}

bool listens(const Descriptor& socket, const Address& address) {
  return ::bind(socket.number(), address.get(), address.size) == 0 && ::listen(socket.number(), kBacklog) == 0;
}

// The first one listens before it lets others in, so that another process finds the port taken.
std::optional<std::vector<Descriptor>> listening(Address address) {
  std::vector<Descriptor> all;
  std::optional<Descriptor> first = opened(address);
  if (!first || !listens(*first, address)) return std::nullopt;
  address.size = sizeof address.bytes;
  if (::getsockname(first->number(), reinterpret_cast<sockaddr*>(&address.bytes), &address.size) != 0)
    return std::nullopt;
  bool more = first->set(SOL_SOCKET, SO_REUSEPORT);
  all.push_back(*std::move(first));
  while (more && all.size() < kListeningSockets) {  // where the kernel gives no more, one still serves
    std::optional<Descriptor> next = opened(address);
    more = next && next->set(SOL_SOCKET, SO_REUSEPORT) && listens(*next, address);
    if (more) all.push_back(*std::move(next));
  }
  return all;
}

// Which port, and what to do about it.
Unexpected cannot_listen(const std::string& host, std::uint16_t port, int why) {
  const std::string remedy = why == EADDRNOTAVAIL ? "; this machine has no such address: --listen takes one of its own, or 0.0.0.0 for all"
                             : why == EADDRINUSE  ? "; another process has it: end that, or choose another with --control-port or --bulk-port"
                             : why == EACCES      ? "; choose a port of 1024 or above"
                                                  : "";
  // The address is tried before the ports are.
  const std::string place = why == EADDRNOTAVAIL ? host : host + ", " + (port == 0 ? "any free port" : "port " + std::to_string(port));
  return unexpected(ErrorCode::kUnavailable, "cannot listen on " + place + ": " + std::strerror(why) + remedy);
}

}  // namespace

Result<std::string> listen_on(ZmqSocket& socket, const std::string& host, std::uint16_t port) {
  COVEY_TRY(const std::string endpoint, tcp_endpoint(host, port == 0 ? "*" : std::to_string(port)));
  const std::optional<Address> address = numeric_address(host, port);
  if (!address)
    return unexpected(ErrorCode::kInvalidArgument,
                      "cannot listen on '" + host + "': give an IPv4 or IPv6 address, 0.0.0.0 or :: for all");
  auto descriptors = listening(*address);
  if (!descriptors)
    return cannot_listen(host, port, errno);
  Result<void> bound;
  for (Descriptor& descriptor : *descriptors) {
    socket.set(ZMQ_USE_FD, descriptor.number());
    bound = socket.bind(endpoint);
    if (!bound) break;
    descriptor.release();  // ZeroMQ's now
  }
  socket.set(ZMQ_USE_FD, -1);
  if (!bound) return unexpected(bound.error());
  return socket.last_endpoint();
}

}  // namespace covey
