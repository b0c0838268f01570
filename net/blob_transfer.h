// Moves blobs between peers in hashed 256 KiB chunks with the receiver's credits. Pure: drivers
// (Reactor, simulator) carry its messages, do its work on the store and call tick(). Survives loss,
// duplication, reordering and reconnection: whatever is not here is asked for again. The next chunk is
// asked for when one has been written, so that a slow disk slows its senders and fills no memory.
#pragma once
#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "core/base/blob_store.h"
#include "core/protocol/limits.h"
#include "core/protocol/machine.h"

namespace covey {

class BlobTransfer;

// A piece of work on the store. Those of one blob are done in the order given, one at a time; those of
// different blobs in any order, on any threads. What `run` returns goes to BlobTransfer::proceed.
struct BlobIo {
  using Continue = std::function<void(BlobTransfer&, Instant now)>;
  Digest blob;
  std::function<Continue(BlobStore& blobs)> run;
};
enum class BlobIoBy : std::uint8_t {
  kTransfer,  // within the call that needs it: simulations, tests, conversations without a machine
  kDriver,    // who takes it by take_io()
};

struct BlobTransferConfig {
  std::uint32_t credits = kChunkCreditsMax;     // chunks asked for and not yet here, per blob
  std::uint32_t chunks_max = 32;                // the same in all: one per blob, the rest to those that lack the least
  std::uint32_t active_max = 32;                // blobs asked for at once; the others wait their turn
  std::uint32_t active_in_flood = 4;            // the same while chunks come as fast as they can be taken
  std::uint32_t active_per_source_max = 2;      // so that a sender's queue holds few chunks for one peer
  Duration retry = std::chrono::seconds(2);     // without progress: ask again, then ever more rarely
  Duration give_up = std::chrono::seconds(60);  // without any progress: BlobFailed
  std::uint64_t blob_bytes_max = kBlobBytesMax;
  BlobIoBy io_by = BlobIoBy::kTransfer;
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
    std::vector<std::pair<Digest, Error>> unreadable;  // published here, and our store could not read it
  };

  // Work that became due in the calls before; only where the driver does it.
  std::vector<BlobIo> take_io() { return std::exchange(io_, {}); }
  // What a piece of work came to.
  Step proceed(const BlobIo::Continue& done, Instant now);

