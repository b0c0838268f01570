// Text form of JobSpec. Unknown keys and features that are not built are refused by name.
#include <algorithm>
#include <sstream>

#include "core/protocol/job_fit.h"
#include "core/protocol/job_spec.h"
#include "core/protocol/limits.h"
#include "core/protocol/toml_section.h"
#include "core/spec/parameter_table.h"
#include "core/spec/setting.h"

namespace covey {
namespace {

using Failure = std::optional<Error>;

Result<ColumnKind> column_kind_from(std::string_view name) {
  if (name == "numeric") return ColumnKind::kNumeric;
  if (name == "category") return ColumnKind::kCategory;
  if (name == "label") return ColumnKind::kLabel;
  if (name == "ignore") return ColumnKind::kIgnore;
  return unexpected(ErrorCode::kInvalidArgument,
                    "= " + setting_text(name) + R"(: must be "numeric", "category", "label" or "ignore")");
}

const char* text_of_kind(ColumnKind kind) {
  switch (kind) {
    case ColumnKind::kNumeric: return "numeric";
    case ColumnKind::kCategory: return "category";
    case ColumnKind::kLabel: return "label";
    case ColumnKind::kIgnore: return "ignore";
  }
  return "ignore";
}

void read_lora(const toml::table* table, LoraSpec& lora, Failure& error) {
  if (table == nullptr) return;
  TomlSection section(table, "model.lora", error);
  lora.rank = 8;
  lora.targets = {"*"};
  section.read("rank", lora.rank);
  section.read("alpha", lora.alpha);
  section.read("dropout", lora.dropout);
  section.read("targets", lora.targets);
  section.finish();
}

// What a style or a kind of blocks stands for where the file does not say.
void fill_model_defaults(TomlSection& section, ModelSpec& model) {
  if (model.style == TransformerStyle::kGpt2) model.tied_head = true;
  if (model.blocks != CnnBlocks::kCifar) return;
  model.image_height = model.image_width = 32;
  model.image_channels = 3;
  model.conv_channels = {64, 64};
  model.dense = 384;
  if (!section.has("classes")) model.classes = 10;
}

void read_model(const toml::table* table, JobSpec& spec, Failure& error) {
  ModelSpec& model = spec.model;
  TomlSection section(table, "model", error);
  section.read("start", spec.start);
  section.read("style", model.style, &transformer_style_from);
  section.read("blocks", model.blocks, &cnn_blocks_from);
  fill_model_defaults(section, model);
  section.read("family", model.family, &model_family_from);
  section.read("inputs", model.inputs);
  section.read("hidden", model.hidden);
  section.read("classes", model.classes);
  section.read("image_height", model.image_height);
  section.read("image_width", model.image_width);
  section.read("image_channels", model.image_channels);
  section.read("conv_channels", model.conv_channels);
  section.read("kernel", model.kernel);
  section.read("dense", model.dense);
  section.read("vocabulary", model.vocabulary);
  section.read("layers", model.layers);
  section.read("width", model.width);
  section.read("heads", model.heads);
  section.read("ffn", model.ffn);
  section.read("context", model.context);
  section.read("kv_heads", model.kv_heads);
  section.read("tied_head", model.tied_head);
  section.read("rope_theta", model.rope_theta);
  section.read("norm_epsilon", model.norm_epsilon);
  section.read("dropout", model.dropout);
  read_lora(section.child("lora"), model.lora, error);
  section.finish();
}

ColumnSpec read_column(const toml::table* table, std::size_t index, Failure& error) {
  ColumnSpec column;
  TomlSection section(table, "data.columns[" + std::to_string(index) + "]", error);
  section.read("name", column.name);
  section.read("kind", column.kind, &column_kind_from);
  section.read("min", column.min);
  section.read("max", column.max);
  section.read("log", column.log);
  section.read("values", column.values);
  section.finish();
  return column;
}

void read_data(const toml::table* table, DataSpec& data, Failure& error) {
  TomlSection section(table, "data", error);
  section.read("format", data.format, &data_format_from);
  section.read("holdout", data.holdout);
  section.read("field", data.field);
  section.read("damaged_max", data.damaged_max);
  section.read("tokenizer_sha256", data.tokenizer_sha256);
  if (section.has("separator")) data.separator = 0;
  if (data.separator) section.read("separator", *data.separator);
  section.read("augment_flip", data.augment_flip);
  section.read("augment_crop", data.augment_crop);
  if (const toml::array* columns = section.array_of_tables("columns"))
    for (std::size_t i = 0; i < columns->size() && !error; ++i)
      data.columns.push_back(read_column(columns->get(i)->as_table(), i, error));
  section.finish();
}

void read_train(const toml::table* table, TrainSpec& train, Failure& error) {
  TomlSection section(table, "train", error);
  if (section.has("local_steps") && !section.has("local_epochs")) train.local_epochs = 0;
  section.read("local_epochs", train.local_epochs);
  section.read("local_steps", train.local_steps);
  section.read("batch_size", train.batch_size);
  section.read("micro_batch", train.micro_batch);
  section.read("batch_max", train.batch_max);
  section.read("batch_min", train.batch_min);
  section.read("optimizer", train.optimizer, &local_optimizer_from);
  if (train.optimizer == LocalOptimizer::kMuon) train.momentum = 0.95;
  section.read("learning_rate", train.learning_rate);
  section.read("momentum", train.momentum);
  section.read("nesterov", train.nesterov);
  section.read("muon_learning_rate", train.muon_learning_rate);
  section.read("weight_decay", train.weight_decay);
  section.read("beta1", train.beta1);
  section.read("beta2", train.beta2);
  section.read("epsilon", train.epsilon);
  section.read("clip_norm", train.clip_norm);
  section.read("per_example_clip", train.per_example_clip);
  section.read("label_smoothing", train.label_smoothing);
  section.read("schedule", train.schedule, &schedule_from);
  section.read("warmup", train.warmup);
  section.read("decay", train.decay);
  section.read("final_ratio", train.final_ratio);
  section.read("precision", train.precision, &precision_from);
  section.read("checkpointing", train.checkpointing, &checkpointing_from);
  section.read("frozen_storage", train.frozen_storage, &frozen_storage_from);
  section.read("frozen", train.frozen);
  section.finish();
}

void read_round(const toml::table* table, RoundSpec& round, Failure& error) {
  TomlSection section(table, "round", error);
  double deadline_s = seconds(round.deadline);
  section.read("deadline_s", deadline_s);
  section.read("quorum", round.quorum);
  section.read("attempts_max", round.attempts_max);
  section.finish();
  if (error) return;
  if (const auto fits = setting_within("round.deadline_s", deadline_s, 0.1, 30.0 * 24 * 3600); !fits)
    error = fits.error();
  else
    round.deadline = from_seconds(deadline_s);
}

void read_server(const toml::table* table, ServerSpec& server, Failure& error) {
  TomlSection section(table, "server", error);
  section.read("combine", server.combine, &combine_from);
  section.read("trim", server.trim);
  section.read("norm_factor", server.norm_factor);
  section.read("optimizer", server.optimizer, &server_optimizer_from);
  section.read("learning_rate", server.learning_rate);
  section.read("momentum", server.momentum);
  section.read("beta1", server.beta1);
  section.read("beta2", server.beta2);
  section.read("tau", server.tau);
  section.finish();
}

void read_small(TomlSection& top, JobSpec& spec, Failure& error) {
  TomlSection selection(top.child("selection"), "selection", error);
  selection.read("fraction", spec.selection.fraction);
  selection.read("min_clients", spec.selection.min_clients);
  selection.read("over_selection", spec.selection.over_selection);
  selection.finish();

  TomlSection quota(top.child("quota"), "quota", error);
  quota.read("nodes_max", spec.quota.nodes_max);
  quota.read("update_bytes_max", spec.quota.update_bytes_max, &size_from);
  quota.finish();

  TomlSection update(top.child("update"), "update", error);
  update.read("clip_norm", spec.update.clip_norm);
  update.read("value_max", spec.update.value_max);
  update.read("exchange", spec.update.exchange, &exchange_from);
  update.only("compress", "none", "update compression");
  update.finish();

  TomlSection privacy(top.child("privacy"), "privacy", error);
  privacy.read("secure_aggregation", spec.privacy.secure_aggregation);
  privacy.read("corrupt_fraction", spec.privacy.corrupt_fraction);
  privacy.read("dropout", spec.privacy.dropout);
  privacy.read("value_range", spec.privacy.value_range);
  privacy.read("ring_bits", spec.privacy.ring_bits);
  privacy.read("examples_max", spec.privacy.examples_max);
  privacy.only("epsilon", "", "differential privacy");
  privacy.only("delta", "", "differential privacy");
  privacy.only("noise_multiplier", "", "differential privacy");
  privacy.only("mechanism", "none", "differential privacy");
  privacy.finish();
  if (!spec.privacy.secure_aggregation && !selection.has("min_clients")) spec.selection.min_clients = kPlainClientsMin;

  TomlSection simulation(top.child("simulation"), "simulation", error);
  simulation.read("data", spec.simulation.data);
  simulation.read("clients", spec.simulation.clients);
  simulation.read("partition", spec.simulation.partition.kind, &partition_kind_from);
  simulation.read("alpha", spec.simulation.partition.alpha);
  simulation.read("shards_per_client", spec.simulation.partition.shards_per_client);
  simulation.read("column", spec.simulation.partition.column);
  simulation.finish();
}

// Sizes that the data's public form fixes need not be said twice.
void fill_sizes(JobSpec& spec, bool classes_given) {
  if (spec.model.family == ModelFamily::kTransformer || spec.model.family == ModelFamily::kCnn) return;
  if (spec.data.format == DataFormat::kCsv) {
    if (spec.model.inputs == 0) spec.model.inputs = spec.data.feature_count();
    if (!classes_given) spec.model.classes = spec.data.class_count();
  } else if (spec.data.format == DataFormat::kIdx && spec.model.inputs == 0) {
    spec.model.inputs = spec.model.image_height * spec.model.image_width * spec.model.image_channels;
  }
}

// ---- writing

std::string quoted(std::string_view text) {
  std::ostringstream out;
  out << toml::value<std::string>(std::string(text));
  const std::string written = out.str();
  return written;
}

std::string quoted_text(const std::string& text) { return quoted(text); }

template <class T, class Format>
std::string list_of(const std::vector<T>& values, Format format) {
  std::string out = "[";
  for (std::size_t i = 0; i < values.size(); ++i) out += (i == 0 ? "" : ", ") + format(values[i]);
  return out + "]";
}

class TomlWriter {
 public:
  TomlWriter& section(std::string_view name) {
    out_ += "\n[" + std::string(name) + "]\n";
    return *this;
  }
  TomlWriter& item(std::string_view name) {
    out_ += "\n[[" + std::string(name) + "]]\n";
    return *this;
  }
  TomlWriter& set(std::string_view key, std::string value) {
    out_ += std::string(key) + " = " + value + "\n";
    return *this;
  }
  TomlWriter& number(std::string_view key, double value) { return set(key, setting_text(value)); }
  TomlWriter& whole(std::string_view key, std::uint64_t value) { return set(key, std::to_string(value)); }
  TomlWriter& text(std::string_view key, std::string_view value) { return set(key, quoted(value)); }
  std::string take() { return std::move(out_); }

