// tokenizer.json as `tokenizers` writes and reads it (its crate's serialisation is the only
// specification). What is not here is refused by its name: ids would differ silently otherwise.
#include <algorithm>
#include <unordered_map>

#include "core/data/bpe/tokenizer.h"
#include "core/data/files.h"
#include "core/data/json_text.h"

namespace covey {
namespace {

using nlohmann::json;

Unexpected invalid(std::string message) { return unexpected(ErrorCode::kInvalidData, std::move(message)); }
Unexpected unsupported(const std::string& what, const std::string& remedy) {
  return unexpected(ErrorCode::kUnsupported, what + " is not supported: " + remedy);
}

std::string type_of(const json& part) {
  const json* type = find_member(part, "type");
  return type != nullptr && type->is_string() ? type->get<std::string>() : std::string();
}

Result<void> refuse_true(const json& part, const char* name, const std::string& where) {
  COVEY_TRY(const auto value, find_bool(part, name));
  if (value.value_or(false)) return unsupported(where + "." + name + " = true", "only false is");
  return {};
}

using IdOfLetters = std::unordered_map<std::string_view, TextToken>;

// `ids` gets the vocabulary's own spelling, which merges are written in.
Result<void> read_vocabulary(const json& model, TokenizerSpec& spec, IdOfLetters& ids) {
  const json* vocabulary = find_member(model, "vocab");
  if (vocabulary == nullptr || !vocabulary->is_object()) return invalid("model.vocab, an object, is missing");
  const std::size_t count = vocabulary->size();
  spec.tokens.resize(count);
  std::vector<bool> seen(count);
  for (const auto& [letters, id] : vocabulary->items()) {
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() >= count)
      return invalid("token " + shown(letters) + " has the id " + shown_json(id) + ", the " +
                     std::to_string(count) + " tokens need ids from 0 without a gap");
    const auto at = id.get<std::size_t>();
    if (seen[at]) return invalid("the id " + std::to_string(at) + " is that of two tokens");
    seen[at] = true;
    COVEY_TRY(spec.tokens[at], bytes_of_letters(letters));
    ids.emplace(letters, static_cast<TextToken>(at));
  }
  return {};
}

Result<std::pair<std::string_view, std::string_view>> halves_of(const json& merge) {
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string())
    return std::pair<std::string_view, std::string_view>(merge[0].get_ref<const std::string&>(),
                                                         merge[1].get_ref<const std::string&>());
  if (merge.is_string()) {
    const std::string_view text = merge.get_ref<const std::string&>();
    const std::size_t blank = text.find(' ');
    if (blank != std::string_view::npos && text.find(' ', blank + 1) == std::string_view::npos)
      return std::pair(text.substr(0, blank), text.substr(blank + 1));
  }
  return invalid("the merge " + shown_json(merge) + " is neither \"a b\" nor [\"a\", \"b\"]");
}

Result<void> read_merges(const json& model, const IdOfLetters& ids, TokenizerSpec& spec) {
  const json* merges = find_member(model, "merges");
  if (merges == nullptr || !merges->is_array()) return invalid("model.merges, an array, is missing");
  for (const json& merge : *merges) {
    COVEY_TRY(const auto halves, halves_of(merge));
    const auto left = ids.find(halves.first), right = ids.find(halves.second);
    if (left == ids.end() || right == ids.end())
      return invalid("the merge " + shown_json(merge) + " is of a token that model.vocab lacks");
    spec.merges.emplace_back(left->second, right->second);
  }
  return {};
}

