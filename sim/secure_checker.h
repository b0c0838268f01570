// Watches secure aggregation in a simulated world: it sees every plain encoding, every masked vector and every
// share, as nobody in the world does.
#pragma once
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/base/blob_store.h"
#include "core/protocol/machine.h"
#include "privacy/secagg_messages.h"

namespace covey {

// Promises, each checked after every event that could break it:
//  1. a sum is opened of the vectors of distinct members, all acknowledged ones among them, and what comes of it,
//     the next model and the figures, is bit for bit what the plain sum of their encodings gives;
//  2. a masked vector, a vote and a share leave an honest client only when its record of that is durable;
//  3. an honest client masks once in an attempt and signs at most one COMMIT, none after an ABORT; an ABORT after one on
//     a complete graph alone, and never an ABORT and a share;
//  4. of one member in one attempt, all shares that ever leave honest clients are of one kind, and those of
//     one client never change; what it masked with another leaves after its share of that one's masking key, or never;
//  5. no round commits whose sum was not opened so, and no sum is opened whose ABORT a quorum signed.
class SecureChecker {
 public:
  using Finding = std::optional<std::string>;  // the broken promise
  using ReadRow = std::function<std::optional<Bytes>(const std::string& key)>;  // of the client's disk
  using ReadBlob = std::function<std::optional<Bytes>(const Digest& blob)>;     // of the client's

  // A client's work on its vectors, before and after.
  Finding on_mask(const PeerKey& client, const MaskUpdate& work, BlobStore& blobs);
  void on_masked(const PeerKey& client, const RoundKey& key, const UpdateMasked& result);
  // What an honest client says.
  struct Disk {
    ReadRow row;
    ReadBlob blob;
  };
  Finding on_client_message(const PeerKey& client, const Message& message, const Disk& disk);
  // The coordinator's.
  bool is_secure(const RoundKey& key) const { return attempts_.contains(key); }
  bool sent_masked(const PeerKey& client, const RoundKey& key) const;
  bool on_accepted(const PeerKey& client, const RoundKey& key);  // for the first time
  void on_revoke(const PeerKey& client) { revoked_.insert(client); }
  Finding on_unmask(const Unmask& work) const;
  Finding on_unmasked(const Unmask& work, const Unmasked& result, BlobStore& blobs);
  Finding on_closed(const RoundKey& key, bool committed);

  std::size_t opened() const { return opened_total_; }
  std::size_t revealed() const { return revealed_.size(); }  // clients' shares, by attempt

 private:
  using Vectors = std::vector<std::vector<std::uint64_t>>;  // words
  struct Attempt {
    std::map<PeerKey, Vectors> encoded;
    std::map<Digest, PeerKey> masked;        // whose blob
    std::set<std::pair<PeerKey, Digest>> sent;
    std::set<PeerKey> acknowledged;
    bool opened = false;
  };
  Finding on_secagg(const PeerKey& client, const SecAggMessage& message, const Disk& disk);
  Finding on_vote(const PeerKey& client, const VoteMessage& vote, const Disk& disk);
  Finding on_seeds(const PeerKey& client, const PairSeedsMessage& told);
  Finding on_shares(const PeerKey& client, const UnmaskMessage& unmask, const Disk& disk);
  std::optional<Vectors> plain_sum(const Attempt& attempt, const Unmask& work) const;

  std::map<RoundKey, Attempt> attempts_;
  std::map<std::pair<PeerKey, Digest>, Digest> masked_;   // (client, sid) -> H(y) signed
  struct Votes {                                          // whole
    Bytes commit;
    Bytes abort;
  };
  std::map<std::pair<PeerKey, Digest>, Votes> votes_;
  std::map<RosterRoot, std::size_t> aborts_;              // signed by honest clients
  std::map<std::pair<PeerKey, Digest>, Bytes> revealed_;  // -> the whole message
  std::map<std::pair<RosterRoot, std::uint32_t>, ShareKind> kinds_;  // (roster, dealer)
  std::set<PeerKey> revoked_;
  std::size_t opened_total_ = 0;
};

}  // namespace covey
