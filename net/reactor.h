// The production driver: one thread owns every socket and the machine. Work goes to the Executor,
// whose completions come back through a queue and an eventfd.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/blob_store.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/crypto/curve_key.h"
#include "core/protocol/machine.h"

namespace covey {

// Coordinator: ROUTER sockets on two ports, CURVE, ZAP allow-list with enforced domain.
struct ListenConfig {
  std::string address = "127.0.0.1";  // or "0.0.0.0", "::"
  std::uint16_t control_port = 7700;  // 0: any free port
  std::uint16_t bulk_port = 7701;
  int io_threads = 2;                                       // ZeroMQ's; each takes a share of the connections
  std::uint64_t send_bytes_max = std::uint64_t{256} << 20;  // queued for all peers together; one peer: 5 MiB
  // While the key changes: the second key, served from the start, and where the secrets of such keys are.
  std::optional<KeyPlace> also = {};
  std::function<Result<CurveKey>(const PeerKey& key)> key_of = {};
  Duration unread_max = std::chrono::seconds(20);           // what was sent to a peer may stay unread so long; then it is cut
  // A peer that leaves its queue full, or takes a little now and then, is cut after this long.
  Duration full_max = std::chrono::seconds(60);
};
// Client or operator: DEALER sockets that only dial out.
struct DialConfig {
  CoordinatorAddress coordinator;
  std::optional<KeyChange> change = {};  // verified: where its keys are served now; `coordinator` may be older
  Duration other_after = std::chrono::seconds(15);  // without a link: try where the other key is served
  // Whether by our own documents and clock our membership stands: a coordinator that refuses us because it is over
  // then has a wrong clock, and we go on knocking. Asked on the reactor's thread.
  std::function<bool(Instant now)> stands = {};
  Duration refused_max = std::chrono::seconds(45);  // without a break, then it is said aloud; one that starts refuses for a moment too
};

struct ReactorParts {  // everything outlives the reactor
  Machine& machine;
  Executor& executor;
  BlobStore& blobs;
  Clock& clock;
  Log& log;
  const CurveKey& identity;
};

class Reactor {
 public:
  virtual ~Reactor() = default;
  // Handles events until the machine halts; returns its exit code. Errors: kUnavailable when a port
  // is taken (naming it), kInternal when the ZAP self-test finds the door open, kDiskFull when a
  // Persist fails for lack of space.
  virtual Result<int> run() = 0;
  // From any thread or a signal handler: delivers ShutdownRequested; the second call ends at once.
  virtual void request_shutdown() noexcept = 0;
  // Ports in use, for a listener that asked for any.
  virtual std::uint16_t control_port() const = 0;
  virtual std::uint16_t bulk_port() const = 0;
};

// Binds at once. At start it proves with a random key that strangers are refused.
Result<std::unique_ptr<Reactor>> make_listener(const ListenConfig& config, ReactorParts parts);
Result<std::unique_ptr<Reactor>> make_dialer(const DialConfig& config, ReactorParts parts);

// A blocking conversation without a machine, for enrolment and the operator's commands: one request,
// its reply, or kUnavailable after `timeout`, naming the address and what to check.
class Caller {
 public:
  virtual ~Caller() = default;
  virtual Result<Message> call(const Message& request, Duration timeout) = 0;
  // Blobs by hash from the coordinator, and one of ours offered while it is fetched.
  virtual Result<Bytes> fetch(const BlobRef& blob, Duration timeout,
                              std::function<void(std::uint64_t bytes)> progress) = 0;
  // The latest that the coordinator told meanwhile, not verified.
  virtual std::optional<KeyChange> key_change() const = 0;
  virtual void publish(const BlobRef& blob) = 0;  // served from `blobs` during the calls that follow
};
Result<std::unique_ptr<Caller>> make_caller(const DialConfig& config, const CurveKey& identity,
                                            BlobStore& blobs);

}  // namespace covey
