#include "core/protocol/certificate.h"

#include <algorithm>
#include <cctype>

#include "core/base/wire.h"
#include "core/protocol/limits.h"
#include "core/spec/setting.h"

namespace covey {
namespace {

constexpr std::uint8_t kFormat = 1;
constexpr std::uint8_t kDelegationFormat = 2;  // 1 did not say how long the membership lasts
constexpr std::uint8_t kAddressFormat = 2;     // 1 had no record key
constexpr std::string_view kDelegationDomain = "covey delegation";
constexpr std::string_view kCertificateDomain = "covey certificate";
constexpr std::string_view kRenewalDomain = "covey renewal";
constexpr std::string_view kTokenPrefix = "covey1-";
constexpr std::size_t kHostBytesMax = 255;
constexpr std::size_t kTokenTextBytesMax = 4096;

ByteWriter signed_part(const Delegation& delegation) {
  ByteWriter out;
  out.u8(kDelegationFormat).fixed(delegation.token).u8(static_cast<std::uint8_t>(delegation.role));
  out.instant(delegation.expires).instant(delegation.members_until);
  out.fixed(delegation.one_time_curve).fixed(delegation.one_time_signing);
  return out;
}

ByteWriter signed_part(const Certificate& certificate) {
  ByteWriter out;
  out.u8(kFormat).text(certificate.name).fixed(certificate.signing).fixed(certificate.curve);
  out.blob(encode(certificate.delegation));
  return out;
}

ByteWriter signed_part(const Renewal& renewal) {
  ByteWriter out;
  out.u8(kFormat).fixed(renewal.curve).fixed(renewal.signing);
  out.instant(renewal.valid_until).u64(renewal.serial);
  return out;
}

Result<void> check_format(std::uint8_t format, std::string_view what, std::uint8_t reads = kFormat) {
  if (format == reads) return {};
  return unexpected(ErrorCode::kInvalidMessage, std::string(what) + " has format " + std::to_string(format) +
                                                    ", this version reads " + std::to_string(reads));
}

Result<void> check_signature(const Delegation& delegation, const VerifyKey& authority) {
  if (verify(authority, kDelegationDomain, signed_part(delegation).bytes(), delegation.signature)) return {};
  return unexpected(ErrorCode::kPermissionDenied,
                    "this join token was not made by the authority of this coordinator; ask its operator for a token");
}

}  // namespace

Result<void> check_node_name(const std::string& name) {
  const auto plain = [](unsigned char c) { return std::isalnum(c) != 0 || c == '.' || c == '_' || c == '-'; };
  if (!name.empty() && name.size() <= kNameBytesMax && std::all_of(name.begin(), name.end(), plain)) return {};
  return unexpected(ErrorCode::kInvalidArgument, "node name " + setting_text(name) + ": must have 1 to " +
                                                     std::to_string(kNameBytesMax) +
                                                     " characters of A-Z a-z 0-9 . _ -");
}

const char* name_of(Role role) {
  switch (role) {
    case Role::kClient: return "client";
    case Role::kOperator: return "operator";
    case Role::kAggregator: return "aggregator";
  }
  return "unknown";
}

Result<Role> role_from(std::string_view name) {
  for (const Role role : {Role::kClient, Role::kOperator, Role::kAggregator})
    if (name == name_of(role)) return role;
  return unexpected(ErrorCode::kInvalidArgument,
                    "role " + setting_text(name) + R"(: must be "client", "operator" or "aggregator")");
}

Bytes encode(const Delegation& delegation) {
  return signed_part(delegation).fixed(delegation.signature).take();
}

Result<Delegation> decode_delegation(ByteSpan bytes) {
  ByteReader in(bytes);
  COVEY_TRY_VOID(check_format(in.u8(), "delegation", kDelegationFormat));
  Delegation delegation;
  delegation.token = in.fixed<TokenId>();
  const std::uint8_t role = in.u8();
  delegation.expires = in.instant();
  delegation.members_until = in.instant();
  delegation.one_time_curve = in.fixed<PeerKey>();
  delegation.one_time_signing = in.fixed<VerifyKey>();
  delegation.signature = in.fixed<Signature>();
  if (unix_nanos(delegation.members_until) < 0) in.refuse();
  COVEY_TRY_VOID(in.finish("delegation"));
  if (role == 0 || role > static_cast<std::uint8_t>(kRoleLast))
    return unexpected(ErrorCode::kInvalidMessage, "delegation: role " + std::to_string(role) + " does not exist");
  delegation.role = static_cast<Role>(role);
  return delegation;
}

void sign(Delegation& delegation, const SigningKey& authority) {
  delegation.signature = authority.sign(kDelegationDomain, signed_part(delegation).bytes());
}

Result<void> verify(const Delegation& delegation, const VerifyKey& authority, Instant now) {
  COVEY_TRY_VOID(check_signature(delegation, authority));
  if (now < delegation.expires) return {};
  return unexpected(ErrorCode::kPermissionDenied, "this join token expired at " + iso8601(delegation.expires) +
                                                      ", it is " + iso8601(now) + "; ask the operator for a new one");
}

Bytes encode(const Certificate& certificate) {
  return signed_part(certificate).fixed(certificate.signature).take();
}

Result<Certificate> decode_certificate(ByteSpan bytes) {
  ByteReader in(bytes);
  COVEY_TRY_VOID(check_format(in.u8(), "certificate"));
  Certificate certificate;
  certificate.name = in.text();
  certificate.signing = in.fixed<VerifyKey>();
  certificate.curve = in.fixed<PeerKey>();
  const ByteSpan delegation = in.blob();
  certificate.signature = in.fixed<Signature>();
  COVEY_TRY_VOID(in.finish("certificate"));
  COVEY_TRY(certificate.delegation, decode_delegation(delegation));
  COVEY_TRY_VOID(check_node_name(certificate.name));
  return certificate;
}

void sign(Certificate& certificate, const SigningKey& one_time) {
  certificate.signature = one_time.sign(kCertificateDomain, signed_part(certificate).bytes());
}

Result<void> verify(const Certificate& certificate, const VerifyKey& authority) {
  COVEY_TRY_VOID(check_node_name(certificate.name));
  COVEY_TRY_VOID(check_signature(certificate.delegation, authority));
  if (verify(certificate.delegation.one_time_signing, kCertificateDomain, signed_part(certificate).bytes(),
             certificate.signature))
    return {};
  return unexpected(ErrorCode::kPermissionDenied,
                    "the certificate of " + setting_text(certificate.name) + " is not signed by its join token");
}

Bytes encode(const Renewal& renewal) { return signed_part(renewal).fixed(renewal.signature).take(); }

Result<Renewal> decode_renewal(ByteSpan bytes) {
  ByteReader in(bytes);
  COVEY_TRY_VOID(check_format(in.u8(), "renewal"));
  Renewal renewal;
  renewal.curve = in.fixed<PeerKey>();
  renewal.signing = in.fixed<VerifyKey>();
  renewal.valid_until = in.instant();
  renewal.serial = in.u64();
  renewal.signature = in.fixed<Signature>();
  if (unix_nanos(renewal.valid_until) < 0 || renewal.serial == 0 || renewal.serial > kRenewalSerialMax) in.refuse();
  COVEY_TRY_VOID(in.finish("renewal"));
  return renewal;
}

void sign(Renewal& renewal, const SigningKey& authority) {
  renewal.signature = authority.sign(kRenewalDomain, signed_part(renewal).bytes());
}

Result<void> verify(const Renewal& renewal, const Certificate& node, const VerifyKey& authority) {
  if (renewal.curve != node.curve || renewal.signing != node.signing)
    return unexpected(ErrorCode::kPermissionDenied,
                      "the renewal is for the key " + short_hex(renewal.curve) + ", not for those of " +
                          setting_text(node.name) + " (" + short_hex(node.curve) + ")");
  if (verify(authority, kRenewalDomain, signed_part(renewal).bytes(), renewal.signature)) return {};
  return unexpected(ErrorCode::kPermissionDenied,
                    "the renewal of " + setting_text(node.name) + " was not made by the authority of this coordinator");
}

Instant membership_end(const Certificate& node, const std::optional<Renewal>& newest) {
  return newest ? newest->valid_until : node.delegation.members_until;
}

bool ends_soon(Instant end, Instant now) { return now + kMembershipWarning >= end; }

Bytes encode(const CoordinatorAddress& address) {
  ByteWriter out;
  out.u8(kAddressFormat).text(address.host).number(address.control_port).number(address.bulk_port);
  return out.fixed(address.curve).fixed(address.authority).fixed(address.record).take();
}

Result<CoordinatorAddress> decode_address(ByteSpan bytes) {
  ByteReader in(bytes);
  COVEY_TRY_VOID(check_format(in.u8(), "coordinator address", kAddressFormat));
  CoordinatorAddress address;
  address.host = in.text();
  address.control_port = in.number<std::uint16_t>();
  address.bulk_port = in.number<std::uint16_t>();
  address.curve = in.fixed<PeerKey>();
  address.authority = in.fixed<VerifyKey>();
  address.record = in.fixed<VerifyKey>();
  COVEY_TRY_VOID(in.finish("coordinator address"));
  const auto plain = [](unsigned char c) { return std::isalnum(c) != 0 || c == '.' || c == '-' || c == ':'; };
  if (address.host.empty() || address.host.size() > kHostBytesMax ||
      !std::all_of(address.host.begin(), address.host.end(), plain))
    return unexpected(ErrorCode::kInvalidData, "coordinator address: host " + setting_text(address.host) +
                                                   ": must be a host name or an address");
  if (address.control_port == 0 || address.bulk_port == 0)
    return unexpected(ErrorCode::kInvalidData, "coordinator address: port 0; ports run from 1 to 65535");
  if (address.control_port == address.bulk_port)
    return unexpected(ErrorCode::kInvalidData, "coordinator address: control and bulk port are both " +
                                                   std::to_string(address.control_port) + "; they must differ");
  return address;
}

std::string to_text(const JoinToken& token) {
  ByteWriter out;
  out.u8(kFormat).blob(encode(token.coordinator)).blob(encode(token.delegation));
  out.raw(token.one_time_signing.seed().expose()).raw(token.one_time_curve.secret().expose());
  Bytes bytes = out.take();
  std::string text = std::string(kTokenPrefix) + base64url(bytes);
  wipe(bytes);
  return text;
}

Result<JoinToken> join_token_from(std::string_view text) {
  const auto bad = [](const std::string& why) {
    return unexpected(ErrorCode::kInvalidArgument,
                      "this is no join token (" + why + "); copy the whole line that `covey token` printed");
  };
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())) != 0) text.remove_suffix(1);
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front())) != 0) text.remove_prefix(1);
  if (text.size() > kTokenTextBytesMax) return bad("it has " + std::to_string(text.size()) + " characters");
  if (!text.starts_with(kTokenPrefix)) return bad("it does not begin with " + std::string(kTokenPrefix));
  auto bytes = from_base64url(text.substr(kTokenPrefix.size()));
  if (!bytes) return bad("it is not base64url");
  ByteReader in(*bytes);
  const std::uint8_t format = in.u8();
  const ByteSpan address = in.blob();
  const ByteSpan delegation = in.blob();
  const ByteSpan signing = in.raw(32);
  const ByteSpan curve = in.raw(32);
  if (format != kFormat || !in.finish("token")) return bad("it is cut short or of another version");
  COVEY_TRY(CoordinatorAddress coordinator, decode_address(address));
  COVEY_TRY(Delegation granted, decode_delegation(delegation));
  JoinToken token{std::move(coordinator), granted,
                  SigningKey::from_seed(Secret<32>(signing.first<32>())),
                  CurveKey::from_secret(Secret<32>(curve.first<32>()))};
  wipe(*bytes);
  if (token.one_time_signing.public_key() != granted.one_time_signing ||
      token.one_time_curve.public_key() != granted.one_time_curve)
    return bad("its secret keys do not fit its delegation");
  return token;
}

}  // namespace covey