 private:
  std::string out_;
};

const char* truth(bool value) { return value ? "true" : "false"; }

// Settings that came later are written only where they say something, so that jobs without them keep the
// configuration, and its hash, that they had.
void write_new_model(TomlWriter& out, const ModelSpec& model) {
  const ModelSpec plain;
  if (model.style != plain.style) out.text("style", name_of(model.style));
  if (model.kv_heads != plain.kv_heads) out.whole("kv_heads", model.kv_heads);
  if (model.tied_head != (model.style == TransformerStyle::kGpt2)) out.set("tied_head", truth(model.tied_head));
  if (model.rope_theta != plain.rope_theta) out.number("rope_theta", model.rope_theta);
  if (model.norm_epsilon != plain.norm_epsilon) out.number("norm_epsilon", model.norm_epsilon);
  if (model.dropout != plain.dropout) out.number("dropout", model.dropout);
  if (model.blocks != plain.blocks) out.text("blocks", name_of(model.blocks));
  if (model.lora == plain.lora) return;
  out.section("model.lora").whole("rank", model.lora.rank).number("alpha", model.lora.alpha);
  out.number("dropout", model.lora.dropout).set("targets", list_of(model.lora.targets, quoted_text));
}

void write_model(TomlWriter& out, const JobSpec& spec) {
  const ModelSpec& model = spec.model;
  const auto whole = [](std::uint32_t v) { return std::to_string(v); };
  out.section("model").text("family", name_of(model.family));
  out.whole("inputs", model.inputs).set("hidden", list_of(model.hidden, whole)).whole("classes", model.classes);
  out.whole("image_height", model.image_height).whole("image_width", model.image_width);
  out.whole("image_channels", model.image_channels).set("conv_channels", list_of(model.conv_channels, whole));
  out.whole("kernel", model.kernel).whole("dense", model.dense).whole("vocabulary", model.vocabulary);
  out.whole("layers", model.layers).whole("width", model.width).whole("heads", model.heads);
  out.whole("ffn", model.ffn).whole("context", model.context);
  if (!spec.start.empty()) out.text("start", spec.start);
  write_new_model(out, model);
}

void write_new_data(TomlWriter& out, const DataSpec& data) {
  const DataSpec plain;
  if (data.field != plain.field) out.text("field", data.field);
  if (data.damaged_max != plain.damaged_max) out.whole("damaged_max", data.damaged_max);
  if (!data.tokenizer_sha256.empty()) out.text("tokenizer_sha256", data.tokenizer_sha256);
  if (data.separator) out.whole("separator", *data.separator);
  if (data.augment_flip != plain.augment_flip) out.number("augment_flip", data.augment_flip);
  if (data.augment_crop != plain.augment_crop) out.whole("augment_crop", data.augment_crop);
}

void write_data(TomlWriter& out, const DataSpec& data) {
  out.section("data").text("format", name_of(data.format)).number("holdout", data.holdout);
  write_new_data(out, data);
  for (const ColumnSpec& column : data.columns) {
    out.item("data.columns").text("name", column.name).text("kind", text_of_kind(column.kind));
    if (column.kind == ColumnKind::kNumeric) {
      out.number("min", column.min).number("max", column.max).set("log", column.log ? "true" : "false");
    } else if (!column.values.empty()) {
      out.set("values", list_of(column.values, [](const std::string& v) { return quoted(v); }));
    }
  }
}

void write_new_train(TomlWriter& out, const TrainSpec& train) {
  const TrainSpec plain;
  if (train.micro_batch != plain.micro_batch) out.whole("micro_batch", train.micro_batch);
  if (train.batch_max != plain.batch_max) out.whole("batch_max", train.batch_max);
  if (train.batch_min != plain.batch_min) out.whole("batch_min", train.batch_min);
  if (train.nesterov) out.set("nesterov", truth(train.nesterov));
  if (train.muon_learning_rate != plain.muon_learning_rate) out.number("muon_learning_rate", train.muon_learning_rate);
  if (train.per_example_clip != plain.per_example_clip) out.number("per_example_clip", train.per_example_clip);
  if (train.label_smoothing != plain.label_smoothing) out.number("label_smoothing", train.label_smoothing);
  if (train.decay != plain.decay) out.number("decay", train.decay);
  if (train.precision != plain.precision) out.text("precision", name_of(train.precision));
  if (train.checkpointing != plain.checkpointing) out.text("checkpointing", name_of(train.checkpointing));
  if (train.frozen_storage != plain.frozen_storage) out.text("frozen_storage", name_of(train.frozen_storage));
  if (!train.frozen.empty()) out.set("frozen", list_of(train.frozen, quoted_text));
}

void write_train(TomlWriter& out, const TrainSpec& train) {
  out.section("train").whole("local_epochs", train.local_epochs).whole("local_steps", train.local_steps);
  out.whole("batch_size", train.batch_size).text("optimizer", name_of(train.optimizer));
  out.number("learning_rate", train.learning_rate).number("momentum", train.momentum);
  out.number("weight_decay", train.weight_decay).number("beta1", train.beta1).number("beta2", train.beta2);
  out.number("epsilon", train.epsilon).number("clip_norm", train.clip_norm);
  out.text("schedule", name_of(train.schedule)).number("warmup", train.warmup);
  out.number("final_ratio", train.final_ratio);
  write_new_train(out, train);
}

bool anything_frozen(const JobSpec& spec) {
  return size_of(trained_ranges(spec.model, spec.train.frozen)) != parameter_table(spec.model).size;
}

// "all" is not written: a job of a version that knew nothing else keeps its configuration, and its hash.
bool exchanges_less(const JobSpec& spec) { return spec.update.exchange == Exchange::kTrained && anything_frozen(spec); }

void write_rest(TomlWriter& out, const JobSpec& spec) {
  out.section("selection").number("fraction", spec.selection.fraction);
  out.whole("min_clients", spec.selection.min_clients).number("over_selection", spec.selection.over_selection);
  out.section("round").number("deadline_s", seconds(spec.round.deadline)).number("quorum", spec.round.quorum);
  out.whole("attempts_max", spec.round.attempts_max);
  if (spec.quota != QuotaSpec{})  // so that jobs without one keep the configuration, and its hash, that they had
    out.section("quota").whole("nodes_max", spec.quota.nodes_max).text("update_bytes_max", size_text(spec.quota.update_bytes_max));
  out.section("server").text("combine", name_of(spec.server.combine)).number("trim", spec.server.trim);
  out.number("norm_factor", spec.server.norm_factor).text("optimizer", name_of(spec.server.optimizer));
  out.number("learning_rate", spec.server.learning_rate).number("momentum", spec.server.momentum);
  out.number("beta1", spec.server.beta1).number("beta2", spec.server.beta2).number("tau", spec.server.tau);
  out.section("update").number("clip_norm", spec.update.clip_norm).number("value_max", spec.update.value_max);
  if (exchanges_less(spec)) out.text("exchange", name_of(spec.update.exchange));
  const PrivacySpec& privacy = spec.privacy;
  out.section("privacy").set("secure_aggregation", privacy.secure_aggregation ? "true" : "false");
  out.number("corrupt_fraction", privacy.corrupt_fraction).number("dropout", privacy.dropout);
  out.number("value_range", privacy.value_range).whole("ring_bits", privacy.ring_bits);
  out.whole("examples_max", privacy.examples_max);
}

enum class Text : std::uint8_t {
  kFile,      // settings that the rest makes meaningless are refused
  kAccepted,  // of a job that is there already, or written by to_toml
};

Result<JobSpec> parse(std::string_view text, Text kind) {
  if (text.size() > kJobTomlBytesMax)
    return unexpected(ErrorCode::kInvalidArgument, "the job file has " + std::to_string(text.size()) +
                                                       " bytes; at most " + std::to_string(kJobTomlBytesMax) + " are allowed");
  toml::table table;
  try {
    table = toml::parse(text);
  } catch (const toml::parse_error& failure) {
    return unexpected(ErrorCode::kInvalidArgument, "line " + std::to_string(failure.source().begin.line) +
                                                       ": not TOML: " + std::string(failure.description()));
  }
  JobSpec spec;
  if (kind == Text::kAccepted) spec.update.exchange = Exchange::kAll;
  Failure error;
  TomlSection top(&table, "", error);
  top.read("name", spec.name);
  top.read("rounds", spec.rounds);
  top.read("seed", spec.seed);
  top.read("durability", spec.durability, &durability_from);
  top.only("topology", "star", "another topology than star");
  const toml::table* model = top.child("model");
  read_model(model, spec, error);
  read_data(top.child("data"), spec.data, error);
  read_train(top.child("train"), spec.train, error);
  read_round(top.child("round"), spec.round, error);
  read_server(top.child("server"), spec.server, error);
  read_small(top, spec, error);
  top.finish();
  if (error) return unexpected(*error);
  if (kind == Text::kFile) COVEY_TRY_VOID(check_fit(spec));
  fill_sizes(spec, model != nullptr && model->contains("classes"));
  COVEY_TRY_VOID(spec.validate());
  if (!anything_frozen(spec)) spec.update.exchange = UpdateSpec{}.exchange;
  return spec;
}

}  // namespace

Result<JobSpec> parse_job(std::string_view toml) { return parse(toml, Text::kFile); }

Result<JobSpec> parse_accepted_job(std::string_view toml) { return parse(toml, Text::kAccepted); }

std::string public_toml(const JobSpec& spec) {
  TomlWriter out;
  out.text("name", spec.name).whole("rounds", spec.rounds).whole("seed", spec.seed);
  out.text("durability", name_of(spec.durability));
  write_model(out, spec);
  write_data(out, spec.data);
  write_train(out, spec.train);
  write_rest(out, spec);
  return out.take();
}

std::string to_toml(const JobSpec& spec) {
  const SimulationSpec& simulation = spec.simulation;
  TomlWriter out;
  out.section("simulation").text("data", simulation.data).whole("clients", simulation.clients);
  out.text("partition", name_of(simulation.partition.kind)).number("alpha", simulation.partition.alpha);
  out.whole("shards_per_client", simulation.partition.shards_per_client).text("column", simulation.partition.column);
  return public_toml(spec) + out.take();
}

}  // namespace covey