  // Several fetches of one blob share its chunks, whoever they come from.
  Step fetch(const FetchBlob& command, Instant now);
  // What has come is kept, if it is to be, until a later fetch of the blob or the driver drops it.
  void cancel(Ticket ticket, Unfinished unfinished = Unfinished::kDrop);
  void publish(const PublishBlob& command);
  void withdraw(const Digest& blob);
  void erased(const Digest& blob);  // by the driver: nothing of it is offered, or kept for a later fetch
  // A bulk message from a peer; anything unexpected (wrong hash, not asked for) is dropped or,
  // where the sender can act, answered.
  Step receive(PeerKey from, Message message, Instant now);
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
    bool here = false;   // it came and is being written
  };
  struct Waiter {  // a fetch
    Ticket ticket = 0;
    PeerKey from;
    Keep keep = Keep::kDurably;
    std::uint64_t content_bytes_max = 0;
  };
  struct Pull {                   // one blob on its way here
    std::uint64_t number = 0;     // tells it from an earlier one of the same blob
    std::vector<Waiter> waiters;  // never empty
    std::size_t source = 0;       // whose turn it is to be asked: an index into waiters
    std::vector<Digest> hashes;   // the list of chunks, as far as it is here
    std::vector<bool> have;       // one a chunk, once the list is whole
    std::size_t missing = 0;
    std::uint32_t next = 0;                  // chunks from here on were never asked for
    std::deque<Wanted> wanted;               // in the order of asking
    std::map<PeerKey, std::uint32_t> wrong;  // chunks and lists that did not verify
    bool active = false;
    bool listed = false;  // the list is whole and verified, and the store knows it
    bool busy = false;    // the store begins or finishes it
    Duration idle{};      // without progress before it was last made active
    Instant progress;     // while active: when idle began
    Instant probe_at;
    Duration probe_after{};
    Duration pace{};  // between the last chunks, so that a slow link is not taken for a dead one
    bool has_source(PeerKey peer) const;
    bool waits_for_disk() const;
    Keep keep() const;  // the most that a waiter wants
    std::uint64_t content_bytes_max() const;  // the same
  };
  struct Published {  // one blob that peers may have
    bool anyone = false;
    std::set<PeerKey> peers;
    std::optional<std::uint64_t> size;  // learnt when it is first asked for
  };
  using Pulls = std::map<BlobRef, Pull>;

  struct Local {  // what the store has of a fetch
    bool here = false;
    std::optional<Error> error;
    Bytes content;
  };
  static Local look_up(BlobStore& blobs, const BlobRef& blob, std::uint64_t content_bytes_max);
  template <class Run, class Then>
  void io(const Digest& blob, Run run, Then then);
  void drop(const Digest& blob);
  Step settled(Step step, Instant now);
  void looked_up(const FetchBlob& command, Local local, Instant now);
  Pulls::iterator find(const BlobRef& blob, std::uint64_t number);
  void begun(const BlobRef& blob, std::uint64_t number, Result<std::vector<bool>> have, Instant now);
  void written(const BlobRef& blob, std::uint64_t number, PeerKey from, std::uint32_t index,
               const Result<void>& result, Instant now);
  struct Finish {  // of which pull, and what its waiters wanted when it was finished
    std::uint64_t number = 0;
    Keep keep = Keep::kDurably;
    std::uint64_t content_bytes_max = 0;
  };
  void finished(const BlobRef& blob, const Finish& finish_of, Result<Bytes> content, Instant now);
  std::uint32_t credits(const Pull& pull) const;
  void activate(Pulls::iterator place, Instant now, Step& step);
  std::size_t active_count() const { return pulls_.size() - waiting_.size(); }
  std::optional<Instant> flood_until() const;
  std::size_t places() const;
  bool may_start(const BlobRef& blob) const;
  void activate_waiting(Instant now, Step& step);
  void ask(const BlobRef& blob, Pull& pull, Instant now, Step& step);
  void ask_all_again(const BlobRef& blob, Pull& pull, Instant now, Step& step);
  void ask_again(const BlobRef& blob, Pull& pull, const std::vector<std::uint32_t>& lost, Instant now,
                 Step& step);
  void probe(Pulls::iterator place, Instant now, Step& step);
  void progressed(Pull& pull, Instant now);
  void listed(Pulls::iterator place, Step& step);
  void on(PeerKey from, const ChunkList& message, Instant now, Step& step);
  void on(PeerKey from, Chunk&& message);
  void on(PeerKey from, const BlobRefused& message, Instant now, Step& step);
  void serve(PeerKey from, const ChunkListWant& message, Step& step);
  void serve(PeerKey from, const ChunkWant& message, Step& step);
  Pulls::iterator find(const Digest& blob, PeerKey source);
  Published* offered(const Digest& blob, PeerKey to);
  // These erase the pull; drop_source only when no other source is left.
  void finish(Pulls::iterator place);
  void fail(Pulls::iterator place, const Error& error, Step& step);
  void drop_source(Pulls::iterator place, PeerKey source, const Error& error, Instant now, Step& step);
  bool misbehaved(Pulls::iterator place, PeerKey source, const std::string& what, Instant now, Step& step);
  void forget(Pulls::iterator place);
  void keep_partial(const Digest& blob);

  BlobStore& blobs_;  // read at once for peers; all else is BlobIo
  BlobTransferConfig config_;
  std::vector<BlobIo> io_;
  Step proceeding_;             // what the continuation that runs now adds to
  std::set<Ticket> looking_;    // fetches whose blob is looked for in the store
  std::uint64_t pulls_begun_ = 0;
  Pulls pulls_;
  std::deque<BlobRef> waiting_;  // pulls that are not active
  std::deque<Instant> written_;  // when the last chunks were, at most kFloodChunks
  std::optional<Instant> large_begun_;  // when the last blob of many chunks became active
  std::map<Digest, Published> published_;
  std::deque<Digest> abandoned_;  // unfinished values kept for a later fetch, oldest first
  Instant latest_;                // that a driver told
  std::uint64_t wrong_chunks_ = 0;
};

}  // namespace covey
