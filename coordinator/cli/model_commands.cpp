// covey pull, report, generate.
#include <filesystem>

#include "coordinator/cli/commands.h"
#include "coordinator/cli/job_view.h"
#include "coordinator/cli/model_file.h"
#include "coordinator/cli/pull.h"
#include "coordinator/cli/report.h"
#include "coordinator/service/home.h"
#include "core/base/clock.h"
#include "core/data/safetensors.h"
#include "core/nn/token_decoder.h"
#include "core/service/exit_code.h"
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

}  // namespace

Result<int> pull_command(const PullOptions& options, Console& console) {
  const std::string cache = operator_folder(options.job.home) + "/cache";
  COVEY_TRY_VOID(
      load_membership(operator_folder(options.job.home)));  // before a cache is made beside nothing
  COVEY_TRY(const auto blobs, open_blob_files(cache));
  COVEY_TRY(const auto session, Session::open(options.job.home, *blobs));
  COVEY_TRY(const ChosenJob chosen, choose_job(*session, options.job.job));
  say_choice(chosen, console);
  const std::string folder = options.output.empty() ? "job-" + job_text(chosen.summary.job) : options.output;
  COVEY_TRY(const PulledModel pulled, pull_model(*session, *blobs, chosen.summary, folder, console));
  COVEY_TRY(const auto held, blobs->list());
  for (const Digest& blob : held) COVEY_TRY_VOID(blobs->erase(blob));  // whole: only a part is worth keeping
  console.object(JsonObject()
                     .add("event", "pulled")
                     .add("job", chosen.summary.job)
                     .add("round", pulled.version)
                     .add("rounds", chosen.summary.rounds)
                     .add("parameters", pulled.parameters.size())
                     .add("folder", folder)
                     .add("model", folder + "/model.safetensors"));
  console.line("Wrote the model after " + job_text(pulled.version) + " of " +
               job_text(chosen.summary.rounds) + " rounds, " + job_text(pulled.parameters.size()) +
               " parameters:");
  console.line("  " + folder + "/model.safetensors   " + folder + "/job.toml   " + folder + "/metrics.jsonl");
  if (pulled.spec.privacy.secure_aggregation)
    console.line("metrics.jsonl has a row a round and none of a client: under secure aggregation there are only sums.");
  if (pulled.spec.data.format == DataFormat::kText && pulled.spec.data.tokenizer_sha256.empty())
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

Result<std::string> text_of_tokens(const LoadedModel& loaded, std::span<const std::int32_t> tokens) {
  std::string text;
  if (loaded.tokenizer == nullptr) {
    for (const std::int32_t token : tokens) text += static_cast<char>(token);
    return text;
  }
  TokenIds ids;
  for (const std::int32_t token : tokens)  // rows beyond the tokenizer's are padding, and stand for nothing
    if (static_cast<TextToken>(token) < loaded.tokenizer->vocabulary()) ids.push_back(static_cast<TextToken>(token));
  return loaded.tokenizer->decode(ids, Tokenizer::Specials::kSkip);
}

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
  const auto tokens = continue_tokens(decoder, prompt, options.tokens, sampling, Random(options.seed).split("generate"));
  COVEY_TRY(const std::string text, text_of_tokens(loaded, tokens));
  console.object(JsonObject()
                     .add("prompt", options.prompt)
                     .add("text", text)
                     .add("bytes", text.size())
                     .add("tokens", tokens.size())
                     .add("temperature", options.temperature)
                     .add("top_k", options.top_k)
                     .add("top_p", options.top_p)
                     .add("seed", options.seed));
  // A model's bytes must not drive a terminal; a pipe gets them as they are.
  if (!console.json())
    console.raw((::isatty(STDOUT_FILENO) == 1 ? printable(options.prompt + text) : options.prompt + text) +
                "\n");
  return kExitOk;
}

}  // namespace covey::cli
