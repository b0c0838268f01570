#include "client/data_place.h"

#include "core/base/wire.h"
#include "core/protocol/records.h"

namespace covey::client {
namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kJobsRemembered = 64;

std::string row_key(JobId job) { return std::string(DataPlaces::kTable) + hex_number(job); }

Bytes copied(ByteSpan bytes) { return {bytes.begin(), bytes.end()}; }

}  // namespace

Result<void> DataPlaces::load(const Row& row) {
  ByteReader in(row.value);
  if (in.u8() != kVersion) in.refuse();
  const JobId job = in.u64();
  Place place;
  place.round = in.u32();
  place.before = copied(in.blob());
  place.after = copied(in.blob());
  COVEY_TRY_VOID(in.finish("row " + row.key));
  if (row.key != row_key(job))
    return unexpected(ErrorCode::kCorrupted, "row " + row.key + " holds the place in the data of job " + std::to_string(job));
  places_.insert_or_assign(job, std::move(place));
  return {};
}

Bytes DataPlaces::begin_of(const RoundKey& key) const {
  const auto at = places_.find(key.job);
  if (at == places_.end()) return {};
  return key.round == at->second.round ? at->second.before : at->second.after;
}

void DataPlaces::trained(const RoundKey& key, Bytes after) {
  Place place{key.round, begin_of(key), std::move(after)};
  Batch batch;
  ByteWriter row;
  row.u8(kVersion).u64(key.job).u32(place.round).blob(place.before).blob(place.after);
  batch.put(row_key(key.job), row.take());
  places_.insert_or_assign(key.job, std::move(place));
  while (places_.size() > kJobsRemembered) {
    const auto oldest = places_.begin()->first == key.job ? std::next(places_.begin()) : places_.begin();
    batch.erase(row_key(oldest->first));
    places_.erase(oldest);
  }
  out_.add(Persist{out_.ticket(), std::move(batch)});
}

}  // namespace covey::client
