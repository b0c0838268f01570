#include "core/protocol/job_fit.h"

#include <string>
#include <utility>
#include <vector>

#include "core/spec/setting.h"

namespace covey {
namespace {

struct Setting {
  const char* name;
  bool said;  // it is not the default
};

// `owner`: what the settings are for, as a job file spells it; `is`: what this job has there.
Result<void> belong(const std::string& owner, const std::string& is, bool fits, const std::vector<Setting>& settings) {
  if (fits) return {};
  for (const Setting& one : settings)
    if (one.said)
      return unexpected(ErrorCode::kInvalidArgument,
                        std::string(one.name) + " is for " + owner + ", and this job has " + is + "; remove it, or change that");
  return {};
}

Result<void> check_model(const JobSpec& spec) {
  const ModelSpec& model = spec.model;
  const ModelSpec plain;
  const ModelFamily family = model.family;
  const std::string is = std::string("model.family = \"") + name_of(family) + "\"";
  COVEY_TRY_VOID(belong("model.family = \"transformer\"", is, family == ModelFamily::kTransformer,
                        {{"model.vocabulary", model.vocabulary != plain.vocabulary},
                         {"model.layers", model.layers != plain.layers},
                         {"model.width", model.width != plain.width},
                         {"model.heads", model.heads != plain.heads},
                         {"model.ffn", model.ffn != plain.ffn},
                         {"model.context", model.context != plain.context},
                         {"model.style", model.style != plain.style},
                         {"model.dropout", model.dropout != plain.dropout}}));
  COVEY_TRY_VOID(belong("model.family = \"mlp\"", is, family == ModelFamily::kMlp, {{"model.hidden", model.hidden != plain.hidden}}));
  COVEY_TRY_VOID(belong("model.family = \"cnn\"", is, family == ModelFamily::kCnn,
                        {{"model.blocks", model.blocks != plain.blocks},
                         {"model.conv_channels", model.conv_channels != plain.conv_channels},
                         {"model.kernel", model.kernel != plain.kernel},
                         {"model.dense", model.dense != plain.dense}}));
  const bool images = family == ModelFamily::kCnn || (family != ModelFamily::kTransformer && spec.data.format == DataFormat::kIdx);
  COVEY_TRY_VOID(belong("images (model.family = \"cnn\", data.format = \"idx\")",
                        is + " with data.format = \"" + name_of(spec.data.format) + "\"", images,
                        {{"model.image_height", model.image_height != plain.image_height},
                         {"model.image_width", model.image_width != plain.image_width},
                         {"model.image_channels", model.image_channels != plain.image_channels}}));
  return belong("images and tables", is, family != ModelFamily::kTransformer,
                {{"model.inputs", model.inputs != plain.inputs}, {"model.classes", model.classes != plain.classes}});
}

Result<void> check_train(const TrainSpec& train) {
  const TrainSpec plain;
  const LocalOptimizer optimizer = train.optimizer;
  const std::string is = std::string("train.optimizer = \"") + name_of(optimizer) + "\"";
  const bool sgd = optimizer == LocalOptimizer::kSgd, lion = optimizer == LocalOptimizer::kLion;
  COVEY_TRY_VOID(belong("train.optimizer = \"adamw\", \"lion\" or \"muon\"", is, !sgd,
                        {{"train.beta1", train.beta1 != plain.beta1}, {"train.beta2", train.beta2 != plain.beta2}}));
  COVEY_TRY_VOID(belong("train.optimizer = \"adamw\" or \"muon\"", is, !sgd && !lion, {{"train.epsilon", train.epsilon != plain.epsilon}}));
  COVEY_TRY_VOID(belong("train.optimizer = \"muon\"", is, optimizer == LocalOptimizer::kMuon,
                        {{"train.muon_learning_rate", train.muon_learning_rate != plain.muon_learning_rate}}));
  const std::string schedule = std::string("train.schedule = \"") + name_of(train.schedule) + "\"";
  COVEY_TRY_VOID(belong("train.schedule = \"wsd\"", schedule, train.schedule == Schedule::kWsd, {{"train.decay", train.decay != plain.decay}}));
  return belong("a train.schedule that falls (\"cosine\", \"linear\", \"wsd\")", schedule, train.schedule != Schedule::kConstant,
                {{"train.final_ratio", train.final_ratio != plain.final_ratio}});
}

Result<void> check_server(const ServerSpec& server) {
  const ServerSpec plain;
  const std::string combine = std::string("server.combine = \"") + name_of(server.combine) + "\"";
  COVEY_TRY_VOID(belong("server.combine = \"trimmed_mean\"", combine, server.combine == CombineKind::kTrimmedMean,
                        {{"server.trim", server.trim != plain.trim}}));
  COVEY_TRY_VOID(belong("server.combine = \"norm_filter\"", combine, server.combine == CombineKind::kNormFilter,
                        {{"server.norm_factor", server.norm_factor != plain.norm_factor}}));
  const ServerOptimizerKind optimizer = server.optimizer;
  const std::string is = std::string("server.optimizer = \"") + name_of(optimizer) + "\"";
  COVEY_TRY_VOID(belong("server.optimizer = \"fedavgm\"", is, optimizer == ServerOptimizerKind::kFedAvgM,
                        {{"server.momentum", server.momentum != plain.momentum}}));
  return belong("server.optimizer = \"fedadam\" or \"fedyogi\"", is,
                optimizer == ServerOptimizerKind::kFedAdam || optimizer == ServerOptimizerKind::kFedYogi,
                {{"server.beta1", server.beta1 != plain.beta1},
                 {"server.beta2", server.beta2 != plain.beta2},
                 {"server.tau", server.tau != plain.tau}});
}

// Clipped to less, nothing is trained, and nothing would say so; fixed-point steps could not show it.
Result<void> check_clips(const JobSpec& spec) {
  const std::pair<const char*, double> clips[] = {{"train.clip_norm", spec.train.clip_norm},
                                                  {"train.per_example_clip", spec.train.per_example_clip},
                                                  {"update.clip_norm", spec.update.clip_norm}};
  for (const auto& [name, norm] : clips)
    if (norm > 0 && norm < kClipNormMin)
      return bad_setting(name, setting_text(norm), "must be 0 (nothing is clipped), or at least " + setting_text(kClipNormMin));
  return {};
}

Result<void> check_privacy(const PrivacySpec& privacy) {
  const PrivacySpec plain;
  return belong("privacy.secure_aggregation = true", "privacy.secure_aggregation = false", privacy.secure_aggregation,
                {{"privacy.corrupt_fraction", privacy.corrupt_fraction != plain.corrupt_fraction},
                 {"privacy.dropout", privacy.dropout != plain.dropout},
                 {"privacy.value_range", privacy.value_range != plain.value_range},
                 {"privacy.ring_bits", privacy.ring_bits != plain.ring_bits},
                 {"privacy.examples_max", privacy.examples_max != plain.examples_max}});
}

}  // namespace

Result<void> check_fit(const JobSpec& spec) {
  COVEY_TRY_VOID(check_model(spec));
  COVEY_TRY_VOID(check_train(spec.train));
  COVEY_TRY_VOID(check_server(spec.server));
  COVEY_TRY_VOID(check_clips(spec));
  return check_privacy(spec.privacy);
}

}  // namespace covey
