// covey pull, report, generate.
#include <filesystem>

#include "client/tokenizer_file.h"
#include "coordinator/cli/commands.h"
#include "coordinator/cli/job_view.h"
#include "coordinator/cli/model_file.h"
#include "coordinator/cli/pull.h"
#include "coordinator/cli/report.h"
#include "coordinator/service/home.h"
#include "coordinator/service/start_models.h"
#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/crypto/digest.h"
#include "core/data/files.h"
#include "core/data/hf/hf_folder.h"
#include "core/data/safetensors.h"
#include "core/nn/token_decoder.h"
#include "core/service/exit_code.h"
#include "core/service/signals.h"
#include "core/service/text_file.h"
#include "core/store/blobs.h"

#include <unistd.h>

namespace covey::cli {
namespace {

std::string job_text(JobId job) { return std::to_string(job); }

void say_choice(const ChosenJob& chosen, Console& console) {
  if (!chosen.why.empty())
    console.note("job " + job_text(chosen.summary.job) + " (" + one_line(chosen.summary.name) + "), " +
                 chosen.why);
}

// A job that is over and made no model: that is its failure, not a matter of trying again.
int no_model(const JobSummary& job, Console& console) {
  const std::string text = "job " + job_text(job.job) + " is " + name_of(job.state) + " and has no model" +
                           (job.text.empty() ? std::string() : ": " + one_line(job.text));
  console.warn("covey: " + text);
  console.object(JsonObject().add("event", "error").add("code", "failed").add("text", text).add("exit_code", static_cast<int>(kExitFailed)));
  return kExitFailed;
}

// The tokenizer.json of SHA-256 `pin`: the one given, else that of a model that `covey import` brought into this
// home. Empty: none is pinned, or none is here. Errors: those of reading it; kInvalidArgument and kInvalidData where
// the one given is not the job's.
Result<std::string> find_tokenizer(const std::string& home, const std::string& given, const std::string& pin) {
  if (!given.empty() && pin.empty())
    return unexpected(ErrorCode::kInvalidArgument, "--tokenizer " + given + ": the job pins no tokenizer; leave it out");
  if (!given.empty()) {
    COVEY_TRY(const TokenizerFile file, read_tokenizer(tokenizer_path(given, "")));
    if (file.sha256 == pin) return file.path;
    return unexpected(ErrorCode::kInvalidData, file.path + " is another tokenizer than the job's: its SHA-256 is " + file.sha256 +
                                                   ", the job pins " + pin);
  }
  if (pin.empty()) return std::string();
  std::error_code code;
  const std::string models = coordinator_folder(home) + "/" + kStartModelsFolder;
  for (std::filesystem::directory_iterator at(models, code), end; !code && at != end; at.increment(code)) {
    const std::string path = tokenizer_path("", at->path().string());
    const auto bytes = path.empty() ? Result<Bytes>(Bytes()) : read_data_file(path, kTokenizerBytesMax);
    if (bytes && hex(sha256(*bytes).span()) == pin) return path;
  }
  return std::string();
}

// Byte for byte, for the job pins its hash.
Result<void> bring_tokenizer(const std::string& from, const std::string& folder) {
  const std::string to = folder + "/" + kTokenizerFile;
  std::error_code code;
  if (std::filesystem::equivalent(from, to, code)) return {};
  COVEY_TRY(const Bytes bytes, read_data_file(from, kTokenizerBytesMax));
  return write_file(to, bytes);
}

}  // namespace

Result<int> pull_command(const PullOptions& options, Console& console) {
  if (!options.output.empty()) COVEY_TRY_VOID(check_folder("-o", options.output));
  const std::string cache = operator_folder(options.job.home) + "/cache";
  COVEY_TRY_VOID(
      load_membership(operator_folder(options.job.home)));  // before a cache is made beside nothing
  COVEY_TRY(const auto blobs, open_blob_files(cache));
  COVEY_TRY(const auto session, Session::open(options.job.home, *blobs));
  COVEY_TRY(const ChosenJob chosen, choose_job(*session, options.job.job));
  say_choice(chosen, console);
  if (chosen.summary.model.size == 0 && is_over(chosen.summary.state)) return no_model(chosen.summary, console);
  const std::string folder = options.output.empty() ? "job-" + job_text(chosen.summary.job) : options.output;
  COVEY_TRY_VOID(check_folder("-o", folder));
  std::string tokenizer;
  if (chosen.summary.model.size != 0) {
    COVEY_TRY(const JobSpec spec, session->spec_of(chosen.summary.job));
    COVEY_TRY(tokenizer, find_tokenizer(options.job.home, options.tokenizer, spec.data.tokenizer_sha256));
  }
  COVEY_TRY(const PulledModel pulled, pull_model(*session, *blobs, chosen.summary, folder, console));
  COVEY_TRY(const auto held, blobs->list());
  for (const Digest& blob : held) COVEY_TRY_VOID(blobs->erase(blob));  // whole: only a part is worth keeping
  const std::string& pin = pulled.spec.data.tokenizer_sha256;
  if (!tokenizer.empty()) COVEY_TRY_VOID(bring_tokenizer(tokenizer, folder));
  console.object(JsonObject()
                     .add("event", "pulled")
                     .add("job", chosen.summary.job)
                     .add("round", pulled.version)
                     .add("rounds", chosen.summary.rounds)
                     .add("parameters", pulled.parameters.size())
                     .add("folder", folder)
                     .add("model", folder + "/model.safetensors")
                     .add("tokenizer", tokenizer.empty() ? "" : folder + "/" + kTokenizerFile));
  console.line("Wrote the model after " + job_text(pulled.version) + " of " +
               job_text(chosen.summary.rounds) + " rounds, " + job_text(pulled.parameters.size()) +
               " parameters:");
  console.line("  " + folder + "/model.safetensors   " + folder + "/job.toml   " + folder + "/metrics.jsonl" +
               (tokenizer.empty() ? "" : "   " + folder + "/" + kTokenizerFile));
  if (!pin.empty() && tokenizer.empty())
    console.warn("the job pins a tokenizer that is not on this machine (SHA-256 " + pin + "): fetch its tokenizer.json from a site or the "
                 "model's source, and pull again with --tokenizer FILE, or put it into " + folder);
  if (pulled.spec.privacy.secure_aggregation)
    console.line("metrics.jsonl has a row a round and none of a client: under secure aggregation there are only sums.");
  if (pulled.spec.model.family == ModelFamily::kTransformer && (pin.empty() ? pulled.spec.model.vocabulary == 256 : !tokenizer.empty()))
    console.line("See what it says with `covey generate --model " + folder + "`.");
  return kExitOk;
}

Result<int> report_command(const ReportOptions& options, Console& console) {
  COVEY_TRY_VOID(check_output(options.output));
  MemoryBlobs blobs;
  COVEY_TRY(const auto session, Session::open(options.job.home, blobs));
  COVEY_TRY(const ChosenJob chosen, choose_job(*session, options.job.job));
  say_choice(chosen, console);
  COVEY_TRY(const ReportData data, report_data(*session, chosen.summary.job));
  COVEY_TRY_VOID(write_file(options.output, bytes_of(report_html(data))));
  console.object(JsonObject()
                     .add("event", "report")
                     .add("job", chosen.summary.job)
                     .add("rounds", data.rounds.size())
                     .add("file", options.output));
  console.line("Wrote " + options.output + ": " + job_text(data.rounds.size()) +
               " rows of figures. It needs no network; open it in a browser.");
  return kExitOk;
}

namespace {

// The prompt as tokens: of the model's tokenizer, or bytes.
Result<std::vector<std::int32_t>> prompt_of(const GenerateOptions& options, const LoadedModel& loaded) {
  std::vector<std::int32_t> prompt;
  if (loaded.tokenizer == nullptr) {
    if (loaded.spec.model.vocabulary != 256)
      return unexpected(ErrorCode::kNotFound, options.model.model + " has a vocabulary of " +
                                                  std::to_string(loaded.spec.model.vocabulary) +
                                                  " tokens and there is no tokenizer; name its tokenizer.json with --tokenizer");
    for (const char c : options.prompt.empty() ? std::string("\n") : options.prompt) prompt.push_back(static_cast<unsigned char>(c));
    return prompt;
  }
  // As a document begins; what ends one is left out, for the text goes on.
  for (const TextToken id : loaded.tokenizer->spec().before) prompt.push_back(static_cast<std::int32_t>(id));
  TokenEncoder encoder(*loaded.tokenizer);
  for (const TextToken id : encoder.encode(options.prompt)) prompt.push_back(static_cast<std::int32_t>(id));
  if (prompt.empty() && loaded.config && loaded.config->begin_token && *loaded.config->begin_token < loaded.spec.model.vocabulary)
    prompt.push_back(static_cast<std::int32_t>(*loaded.config->begin_token));
  if (prompt.empty())
    return unexpected(ErrorCode::kInvalidArgument, "the prompt is empty, and the model says no token to begin with; give one with --prompt");
  return prompt;
}

// The text as it comes: on standard output at once, whole characters at a time; as JSON at the end.
class Writing {
 public:
  Writing(const GenerateOptions& options, const LoadedModel& loaded, Console& console)
      : options_(options), loaded_(loaded), console_(console), terminal_(::isatty(STDOUT_FILENO) == 1) {
    if (!console_.json()) show(options_.prompt);
  }
  // False: nobody waits for more.
  bool take(std::int32_t token) {
    const std::string bytes = bytes_of_token(token);
    ++count_;
    text_ += bytes;
    held_ += bytes;
    const std::size_t whole = whole_bytes(held_);
    if (!console_.json()) show(std::string_view(held_).substr(0, whole));
    held_.erase(0, whole);
    if (console_.json() || !terminal_)
      console_.progress(bar_text(static_cast<double>(count_) / options_.tokens, 20) + " " + std::to_string(count_) + " of " +
                        std::to_string(options_.tokens) + " tokens");
    return !StopSignals::interrupted() && !console_.unread();
  }
  void end() {
    if (!console_.json()) show(held_ + "\n");
    console_.progress("");
  }
  const std::string& text() const { return text_; }

