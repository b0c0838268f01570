#include "client/update_shelf.h"

#include "core/protocol/records.h"

namespace covey::client {

std::string update_row_key(const RoundKey& key) {
  return std::string(UpdateShelf::kTable) + hex_number(key.job) + "/" + hex_number(key.round) + "/" +
         hex_number(key.attempt);
}

Result<void> UpdateShelf::load(const Row& row) {
  auto update = decode_update_ready(row.value);
  if (!update) return unexpected(in_context("row " + row.key, update.error()));
  if (update_row_key(update->key) != row.key)
    return unexpected(ErrorCode::kCorrupted, "row " + row.key + " holds the update of " + to_text(update->key));
  updates_.emplace(update->key, std::move(*update));
  return {};
}

void UpdateShelf::publish_all() {
  for (const auto& [key, update] : updates_) publish(key);
}

const UpdateReady* UpdateShelf::find(const RoundKey& key) const {
  const auto found = updates_.find(key);
  return found == updates_.end() ? nullptr : &found->second;
}

std::vector<Digest> UpdateShelf::blobs() const {
  std::vector<Digest> blobs;
  for (const auto& [key, update] : updates_)
    if (update.update) blobs.push_back(update.update->id);
  return blobs;
}

Ticket UpdateShelf::keep(const UpdateReady& update) {
  updates_.insert_or_assign(update.key, update);
  const Ticket ticket = out_.ticket();
  Batch batch;
  batch.put(update_row_key(update.key), encode(update));
  out_.add(Persist{ticket, std::move(batch)});
  return ticket;
}

void UpdateShelf::publish(const RoundKey& key) {
  const UpdateReady* update = find(key);
  if (update != nullptr && update->update)
    out_.add(PublishBlob{update->update->id, out_.coordinator().peer});
}

void UpdateShelf::withdraw(const UpdateReady& update) {
  const Ticket ticket = out_.ticket();
  Batch batch;
  batch.erase(update_row_key(update.key));
  out_.add(Persist{ticket, std::move(batch)});
  std::optional<Digest> blob;
  if (update.update) {
    blob = update.update->id;
    out_.add(WithdrawBlob{*blob});
  }
  deletions_.emplace(ticket, blob);
}

void UpdateShelf::forget(const RoundKey& key) {
  const auto found = updates_.find(key);
  if (found == updates_.end()) return;
  withdraw(found->second);
  updates_.erase(found);
}

void UpdateShelf::forget_all_but(const RoundKey& key) {
  std::vector<RoundKey> others;
  for (const auto& [other, update] : updates_)
    if (other != key) others.push_back(other);
  for (const RoundKey& other : others) forget(other);
}

void UpdateShelf::discard(const BlobRef& update) {
  doomed_.insert(update.id);
  sweep();
}

bool UpdateShelf::on(const Persisted& event) {
  const auto found = deletions_.find(event.ticket);
  if (found == deletions_.end()) return false;
  if (found->second) doomed_.insert(*found->second);
  deletions_.erase(found);
  sweep();
  return true;
}

void UpdateShelf::training_ended() {
  training_ = false;
  sweep();
}

bool UpdateShelf::needed(const Digest& blob) const {
  for (const auto& [key, update] : updates_)
    if (update.update && update.update->id == blob) return true;
  return false;
}

void UpdateShelf::sweep() {
  if (training_) return;
  for (const Digest& blob : doomed_)
    if (!needed(blob)) out_.add(EraseBlob{blob});
  doomed_.clear();
}

}  // namespace covey::client
