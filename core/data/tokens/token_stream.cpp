#include "core/data/tokens/token_stream.h"

#include <algorithm>
#include <numeric>

#include "core/base/check.h"
#include "core/base/wire.h"
#include "core/data/files.h"
#include "core/data/tokens/token_files.h"

namespace covey {
namespace {

Unexpected invalid(std::string message) { return unexpected(ErrorCode::kInvalidData, std::move(message)); }

std::vector<std::uint32_t> shuffled(std::uint32_t count, Random random) {
  std::vector<std::uint32_t> order(count);
  std::iota(order.begin(), order.end(), 0u);
  random.shuffle(std::span(order));
  return order;
}

}  // namespace

bool PackingSpec::takes(std::uint32_t file, std::uint32_t record) const {
  if (part == DocumentPart::kAll) return true;
  const bool held = (file != 0 || record != 0) && Random(holdout_seed).split("held out", file, record).uniform() < holdout;
  return held == (part == DocumentPart::kHoldout);
}

Bytes encode(const TokenCursor& cursor) {
  ByteWriter writer;
  writer.u64(cursor.epoch).u32(cursor.shard).u32(cursor.record).u32(cursor.token).u64(cursor.damaged);
  writer.boolean(cursor.carried.has_value()).u32(cursor.carried.value_or(0));
  return writer.take();
}

Result<TokenCursor> token_cursor_from(ByteSpan bytes) {
  ByteReader reader(bytes);
  TokenCursor cursor;
  cursor.epoch = reader.u64();
  cursor.shard = reader.u32();
  cursor.record = reader.u32();
  cursor.token = reader.u32();
  cursor.damaged = reader.u64();
  const bool carried = reader.boolean();
  const TextToken token = reader.u32();
  if (carried) cursor.carried = token;
  COVEY_TRY_VOID(reader.finish("token cursor"));
  return cursor;
}

struct TokenStream::State {
  std::vector<std::string> files;
  PackingSpec packing;
  Random random{0};
  TokenCursor cursor;

  // What the cursor points into, read when it is needed.
  std::optional<std::uint64_t> epoch;  // of `shard_order`
  std::vector<std::uint32_t> shard_order;
  std::optional<std::uint32_t> shard_at;  // place in shard_order of `shard`
  std::optional<TokenShard> shard;
  std::vector<std::uint32_t> record_order;
  std::optional<std::uint32_t> record_at;  // place in record_order of `document`
  TokenIds document;                       // with its separator; empty: damaged, or of the other part
  std::uint64_t passed_over = 0;
  bool tokens_in_epoch = false;            // of an epoch begun elsewhere nothing is known: true

  void forget() {
    epoch.reset();
    shard_at.reset();
    record_at.reset();
    tokens_in_epoch = cursor.shard != 0 || cursor.record != 0 || cursor.token != 0;
  }

  Result<void> damage(std::uint64_t count) {
    cursor.damaged += count;
    passed_over += count;
    if (cursor.damaged <= packing.damaged_max) return {};
    return invalid(files[shard_order[cursor.shard]] + ": with it " + std::to_string(cursor.damaged) +
                   " records are damaged in this epoch, at most " + std::to_string(packing.damaged_max) +
                   " are passed over: make the files again");
  }

  Result<void> enter_epoch() {
    if (epoch == cursor.epoch) return {};
    shard_order = shuffled(static_cast<std::uint32_t>(files.size()), random.split("shards", cursor.epoch));
    epoch = cursor.epoch;
    shard_at.reset();
    return {};
  }

  Result<void> enter_shard() {
    if (shard_at == cursor.shard) return {};
    const std::uint32_t file = shard_order[cursor.shard];
    COVEY_TRY(TokenShard opened, TokenShard::open(files[file]));
    if (opened.vocabulary() > packing.vocabulary)
      return invalid(files[file] + ": changed while it was read: its vocabulary is larger now");
    shard.emplace(std::move(opened));
    record_order = shuffled(shard->records(), random.split("records", cursor.epoch, file));
    shard_at = cursor.shard;
    record_at.reset();
    // Counted when the file is begun; a stream that continues within it has them in its cursor.
    return cursor.record == 0 && cursor.token == 0 ? damage(shard->damaged()) : Result<void>();
  }

  Result<void> enter_record() {
    if (record_at == cursor.record) return {};
    document.clear();
    const std::uint32_t record = record_order[cursor.record];
    if (!packing.takes(shard_order[cursor.shard], record)) {
      record_at = cursor.record;
      return {};
    }
    COVEY_TRY(std::optional<TokenIds> ids, shard->read(record));
    record_at = cursor.record;
    if (!ids) return damage(1);
    document = std::move(*ids);
    if (packing.separator) document.push_back(*packing.separator);
    return {};
  }

  void next_epoch() {
    ++cursor.epoch;
    cursor.shard = cursor.record = cursor.token = 0;
    cursor.damaged = 0;
    tokens_in_epoch = false;
  }

