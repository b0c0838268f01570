#include "client/vouched.h"

#include "core/base/wire.h"

namespace covey::client {
namespace {

constexpr std::uint8_t kVersion = 1;

}  // namespace

Result<void> Vouched::load(const Row& row) {
  const auto bad = [&](const std::string& why) {
    return unexpected(ErrorCode::kCorrupted, "row " + row.key + ": " + why);
  };
  ByteReader in(row.value);
  if (in.u8() != kVersion) in.refuse();
  const ByteSpan encoded = in.blob();
  COVEY_TRY_VOID(in.finish("row " + row.key));
  const auto credential = decode_credential(encoded);
  if (!credential) return bad(credential.error().message);
  if (!config_.certificate) return bad("a credential, but this client has no certificate");
  if (const auto own = verify(*credential, *config_.certificate, config_.authority, credential->epoch); !own)
    return bad(own.error().message + "; a node that enrolled anew needs a new --home");
  if (credential->epoch == kCredentialEpoch) credential_ = *credential;
  return {};
}

Result<void> Vouched::judge(const MemberCredential& credential) const {
  if (!config_.certificate)
    return unexpected(ErrorCode::kPermissionDenied, "this client has no certificate to hold it against");
  return verify(credential, *config_.certificate, config_.authority);
}

void Vouched::on(const CredentialIssued& message) {
  if (credential_ == message.credential) return;  // told with every join
  if (const auto own = judge(message.credential); !own) {
    out_.log(LogLevel::kWarning, "credential_refused", {{"epoch", message.credential.epoch}, {"text", own.error().message}});
    return;
  }
  credential_ = message.credential;
  saving_ = out_.ticket();
  Batch batch;
  batch.put(std::string(kRow), ByteWriter().u8(kVersion).blob(encode(*credential_)).take());
  out_.add(Persist{saving_, std::move(batch)});
}

bool Vouched::on(const Persisted& event) {
  if (saving_ == 0 || event.ticket != saving_) return false;
  saving_ = 0;
  out_.log(LogLevel::kInfo, "vouched_for", {{"epoch", credential_->epoch}, {"subject", hex(credential_->subject.span())}});
  return true;
}

}  // namespace covey::client
