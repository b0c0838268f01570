// For the codec's .cpp files: checks of single fields, and the groups of fields that several
// messages share. The first refusal is kept; what follows it reads as defaults, so that a decoder
// reads a whole message and looks once.
#pragma once
#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/protocol/limits.h"
#include "core/protocol/message.h"

namespace covey::codec {

inline constexpr std::uint64_t kU64Max = ~std::uint64_t{0};
inline constexpr std::uint32_t kU32Max = ~std::uint32_t{0};
inline constexpr std::uint64_t kCountMax = std::uint64_t{1}
                                           << 48;  // examples, tokens: sums of many fit 64 bits
inline constexpr double kSumMax = 1e200;           // losses of one client, norms: sums of many stay finite
inline constexpr double kTotalMax = 1e300;         // such sums
inline constexpr double kSecondsMax = 1e9;
inline constexpr Duration kDurationMax = std::chrono::hours(24 * 366);
inline constexpr std::uint32_t kBlobPagesMax =
    static_cast<std::uint32_t>(kBlobBytesMax / kChunkBytes / kChunkHashesPerPage);

// What may stand in a text on the wire: UTF-8 without control characters, so that a peer's words
// neither steer a terminal nor break a log line.
bool is_wire_text(std::string_view text);
// Makes it so: control characters become spaces, foreign bytes '?', and what exceeds `bytes_max`
// is cut with "...".
std::string wire_text(std::string_view text, std::size_t bytes_max);

std::uint8_t wire_number(ErrorCode code);

template <class Data>
ByteSpan span_of(Data data) {
  return {data.begin(), data.size()};
}

// A place in the message being read, and the refusal they all share.
class Fields {
 public:
  Fields(const char* name, std::optional<Error>& refusal) : name_(name), refusal_(refusal) {}
  Fields in(const char* name) const { return Fields(this, name, -1); }
  Fields row(const char* name, std::size_t index) const {
    return Fields(this, name, static_cast<int>(index));
  }

  bool refused() const { return refusal_.has_value(); }
  void refuse(const char* field, const std::string& value, const std::string& rule) const;

  template <std::unsigned_integral T>
  T within(const char* field, T value, std::type_identity_t<T> low, std::type_identity_t<T> high) const {
    if (value >= low && value <= high) return value;
    refuse(field, std::to_string(value),
           "must lie in [" + std::to_string(low) + ", " + std::to_string(high) + "]");
    return T{};
  }
  double within(const char* field, double value, double low, double high) const;
  Duration duration(const char* field, std::int64_t nanos) const;
  Instant instant(const char* field, std::int64_t nanos) const;
  template <class E>
  E enumerator(const char* field, std::uint8_t value, E last) const {  // 1 to `last`
    return static_cast<E>(within(field, value, std::uint8_t{1}, static_cast<std::uint8_t>(last)));
  }

  template <class Text>
  std::string text(const char* field, Text value, std::size_t bytes_max = kErrorTextBytesMax) const {
    return checked_text(field, {value.begin(), value.size()}, bytes_max);
  }
  template <class Text>
  std::string name(const char* field, Text value) const {  // [A-Za-z0-9._-], 1 to kNameBytesMax
    return checked_name(field, {value.begin(), value.size()});
  }
  template <class Fixed, class Data>
  Fixed fixed(const char* field, Data value) const {
    const ByteSpan bytes = span_of(value);
    if (has_size(field, bytes, Fixed::kSize)) return *fixed_from<Fixed>(bytes);
    return {};
  }

  template <class Data>
  Bytes bytes(const char* field, Data value, std::size_t bytes_max) const {  // at least one
    const ByteSpan all = span_of(value);
    if (!all.empty() && all.size() <= bytes_max) return Bytes(all.begin(), all.end());
    refuse(field, std::to_string(all.size()) + " bytes", "must be 1 to " + std::to_string(bytes_max) + " bytes");
    return {};
  }

