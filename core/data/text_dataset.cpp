// Text at byte level: one buffer of bytes, windows computed from the stretches they lie in.
#include <algorithm>
#include <limits>
#include <unordered_map>

#include "core/base/check.h"
#include "core/data/dialogue.h"
#include "core/data/files.h"
#include "core/data/readers.h"

namespace covey {
namespace {

constexpr std::uint32_t kByteVocabulary = 256;

// A file, or all that a role says: windows lie within one.
struct Stretch {
  std::uint64_t begin = 0, end = 0;  // bytes of the buffer
  std::uint64_t first_window = 0;
  std::uint32_t group = 0;
};

class TextDataset final : public Dataset {
 public:
  explicit TextDataset(std::uint32_t context) : context_(context) {}

  void add(ByteSpan text, std::uint32_t group) {
    if (text.size() < 2) return;  // a window needs a byte and the byte that follows
    const std::uint64_t begin = bytes_.size();
    bytes_.insert(bytes_.end(), text.begin(), text.end());
    stretches_.push_back({begin, bytes_.size(), windows_, group});
    windows_ += (text.size() - 2) / static_cast<std::uint64_t>(context_) + 1;
  }
  std::uint32_t add_group(std::string name) {
    groups_.push_back(std::move(name));
    return static_cast<std::uint32_t>(groups_.size() - 1);
  }
  std::uint64_t windows() const { return windows_; }
  std::uint64_t bytes() const { return bytes_.size(); }
  void shrink() { bytes_.shrink_to_fit(); }

  std::uint32_t size() const override { return static_cast<std::uint32_t>(windows_); }
  Shape input_shape() const override { return {context_}; }
  DType input_dtype() const override { return DType::kI32; }
  Shape target_shape() const override { return {context_}; }

  void fill(std::span<const std::uint32_t> indices, const Minibatch& batch) const override {
    COVEY_CHECK(batch.inputs.shape == Shape({std::ssize(indices), context_}));
    COVEY_CHECK(batch.targets.shape == batch.inputs.shape);
    std::int32_t* inputs = batch.inputs.i32();
    std::int32_t* targets = batch.targets.i32();
    for (const std::uint32_t index : indices) {
      const Stretch& stretch = stretch_of(index);
      const std::uint64_t begin =
          stretch.begin + (index - stretch.first_window) * static_cast<std::uint64_t>(context_);
      const auto pairs = static_cast<std::int64_t>(
          std::min<std::uint64_t>(static_cast<std::uint64_t>(context_), stretch.end - begin - 1));
      const std::uint8_t* text = bytes_.data() + begin;
      for (std::int64_t i = 0; i < pairs; ++i) {
        inputs[i] = text[i];
        targets[i] = text[i + 1];
      }
      std::fill(inputs + pairs, inputs + context_, 0);
      std::fill(targets + pairs, targets + context_, -1);
      inputs += context_;
      targets += context_;
    }
  }

  std::uint32_t label(std::uint32_t) const override { return 0; }
  std::uint32_t group(std::uint32_t index) const override { return stretch_of(index).group; }
  const std::vector<std::string>& groups() const override { return groups_; }

 private:
  const Stretch& stretch_of(std::uint32_t index) const {
    COVEY_CHECK(index < windows_);
    const auto after =
        std::upper_bound(stretches_.begin(), stretches_.end(), index,
                         [](std::uint64_t window, const Stretch& s) { return window < s.first_window; });
    return *std::prev(after);
  }

  std::int64_t context_;
  Bytes bytes_;
  std::vector<Stretch> stretches_;
  std::uint64_t windows_ = 0;
  std::vector<std::string> groups_;
};

Result<void> check_model(const ModelSpec& model) {
  if (model.family != ModelFamily::kTransformer)
    return unexpected(
        ErrorCode::kInvalidArgument,
        std::string("text data need model.family = \"transformer\", got \"") + name_of(model.family) + "\"");
  if (model.vocabulary != kByteVocabulary)
    return unexpected(ErrorCode::kInvalidArgument, "model.vocabulary = " + std::to_string(model.vocabulary) +
                                                       ", but text is read as bytes: set it to 256");
  if (model.context == 0)
    return unexpected(ErrorCode::kInvalidArgument, "model.context = 0: set it to 1 or more bytes");
  return {};
}

Result<void> add_roles(const std::vector<std::pair<std::string, Bytes>>& texts, TextDataset& data) {
  std::vector<DialogueRole> roles;
  std::unordered_map<std::string, std::size_t> index;
  for (const auto& [path, text] : texts) {
    auto found = roles_of(text_of(text));
    if (!found) return unexpected(in_context(path, found.error()));
    for (DialogueRole& role : *found) {
      const auto [at, added] = index.try_emplace(role.name, roles.size());
      if (added)
        roles.push_back(std::move(role));
      else
        roles[at->second].speech += "\n" + role.speech;
    }
  }
  for (DialogueRole& role : roles)  // a role that is named but silent has no example
    if (!role.speech.empty()) data.add(bytes_of(role.speech), data.add_group(std::move(role.name)));
  return {};
}

}  // namespace

Result<std::unique_ptr<Dataset>> load_text(const LoadRequest& request) {
  COVEY_TRY_VOID(check_model(request.model));
  COVEY_TRY(const FileList list, list_documents(request.path));
  const bool by_role = request.grouping.kind == PartitionKind::kRole;

  auto data = std::make_unique<TextDataset>(request.model.context);
  std::vector<std::pair<std::string, Bytes>> dialogues;
  std::uint64_t bytes = 0;
  for (const FoundFile& file : list.files) {
    COVEY_TRY(Bytes text, read_data_file(file.path, kDataBytesMax - bytes));
    bytes += text.size();
    if (by_role)
      dialogues.emplace_back(file.path, std::move(text));
    else if (text.size() >= 2)
      data->add(text, data->add_group(file.relative));
  }
  if (by_role) COVEY_TRY_VOID(add_roles(dialogues, *data));

  if (data->windows() == 0)
    return unexpected(ErrorCode::kInvalidData,
                      shown(request.path, 300) + " holds no text: " + std::to_string(list.files.size()) +
                          " files with " + std::to_string(bytes) + " bytes in all, " +
                          std::to_string(list.links_skipped) +
                          " symbolic links not followed; at least 2 bytes in one file are needed");
  if (data->windows() > std::numeric_limits<std::uint32_t>::max())
    return unexpected(ErrorCode::kInvalidData,
                      shown(request.path, 300) + " gives " + std::to_string(data->windows()) +
                          " windows, at most 4294967295 are possible: use less text or a larger "
                          "model.context than " +
                          std::to_string(request.model.context));
  data->shrink();
  return std::unique_ptr<Dataset>(std::move(data));
}

}  // namespace covey
