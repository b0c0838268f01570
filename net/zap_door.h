// Who may come in: answers ZeroMQ's authentication requests (ZAP, RFC 27) from a list of keys, and
// proves that it is asked at all, because ZeroMQ lets everyone in where nobody answers.
#pragma once
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/crypto/curve_key.h"
#include "core/protocol/machine.h"
#include "net/zmq_socket.h"

namespace covey {

class LinkWatch;

class ZapDoor {
 public:
  // Before the context's first server socket is bound.
  static Result<std::unique_ptr<ZapDoor>> open(ZmqContext& context);

  void admit(PeerKey peer, Admission admission);
  void expel(PeerKey peer, Expulsion why);
  std::optional<Admission> admission(PeerKey peer) const;

  // Makes a socket ask here about every key that knocks, and stay shut if it cannot ask.
  static void guard(ZmqSocket& server, const CurveKey& identity);
  // Answers what waits. To be called whenever the socket can be read.
  void answer();
  const ZmqSocket& socket() const { return socket_; }

  // Knocks at `endpoint` with a random key. Errors: kInternal unless it is refused.
  Result<void> prove_shut(ZmqContext& context, const std::string& endpoint, PeerKey server);

 private:
  explicit ZapDoor(ZmqSocket socket) : socket_(std::move(socket)) {}
  Result<void> await_refusal(LinkWatch& watch, const std::string& endpoint);
  ZmqSocket socket_;
  struct Answer {
    std::string_view status;
    std::string_view text;
    std::string user;
  };
  Answer answer_to(const std::vector<Bytes>& request) const;
  std::map<PeerKey, Admission> admitted_;
  std::set<PeerKey> ended_;  // of those who are not: whose membership is over
};

}  // namespace covey
