// A client's part in a round under secure aggregation, beside what every round has in common.
#include <algorithm>

#include "client/participation.h"

namespace covey::client {

void Participation::rejoined() {
  if (round_ && round_->phase == Phase::kDelivering) out_.send(*round_->said);
  secure_.rejoined();
}

void Participation::on(const SecAggNote& message, Instant now) {
  secure_.on(message, now);
  attend();
}

void Participation::on(const CredentialsWithdrawn&) { secure_.standing_changed(); }

void Participation::on(const SecAggLetter& message, Instant now) { secure_.on(message, now); }

void Participation::attend() {
  if (const auto why = secure_.take_refusal()) {
    const bool open = round_ && round_->phase < Phase::kSettled && secure_.engaged_in(round_->offer.key);
    if (open) return decline(why->reason, why->text);
  }
  if (round_ && round_->phase == Phase::kMasking && round_->work == 0 && secure_.plan() != nullptr) mask(secure_.plan());
}

void Participation::mask(std::shared_ptr<const MaskPlan> plan) {
  round_->work = out_.ticket();
  out_.log(LogLevel::kInfo, "masking_started", fields_of(round_->offer.key));
  out_.add(StartWork{round_->work, MaskUpdate{job_->spec, round_->offer, *round_->made, secure_.members_max(), std::move(plan)}});
}

void Participation::masked(const UpdateMasked& result, Instant now) {
  auto note = secure_.masked(result.masked, now);
  if (!note) {
    shelf_.discard(result.vectors);
    return fail(in_context("secure aggregation", note.error()));
  }
  out_.log(LogLevel::kInfo, "update_masked", fields_of(round_->offer.key, {{"bytes", result.vectors.size}}));
  round_->phase = Phase::kSaving;
  round_->work = shelf_.keep(MaskedReady{round_->offer.key, round_->offer.model.id, result.vectors, std::move(*note),
                                         round_->made->train.seconds});
}

// The update as it was before its masks, which nobody needs once they are on.
void Participation::drop_plain() {
  if (!round_->made) return;
  if (round_->made->update) shelf_.discard(*round_->made->update);
  round_->made.reset();
  shelf_.training_ended();
}

bool Participation::keeps(const Digest& blob) const {
  const std::vector<Digest> updates = shelf_.blobs();
  const bool made = round_ && round_->made && round_->made->update && round_->made->update->id == blob;
  return made || cache_.held().contains(blob) || std::find(updates.begin(), updates.end(), blob) != updates.end();
}

}  // namespace covey::client
