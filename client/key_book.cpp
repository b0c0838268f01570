#include "client/key_book.h"

#include "core/base/wire.h"

namespace covey {
namespace {

constexpr std::uint8_t kVersion = 1;

Result<KeyChange> change_of(const Row& row) {
  ByteReader in(row.value);
  if (in.u8() != kVersion) in.refuse();
  const ByteSpan encoded = in.blob();
  COVEY_TRY_VOID(in.finish("row " + row.key));
  auto change = decode_key_change(encoded);
  if (!change) return unexpected(ErrorCode::kCorrupted, "row " + row.key + ": " + change.error().message);
  return change;
}

}  // namespace

Row key_change_row(const KeyChange& change) {
  return {std::string(client::KeyBook::kRow), ByteWriter().u8(kVersion).blob(encode(change)).take()};
}

Result<std::optional<KeyChange>> key_change_in(const std::vector<Row>& rows) {
  for (const Row& row : rows)
    if (row.key == client::KeyBook::kRow) {
      COVEY_TRY(const KeyChange change, change_of(row));
      return std::optional(change);
    }
  return std::optional<KeyChange>();
}

namespace client {

Result<void> KeyBook::load(const Row& row) {
  COVEY_TRY(const KeyChange change, change_of(row));
  if (const auto ours = verify(change, config_.authority, config_.record); !ours)
    return unexpected(ErrorCode::kCorrupted, "row " + row.key + ": " + ours.error().message + "; a node that enrolled anew needs a new --home");
  change_ = change;
  return {};
}

void KeyBook::on(const KeyChanged& message) {
  const KeyChange& change = message.change;
  if (change_ && change.serial <= change_->serial) return;  // told with every join, or a replay of an older one
  if (const auto ours = verify(change, config_.authority, config_.record); !ours) {
    out_.log(LogLevel::kWarning, "key_change_refused", {{"serial", change.serial}, {"text", ours.error().message}});
    return;
  }
  change_ = change;
  saving_ = out_.ticket();
  Row row = key_change_row(change);
  Batch batch;
  batch.put(std::move(row.key), std::move(row.value));
  out_.add(Persist{saving_, std::move(batch)});
}

bool KeyBook::on(const Persisted& event) {
  if (saving_ == 0 || event.ticket != saving_) return false;
  saving_ = 0;
  out_.log(LogLevel::kInfo, "key_change_kept",
           {{"key", short_hex(change_->after.key)}, {"serial", change_->serial}, {"before_until", iso8601(change_->old_until)}});
  out_.add(FollowKey{*change_});
  return true;
}

}  // namespace client
}  // namespace covey
