#include "core/protocol/credential.h"

#include <algorithm>

#include "core/base/wire.h"
#include "core/crypto/digest.h"
#include "core/spec/setting.h"

namespace covey {
namespace {

Unexpected denied(const std::string& what) {
  return unexpected(ErrorCode::kPermissionDenied, "the member credential " + what);
}

}  // namespace

Bytes signed_bytes(const MemberCredential& c) {
  ByteWriter out;
  out.fixed(c.subject).u32(c.epoch).fixed(c.key);
  return out.take();
}

void sign(MemberCredential& credential, const SigningKey& authority) {
  credential.signature = authority.sign(kCredentialDomain, signed_bytes(credential));
}

Bytes encode(const MemberCredential& credential) {
  ByteWriter out;
  out.raw(signed_bytes(credential)).fixed(credential.signature);
  return out.take();
}

Result<MemberCredential> decode_credential(ByteSpan bytes) {
  ByteReader in(bytes);
  MemberCredential credential;
  credential.subject = in.fixed<SubjectId>();
  credential.epoch = in.u32();
  credential.key = in.fixed<VerifyKey>();
  credential.signature = in.fixed<Signature>();
  COVEY_TRY_VOID(in.finish("member credential"));
  return credential;
}

SubjectId subject_of(std::string_view node_name) {
  ByteWriter in;
  in.text("covey secagg subject v1").text(node_name);
  const Digest digest = sha256(in.bytes());
  SubjectId subject;
  std::copy_n(digest.bytes.begin(), SubjectId::kSize, subject.bytes.begin());
  return subject;
}

MemberCredential credential_for(const Certificate& node, const SigningKey& authority, std::uint32_t epoch) {
  MemberCredential credential;
  credential.subject = subject_of(node.name);
  credential.epoch = epoch;
  credential.key = node.signing;
  sign(credential, authority);
  return credential;
}

Result<void> verify(const MemberCredential& credential, const VerifyKey& authority, std::uint32_t epoch) {
  if (credential.epoch != epoch)
    return denied("is of epoch " + std::to_string(credential.epoch) + ", epoch " + std::to_string(epoch) +
                  " counts; issue it anew with `covey vouch`");
  if (verify(authority, kCredentialDomain, signed_bytes(credential), credential.signature)) return {};
  return denied("of the key " + short_hex(credential.key) + " was not made by the authority of this coordinator");
}

Result<void> verify(const MemberCredential& credential, const Certificate& node, const VerifyKey& authority,
                    std::uint32_t epoch) {
  if (credential.key != node.signing)
    return denied("is for the key " + short_hex(credential.key) + ", not for that of " + setting_text(node.name) + " (" +
                  short_hex(node.signing) + ")");
  if (credential.subject != subject_of(node.name))
    return denied("is for another subject than " + setting_text(node.name));
  return verify(credential, authority, epoch);
}

}  // namespace covey
