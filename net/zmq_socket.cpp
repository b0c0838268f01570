#include "net/zmq_socket.h"

#include <zmq.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#if defined(__SANITIZE_THREAD__)
extern "C" {
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
}
#endif

namespace covey {
namespace {

// libzmq is not instrumented, so the thread sanitizer cannot see that its queues put a message's bytes
// in order between its thread and ours, and would report every one. Only memory is ignored, not locks.
class InsideLibzmq {
 public:
#if defined(__SANITIZE_THREAD__)
  InsideLibzmq() {
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
  }
  ~InsideLibzmq() {
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
  }
#else
  InsideLibzmq() {}
#endif
  InsideLibzmq(const InsideLibzmq&) = delete;
  InsideLibzmq& operator=(const InsideLibzmq&) = delete;
};

constexpr std::size_t kFramesMax = 8;             // of one message; the rest of a longer one is discarded
constexpr std::size_t kCurveOverheadBytes = 256;  // MAXMSGSIZE counts the encrypted frame and the handshake
constexpr Duration kPollMax = std::chrono::hours(1);

// A zmq_msg_t that closes itself.
struct Part {
  Part() { zmq_msg_init(&message); }
  ~Part() { zmq_msg_close(&message); }
  Part(const Part&) = delete;
  Part& operator=(const Part&) = delete;
  ByteSpan bytes() {
    return {static_cast<const std::uint8_t*>(zmq_msg_data(&message)), zmq_msg_size(&message)};
  }
  zmq_msg_t message;
};

}  // namespace

ZmqContext::ZmqContext(int io_threads, int sockets_max) : handle_(zmq_ctx_new()) {
  COVEY_CHECK(handle_ != nullptr);
  COVEY_CHECK(zmq_ctx_set(handle_, ZMQ_MAX_SOCKETS, sockets_max) == 0);
  COVEY_CHECK(zmq_ctx_set(handle_, ZMQ_IO_THREADS, io_threads) == 0);
}

ZmqContext::~ZmqContext() {
  while (zmq_ctx_term(handle_) != 0 && errno == EINTR) {
  }
}

Result<ZmqSocket> ZmqSocket::open(ZmqContext& context, int type) {
  void* handle = zmq_socket(context.handle(), type);
  if (handle == nullptr)
    return unexpected(ErrorCode::kResourceExhausted, std::string("cannot open a socket: ") +
                                                         zmq_strerror(errno) +
                                                         "; raise the limit of open files (ulimit -n)");
  ZmqSocket socket(handle);
  socket.set(ZMQ_LINGER, 0);
  return socket;
}

ZmqSocket& ZmqSocket::operator=(ZmqSocket&& other) noexcept {
  if (this != &other) {
    close();
    handle_ = std::exchange(other.handle_, nullptr);
  }
  return *this;
}

void ZmqSocket::set(int option, int value) {
  COVEY_CHECK(zmq_setsockopt(handle_, option, &value, sizeof value) == 0);
}

void ZmqSocket::set(int option, ByteSpan value) {
  COVEY_CHECK(zmq_setsockopt(handle_, option, value.data(), value.size()) == 0);
}

Result<void> ZmqSocket::bind(const std::string& endpoint) {
  if (zmq_bind(handle_, endpoint.c_str()) == 0) return {};
  return unexpected(ErrorCode::kUnavailable, "cannot listen on " + endpoint + ": " + zmq_strerror(errno));
}

Result<void> ZmqSocket::connect(const std::string& endpoint) {
  if (zmq_connect(handle_, endpoint.c_str()) == 0) return {};
  return unexpected(ErrorCode::kUnavailable, "cannot dial " + endpoint + ": " + zmq_strerror(errno));
}

void ZmqSocket::disconnect(const std::string& endpoint) { zmq_disconnect(handle_, endpoint.c_str()); }

void ZmqSocket::unbind(const std::string& endpoint) { zmq_unbind(handle_, endpoint.c_str()); }

std::string ZmqSocket::last_endpoint() const {
  std::array<char, 256> text{};
  std::size_t size = text.size();
  COVEY_CHECK(zmq_getsockopt(handle_, ZMQ_LAST_ENDPOINT, text.data(), &size) == 0);
  return text.data();
}

void ZmqSocket::monitor(const std::string& endpoint, int events) {
  COVEY_CHECK(zmq_socket_monitor(handle_, endpoint.c_str(), events) == 0);
}

ZmqSent ZmqSocket::send(std::initializer_list<ByteSpan> frames) {
  const InsideLibzmq inside;
  std::size_t sent = 0;
  for (const ByteSpan frame : frames) {
    const int flags = ZMQ_DONTWAIT | (++sent < frames.size() ? ZMQ_SNDMORE : 0);
    int rc = 0;
    do {
      rc = zmq_send(handle_, frame.data(), frame.size(), flags);
    } while (rc < 0 && errno == EINTR);
    if (rc >= 0) continue;
    // Only the first frame can fail for want of room or of a peer: the others follow it.
    COVEY_CHECK(sent == 1 || errno == EHOSTUNREACH || errno == EAGAIN);
    return errno == EAGAIN ? ZmqSent::kFull : ZmqSent::kUnreachable;
  }
  return ZmqSent::kDone;
}

std::optional<ZmqMessage> ZmqSocket::receive() {
  const InsideLibzmq inside;
  ZmqMessage message;
  for (bool more = true, first = true; more; first = false) {
    Part part;
    int rc = 0;
    do {
      rc = zmq_msg_recv(&part.message, handle_, first ? ZMQ_DONTWAIT : 0);
    } while (rc < 0 && errno == EINTR);
    if (rc < 0) return std::nullopt;
    more = zmq_msg_more(&part.message) != 0;
    const ByteSpan bytes = part.bytes();
    if (message.frames.size() < kFramesMax) message.frames.emplace_back(bytes.begin(), bytes.end());
    if (const char* user = zmq_msg_gets(&part.message, "User-Id"); user != nullptr) message.user_id = user;
    message.descriptor = zmq_msg_get(&part.message, ZMQ_SRCFD);  // a ROUTER's own first frame may not have it
  }
  return message;
}

void ZmqSocket::close() {
  if (handle_ == nullptr) return;
  zmq_socket_monitor(handle_, nullptr, 0);
  zmq_close(std::exchange(handle_, nullptr));
}

void zmq_wait(const std::vector<const ZmqSocket*>& sockets, int descriptor, Duration timeout) {
  std::vector<zmq_pollitem_t> items;
  for (const ZmqSocket* socket : sockets) items.push_back({socket->handle(), 0, ZMQ_POLLIN, 0});
  if (descriptor >= 0) items.push_back({nullptr, descriptor, ZMQ_POLLIN, 0});
  const auto clamped = std::clamp(timeout, Duration::zero(), kPollMax);
  const long ms = static_cast<long>(std::chrono::ceil<std::chrono::milliseconds>(clamped).count());
  zmq_poll(items.data(), static_cast<int>(items.size()), ms);  // EINTR: as if the time had passed
}

void zmq_wait(std::initializer_list<const ZmqSocket*> sockets, int descriptor, Duration timeout) {
  zmq_wait(std::vector<const ZmqSocket*>(sockets), descriptor, timeout);
}

void set_network_options(ZmqSocket& socket, std::size_t frame_bytes_max, int queue_messages_max) {
  const auto bytes = static_cast<std::int64_t>(frame_bytes_max + kCurveOverheadBytes);
  std::array<std::uint8_t, sizeof bytes> raw{};
  std::memcpy(raw.data(), &bytes, sizeof bytes);
  socket.set(ZMQ_MAXMSGSIZE, raw);
  socket.set(ZMQ_SNDHWM, queue_messages_max);
  socket.set(ZMQ_RCVHWM, queue_messages_max);
  socket.set(ZMQ_HANDSHAKE_IVL, 5'000);
  socket.set(ZMQ_BACKLOG, kBacklog);
  socket.set(ZMQ_HEARTBEAT_IVL, 10'000);
  socket.set(ZMQ_HEARTBEAT_TIMEOUT, 30'000);
  socket.set(ZMQ_CONNECT_TIMEOUT, 5'000);
  socket.set(ZMQ_TCP_KEEPALIVE, 1);
}

void leave_heartbeats_to_peers(ZmqSocket& socket) {
  socket.set(ZMQ_HEARTBEAT_IVL, 0);
  socket.set(ZMQ_TCP_KEEPALIVE_IDLE, 10);  // seconds
  socket.set(ZMQ_TCP_KEEPALIVE_INTVL, 10);
  socket.set(ZMQ_TCP_KEEPALIVE_CNT, 2);
  socket.set(ZMQ_TCP_MAXRT, 30'000);  // what a peer does not take
}

Result<std::string> tcp_endpoint(const std::string& host, const std::string& port) {
  // ZeroMQ gives a meaning to ';' and '/' that a host's name must not reach.
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_' || c == ':' || c == '%';
  };
  if (host.empty() || host.size() > 255 || !std::all_of(host.begin(), host.end(), allowed))
    return unexpected(ErrorCode::kInvalidArgument,
                      "host '" + host.substr(0, 64) + "': give a name, an IPv4 or an IPv6 address");
  const bool ipv6 = host.find(':') != std::string::npos;
  return "tcp://" + (ipv6 ? "[" + host + "]" : host) + ":" + port;
}

}  // namespace covey
