// For net's .cpp files: the sockets of one side, as the Reactor sees them. One thread owns it.
#pragma once
#include <memory>
#include <optional>
#include <vector>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/protocol/limits.h"
#include "core/protocol/machine.h"
#include "net/reactor.h"
#include "net/zmq_socket.h"

namespace covey {

struct Incoming {
  Link from;
  Message message;
};

class Transport {
 public:
  virtual ~Transport() = default;
  virtual std::vector<const ZmqSocket*> sockets() const = 0;  // to wait for
  // What has come, bounded: call again until it is empty. Messages that may not be listened to are
  // left out and logged. A BulkHello among them means that the peer's bulk link is new.
  virtual std::vector<Incoming> receive() = 0;
  // Dropped and logged when it cannot be sent: the machines and BlobTransfer ask again.
  virtual void send(const Link& to, const Message& message) = 0;
  virtual void send_bulk(PeerKey to, const Message& message) = 0;
  // Blobs of ours will be asked for: be where peers can ask.
  virtual void offer_blobs() {}
  virtual void admit(PeerKey peer, Admission admission) = 0;
  virtual void expel(PeerKey peer, Expulsion why) = 0;
  virtual bool admitted(PeerKey peer) const = 0;
  // A listener: with this key too, or no longer. Errors: kUnavailable for a port that is taken,
  // kUnsupported where nothing listens; those of the source of keys.
  virtual Result<void> serve_key(const KeyPlace&) {
    return unexpected(ErrorCode::kUnsupported, "only a coordinator serves keys");
  }
  virtual void drop_key(const PeerKey&) {}
  virtual void follow(const KeyChange&) {}  // a dialler
  // Redials, greets, forgets; call at next_tick().
  virtual void tick(Instant now) = 0;
  virtual Instant next_tick() const = 0;
  virtual std::uint16_t control_port() const = 0;
  virtual std::uint16_t bulk_port() const = 0;
  // Why there is no point in going on, e.g. refused for a long time.
  virtual std::optional<Error> hopeless(Instant) const { return std::nullopt; }
  // Ends every connection; what was sent may take up to `linger`.
  virtual void close(Duration linger) = 0;
};

Result<std::unique_ptr<Transport>> listen_transport(const ListenConfig& config, const CurveKey& identity,
                                                    Clock& clock, Log& log);

}  // namespace covey
