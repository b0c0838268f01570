// The kernel's connection behind a peer of a ROUTER socket, to end it: ZeroMQ has no call for that.
#pragma once
#include <array>
#include <cstdint>

namespace covey {

class PeerSocket {
 public:
  PeerSocket() = default;
  // `descriptor` as a message of the peer names it (-1: none), and who is at its other end now.
  explicit PeerSocket(int descriptor);
  // Ends the connection; ZeroMQ's thread notices and forgets the peer with all that it queued. False: the
  // descriptor belongs to no connection with that other end any more. (Between the look and the end another
  // thread may give the number to a new connection, which then has to dial again.)
  bool end() const;
  // Whether that connection is over: closed here, or the descriptor leads to somebody else by now. False where it
  // never was known.
  bool over() const;

 private:
  std::array<std::uint8_t, 28> far_end() const;  // a sockaddr_in6, or less and zeros; all zeros: none
  int descriptor_ = -1;
  std::array<std::uint8_t, 28> far_end_{};
};

}  // namespace covey
