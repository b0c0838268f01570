// covey tokenize: text or JSON lines as token files.
#include <filesystem>

#include "client/tokenizer_file.h"
#include "coordinator/cli/commands.h"
#include "core/base/file.h"
#include "core/data/files.h"
#include "core/data/jsonl.h"
#include "core/data/tokens/token_shard.h"
#include "core/service/exit_code.h"
#include "core/service/signals.h"
#include "core/service/text_file.h"

namespace covey::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kTextFileBytesMax = std::uint64_t{4} << 30U;  // one document in memory

// Encodes documents and says how far it is.
class Progress {
 public:
  Progress(TokenShardSet& set, Console& console, std::uint64_t bytes) : set_(set), console_(console), bytes_(bytes) {}
  Result<void> take(std::string_view document) {
    if (StopSignals::interrupted()) return unexpected(ErrorCode::kUnavailable, "interrupted");
    done_ += document.size();
    ++documents_;
    if (documents_ % 256 == 1 || document.size() > (1U << 20U)) {
      const double share = bytes_ == 0 ? 1 : std::min(1.0, static_cast<double>(done_) / static_cast<double>(bytes_));
      console_.progress(bar_text(share, 20) + " " + bytes_text(done_) + " of about " + bytes_text(bytes_));
    }
    return set_.add(document);
  }

 private:
  TokenShardSet& set_;
  Console& console_;
  std::uint64_t bytes_, done_ = 0, documents_ = 0;
};

bool holds_lines(const std::vector<FoundFile>& files) {
  return std::any_of(files.begin(), files.end(), [](const FoundFile& file) { return file.relative.ends_with(".jsonl"); });
}

JsonlSpec lines_of(const TokenizeOptions& options) {
  JsonlSpec spec;
  if (!options.field.empty()) spec.field = options.field;
  spec.damaged_max = options.damaged_max.value_or(spec.damaged_max);
  return spec;
}

// What acts on nothing is refused, as it is in a job.
Result<void> check_settings(const TokenizeOptions& options, bool lines) {
  if (lines || (options.field.empty() && !options.damaged_max)) return {};
  const std::string flag = options.field.empty() ? "--damaged-max " + std::to_string(*options.damaged_max) : "--field " + options.field;
  return unexpected(ErrorCode::kInvalidArgument, flag + ": belongs to jsonl, and " + options.input +
                                                     (options.format.empty() ? " holds no *.jsonl; remove it, or say --format jsonl"
                                                                             : " is read as text; remove it, or say --format jsonl"));
}

Result<TextCount> encode_all(const TokenizeOptions& options, const Tokenizer& tokenizer, const std::string& folder, Console& console) {
  COVEY_TRY(const FileList list, list_documents(options.input));
  const bool lines = options.format == "jsonl" || (options.format.empty() && holds_lines(list.files));
  COVEY_TRY_VOID(check_settings(options, lines));
  std::uint64_t bytes = 0;
  for (const FoundFile& file : list.files)
    if (!lines || list.files.size() == 1 || file.relative.ends_with(".jsonl")) bytes += file.size;
  TokenShardSet set(folder, tokenizer, options.file_tokens);
  Progress progress(set, console, bytes);
  std::uint64_t damaged = 0;
  if (lines) {
    const JsonlSpec spec = lines_of(options);
    COVEY_TRY(const JsonlCount count,
              for_each_document(options.input, spec, [&](std::string_view text) { return progress.take(text); }));
    damaged = count.damaged;
  } else {
    for (const FoundFile& file : list.files) {
      COVEY_TRY(const Bytes text, read_data_file(file.path, kTextFileBytesMax));
      COVEY_TRY_VOID(progress.take(text_of(text)));
    }
  }
  COVEY_TRY(TextCount count, set.finish());
  count.damaged = damaged;
  console.progress("");
  if (count.documents == 0)
    return unexpected(ErrorCode::kInvalidData, options.input + " holds no document that is not empty");
  return count;
}

struct Chosen {
  std::string path;  // empty: bytes
  std::string sha256;
  std::shared_ptr<const Tokenizer> tokenizer;
};
Result<Chosen> choose_tokenizer(const TokenizeOptions& options) {
  if (!options.tokenizer.empty()) {
    COVEY_TRY(TokenizerFile file, read_tokenizer(tokenizer_path(options.tokenizer, "")));
    return Chosen{file.path, file.sha256, std::move(file.tokenizer)};
  }
  COVEY_TRY(Tokenizer bytes, Tokenizer::make(byte_tokenizer()));
  return Chosen{"", "", std::make_shared<const Tokenizer>(std::move(bytes))};
}

// The tokenizer goes along, byte for byte: whoever has the folder can show which one made it.
Result<TextCount> write_folder(const TokenizeOptions& options, const Chosen& chosen, const std::string& folder, Console& console) {
  COVEY_TRY(const TextCount count, encode_all(options, *chosen.tokenizer, folder, console));
  if (!chosen.path.empty()) {
    COVEY_TRY(const Bytes bytes, read_file(chosen.path, kTokenizerBytesMax));
    COVEY_TRY_VOID(write_file(folder + "/" + kTokenizerFile, bytes));
  }
  return count;
}

}  // namespace

Result<int> tokenize_command(const TokenizeOptions& asked, Console& console) {
  TokenizeOptions options = asked;
  options.output = without_slash(asked.output);
  const std::string partial = options.output + ".partial";
  COVEY_TRY_VOID(check_new_folder("-o", options.output));
  if (file_exists(partial))
    return unexpected(ErrorCode::kAlreadyExists, partial + " is there already: remove it, unless the command that makes it still runs");
  const StopSignals signals([] {});
  COVEY_TRY(const Chosen chosen, choose_tokenizer(options));
  COVEY_TRY_VOID(make_folders(partial, 0755));
  auto count = write_folder(options, chosen, partial, console);
  if (count) {
    if (const auto renamed = rename_file(partial, options.output); !renamed) count = unexpected(renamed.error());
  }
  std::error_code ignored;  // of the first error there is more to say
  if (!count) fs::remove_all(partial, ignored);
  if (!count && StopSignals::interrupted()) {
    console.warn("interrupted: nothing was written");
    return kExitInterrupted;
  }
  if (!count) return unexpected(count.error());
  if (count->damaged != 0)
    console.warn(std::to_string(count->damaged) + " damaged lines were passed over (at most " + std::to_string(lines_of(options).damaged_max) + " are)");
  console.object(JsonObject()
                     .add("event", "tokenized")
                     .add("folder", options.output)
                     .add("documents", count->documents)
                     .add("tokens", count->tokens)
                     .add("damaged", count->damaged)
                     .add("vocabulary", chosen.tokenizer->vocabulary())
                     .add("tokenizer_sha256", chosen.sha256));
  console.line("Wrote " + options.output + ": " + std::to_string(count->documents) + " documents, " + std::to_string(count->tokens) +
               " tokens, vocabulary " + std::to_string(chosen.tokenizer->vocabulary()) + ".");
  if (!chosen.sha256.empty()) console.line("Jobs pin its tokenizer with [data] tokenizer_sha256 = \"" + chosen.sha256 + "\".");
  return kExitOk;
}

}  // namespace covey::cli
