#include "client/vouched.h"

#include <algorithm>

#include "client/own_row.h"
#include "core/base/wire.h"

namespace covey::client {

Result<void> Vouched::load(const Row& row) {
  if (row.key == kListRow) return load_list(row);
  COVEY_TRY(MemberCredential credential,
            own_document<MemberCredential>(row, config_, decode_credential, [&](const MemberCredential& read, const Certificate& own) {
              return verify(read, own, config_.authority, read.epoch);
            }));
  credential_ = std::move(credential);
  return {};
}

// Of the authority for everyone, so that this client's certificate has no part in it.
Result<void> Vouched::load_list(const Row& row) {
  ByteReader in(row.value);
  if (in.u8() != kOwnRowVersion) in.refuse();
  const ByteSpan encoded = in.blob();
  COVEY_TRY_VOID(in.finish("row " + row.key));
  const auto list = decode_withdrawals(encoded);
  const auto own = list ? verify(*list, config_.authority) : Result<void>(unexpected(list.error()));
  if (!own) return unexpected(ErrorCode::kCorrupted, "row " + row.key + ": " + own.error().message);
  withdrawals_ = *list;
  return {};
}

std::uint32_t Vouched::epoch_min() const {
  return std::max(withdrawals_.epoch, credential_ ? credential_->epoch : kCredentialEpochFirst);
}

bool Vouched::counts(const MemberCredential& credential) const {
  return credential.epoch >= withdrawals_.epoch && !names(withdrawals_, credential.key);
}

Result<void> Vouched::judge(const MemberCredential& credential) const {
  if (!config_.certificate)
    return unexpected(ErrorCode::kPermissionDenied, "this client has no certificate to hold it against");
  COVEY_TRY_VOID(verify(credential, *config_.certificate, config_.authority, credential.epoch));
  if (credential.epoch < epoch_min())
    return unexpected(ErrorCode::kPermissionDenied, "credential epoch " + std::to_string(credential.epoch) + " is below " +
                                                        std::to_string(epoch_min()));
  if (counts(credential)) return {};
  return unexpected(ErrorCode::kPermissionDenied, "the authority withdrew the credential of this key");
}

void Vouched::on(const CredentialsWithdrawn& message) {
  const Withdrawals& list = message.list;
  if (withdrawals_ == list) return;  // told with every join
  auto sound = verify(list, config_.authority);
  if (sound) sound = follows(list, withdrawals_);
  if (!sound) {
    out_.log(LogLevel::kWarning, "withdrawals_refused", {{"number", list.number}, {"text", sound.error().message}});
    return;
  }
  withdrawals_ = list;
  saving_list_ = out_.ticket();
  Batch batch;
  batch.put(std::string(kListRow), own_row_value(encode(list)));
  out_.add(Persist{saving_list_, std::move(batch)});
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
  if (saving_list_ != 0 && event.ticket == saving_list_) {
    saving_list_ = 0;
    out_.log(LogLevel::kInfo, "credentials_withdrawn",
             {{"number", withdrawals_.number}, {"epoch", withdrawals_.epoch}, {"keys", withdrawals_.keys.size()}});
    return true;
  }
  if (saving_ == 0 || event.ticket != saving_) return false;
  saving_ = 0;
  out_.log(LogLevel::kInfo, "vouched_for", {{"epoch", credential_->epoch}, {"subject", hex(credential_->subject.span())}});
  return true;
}

}  // namespace covey::client