Result<void> read_model(const json& root, TokenizerSpec& spec) {
  const json* model = find_member(root, "model");
  if (model == nullptr || !model->is_object()) return invalid("model, an object, is missing");
  if (type_of(*model) != "BPE")
    return unsupported("model.type = " + shown(type_of(*model)), "use a byte-level BPE tokenizer");
  if (find_member(*model, "dropout") != nullptr)
    return unsupported("model.dropout", "set it to null: encoding must give the same ids each time");
  for (const char* name : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    COVEY_TRY(const auto text, find_text(*model, name));
    if (!text.value_or("").empty())
      return unsupported(std::string("model.") + name + " = " + shown(*text), "byte-level BPE has none");
  }
  // Of no effect where every byte is a token: unk_token, fuse_unk.
  COVEY_TRY_VOID(refuse_true(*model, "byte_fallback", "model"));
  COVEY_TRY(const auto ignore_merges, find_bool(*model, "ignore_merges"));
  spec.ignore_merges = ignore_merges.value_or(false);
  IdOfLetters ids;
  COVEY_TRY_VOID(read_vocabulary(*model, spec, ids));
  return read_merges(*model, ids, spec);
}

Result<void> read_added(const json& root, TokenizerSpec& spec) {
  const json* list = find_member(root, "added_tokens");
  if (list == nullptr) return {};
  if (!list->is_array()) return invalid("added_tokens is no array");
  for (const json& entry : *list) {
    COVEY_TRY(const auto id, find_uint(entry, "id", {0, kVocabularyMax}));
    COVEY_TRY(const auto content, find_text(entry, "content"));
    if (!id || !content) return invalid("the added token " + shown_json(entry) + " lacks its id or content");
    for (const char* name : {"single_word", "lstrip", "rstrip"})
      COVEY_TRY_VOID(refuse_true(entry, name, "added token " + shown(*content)));
    COVEY_TRY(const auto special, find_bool(entry, "special"));
    COVEY_TRY(const auto normalized, find_bool(entry, "normalized"));
    spec.added.push_back(
        {static_cast<TextToken>(*id), *content, special.value_or(false), normalized.value_or(false)});
  }
  return {};
}

Result<void> read_byte_level(const json& part, TokenizerSpec& spec) {
  COVEY_TRY(const auto prefix, find_bool(part, "add_prefix_space"));
  COVEY_TRY(const auto regex, find_bool(part, "use_regex"));
  spec.prefix_space = prefix.value_or(false);
  spec.split = regex.value_or(true) ? SplitRule::kGpt2 : SplitRule::kWhole;
  return {};
}

// After a Split it only turns bytes to letters.
Result<void> check_letters_only(const json& part) {
  COVEY_TRY(const auto regex, find_bool(part, "use_regex"));
  if (regex.value_or(true))
    return unsupported("a ByteLevel with use_regex after a Split", "set use_regex to false");
  return refuse_true(part, "add_prefix_space", "ByteLevel after Split");
}

Result<void> read_split(const json& part, TokenizerSpec& spec) {
  const json* pattern = find_member(part, "pattern");
  COVEY_TRY(const auto regex, find_text(pattern == nullptr ? json::object() : *pattern, "Regex"));
  if (regex == kGpt2Pattern)
    spec.split = SplitRule::kGpt2;
  else if (regex == kLlama3Pattern)
    spec.split = SplitRule::kLlama3;
  else
    return unsupported("the Split pattern " + shown_json(pattern == nullptr ? json() : *pattern),
                       "only the expressions of GPT-2 and Llama 3 are");
  COVEY_TRY(const auto behavior, find_text(part, "behavior"));
  if (behavior != "Isolated")
    return unsupported("the Split behavior " + shown(behavior.value_or("")), "only \"Isolated\" is");
  return refuse_true(part, "invert", "Split");
}

Result<void> read_pre_tokenizer(const json& root, TokenizerSpec& spec) {
  const json* part = find_member(root, "pre_tokenizer");
  if (part == nullptr) return unsupported("no pre_tokenizer", "byte-level BPE needs ByteLevel");
  if (type_of(*part) == "ByteLevel") return read_byte_level(*part, spec);
  const json* list = find_member(*part, "pretokenizers");
  const bool sequence = type_of(*part) == "Sequence" && list != nullptr && list->is_array();
  if (sequence && list->size() == 1 && type_of((*list)[0]) == "ByteLevel")
    return read_byte_level((*list)[0], spec);
  if (sequence && list->size() == 2 && type_of((*list)[0]) == "Split" && type_of((*list)[1]) == "ByteLevel") {
    COVEY_TRY_VOID(read_split((*list)[0], spec));
    return check_letters_only((*list)[1]);
  }
  return unsupported("the pre_tokenizer " + shown(type_of(*part)) + ", " + shown_json(*part),
                     "only ByteLevel, or Split and ByteLevel, are");
}

