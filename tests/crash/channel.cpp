#include "tests/crash/channel.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "core/base/wire.h"

namespace covey::crash {
namespace {

constexpr std::size_t kPrefixBytes = 4;

}  // namespace

Channel::Pair Channel::make_pair() {
  int ends[2] = {-1, -1};
  COVEY_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  return {Channel(FileDescriptor(ends[0])), Channel(FileDescriptor(ends[1]))};
}

bool Channel::has_packet() const {
  if (input_.size() - used_ < kPrefixBytes) return false;
  const std::uint32_t size = ByteReader(ByteSpan(input_).subspan(used_)).u32();
  return input_.size() - used_ - kPrefixBytes >= size;
}

void Channel::pull() {
  if (closed_) return;
  std::uint8_t buffer[65536];
  while (true) {
    const ssize_t got = ::recv(socket_.number(), buffer, sizeof buffer, MSG_DONTWAIT);
    if (got > 0) {
      input_.insert(input_.end(), buffer, buffer + got);
      if (static_cast<std::size_t>(got) < sizeof buffer) return;
      continue;
    }
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    closed_ = true;  // an end, or a reset: the other process is gone
    return;
  }
}

bool Channel::write(ByteSpan packet) {
  const Bytes bytes = ByteWriter().blob(packet).take();
  std::size_t sent = 0;
  while (sent < bytes.size()) {
    const ssize_t put = ::send(socket_.number(), bytes.data() + sent, bytes.size() - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (put > 0) {
      sent += static_cast<std::size_t>(put);
      continue;
    }
    if (put < 0 && errno == EINTR) continue;
    if (put < 0 && errno != EAGAIN && errno != EWOULDBLOCK) return false;
    pollfd wait{socket_.number(), POLLIN | POLLOUT, 0};
    ::poll(&wait, 1, -1);
    if ((wait.revents & POLLIN) != 0) pull();
    if (closed_) return false;
  }
  return true;
}

std::optional<Bytes> Channel::read(int timeout_ms) {
  while (!has_packet()) {
    if (closed_) return std::nullopt;
    pollfd wait{socket_.number(), POLLIN, 0};
    const int ready = ::poll(&wait, 1, timeout_ms);
    if (ready == 0) return std::nullopt;
    if (ready > 0) pull();
  }
  ByteReader reader(ByteSpan(input_).subspan(used_));
  const ByteSpan packet = reader.blob();
  Bytes result(packet.begin(), packet.end());
  used_ += kPrefixBytes + packet.size();
  if (used_ == input_.size()) {
    input_.clear();
    used_ = 0;
  }
  return result;
}

}  // namespace covey::crash
