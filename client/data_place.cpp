#include "client/data_place.h"

#include "core/base/wire.h"
#include "core/protocol/records.h"

namespace covey::client {
namespace {

constexpr std::uint8_t kVersion = 2;
constexpr std::size_t kJobsRemembered = 64;

std::string row_key(JobId job) { return std::string(DataPlaces::kTable) + hex_number(job); }

Bytes copied(ByteSpan bytes) { return {bytes.begin(), bytes.end()}; }

}  // namespace

Result<void> DataPlaces::load(const Row& row) {
  ByteReader in(row.value);
  const std::uint8_t version = in.u8();
  if (version != 1 && version != kVersion) in.refuse();
  const JobId job = in.u64();
  Place place;
  std::uint32_t rounds = 1;
  if (version != 1) {
    place.config = in.fixed<Digest>();
    rounds = in.u32();
    if (rounds == 0 || rounds > kRoundsRemembered) in.refuse();
  }
  for (std::uint32_t i = 0; i < rounds && !in.failed(); ++i) {
    const std::uint32_t round = in.u32();
    if (!place.before.empty() && round <= place.before.rbegin()->first) in.refuse();
    place.before[round] = copied(in.blob());
  }
  place.after = copied(in.blob());
  COVEY_TRY_VOID(in.finish("row " + row.key));
  if (row.key != row_key(job))
    return unexpected(ErrorCode::kCorrupted, "row " + row.key + " holds the place in the data of job " + std::to_string(job));
  places_.insert_or_assign(job, std::move(place));
  return {};
}

// A round between two that were trained here begins where the next of them does: nothing was read meanwhile.
Bytes DataPlaces::begin_of(const RoundKey& key, const Digest& config) const {
  const auto at = places_.find(key.job);
  if (at == places_.end()) return {};
  const Place& place = at->second;
  if (place.config != config && place.config != Digest()) return {};  // of another job
  const auto trained = place.before.lower_bound(key.round);
  return trained == place.before.end() ? place.after : trained->second;
}

void DataPlaces::trained(const RoundKey& key, const Digest& config, Bytes after) {
  Bytes before = begin_of(key, config);
  Place& place = places_[key.job];
  if (place.config != config && place.config != Digest()) place.before.clear();
  place.config = config;
  place.before.erase(place.before.lower_bound(key.round), place.before.end());  // what came after was taken back
  place.before[key.round] = std::move(before);
  if (place.before.size() > kRoundsRemembered) place.before.erase(place.before.begin());
  place.after = std::move(after);
  ByteWriter row;
  row.u8(kVersion).u64(key.job).fixed(config).u32(static_cast<std::uint32_t>(place.before.size()));
  for (const auto& [round, begin] : place.before) row.u32(round).blob(begin);
  row.blob(place.after);
  Batch batch;
  batch.put(row_key(key.job), row.take());
  while (places_.size() > kJobsRemembered) {
    const auto oldest = places_.begin()->first == key.job ? std::next(places_.begin()) : places_.begin();
    batch.erase(row_key(oldest->first));
    places_.erase(oldest);
  }
  out_.add(Persist{out_.ticket(), std::move(batch)});
}

}  // namespace covey::client