  template <class Reader>
  BlobRef blob(const char* field, Reader value, std::uint64_t bytes_max = kBlobBytesMax) const {
    const Fields f = in(field);
    return {f.fixed<Digest>("id", value.getId()), f.within("size", value.getSize(), 0, bytes_max)};
  }
  template <class Reader>
  Error error(const char* field, Reader value) const {
    const Fields f = in(field);
    return {f.error_code("code", value.getCode()), f.text("message", value.getMessage())};
  }
  template <class Reader>
  RoundKey round_key(const char* field, Reader value) const {
    const Fields f = in(field);
    return {f.within("job", value.getJob(), 1, kU64Max), f.within("round", value.getRound(), 1, kU32Max),
            f.within("attempt", value.getAttempt(), 1, kU32Max)};
  }
  template <class Reader>
  Capability capability(const char* field, Reader value) const {
    const Fields f = in(field);
    return {f.text("device", value.getDevice(), kNameBytesMax),
            f.within("cores", value.getCores(), 0, 1 << 20),
            f.within("memory_bytes", value.getMemoryBytes(), 0, std::uint64_t{1} << 60),
            f.within("gflops", value.getGflops(), 0, 1e12)};
  }
  template <class Reader>
  TrainStats train_stats(const char* field, Reader value, std::uint64_t targets_max = kCountMax) const {
    const Fields f = in(field);
    const double sum_max = targets_max > kCountMax ? kTotalMax : kSumMax;
    return {f.within("loss_sum", value.getLossSum(), -sum_max, sum_max),
            f.within("targets", value.getTargets(), 0, targets_max), value.getSteps(),
            f.within("seconds", value.getSeconds(), 0, kSecondsMax)};
  }
  template <class Reader>
  EvalStats eval_stats(const char* field, Reader value, std::uint64_t targets_max = kCountMax) const {
    const Fields f = in(field);
    const double sum_max = targets_max > kCountMax ? kTotalMax : kSumMax;
    const std::uint64_t targets = f.within("targets", value.getTargets(), 0, targets_max);
    return {f.within("loss_sum", value.getLossSum(), -sum_max, sum_max), targets,
            f.within("correct", value.getCorrect(), 0, targets)};
  }
  template <class Reader>
  Delegation delegation(const char* field, Reader value) const {
    const Fields f = in(field);
    return {f.fixed<TokenId>("token", value.getToken()),
            f.enumerator("role", value.getRole(), kRoleLast),
            f.instant("expires", value.getExpires()),
            f.instant("members_until", value.getMembersUntil()),
            f.fixed<PeerKey>("one_time_curve", value.getOneTimeCurve()),
            f.fixed<VerifyKey>("one_time_signing", value.getOneTimeSigning()),
            f.fixed<Signature>("signature", value.getSignature())};
  }
  template <class Reader>
  Renewal renewal(const char* field, Reader value) const {
    const Fields f = in(field);
    return {f.fixed<PeerKey>("curve", value.getCurve()), f.fixed<VerifyKey>("signing", value.getSigning()),
            f.instant("valid_until", value.getValidUntil()),
            f.within("serial", value.getSerial(), 1, kRenewalSerialMax),
            f.fixed<Signature>("signature", value.getSignature())};
  }
  template <class Data>
  KeyChange key_change(const char* field, Data value) const {
    Result<KeyChange> change = decode_key_change(span_of(value));
    if (change) return *std::move(change);
    refuse(field, std::to_string(span_of(value).size()) + " bytes", change.error().message);
    return {};
  }
  template <class Data>
  Withdrawals withdrawals(const char* field, Data value) const {
    Result<Withdrawals> list = decode_withdrawals(span_of(value));
    if (list) return *std::move(list);
    refuse(field, std::to_string(span_of(value).size()) + " bytes", list.error().message);
    return {};
  }
  template <class Reader>
  MemberCredential credential(const char* field, Reader value) const {
    const Fields f = in(field);
    return {f.fixed<SubjectId>("subject", value.getSubject()), f.within("epoch", value.getEpoch(), 1, kU32Max),
            f.fixed<VerifyKey>("key", value.getKey()), f.fixed<Signature>("signature", value.getSignature())};
  }

 private:
  Fields(const Fields* outer, const char* name, int index)
      : outer_(outer), name_(name), index_(index), refusal_(outer->refusal_) {}
  std::string path() const;
  bool has_size(const char* field, ByteSpan bytes, std::size_t size) const;
  std::string checked_text(const char* field, std::string_view value, std::size_t bytes_max) const;
  std::string checked_name(const char* field, std::string_view value) const;
  ErrorCode error_code(const char* field, std::uint8_t value) const;

  const Fields* outer_ = nullptr;
  const char* name_;
  int index_ = -1;
  std::optional<Error>& refusal_;
};

// ---- the same groups, written. `Data` and `Text` are Cap'n Proto's reader types.
template <class Data>
Data data_of(ByteSpan bytes) {
  return Data(bytes.data(), bytes.size());
}

template <class Data, class Builder>
void write(Builder to, const BlobRef& blob) {
  to.setId(data_of<Data>(blob.id.span()));
  to.setSize(blob.size);
}
template <class Builder>
void write(Builder to, const Error& error) {
  to.setCode(wire_number(error.code));
  to.setMessage(wire_text(error.message, kErrorTextBytesMax));
}
template <class Builder>
void write(Builder to, const RoundKey& key) {
  to.setJob(key.job);
  to.setRound(key.round);
  to.setAttempt(key.attempt);
}
template <class Builder>
void write(Builder to, const Capability& capability) {
  to.setDevice(wire_text(capability.device, kNameBytesMax));
  to.setCores(capability.cores);
  to.setMemoryBytes(capability.memory_bytes);
  to.setGflops(capability.gflops);
}
template <class Builder>
void write(Builder to, const TrainStats& stats) {
  to.setLossSum(stats.loss_sum);
  to.setTargets(stats.targets);
  to.setSteps(stats.steps);
  to.setSeconds(stats.seconds);
}
template <class Builder>
void write(Builder to, const EvalStats& stats) {
  to.setLossSum(stats.loss_sum);
  to.setTargets(stats.targets);
  to.setCorrect(stats.correct);
}
template <class Data, class Builder>
void write(Builder to, const Delegation& delegation) {
  to.setToken(data_of<Data>(delegation.token.span()));
  to.setRole(static_cast<std::uint8_t>(delegation.role));
  to.setExpires(unix_nanos(delegation.expires));
  to.setMembersUntil(unix_nanos(delegation.members_until));
  to.setOneTimeCurve(data_of<Data>(delegation.one_time_curve.span()));
  to.setOneTimeSigning(data_of<Data>(delegation.one_time_signing.span()));
  to.setSignature(data_of<Data>(delegation.signature.span()));
}
template <class Data, class Builder>
void write(Builder to, const Renewal& renewal) {
  to.setCurve(data_of<Data>(renewal.curve.span()));
  to.setSigning(data_of<Data>(renewal.signing.span()));
  to.setValidUntil(unix_nanos(renewal.valid_until));
  to.setSerial(renewal.serial);
  to.setSignature(data_of<Data>(renewal.signature.span()));
}
template <class Data, class Builder>
void write(Builder to, const MemberCredential& credential) {
  to.setSubject(data_of<Data>(credential.subject.span()));
  to.setEpoch(credential.epoch);
  to.setKey(data_of<Data>(credential.key.span()));
  to.setSignature(data_of<Data>(credential.signature.span()));
}

}  // namespace covey::codec
