#include "core/protocol/withdrawals.h"

#include <algorithm>

#include "core/base/wire.h"

namespace covey {
namespace {

constexpr std::uint8_t kFormat = 1;

std::string named(const Withdrawals& list) {
  return "list " + std::to_string(list.number) + " of withdrawn credentials";
}

Result<Withdrawals> signed_next(const Withdrawals& held, Withdrawals next, const SigningKey& authority) {
  if (held.number >= kWithdrawalNumberMax || next.epoch > kCredentialEpochMax)
    return unexpected(ErrorCode::kResourceExhausted, "no number or epoch is left after the " + named(held));
  next.number = held.number + 1;
  next.signature = authority.sign(kWithdrawalsDomain, signed_bytes(next));
  return next;
}

}  // namespace

Bytes signed_bytes(const Withdrawals& list) {
  ByteWriter out;
  out.u8(kFormat).u32(list.number).u32(list.epoch).u32(static_cast<std::uint32_t>(list.keys.size()));
  for (const VerifyKey& key : list.keys) out.fixed(key);
  return out.take();
}

Bytes encode(const Withdrawals& list) {
  ByteWriter out;
  return out.raw(signed_bytes(list)).fixed(list.signature).take();
}

Result<Withdrawals> decode_withdrawals(ByteSpan bytes) {
  ByteReader in(bytes);
  Withdrawals list;
  if (in.u8() != kFormat) in.refuse();
  list.number = in.u32();
  list.epoch = in.u32();
  const std::size_t keys = in.count(VerifyKey::kSize);
  if (keys > kWithdrawnKeysMax)
    return unexpected(ErrorCode::kCorrupted, "a list of " + std::to_string(keys) + " withdrawn credentials: at most " +
                                                 std::to_string(kWithdrawnKeysMax));
  for (std::size_t i = 0; i < keys; ++i) list.keys.push_back(in.fixed<VerifyKey>());
  list.signature = in.fixed<Signature>();
  COVEY_TRY_VOID(in.finish("list of withdrawn credentials"));
  const bool ordered = std::adjacent_find(list.keys.begin(), list.keys.end(), std::greater_equal<>()) == list.keys.end();
  if (!ordered || list.number == 0 || list.number > kWithdrawalNumberMax || list.epoch < kCredentialEpochFirst ||
      list.epoch > kCredentialEpochMax)
    return unexpected(ErrorCode::kCorrupted, named(list) + ", epoch " + std::to_string(list.epoch) +
                                                 ": numbers and epochs begin at 1, and keys ascend without repeats");
  return list;
}

Digest root_of(const Withdrawals& list) {
  if (list.number == 0) return {};
  ByteWriter in;
  in.text("covey withdrawals root v1").blob(signed_bytes(list));
  return sha256(in.bytes());
}

bool names(const Withdrawals& list, const VerifyKey& key) {
  return std::binary_search(list.keys.begin(), list.keys.end(), key);
}

Result<void> verify(const Withdrawals& list, const VerifyKey& authority) {
  if (verify(authority, kWithdrawalsDomain, signed_bytes(list), list.signature)) return {};
  return unexpected(ErrorCode::kPermissionDenied, "the " + named(list) + " was not made by the authority of this coordinator");
}

Result<void> follows(const Withdrawals& list, const Withdrawals& held) {
  if (list.number <= held.number)
    return unexpected(ErrorCode::kAlreadyExists, "the " + named(list) + " is not newer than the one held, number " +
                                                     std::to_string(held.number));
  if (list.epoch < held.epoch)
    return unexpected(ErrorCode::kInvalidArgument, "credential epoch " + std::to_string(list.epoch) + " is below " +
                                                       std::to_string(held.epoch) + ", in the " + named(list));
  const bool whole = std::includes(list.keys.begin(), list.keys.end(), held.keys.begin(), held.keys.end());
  if (list.epoch > held.epoch || whole) return {};
  return unexpected(ErrorCode::kInvalidArgument, "the " + named(list) + " leaves out a key that number " +
                                                     std::to_string(held.number) + " of the same epoch names");
}

Result<Withdrawals> withdraw(const Withdrawals& held, const VerifyKey& key, const SigningKey& authority) {
  Withdrawals next = held;
  const auto at = std::lower_bound(next.keys.begin(), next.keys.end(), key);
  if (at == next.keys.end() || *at != key) next.keys.insert(at, key);
  if (next.keys.size() > kWithdrawnKeysMax)
    return unexpected(ErrorCode::kResourceExhausted,
                      "epoch " + std::to_string(held.epoch) + " has " + std::to_string(kWithdrawnKeysMax) +
                          " withdrawn credentials, and no list holds more; `covey vouch --new-epoch` begins the next with an empty one");
  return signed_next(held, std::move(next), authority);
}

Result<Withdrawals> begin_epoch(const Withdrawals& held, const SigningKey& authority) {
  Withdrawals next;
  next.epoch = held.epoch + 1;
  return signed_next(held, std::move(next), authority);
}

}  // namespace covey
