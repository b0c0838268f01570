#include "privacy/secagg_messages.h"

#include <string>

#include "core/base/wire.h"
#include "core/crypto/digest.h"

namespace covey {
namespace {

// Each message is the version, its kind (its place in SecAggMessage, from 1), and its fields.
void write(ByteWriter& out, const AttemptId& id) { out.fixed(id.sid).fixed(id.root); }
void read(ByteReader& in, AttemptId& id) {
  id.sid = in.fixed<Digest>();
  id.root = in.fixed<RosterRoot>();
}
template <std::size_t N, class Tag>
void write(ByteWriter& out, const FixedBytes<N, Tag>& v) { out.fixed(v); }
template <std::size_t N, class Tag>
void read(ByteReader& in, FixedBytes<N, Tag>& v) { v = in.fixed<FixedBytes<N, Tag>>(); }

std::uint32_t read_place(ByteReader& in) {
  const std::uint32_t place = in.u32();
  if (place >= kSecAggMembersMax) in.refuse();
  return place;
}
void write(ByteWriter& out, const MemberSet& set) { out.u32(set.members()).raw(set.bits()); }
void read(ByteReader& in, MemberSet& set) {
  const std::uint32_t members = in.u32();
  if (members > kSecAggMembersMax) return in.refuse();
  auto made = MemberSet::from_bits(members, in.raw((members + 7) / 8));
  if (!made) return in.refuse();
  set = std::move(*made);
}

void write_unsigned(ByteWriter& out, const RosterEntry& e) {
  out.raw(signed_bytes(e.credential)).fixed(e.credential.signature);
  out.fixed(e.sealing_key).fixed(e.masking_key).fixed(e.nonce).boolean(e.has_aes);
}
void write(ByteWriter& out, const RosterEntry& e) {
  write_unsigned(out, e);
  out.fixed(e.signature);
}
void read(ByteReader& in, RosterEntry& e) {
  e.credential.subject = in.fixed<SubjectId>();
  e.credential.epoch = in.u32();
  e.credential.key = in.fixed<VerifyKey>();
  e.credential.signature = in.fixed<Signature>();
  e.sealing_key = in.fixed<RistrettoPoint>();
  e.masking_key = in.fixed<AgreementPublicKey>();
  e.nonce = in.fixed<AttemptNonce>();
  e.has_aes = in.boolean();
  e.signature = in.fixed<Signature>();
}

void write(ByteWriter& out, const DeliveredShares& s) { out.u32(s.dealer).fixed(s.sealed); }
void read(ByteReader& in, DeliveredShares& s) {
  s.dealer = read_place(in);
  read(in, s.sealed);
}
void write(ByteWriter& out, const Complaint& c) { out.u32(c.dealer).fixed(c.leaf).fixed(c.shared).fixed(c.proof); }
void read(ByteReader& in, Complaint& c) {
  c.dealer = read_place(in);
  read(in, c.leaf);
  read(in, c.shared);
  read(in, c.proof);
}
void write(ByteWriter& out, const NeighbourMasked& n) { out.u32(n.member).fixed(n.masked).fixed(n.signature); }
void read(ByteReader& in, NeighbourMasked& n) {
  n.member = read_place(in);
  read(in, n.masked);
  read(in, n.signature);
}
void write(ByteWriter& out, const CommitteeSignature& s) { out.u32(s.member).fixed(s.signature); }
void read(ByteReader& in, CommitteeSignature& s) {
  s.member = read_place(in);
  read(in, s.signature);
}
void write(ByteWriter& out, const RevealedShare& s) {
  out.u32(s.dealer).u8(static_cast<std::uint8_t>(s.kind)).fixed(s.value);
}
void read(ByteReader& in, RevealedShare& s) {
  s.dealer = read_place(in);
  const std::uint8_t kind = in.u8();
  if (kind != 1 && kind != 2) return in.refuse();
  s.kind = static_cast<ShareKind>(kind);
  read(in, s.value);
}
void write(ByteWriter& out, const PairSeed& s) { out.u32(s.dealer).fixed(s.seed); }
void read(ByteReader& in, PairSeed& s) {
  s.dealer = read_place(in);
  read(in, s.seed);
}
Verdict read_verdict(ByteReader& in) {
  const std::uint8_t verdict = in.u8();
  if (verdict != 1 && verdict != 2) in.refuse();
  return static_cast<Verdict>(verdict);
}

std::uint32_t order_of(const DeliveredShares& v) { return v.dealer; }
std::uint32_t order_of(const Complaint& v) { return v.dealer; }
std::uint32_t order_of(const NeighbourMasked& v) { return v.member; }
std::uint32_t order_of(const CommitteeSignature& v) { return v.member; }
std::uint32_t order_of(const RevealedShare& v) { return v.dealer; }
std::uint32_t order_of(const PairSeed& v) { return v.dealer; }

template <class Item>
void write_list(ByteWriter& out, const std::vector<Item>& items) {
  COVEY_CHECK(items.size() <= kSecAggMembersMax);
  out.u32(static_cast<std::uint32_t>(items.size()));
  for (const Item& item : items) write(out, item);
}
template <class Item>
std::size_t bytes_each() {
  ByteWriter out;
  write(out, Item{});
  return out.bytes().size();
}
template <class Item>
void read_list(ByteReader& in, std::vector<Item>& items) {
  const std::size_t count = in.count(bytes_each<Item>());
  if (count > kSecAggMembersMax) return in.refuse();
  items.resize(count);
  for (Item& item : items) read(in, item);
}
// Lists name members in ascending order: none twice, and one encoding for one meaning.
template <class Item>
void read_ascending(ByteReader& in, std::vector<Item>& items) {
  read_list(in, items);
  for (std::size_t i = 1; i < items.size(); ++i)
    if (order_of(items[i - 1]) >= order_of(items[i])) return in.refuse();
}

void write(ByteWriter& out, const InviteMessage& m) { out.blob(encode(m.config)); }
void read(ByteReader& in, InviteMessage& m) {
  auto config = decode_secagg_config(in.blob());
  if (!config) return in.refuse();
  m.config = std::move(*config);
}
void write(ByteWriter& out, const JoinMessage& m) {
  out.fixed(m.sid);
  write(out, m.entry);
}
void read(ByteReader& in, JoinMessage& m) {
  read(in, m.sid);
  read(in, m.entry);
}
void write(ByteWriter& out, const RosterMessage& m) {
  out.fixed(m.sid);
  write_list(out, m.entries);
}
void read(ByteReader& in, RosterMessage& m) {
  read(in, m.sid);
  read_list(in, m.entries);
}
void write(ByteWriter& out, const SharesMessage& m) {
  write(out, m.id);
  out.u32(m.member).fixed(m.commitment);
  write_list(out, m.sealed);
  out.fixed(m.signature);
}
void read(ByteReader& in, SharesMessage& m) {
  read(in, m.id);
  m.member = read_place(in);
  read(in, m.commitment);
  read_list(in, m.sealed);
  read(in, m.signature);
}
void write(ByteWriter& out, const DeliveryMessage& m) {
  write(out, m.id);
  write_list(out, m.shares);
}
void read(ByteReader& in, DeliveryMessage& m) {
  read(in, m.id);
  read_ascending(in, m.shares);
}
void write(ByteWriter& out, const ConfirmMessage& m) {
  out.raw(confirm_statement(m)).fixed(m.signature);
}
void read(ByteReader& in, ConfirmMessage& m) {
  read(in, m.id);
  m.member = read_place(in);
  read_ascending(in, m.complaints);
  read(in, m.signature);
}
void write(ByteWriter& out, const MaskOrderMessage& m) {
  write(out, m.id);
  write(out, m.maskers);
}
void read(ByteReader& in, MaskOrderMessage& m) {
  read(in, m.id);
  read(in, m.maskers);
}
void write(ByteWriter& out, const MaskedMessage& m) {
  out.raw(masked_statement(m.id, m.member, m.maskers, m.masked)).fixed(m.signature);
}
void read(ByteReader& in, MaskedMessage& m) {
  read(in, m.id);
  m.member = read_place(in);
  read(in, m.maskers);
  read(in, m.masked);
  read(in, m.signature);
}
void write(ByteWriter& out, const SurvivorsMessage& m) {
  write(out, m.id);
  write(out, m.survivors);
  out.fixed(m.reservation);
  write_list(out, m.neighbours);
}
void read(ByteReader& in, SurvivorsMessage& m) {
  read(in, m.id);
  read(in, m.survivors);
  read(in, m.reservation);
  read_ascending(in, m.neighbours);
}
void write(ByteWriter& out, const AbortRequestMessage& m) { write(out, m.id); }
void read(ByteReader& in, AbortRequestMessage& m) { read(in, m.id); }
void write(ByteWriter& out, const VoteMessage& m) {
  write(out, m.id);
  out.u8(static_cast<std::uint8_t>(m.verdict)).u32(m.member).fixed(m.signature);
}
void read(ByteReader& in, VoteMessage& m) {
  read(in, m.id);
  m.verdict = read_verdict(in);
  m.member = read_place(in);
  read(in, m.signature);
}
void write(ByteWriter& out, const OutcomeMessage& m) {
  write(out, m.id);
  out.u8(static_cast<std::uint8_t>(m.verdict));
  write_list(out, m.signatures);
}
void read(ByteReader& in, OutcomeMessage& m) {
  read(in, m.id);
  m.verdict = read_verdict(in);
  read_ascending(in, m.signatures);
}
void write(ByteWriter& out, const UnmaskMessage& m) { out.raw(unmask_statement(m)).fixed(m.signature); }
void read(ByteReader& in, UnmaskMessage& m) {
  read(in, m.id);
  m.member = read_place(in);
  read_ascending(in, m.shares);
  read(in, m.signature);
}
void write(ByteWriter& out, const EvidenceMessage& m) {
  write(out, m.id);
  write(out, m.dealer);
  write(out, m.receiver);
  out.u32(m.dealer_place).u32(m.receiver_place).fixed(m.commitment).fixed(m.dealt);
  out.u32(m.leaf_place).u32(m.leaves).fixed(m.leaf);
  write_list(out, m.path);
  write(out, m.complaint);
}
void read(ByteReader& in, EvidenceMessage& m) {
  read(in, m.id);
  read(in, m.dealer);
  read(in, m.receiver);
  m.dealer_place = read_place(in);
  m.receiver_place = read_place(in);
  read(in, m.commitment);
  read(in, m.dealt);
  m.leaf_place = read_place(in);
  m.leaves = in.u32();
  if (m.leaves > kSecAggMembersMax) in.refuse();
  read(in, m.leaf);
  read_list(in, m.path);
  read(in, m.complaint);
}

void write(ByteWriter& out, const SeedsRequestMessage& m) {
  write(out, m.id);
  write(out, m.dealers);
}
void read(ByteReader& in, SeedsRequestMessage& m) {
  read(in, m.id);
  read(in, m.dealers);
}
void write(ByteWriter& out, const PairSeedsMessage& m) { out.raw(pair_seeds_statement(m)).fixed(m.signature); }
void read(ByteReader& in, PairSeedsMessage& m) {
  read(in, m.id);
  m.member = read_place(in);
  read_ascending(in, m.seeds);
  read(in, m.signature);
}

Unexpected invalid(const std::string& what) { return unexpected(ErrorCode::kInvalidMessage, what); }

template <std::size_t kind = 0>
Result<SecAggMessage> read_kind(std::size_t wanted, ByteReader& in) {
  if constexpr (kind < std::variant_size_v<SecAggMessage>) {
    if (wanted != kind) return read_kind<kind + 1>(wanted, in);
    std::variant_alternative_t<kind, SecAggMessage> message;
    read(in, message);
    if (const auto whole = in.finish("secure aggregation's message of kind " + std::to_string(kind + 1)); !whole)
      return invalid(whole.error().message);
    return SecAggMessage(std::move(message));
  } else {
    return invalid("secure aggregation has no message of kind " + std::to_string(wanted + 1));
  }
}

}  // namespace

Bytes encode(const SecAggMessage& message) {
  ByteWriter out;
  out.u8(kSecAggVersion).u8(static_cast<std::uint8_t>(message.index() + 1));
  std::visit([&](const auto& m) { write(out, m); }, message);
  return out.take();
}

Result<SecAggMessage> decode_secagg_message(ByteSpan bytes) {
  if (bytes.size() > kSecAggMessageBytesMax)
    return invalid("a message of " + std::to_string(bytes.size()) + " bytes; the most is " +
                   std::to_string(kSecAggMessageBytesMax));
  ByteReader in(bytes);
  if (in.u8() != kSecAggVersion) return invalid("a message of another version than 1, or an empty one");
  const std::uint8_t kind = in.u8();
  return read_kind(std::size_t{kind} - 1, in);
}

Bytes join_statement(const RosterEntry& entry, const Digest& sid, const Digest& config_hash) {
  ByteWriter out;
  out.fixed(sid).fixed(config_hash);
  write_unsigned(out, entry);
  return out.take();
}
Bytes shares_statement(const AttemptId& id, std::uint32_t member, const Digest& commitment, const Digest& merkle) {
  ByteWriter out;
  write(out, id);
  return out.u32(member).fixed(commitment).fixed(merkle).take();
}
Bytes confirm_statement(const ConfirmMessage& m) {
  ByteWriter out;
  write(out, m.id);
  out.u32(m.member);
  write_list(out, m.complaints);
  return out.take();
}
Bytes masked_statement(const AttemptId& id, std::uint32_t member, const Digest& maskers, const Digest& masked) {
  ByteWriter out;
  write(out, id);
  return out.u32(member).fixed(maskers).fixed(masked).take();
}
Bytes commit_statement(const AttemptId& id, const Survivors& s) {
  ByteWriter out;
  out.u8(static_cast<std::uint8_t>(Verdict::kCommit));
  write(out, id);
  return out.fixed(s.maskers).fixed(s.survivors).fixed(s.reservation).take();
}
Bytes abort_statement(const AttemptId& id) {
  ByteWriter out;
  out.u8(static_cast<std::uint8_t>(Verdict::kAbort));
  write(out, id);
  return out.take();
}
Bytes pair_seeds_statement(const PairSeedsMessage& m) {
  ByteWriter out;
  write(out, m.id);
  out.u32(m.member);
  write_list(out, m.seeds);
  return out.take();
}
Bytes unmask_statement(const UnmaskMessage& m) {
  ByteWriter out;
  write(out, m.id);
  out.u32(m.member);
  write_list(out, m.shares);
  return out.take();
}

}  // namespace covey