Result<TokenIds> template_ids(const json& part, const json& piece) {
  COVEY_TRY(const auto name, find_text(piece, "id"));
  const json* tokens = find_member(part, "special_tokens");
  const json* token = tokens == nullptr || !name ? nullptr : find_member(*tokens, name->c_str());
  const json* list = token == nullptr ? nullptr : find_member(*token, "ids");
  if (list == nullptr || !list->is_array())
    return invalid("TemplateProcessing.special_tokens lacks " + shown(name.value_or("")));
  TokenIds ids;
  for (const json& id : *list) {
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() >= kVocabularyMax)
      return invalid("the special token " + shown(*name) + " has the id " + shown_json(id));
    ids.push_back(id.get<TextToken>());
  }
  return ids;
}

Result<void> read_template(const json& part, TokenizerSpec& spec) {
  const json* single = find_member(part, "single");
  if (single == nullptr || !single->is_array())
    return invalid("TemplateProcessing.single, an array, is missing");
  bool text = false;
  for (const json& piece : *single) {
    if (const json* special = find_member(piece, "SpecialToken")) {
      COVEY_TRY(const TokenIds ids, template_ids(part, *special));
      TokenIds& around = text ? spec.after : spec.before;
      around.insert(around.end(), ids.begin(), ids.end());
    } else if (find_member(piece, "Sequence") != nullptr && !text) {
      text = true;
    } else {
      return unsupported("the template piece " + shown_json(piece), "special tokens around one sequence are");
    }
  }
  if (!text) return unsupported("a template without its sequence", "special tokens around one sequence are");
  return {};
}

Result<void> read_post_processor(const json& root, TokenizerSpec& spec) {
  const json* part = find_member(root, "post_processor");
  if (part == nullptr) return {};
  const json* list = find_member(*part, "processors");
  std::vector<const json*> parts{part};
  if (type_of(*part) == "Sequence" && list != nullptr && list->is_array()) {
    parts.clear();
    for (const json& one : *list) parts.push_back(&one);
  }
  bool seen = false;
  for (const json* one : parts) {
    if (type_of(*one) == "ByteLevel") continue;  // changes offsets, not ids
    if (type_of(*one) != "TemplateProcessing" || seen)
      return unsupported("the post_processor " + shown_json(*one),
                         "ByteLevel and one TemplateProcessing are");
    seen = true;
    COVEY_TRY_VOID(read_template(*one, spec));
  }
  return {};
}

Result<void> refuse_rest(const json& root) {
  for (const char* name : {"normalizer", "truncation", "padding"})
    if (const json* part = find_member(root, name))
      return unsupported(std::string(name) + " = " + shown_json(*part), "set it to null");
  const json* decoder = find_member(root, "decoder");
  const json* list = decoder == nullptr ? nullptr : find_member(*decoder, "decoders");
  if (list != nullptr && list->is_array() && list->size() == 1) decoder = &(*list)[0];
  if (decoder == nullptr || type_of(*decoder) != "ByteLevel")
    return unsupported("the decoder " + shown_json(decoder == nullptr ? json() : *decoder), "ByteLevel is");
  return {};
}

struct ByteLevel {
  bool prefix_space = true, regex = true;
};
json part_of(const ByteLevel& part) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", part.prefix_space},
          {"trim_offsets", true},
          {"use_regex", part.regex}};
}

