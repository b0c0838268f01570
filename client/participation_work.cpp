// What became of a round's work: its data, its training, its masks. See participation.h.
#include "client/participation.h"

namespace covey::client {

void Participation::on(const WorkDone& event, Instant now) {
  if (secure_.on(event)) return;
  const auto* result = std::get_if<Trained>(&event.value);
  const auto* vectors = std::get_if<UpdateMasked>(&event.value);
  if (!round_ || round_->work == 0 || event.ticket != round_->work) {  // cancelled before
    if (result != nullptr && result->update) shelf_.discard(*result->update);
    if (vectors != nullptr) shelf_.discard(vectors->vectors);
    return;
  }
  round_->work = 0;
  if (round_->phase == Phase::kMasking) {
    COVEY_CHECK(vectors != nullptr);
    return masked(*vectors, now);
  }
  if (round_->phase == Phase::kTraining) {
    COVEY_CHECK(result != nullptr);
    trained(*result);
    if (round_->phase != Phase::kMasking) return;
    secure_.update_made(now);
    return attend();
  }
  const auto* data = std::get_if<DataPrepared>(&event.value);
  COVEY_CHECK(round_->phase == Phase::kData && data != nullptr);
  if (data->train_examples == 0) return decline(DeclineReason::kData, "this site has no training example");
  job_->data = *data;
  accept();
}

void Participation::on(const WorkFailed& event) {
  if (secure_.on(event)) return;
  if (!round_ || round_->work == 0 || event.ticket != round_->work) return;
  round_->work = 0;
  if (round_->phase == Phase::kData) {
    // The error may quote a path or a line of the data: it stays here.
    out_.log(LogLevel::kError, "data_refused", fields_of(round_->offer.key, event.error));
    return decline(DeclineReason::kData, std::string("the local data does not serve this job (") +
                                             name_of(event.error.code) + "); this client's log says why");
  }
  fail(event.error);
}

void Participation::trained(const Trained& result) {
  const RoundOffer& offer = round_->offer;
  COVEY_CHECK(result.update.has_value() == (offer.kind == RoundKind::kTrain));
  const UpdateReady ready{offer.key,       offer.model.id, result.update,
                          result.examples, result.train,   result.evaluation};
  const auto mean = [](double sum, std::uint64_t count) { return count == 0 ? 0.0 : sum / static_cast<double>(count); };
  out_.log(LogLevel::kInfo, "training_done",
           fields_of(offer.key, {{"loss", mean(result.train.loss_sum, result.train.targets)},
                                 {"examples", result.examples},
                                 {"steps", result.train.steps},
                                 {"seconds", result.train.seconds},
                                 {"evaluation_loss", mean(result.evaluation.loss_sum, result.evaluation.targets)},
                                 {"evaluation_targets", result.evaluation.targets}}));
  if (!result.cursor.empty()) places_.trained(offer.key, offer.config.id, result.cursor);
  if (job_->spec.privacy.secure_aggregation) {
    round_->phase = Phase::kMasking;
    round_->made = result;
    return;
  }
  round_->phase = Phase::kSaving;
  round_->work = shelf_.keep(ready);
  shelf_.training_ended();
}

}  // namespace covey::client
