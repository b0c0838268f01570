#include "client/update_shelf.h"

#include "core/base/wire.h"
#include "core/protocol/records.h"

namespace covey::client {

namespace {

constexpr std::uint8_t kMaskedVersion = 1;

Bytes encode_masked(const MaskedReady& m) {
  ByteWriter out;
  out.u8(kMaskedVersion).u64(m.key.job).u32(m.key.round).u32(m.key.attempt).fixed(m.model);
  out.fixed(m.vectors.id).u64(m.vectors.size).blob(m.note).f64(m.seconds);
  return out.take();
}

Result<MaskedReady> decode_masked(ByteSpan bytes) {
  ByteReader in(bytes);
  if (in.u8() != kMaskedVersion) in.refuse();
  MaskedReady m;
  m.key.job = in.u64();
  m.key.round = in.u32();
  m.key.attempt = in.u32();
  m.model = in.fixed<Digest>();
  m.vectors.id = in.fixed<Digest>();
  m.vectors.size = in.u64();
  const ByteSpan note = in.blob();
  m.note.assign(note.begin(), note.end());
  m.seconds = in.f64();
  COVEY_TRY_VOID(in.finish("masked update"));
  return m;
}

Result<Delivery> decode_delivery(const Row& row) {
  if (row.key.starts_with(UpdateShelf::kMaskedTable)) {
    COVEY_TRY(MaskedReady masked, decode_masked(row.value));
    return Delivery(std::move(masked));
  }
  COVEY_TRY(UpdateReady update, decode_update_ready(row.value));
  return Delivery(std::move(update));
}

Bytes encode_delivery(const Delivery& delivery) {
  if (const auto* masked = std::get_if<MaskedReady>(&delivery)) return encode_masked(*masked);
  return encode(std::get<UpdateReady>(delivery));
}

}  // namespace

const RoundKey& key_of(const Delivery& delivery) {
  return std::visit([](const auto& d) -> const RoundKey& { return d.key; }, delivery);
}

std::optional<BlobRef> blob_of(const Delivery& delivery) {
  if (const auto* masked = std::get_if<MaskedReady>(&delivery)) return masked->vectors;
  return std::get<UpdateReady>(delivery).update;
}

std::string row_key_of(const Delivery& delivery) {
  const bool masked = std::holds_alternative<MaskedReady>(delivery);
  const RoundKey& key = key_of(delivery);
  return std::string(masked ? UpdateShelf::kMaskedTable : UpdateShelf::kTable) + hex_number(key.job) + "/" +
         hex_number(key.round) + "/" + hex_number(key.attempt);
}

Result<void> UpdateShelf::load(const Row& row) {
  auto update = decode_delivery(row);
  if (!update) return unexpected(in_context("row " + row.key, update.error()));
  const RoundKey key = key_of(*update);
  if (row_key_of(*update) != row.key)
    return unexpected(ErrorCode::kCorrupted, "row " + row.key + " holds the update of " + to_text(key));
  updates_.emplace(key, std::move(*update));
  return {};
}

void UpdateShelf::publish_all() {
  for (const auto& [key, update] : updates_) publish(key);
}

const Delivery* UpdateShelf::find(const RoundKey& key) const {
  const auto found = updates_.find(key);
  return found == updates_.end() ? nullptr : &found->second;
}

std::vector<Digest> UpdateShelf::blobs() const {
  std::vector<Digest> blobs;
  for (const auto& [key, update] : updates_)
    if (const auto blob = blob_of(update)) blobs.push_back(blob->id);
  return blobs;
}

Ticket UpdateShelf::keep(Delivery update) {
  const Ticket ticket = out_.ticket();
  Batch batch;
  batch.put(row_key_of(update), encode_delivery(update));
  const RoundKey key = key_of(update);
  updates_.insert_or_assign(key, std::move(update));
  out_.add(Persist{ticket, std::move(batch)});
  return ticket;
}

void UpdateShelf::publish(const RoundKey& key) {
  const Delivery* update = find(key);
  if (update == nullptr) return;
  if (const auto blob = blob_of(*update)) out_.add(PublishBlob{blob->id, out_.coordinator().peer});
}

void UpdateShelf::withdraw(const Delivery& update) {
  const Ticket ticket = out_.ticket();
  Batch batch;
  batch.erase(row_key_of(update));
  out_.add(Persist{ticket, std::move(batch)});
  std::optional<Digest> blob;
  if (const auto own = blob_of(update)) {
    blob = own->id;
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
    if (const auto own = blob_of(update); own && own->id == blob) return true;
  return false;
}

void UpdateShelf::sweep() {
  if (training_) return;
  for (const Digest& blob : doomed_)
    if (!needed(blob)) out_.add(EraseBlob{blob});
  doomed_.clear();
}

}  // namespace covey::client
