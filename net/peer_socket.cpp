#include "net/peer_socket.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

namespace covey {
namespace {

constexpr std::array<std::uint8_t, 28> kNone{};

}  // namespace

PeerSocket::PeerSocket(int descriptor) : descriptor_(descriptor) { far_end_ = far_end(); }

std::array<std::uint8_t, 28> PeerSocket::far_end() const {
  static_assert(sizeof(sockaddr_in6) == 28);
  std::array<std::uint8_t, 28> bytes{};
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (descriptor_ < 0 || ::getpeername(descriptor_, reinterpret_cast<sockaddr*>(&address), &size) != 0) return bytes;
  std::memcpy(bytes.data(), &address, std::min<std::size_t>(size, bytes.size()));
  return bytes;
}

bool PeerSocket::over() const { return far_end_ != kNone && far_end() != far_end_; }

bool PeerSocket::end() const {
  return far_end_ != kNone && far_end() == far_end_ && ::shutdown(descriptor_, SHUT_RDWR) == 0;
}

}  // namespace covey
