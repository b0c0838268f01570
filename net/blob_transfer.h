// Moves blobs between peers in hashed 256 KiB chunks with the receiver's credits. Pure: drivers
// (Reactor, simulator) carry its messages and call tick(). Survives loss, duplication, reordering and
// reconnection: whatever is not here is asked for again.
#pragma once
#include <cstddef>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "core/base/blob_store.h"
#include "core/protocol/limits.h"
#include "core/protocol/machine.h"

namespace covey {

struct BlobTransferConfig {
  std::uint32_t credits = kChunkCreditsMax;     // chunks asked for and not yet here, per blob
  std::uint32_t active_max = 32;                // blobs asked for at once; the others wait their turn
  std::uint32_t active_per_source_max = 2;      // so that a sender's queue holds few chunks for one peer
  Duration retry = std::chrono::seconds(2);     // without progress: ask again, then ever more rarely
  Duration give_up = std::chrono::seconds(60);  // without any progress: BlobFailed
  std::uint64_t blob_bytes_max = kBlobBytesMax;
};

class BlobTransfer {
 public:
  BlobTransfer(BlobStore& blobs, BlobTransferConfig config);  // `blobs` outlives this
  ~BlobTransfer();
  BlobTransfer(const BlobTransfer&) = delete;
  BlobTransfer& operator=(const BlobTransfer&) = delete;

  struct Outgoing {
    PeerKey to;
    Message message;
  };
  struct Step {
    std::vector<Outgoing> outgoing;
    std::vector<Event> events;  // BlobFetched, BlobFailed
  };

  // Several fetches of one blob share its chunks, whoever they come from.
  Step fetch(const FetchBlob& command, Instant now);
  void cancel(Ticket ticket);
  void publish(const PublishBlob& command);
  void withdraw(const Digest& blob);
  // A bulk message from a peer; anything unexpected (wrong hash, not asked for) is dropped or,
  // where the sender can act, answered.
  Step receive(PeerKey from, const Message& message, Instant now);
  // A driver may say that a peer has just connected, or again: what was asked of it is asked at once,
  // not only when it is late.
  Step reconnected(PeerKey peer, Instant now);
  // Retries and gives up. Call at next_tick(), or more often.
  Step tick(Instant now);
  std::optional<Instant> next_tick() const;

  std::uint64_t wrong_chunks() const { return wrong_chunks_; }  // dropped because the hash differed

 private:
  struct Wanted {  // a chunk that was asked for
    std::uint32_t index = 0;
    Instant asked;
    bool again = false;  // asked more than once: which of the answers came is not known
  };
  struct Waiter {  // a fetch
    Ticket ticket = 0;
    PeerKey from;
  };
  struct Pull {                   // one blob on its way here
    std::vector<Waiter> waiters;  // never empty
    std::size_t source = 0;       // whose turn it is to be asked: an index into waiters
    std::vector<Digest> hashes;   // the list of chunks, as far as it is here
    std::vector<bool> have;       // one a chunk, once the list is whole
    std::size_t missing = 0;
    std::uint32_t next = 0;                  // chunks from here on were never asked for
    std::deque<Wanted> wanted;               // in the order of asking
    std::map<PeerKey, std::uint32_t> wrong;  // chunks and lists that did not verify
    bool active = false;
    bool listed = false;  // the list is whole and verified
    Duration idle{};      // without progress before it was last made active
    Instant progress;     // while active: when idle began
    Instant probe_at;
    Duration probe_after{};
    Duration pace{};  // between the last chunks, so that a slow link is not taken for a dead one
    bool has_source(PeerKey peer) const;
  };
  struct Published {  // one blob that peers may have
    bool anyone = false;
    std::set<PeerKey> peers;
    std::optional<std::uint64_t> size;  // learnt when it is first asked for
  };
  using Pulls = std::map<BlobRef, Pull>;

  bool is_local(const FetchBlob& command, Step& step);
  void activate(Pulls::iterator place, Instant now, Step& step);
  std::size_t active_count() const { return pulls_.size() - waiting_.size(); }
  bool may_start(const BlobRef& blob) const;
  void activate_waiting(Instant now, Step& step);
  void ask(const BlobRef& blob, Pull& pull, Instant now, Step& step);
  void ask_all_again(const BlobRef& blob, Pull& pull, Instant now, Step& step);
  void ask_again(const BlobRef& blob, Pull& pull, const std::vector<std::uint32_t>& lost, Instant now,
                 Step& step);
  void probe(Pulls::iterator place, Instant now, Step& step);
  void progressed(Pull& pull, Instant now);
  void listed(Pulls::iterator place, Instant now, Step& step);
  void on(PeerKey from, const ChunkList& message, Instant now, Step& step);
  void on(PeerKey from, const Chunk& message, Instant now, Step& step);
  void on(PeerKey from, const BlobRefused& message, Instant now, Step& step);
  void serve(PeerKey from, const ChunkListWant& message, Step& step);
  void serve(PeerKey from, const ChunkWant& message, Step& step);
  Pulls::iterator find(const Digest& blob, PeerKey source);
  Published* offered(const Digest& blob, PeerKey to);
  // These erase the pull; drop_source only when no other source is left.
  void finish(Pulls::iterator place, Step& step);
  void fail(Pulls::iterator place, const Error& error, Step& step);
  void drop_source(Pulls::iterator place, PeerKey source, const Error& error, Instant now, Step& step);
  bool misbehaved(Pulls::iterator place, PeerKey source, const std::string& what, Instant now, Step& step);
  void forget(Pulls::iterator place);
  void keep_partial(const Digest& blob);

  BlobStore& blobs_;
  BlobTransferConfig config_;
  Pulls pulls_;
  std::deque<BlobRef> waiting_;  // pulls that are not active
  std::map<Digest, Published> published_;
  std::deque<Digest> abandoned_;  // unfinished values kept for a later fetch, oldest first
  Instant latest_;                // that a driver told
  std::uint64_t wrong_chunks_ = 0;
};

}  // namespace covey
