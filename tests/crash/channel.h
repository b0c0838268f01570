// Packets between the watching process and the one that dies, over a pair of stream sockets. What was
// written before a death is read after it: the record of what the dead process showed to anybody.
#pragma once
#include <optional>

#include "core/base/bytes.h"
#include "core/base/file.h"

namespace covey::crash {

class Channel {
 public:
  explicit Channel(FileDescriptor socket) : socket_(std::move(socket)) {}

  struct Pair;
  static Pair make_pair();

  // Reads what the other side wrote while its own buffer is full, so that both may write at once.
  // false: the other side is gone.
  bool write(ByteSpan packet);
  // Waits at most `timeout_ms` (-1: for ever); nothing when it passed or the other side is gone.
  std::optional<Bytes> read(int timeout_ms);
  bool has_packet() const;  // one that read() gives without waiting
  bool closed() const { return closed_; }
  void pull();              // reads what is there without waiting
  int number() const { return socket_.number(); }

 private:
  FileDescriptor socket_;
  Bytes input_;
  std::size_t used_ = 0;    // of input_, read already
  bool closed_ = false;
};

struct Channel::Pair {
  Channel here;
  Channel there;
};

}  // namespace covey::crash
