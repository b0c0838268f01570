// Updates made and not yet accepted, plain or masked: a durable row and a published blob each. A row is
// deleted before its blob is erased, so that no row outlives its blob.
#pragma once
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "client/outbox.h"
#include "core/base/batch.h"

namespace covey::client {

// What is said when it is delivered. One of a round: a job's updates are plain or masked.
using Delivery = std::variant<UpdateReady, MaskedReady>;
const RoundKey& key_of(const Delivery& delivery);
std::optional<BlobRef> blob_of(const Delivery& delivery);

class UpdateShelf {
 public:
  static constexpr std::string_view kTable = "update/";  // "update/<job>/<round>/<attempt>" -> UpdateReady
  static constexpr std::string_view kMaskedTable = "masked/";  // the same -> MaskedReady

  explicit UpdateShelf(ClientOutbox& out) : out_(out) {}

  static bool holds(const Row& row) { return row.key.starts_with(kTable) || row.key.starts_with(kMaskedTable); }
  Result<void> load(const Row& row);  // one that it holds; errors: kCorrupted naming the row
  void publish_all();
  const Delivery* find(const RoundKey& key) const;
  std::vector<Digest> blobs() const;

  // Persists; publish() follows once that is durable.
  Ticket keep(Delivery update);
  void publish(const RoundKey& key);
  void forget(const RoundKey& key);  // of none: nothing
  void forget_all_but(const RoundKey& key);
  // The blob of a training whose result nobody waits for.
  void discard(const BlobRef& update);
  bool on(const Persisted& event);  // false: not one of its own

  // A repeated attempt makes the same update and so the same blob: while training runs, a blob that
  // nobody needs now may be the one that it just made, and is left alone.
  void training_began() { training_ = true; }
  void training_ended();

 private:
  void withdraw(const Delivery& update);
  void sweep();
  bool needed(const Digest& blob) const;

  ClientOutbox& out_;
  std::map<RoundKey, Delivery> updates_;
  std::map<Ticket, std::optional<Digest>> deletions_;  // rows on their way out, and their blobs
  std::set<Digest> doomed_;
  bool training_ = false;
};

std::string row_key_of(const Delivery& delivery);

}  // namespace covey::client
