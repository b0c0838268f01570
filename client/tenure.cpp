#include "client/tenure.h"

#include "client/own_row.h"

namespace covey::client {
namespace {

constexpr const char* kTimer = "tenure";

}  // namespace

Result<void> Tenure::load(const Row& row) {
  COVEY_TRY(renewal_, own_document<Renewal>(row, config_, decode_renewal, [&](const Renewal& read, const Certificate& own) {
              return verify(read, own, config_.authority);
            }));
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
  if (!ends_soon(end(), now)) return;
  const std::string& name = config_.certificate->name;
  const bool over = now >= end();
  out_.log(over ? LogLevel::kError : LogLevel::kWarning, over ? "membership_ended" : "membership_ends_soon",
           {{"until", iso8601(end())},
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
  before_ = end();
  renewal_ = renewal;
  saving_ = out_.ticket();
  Batch batch;
  batch.put(std::string(kRow), own_row_value(encode(renewal)));
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