json pre_tokenizer_of(const TokenizerSpec& spec) {
  if (spec.split != SplitRule::kLlama3)
    return part_of(ByteLevel{spec.prefix_space, spec.split == SplitRule::kGpt2});
  const json split = {{"type", "Split"},
                      {"pattern", {{"Regex", kLlama3Pattern}}},
                      {"behavior", "Isolated"},
                      {"invert", false}};
  return {{"type", "Sequence"}, {"pretokenizers", {split, part_of(ByteLevel{false, false})}}};
}

std::string content_of(const TokenizerSpec& spec, TextToken id) {
  for (const AddedToken& token : spec.added)
    if (token.id == id) return token.content;
  return byte_letters(spec.tokens[id]);
}

json post_processor_of(const TokenizerSpec& spec) {
  if (spec.before.empty() && spec.after.empty()) return part_of(ByteLevel{});
  json single = json::array(), pair = json::array(), tokens = json::object();
  for (const int sequence : {0, 1}) {
    const auto add = [&](const json& piece) {
      if (sequence == 0) single.push_back(piece);
      pair.push_back(piece);
    };
    const auto add_special = [&](TextToken id) {
      const std::string content = content_of(spec, id);
      tokens[content] = {{"id", content}, {"ids", {id}}, {"tokens", {content}}};
      add({{"SpecialToken", {{"id", content}, {"type_id", sequence}}}});
    };
    for (const TextToken id : spec.before) add_special(id);
    add({{"Sequence", {{"id", sequence == 0 ? "A" : "B"}, {"type_id", sequence}}}});
    for (const TextToken id : spec.after) add_special(id);
  }
  const json around = {
      {"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", tokens}};
  return {{"type", "Sequence"}, {"processors", {part_of(ByteLevel{}), around}}};
}

json model_of(const TokenizerSpec& spec) {
  json vocabulary = json::object(), merges = json::array();
  for (std::size_t id = 0; id < spec.tokens.size(); ++id) vocabulary[byte_letters(spec.tokens[id])] = id;
  // As one text: older readers know only that, and no letter of the alphabet is a blank.
  for (const auto& [left, right] : spec.merges)
    merges.push_back(byte_letters(spec.tokens[left]) + " " + byte_letters(spec.tokens[right]));
  return {{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", nullptr},
          {"continuing_subword_prefix", nullptr},
          {"end_of_word_suffix", nullptr},
          {"fuse_unk", false},
          {"byte_fallback", false},
          {"ignore_merges", spec.ignore_merges},
          {"vocab", vocabulary},
          {"merges", merges}};
}

}  // namespace

Result<TokenizerSpec> parse_tokenizer_json(std::string_view text) {
  if (text.size() > kTokenizerBytesMax)
    return invalid("has " + std::to_string(text.size()) + " bytes, at most " +
                   std::to_string(kTokenizerBytesMax) + " are read");
  COVEY_TRY(const json root, parse_json(text, {.depth_max = 32, .values_max = 8'000'000}));
  if (!root.is_object()) return invalid("the top is no object");
  TokenizerSpec spec;
  COVEY_TRY_VOID(refuse_rest(root));
  COVEY_TRY_VOID(read_model(root, spec));
  COVEY_TRY_VOID(read_added(root, spec));
  COVEY_TRY_VOID(read_pre_tokenizer(root, spec));
  COVEY_TRY_VOID(read_post_processor(root, spec));
  return spec;
}

std::string to_tokenizer_json(const TokenizerSpec& spec) {
  json added = json::array();
  for (const AddedToken& token : spec.added)
    added.push_back({{"id", token.id},
                     {"content", token.content},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", token.normalized},
                     {"special", token.special}});
  const json root = {{"version", "1.0"},
                     {"truncation", nullptr},
                     {"padding", nullptr},
                     {"added_tokens", added},
                     {"normalizer", nullptr},
                     {"pre_tokenizer", pre_tokenizer_of(spec)},
                     {"post_processor", post_processor_of(spec)},
                     {"decoder", part_of(ByteLevel{})},
                     {"model", model_of(spec)}};
  return root.dump(1, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace covey
