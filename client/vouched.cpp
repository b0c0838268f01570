#include "client/vouched.h"

#include "client/own_row.h"

namespace covey::client {

Result<void> Vouched::load(const Row& row) {
  COVEY_TRY(MemberCredential credential,
            own_document<MemberCredential>(row, config_, decode_credential, [&](const MemberCredential& read, const Certificate& own) {
              return verify(read, own, config_.authority, read.epoch);
            }));
  if (credential.epoch == kCredentialEpoch) credential_ = std::move(credential);
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
  batch.put(std::string(kRow), own_row_value(encode(*credential_)));
  out_.add(Persist{saving_, std::move(batch)});
}

bool Vouched::on(const Persisted& event) {
  if (saving_ == 0 || event.ticket != saving_) return false;
  saving_ = 0;
  out_.log(LogLevel::kInfo, "vouched_for", {{"epoch", credential_->epoch}, {"subject", hex(credential_->subject.span())}});
  return true;
}

}  // namespace covey::client
