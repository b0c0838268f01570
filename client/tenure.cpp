#include "client/tenure.h"

#include "core/base/wire.h"

namespace covey::client {
namespace {

constexpr const char* kTimer = "tenure";
constexpr std::uint8_t kVersion = 1;

}  // namespace

Result<void> Tenure::load(const Row& row) {
  const auto bad = [&](const std::string& why) {
    return unexpected(ErrorCode::kCorrupted, "row " + row.key + ": " + why);
  };
  ByteReader in(row.value);
  if (in.u8() != kVersion) in.refuse();
  const ByteSpan encoded = in.blob();
  COVEY_TRY_VOID(in.finish("row " + row.key));
  const auto renewal = decode_renewal(encoded);
  if (!renewal) return bad(renewal.error().message);
  if (!config_.certificate) return bad("a renewal, but this client has no certificate");
  if (const auto own = verify(*renewal, *config_.certificate, config_.authority); !own)
    return bad(own.error().message + "; a node that enrolled anew needs a new --home");
  renewal_ = *renewal;
  return {};
}

void Tenure::start(Instant now) {
  if (!config_.certificate) return;
  look(now);
  out_.add(SetTimer{kTimer, kTenureInterval});
}

bool Tenure::on_timer(std::string_view name, Instant now) {
  if (name != kTimer) return false;
  start(now);
  return true;
}

void Tenure::look(Instant now) {
  const Instant end = membership_end(*config_.certificate, renewal_);
  if (!ends_soon(end, now)) return;
  const std::string& name = config_.certificate->name;
  const bool over = now >= end;
  out_.log(over ? LogLevel::kError : LogLevel::kWarning, over ? "membership_ended" : "membership_ends_soon",
           {{"until", iso8601(end)},
            {"text", over ? "the coordinator refuses this node until its operator has run `covey renew " + name + "`"
                          : "the coordinator refuses this node from then on; ask its operator to run `covey renew " + name + "`"}});
}

void Tenure::refuse(const Renewal& renewal, const std::string& why) {
  out_.log(LogLevel::kWarning, "renewal_refused", {{"serial", renewal.serial}, {"text", why}});
}

void Tenure::on(const MembershipRenewed& message) {
  const Renewal& renewal = message.renewal;
  if (renewal_ == renewal) return;  // told with every join
  if (!config_.certificate) return refuse(renewal, "this client has no certificate to hold it against");
  if (const auto own = verify(renewal, *config_.certificate, config_.authority); !own)
    return refuse(renewal, own.error().message);
  if (renewal_ && renewal.serial <= renewal_->serial)
    return refuse(renewal, "this client holds number " + std::to_string(renewal_->serial) + " already");
  before_ = membership_end(*config_.certificate, renewal_);
  renewal_ = renewal;
  saving_ = out_.ticket();
  Batch batch;
  batch.put(std::string(kRow), ByteWriter().u8(kVersion).blob(encode(renewal)).take());
  out_.add(Persist{saving_, std::move(batch)});
}

bool Tenure::on(const Persisted& event) {
  if (saving_ == 0 || event.ticket != saving_) return false;
  saving_ = 0;
  const bool shorter = renewal_->valid_until < before_;
  out_.log(shorter ? LogLevel::kWarning : LogLevel::kInfo, shorter ? "membership_shortened" : "membership_renewed",
           {{"until", iso8601(renewal_->valid_until)}, {"before", iso8601(before_)}, {"serial", renewal_->serial}});
  return true;
}

}  // namespace covey::client