 private:
  // A model's bytes must not drive a terminal; a pipe gets them as they are.
  void show(std::string_view bytes) {
    if (!bytes.empty()) console_.raw(terminal_ ? printable(bytes) : std::string(bytes));
  }
  std::string bytes_of_token(std::int32_t token) const {
    if (loaded_.tokenizer == nullptr) return std::string(1, static_cast<char>(token));
    const auto id = static_cast<TextToken>(token);
    if (id >= loaded_.tokenizer->vocabulary()) return "";  // rows beyond the tokenizer's are padding, and stand for nothing
    const auto decoded = loaded_.tokenizer->decode(std::span(&id, 1), Tokenizer::Specials::kSkip);
    COVEY_CHECK(decoded.has_value());
    return *decoded;
  }

  const GenerateOptions& options_;
  const LoadedModel& loaded_;
  Console& console_;
  bool terminal_;
  std::uint32_t count_ = 0;
  std::string text_, held_;
};

}  // namespace

Result<int> generate_command(const GenerateOptions& options, Console& console) {
  COVEY_TRY(LoadedModel loaded, load_model(options.model));
  const ModelSpec& spec = loaded.spec.model;
  if (spec.family != ModelFamily::kTransformer)
    return unexpected(ErrorCode::kInvalidArgument, options.model.model + " holds a model of family \"" +
                                                       name_of(spec.family) +
                                                       "\"; only a \"transformer\" can generate text");
  COVEY_TRY(const std::vector<std::int32_t> prompt, prompt_of(options, loaded));
  const auto ops = make_cpu_ops();
  TokenDecoder decoder(spec, loaded.parameters, *ops);
  Sampling sampling{options.temperature, options.top_k, options.top_p};
  if (loaded.config)
    for (const std::uint32_t end : loaded.config->end_tokens) sampling.ends.push_back(static_cast<std::int32_t>(end));
  const StopSignals signals([] {});
  Writing writing(options, loaded, console);
  auto drawn = continue_tokens(decoder, prompt, options.tokens, sampling, Random(options.seed).split("generate"),
                                      [&](std::int32_t token) { return writing.take(token); });
  writing.end();
  if (!drawn) return unexpected(in_context(options.model.model, drawn.error()));
  const std::vector<std::int32_t> tokens = *std::move(drawn);
  const bool interrupted = StopSignals::interrupted();
  console.object(JsonObject()
                     .add("prompt", options.prompt)
                     .add("text", writing.text())
                     .add("bytes", writing.text().size())
                     .add("tokens", tokens.size())
                     .add("temperature", options.temperature)
                     .add("top_k", options.top_k)
                     .add("top_p", options.top_p)
                     .add("seed", options.seed)
                     .add("interrupted", interrupted));
  if (interrupted) console.warn("interrupted after " + std::to_string(tokens.size()) + " of " + std::to_string(options.tokens) + " tokens");
  return interrupted ? kExitInterrupted : kExitOk;
}

}  // namespace covey::cli