  // The stretch of a document that the cursor stands at, not empty.
  Result<std::span<const TextToken>> stretch() {
    for (;;) {
      COVEY_TRY_VOID(enter_epoch());
      if (cursor.shard >= files.size()) {
        if (!tokens_in_epoch) return invalid(files[0] + " and the files beside it hold no readable token");
        next_epoch();
        continue;
      }
      COVEY_TRY_VOID(enter_shard());
      if (cursor.record >= shard->records()) {
        ++cursor.shard;
        cursor.record = cursor.token = 0;
        continue;
      }
      COVEY_TRY_VOID(enter_record());
      if (cursor.token < document.size()) {
        tokens_in_epoch = true;
        return std::span<const TextToken>(document).subspan(cursor.token);
      }
      ++cursor.record;
      cursor.token = 0;
    }
  }

  Result<void> fill(std::span<std::int32_t> inputs, std::span<std::int32_t> targets) {
    std::size_t at = 0;  // of the window's T + 1 tokens
    const std::size_t count = inputs.size() + 1;
    TextToken last = 0;
    const auto put = [&](TextToken token) {
      if (at < inputs.size()) inputs[at] = static_cast<std::int32_t>(token);
      if (at > 0) targets[at - 1] = static_cast<std::int32_t>(token);
      last = token;
      ++at;
    };
    if (cursor.carried) put(*cursor.carried);
    while (at < count) {
      COVEY_TRY(const auto tokens, stretch());
      const std::size_t taken = std::min(count - at, tokens.size());
      for (const TextToken token : tokens.first(taken)) put(token);
      cursor.token += static_cast<std::uint32_t>(taken);
    }
    cursor.carried = last;
    return {};
  }
};

TokenStream::TokenStream(std::unique_ptr<State> state) : state_(std::move(state)) {}
TokenStream::~TokenStream() = default;
TokenStream::TokenStream(TokenStream&&) noexcept = default;
TokenStream& TokenStream::operator=(TokenStream&&) noexcept = default;
std::uint64_t TokenStream::passed_over() const { return state_->passed_over; }

Result<TokenStream> TokenStream::open(const std::string& path, const PackingSpec& packing,
                                      std::uint64_t seed) {
  COVEY_TRY(std::vector<FoundTokens> found, find_token_files(path, packing));
  auto state = std::make_unique<State>();
  for (FoundTokens& file : found) state->files.push_back(std::move(file.path));
  state->packing = packing;
  state->random = Random(seed);
  return TokenStream(std::move(state));
}

Result<std::uint64_t> TokenStream::tokens_in_epoch() const {
  const State& state = *state_;
  std::uint64_t tokens = 0;
  for (std::uint32_t file = 0; file < state.files.size(); ++file) {
    COVEY_TRY(const TokenShard shard, TokenShard::open(state.files[file]));
    for (std::uint32_t record = 0; record < shard.records(); ++record)
      if (state.packing.takes(file, record)) tokens += shard.tokens(record) + std::uint64_t{state.packing.separator ? 1U : 0U};
  }
  return tokens;
}

const TokenCursor& TokenStream::cursor() const { return state_->cursor; }

Result<void> TokenStream::seek(const TokenCursor& cursor) {
  State& state = *state_;
  const auto wrong = [&](const std::string& what) {
    return unexpected(ErrorCode::kInvalidArgument,
                      "the cursor is at " + what + ": are these the files it was made with?");
  };
  if (cursor.shard > state.files.size())
    return wrong("file " + std::to_string(cursor.shard) + " of " + std::to_string(state.files.size()));
  if (cursor.carried && *cursor.carried >= state.packing.vocabulary)
    return wrong("token " + std::to_string(*cursor.carried) + " of " +
                 std::to_string(state.packing.vocabulary));
  const TokenCursor before = state.cursor;
  state.cursor = cursor;
  state.forget();
  const auto reached = [&]() -> Result<void> {
    COVEY_TRY_VOID(state.enter_epoch());
    if (cursor.shard == state.files.size()) return {};
    COVEY_TRY_VOID(state.enter_shard());
    if (cursor.record > state.shard->records())
      return wrong("document " + std::to_string(cursor.record) + " of " +
                   std::to_string(state.shard->records()));
    if (cursor.record == state.shard->records() || cursor.token == 0) return {};
    COVEY_TRY_VOID(state.enter_record());
    if (cursor.token > state.document.size())
      return wrong("token " + std::to_string(cursor.token) + " of " + std::to_string(state.document.size()));
    return {};
  }();
  state.cursor = reached ? cursor : before;
  state.forget();
  return reached;
}

Result<void> TokenStream::next(std::span<std::int32_t> inputs, std::span<std::int32_t> targets) {
  COVEY_CHECK(inputs.size() == state_->packing.context && targets.size() == inputs.size());
  const TokenCursor before = state_->cursor;
  auto filled = state_->fill(inputs, targets);
  if (!filled) {
    state_->cursor = before;
    state_->forget();
  }
  return filled;
}

}  // namespace covey
