#include "client/tokenizer_file.h"

#include "core/base/file.h"
#include "core/crypto/digest.h"
#include "core/data/files.h"

namespace covey {

std::string tokenizer_path(const std::string& given, const std::string& beside) {
  const auto within = [](const std::string& folder) { return folder + "/" + kTokenizerFile; };
  if (!given.empty()) return file_exists(within(given)) ? within(given) : given;
  return !beside.empty() && file_exists(within(beside)) ? within(beside) : std::string();
}

Result<TokenizerFile> read_tokenizer(const std::string& path) {
  if (file_exists(path + "/."))  // a folder
    return unexpected(ErrorCode::kNotFound, path + " holds no " + kTokenizerFile + ": name the file, or a folder that has one");
  COVEY_TRY(const Bytes bytes, read_data_file(path, kTokenizerBytesMax));
  std::string text(text_of(bytes));
  auto spec = parse_tokenizer_json(text);
  if (!spec) {
    Error error = in_context(path, spec.error());
    if (!path.ends_with(kTokenizerFile))
      error.message += std::string("; a tokenizer is in a ") + kTokenizerFile + ": name that file, or its folder";
    return unexpected(std::move(error));
  }
  auto tokenizer = Tokenizer::make(std::move(*spec));
  if (!tokenizer) return unexpected(in_context(path, tokenizer.error()));
  return TokenizerFile{path, hex(sha256(bytes).span()), std::move(text), std::make_shared<const Tokenizer>(std::move(*tokenizer))};
}

Result<std::shared_ptr<const Tokenizer>> pinned_tokenizer(const DataSpec& data, const std::string& given,
                                                          const std::string& beside) {
  if (data.tokenizer_sha256.empty()) return std::shared_ptr<const Tokenizer>();
  // Token files were made with the one that lies there, whatever else is at hand.
  std::string path = data.format == DataFormat::kTokens ? tokenizer_path("", beside) : std::string();
  if (path.empty()) path = tokenizer_path(given, beside);
  if (path.empty())
    return unexpected(ErrorCode::kNotFound,
                      "the job pins a tokenizer (data.tokenizer_sha256 = " + data.tokenizer_sha256 +
                          ") and there is none: name its tokenizer.json with --tokenizer, or put it beside the data");
  COVEY_TRY(TokenizerFile file, read_tokenizer(path));
  if (file.sha256 == data.tokenizer_sha256) return std::move(file.tokenizer);
  return unexpected(ErrorCode::kInvalidData, path + " is another tokenizer than the job's: its SHA-256 is " + file.sha256 +
                                                 ", data.tokenizer_sha256 is " + data.tokenizer_sha256);
}

}  // namespace covey
