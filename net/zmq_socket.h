// For net's .cpp files: ZeroMQ's context and sockets as values that close themselves. A socket
// belongs to one thread. Nothing here blocks but poll().
#pragma once
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/time.h"

namespace covey {

class ZmqContext {
 public:
  explicit ZmqContext(int io_threads, int sockets_max = 1023);
  ~ZmqContext();  // waits until closed sockets have sent what they linger for
  ZmqContext(const ZmqContext&) = delete;
  ZmqContext& operator=(const ZmqContext&) = delete;
  void* handle() const { return handle_; }

 private:
  void* handle_;
};

struct ZmqMessage {
  std::vector<Bytes> frames;
  std::string user_id;  // from the ZAP handler; empty: none
  int descriptor = -1;  // of the kernel's connection that it came by; -1: none
};

enum class ZmqSent { kDone, kFull, kUnreachable };

class ZmqSocket {
 public:
  // `type` as in zmq.h. Errors: kResourceExhausted when the process has no descriptor left.
  static Result<ZmqSocket> open(ZmqContext& context, int type);
  ZmqSocket(ZmqSocket&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  ZmqSocket& operator=(ZmqSocket&& other) noexcept;
  ~ZmqSocket() { close(); }

  // Wrong options are our bug.
  void set(int option, int value);
  void set(int option, ByteSpan value);
  // Errors: kUnavailable naming the endpoint.
  Result<void> bind(const std::string& endpoint);
  Result<void> connect(const std::string& endpoint);
  void disconnect(const std::string& endpoint);  // of none: nothing
  void unbind(const std::string& endpoint);      // and ends the connections that came that way; of none: nothing
  std::string last_endpoint() const;
  void monitor(const std::string& endpoint, int events);
  ZmqSent send(std::initializer_list<ByteSpan> frames);  // all or none
  std::optional<ZmqMessage> receive();
  void close();
  void* handle() const { return handle_; }

 private:
  explicit ZmqSocket(void* handle) : handle_(handle) {}
  void* handle_;
};

// Until something can be read from a socket or `descriptor` (-1: none), or `timeout` has passed.
void zmq_wait(std::initializer_list<const ZmqSocket*> sockets, int descriptor, Duration timeout);
void zmq_wait(const std::vector<const ZmqSocket*>& sockets, int descriptor, Duration timeout);

inline constexpr int kBacklog = 4096;  // connections that one listening socket keeps until they are accepted

// The options of every socket that crosses the network: limits on what a stranger can pin, heartbeats.
void set_network_options(ZmqSocket& socket, std::size_t frame_bytes_max, int queue_messages_max);
// For a socket of thousands of peers, which ask for signs of life themselves: the kernel cuts who is gone
// or takes nothing for 30 s. ZeroMQ looks through the timers of all peers of an I/O thread for each that it
// cancels, and with heartbeats of its own it cancels one for every message.
void leave_heartbeats_to_peers(ZmqSocket& socket);

// "tcp://host:port", an IPv6 address in brackets. Errors: kInvalidArgument for a host that is none.
Result<std::string> tcp_endpoint(const std::string& host, const std::string& port);

}  // namespace covey
