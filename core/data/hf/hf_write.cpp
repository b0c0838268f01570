// The writing half of hf_folder.h.
#include <algorithm>
#include <filesystem>

#include "core/base/check.h"
#include "core/data/files.h"
#include "core/data/hf/hf_folder.h"
#include "core/data/json_text.h"

namespace covey {
namespace {

using nlohmann::json;

// The parts that one stored tensor is made of, in the order of their rows.
struct Stored {
  std::vector<HfPart> parts;
  std::vector<HfPlace> places;
};

std::vector<Stored> stored_tensors(const HfConfig& config) {
  std::vector<Stored> all;
  for (const HfPart& part : hf_parts(config)) {
    HfPlace place = place_of(config, part);
    // Key and value of GPT-2 follow their query, which is at most a few tensors back.
    auto same = all.rend();
    if (place.first_row != 0)
      same = std::find_if(all.rbegin(), all.rend(),
                          [&](const Stored& s) { return s.places[0].name == place.name; });
    Stored& stored = same != all.rend() ? *same : all.emplace_back();
    stored.parts.push_back(part);
    stored.places.push_back(std::move(place));
  }
  return all;
}

std::vector<std::uint64_t> shape_of(const Stored& stored) {
  const HfPart& part = stored.parts[0];
  const HfPlace& place = stored.places[0];
  if (part.shape.size() == 1) return {place.rows};
  if (place.transposed) return {part.shape[1], place.rows};
  return {place.rows, part.shape[1]};
}

Result<std::vector<float>> assembled(const Stored& stored, const HfSource& source) {
  if (stored.parts.size() == 1 && !stored.places[0].transposed) return values_of(stored.parts[0], source);
  const std::size_t rows = stored.places[0].rows;
  const bool matrix = stored.parts[0].shape.size() == 2;
  const std::size_t columns = matrix ? stored.parts[0].shape[1] : 1;
  std::vector<float> out(rows * columns);
  for (std::size_t p = 0; p < stored.parts.size(); ++p) {
    COVEY_TRY(const std::vector<float> values, values_of(stored.parts[p], source));
    const std::size_t first = stored.places[p].first_row;
    const std::size_t height = values.size() / columns;
    constexpr std::size_t kTile = 32;  // lines of both stay in the cache
    for (std::size_t row = 0; row < height; row += kTile)
      for (std::size_t column = 0; column < columns; column += kTile)
        for (std::size_t r = row; r < std::min(row + kTile, height); ++r)
          for (std::size_t c = column; c < std::min(column + kTile, columns); ++c)
            out[c * rows + first + r] = values[r * columns + c];
  }
  return out;
}

Result<void> write_text(const std::string& path, const std::string& text) {
  COVEY_TRY(const FileDescriptor file, create_data_file(path));
  COVEY_TRY_VOID(write_at(file, 0, bytes_of(text), path));
  return sync_file(file, path);
}

json token_ids(const HfConfig& config) {
  json ids = json::object();
  if (config.begin_token) ids["bos_token_id"] = *config.begin_token;
  if (config.pad_token) ids["pad_token_id"] = *config.pad_token;
  if (config.end_tokens.size() == 1) ids["eos_token_id"] = config.end_tokens[0];
  if (config.end_tokens.size() > 1) ids["eos_token_id"] = config.end_tokens;
  return ids;
}

// What AutoTokenizer asks beside tokenizer.json.
std::string tokenizer_config(const HfConfig& config, const TokenizerSpec& tokenizer) {
  json root = {{"tokenizer_class", "PreTrainedTokenizerFast"},
               {"model_max_length", config.context},
               {"clean_up_tokenization_spaces", false}};
  const auto name = [&](const char* field, std::uint32_t id) {
    for (const AddedToken& token : tokenizer.added)
      if (token.id == id) root[field] = token.content;
  };
  if (config.begin_token) name("bos_token", *config.begin_token);
  if (config.pad_token) name("pad_token", *config.pad_token);
  if (!config.end_tokens.empty()) name("eos_token", config.end_tokens[0]);
  return root.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

Result<void> write_into(const std::string& folder, const HfWriting& writing, const HfSource& source) {
  const std::vector<Stored> stored = stored_tensors(writing.config);
  TensorWriting files;
  files.metadata = {{"format", "pt"}};
  files.file_bytes_max = writing.file_bytes_max;
  for (const Stored& one : stored)
    files.tensors.push_back(
        {stored_name(writing.config, one.places[0]), writing.config.dtype, shape_of(one)});
  COVEY_TRY_VOID(
      write_tensor_files(folder, files, [&](std::size_t index) { return assembled(stored[index], source); }));
  COVEY_TRY_VOID(write_text(folder + "/config.json", to_hf_config(writing.config)));
  COVEY_TRY_VOID(write_text(folder + "/generation_config.json", token_ids(writing.config).dump(2) + "\n"));
  if (writing.tokenizer != nullptr) {
    COVEY_TRY_VOID(write_text(folder + "/tokenizer.json", writing.tokenizer_text.empty() ? to_tokenizer_json(*writing.tokenizer) : writing.tokenizer_text));
    COVEY_TRY_VOID(
        write_text(folder + "/tokenizer_config.json", tokenizer_config(writing.config, *writing.tokenizer)));
  }
  return sync_folder(folder);
}

}  // namespace

Result<std::vector<float>> values_of(const HfPart& part, const HfSource& source) {
  COVEY_TRY(std::vector<float> values, source(part));
  const bool padded = part.role == TensorRole::kTokenEmbedding || part.role == TensorRole::kHead;
  const std::uint64_t wanted = part.elements(), got = values.size();
  if (padded && got > wanted && got % part.shape[1] == 0) values.resize(wanted);
  if (values.size() != wanted)
    return unexpected(ErrorCode::kInvalidArgument,
                      std::string(name_of(part.role)) + " of layer " + std::to_string(part.layer) + " has " +
                          std::to_string(got) + " values, " + std::to_string(wanted) + " are needed");
  return values;
}

Result<void> write_hf(const std::string& folder, const HfWriting& writing, const HfSource& source) {
  COVEY_TRY_VOID(writing.config.validate());
  if (writing.tokenizer != nullptr && writing.tokenizer->vocabulary() > writing.config.vocabulary)
    return unexpected(ErrorCode::kInvalidData,
                      "the tokenizer has " + std::to_string(writing.tokenizer->vocabulary()) +
                          " tokens, the model's vocabulary " + std::to_string(writing.config.vocabulary));
  const std::string partial = folder + ".partial";
  for (const std::string& path : {folder, partial})
    if (file_exists(path))
      return unexpected(ErrorCode::kAlreadyExists,
                        path + " is there already: name another folder, or remove it");
  COVEY_TRY_VOID(make_data_folders(partial));
  auto written = write_into(partial, writing, source);
  if (written) written = rename_file(partial, folder);
  if (!written) {
    std::error_code ignored;  // of the first error there is more to say
    std::filesystem::remove_all(partial, ignored);
    return written;
  }
  const std::filesystem::path parent = std::filesystem::path(folder).parent_path();
  return sync_folder(parent.empty() ? "." : parent.string());
}

}  // namespace covey
