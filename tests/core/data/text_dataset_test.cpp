#include <sys/stat.h>

#include <algorithm>
#include <set>

#include "core/data/dataset.h"
#include "core/data/dialogue.h"
#include "core/data/files.h"
#include "tests/core/data/data_files.h"

namespace covey {
namespace {

LoadRequest text_request(const std::string& path, std::uint32_t context) {
  LoadRequest request;
  request.path = path;
  request.model.family = ModelFamily::kTransformer;
  request.model.context = context;
  return request;
}

std::unique_ptr<Dataset> loaded(const LoadRequest& request) {
  auto data = load_dataset(request);
  if (!data) FAIL(data.error().message);
  return std::move(*data);
}

Error refused(const LoadRequest& request) {
  auto data = load_dataset(request);
  REQUIRE(!data);
  return data.error();
}

std::vector<std::int32_t> values(Tensor t) { return {t.ints().begin(), t.ints().end()}; }

using Ints = std::vector<std::int32_t>;

}  // namespace

TEST_CASE("text: windows of context + 1 bytes at a stride of context, the last one padded") {
  const TemporaryFolder folder;
  folder.write("a.txt", "abcdef");
  const auto data = loaded(text_request(folder / "a.txt", 4));
  REQUIRE(data->size() == 2);
  CHECK(data->input_shape() == Shape{4});
  CHECK(data->target_shape() == Shape{4});
  CHECK(data->input_dtype() == DType::kI32);
  CHECK(data->groups() == std::vector<std::string>{"a.txt"});

  BatchBuffer buffer(*data, 2);
  const Indices both{0, 1};
  const Minibatch batch = buffer.fill(both);
  CHECK(batch.inputs.shape == Shape{2, 4});
  CHECK(values(batch.inputs) == Ints{'a', 'b', 'c', 'd', 'e', 0, 0, 0});
  CHECK(values(batch.targets) == Ints{'b', 'c', 'd', 'e', 'f', -1, -1, -1});
  const Indices last{1};
  CHECK(values(buffer.fill(last).targets) == Ints{'f', -1, -1, -1});
}

TEST_CASE("text: a tokenizer that lies beside the documents is none of them, unless it is named") {
  const TemporaryFolder folder;
  folder.write("a.txt", "abcdef");
  folder.write("tokenizer.json", "{}");
  folder.write("below/tokenizer.json", "[]");  // of no tokenizer that belongs to this folder
  const auto documents = list_documents(folder.path());
  REQUIRE(documents);
  REQUIRE(documents->files.size() == 2);
  CHECK(documents->files[1].relative == "below/tokenizer.json");
  CHECK(list_documents(folder / "tokenizer.json")->files.size() == 1);
  CHECK(loaded(text_request(folder.path(), 4))->groups() == std::vector<std::string>{"a.txt", "below/tokenizer.json"});
}

TEST_CASE("text: every byte but a file's first is a target exactly once") {
  for (std::size_t length = 2; length < 40; ++length) {
    const TemporaryFolder folder;
    std::string text;
    for (std::size_t i = 0; i < length; ++i) text += static_cast<char>(200 + i);
    folder.write("t", text);
    const auto data = loaded(text_request(folder.path(), 7));
    BatchBuffer buffer(*data, 1);
    Ints targets;
    for (std::uint32_t i = 0; i < data->size(); ++i) {
      const Minibatch batch = buffer.fill(std::span(&i, 1));
      for (const std::int32_t t : batch.targets.ints())
        if (t >= 0) targets.push_back(t);
    }
    Ints expected;
    for (std::size_t i = 1; i < length; ++i) expected.push_back(static_cast<unsigned char>(text[i]));
    CHECK(targets == expected);
  }
}

TEST_CASE("text: a folder is read in the order of its paths, each file a group, windows within one") {
  const TemporaryFolder folder;
  folder.write("b.txt", "BB");
  folder.write("a/z.txt", "ZZZ");
  folder.write("a/empty.txt", "");
  folder.write("a/one.txt", "1");
  std::filesystem::create_symlink("/etc/passwd", folder / "link");
  std::filesystem::create_directory_symlink(folder.path(), folder / "loop");
  const auto data = loaded(text_request(folder.path(), 8));
  CHECK(data->groups() == std::vector<std::string>{"a/z.txt", "b.txt"});
  REQUIRE(data->size() == 2);
  CHECK(data->group(0) == 0);
  CHECK(data->group(1) == 1);
  BatchBuffer buffer(*data, 1);
  const Indices first{0};
  CHECK(values(buffer.fill(first).inputs) == Ints{'Z', 'Z', 0, 0, 0, 0, 0, 0});
}

TEST_CASE("text: refuses what it cannot use, naming path and remedy") {
  const TemporaryFolder folder;
  folder.write("empty.txt", "");
  SUBCASE("a missing path") {
    const Error error = refused(text_request(folder / "nowhere", 8));
    CHECK(error.code == ErrorCode::kNotFound);
    CHECK(mentions(error.message, "nowhere"));
  }
  SUBCASE("nothing but empty files") {
    const Error error = refused(text_request(folder.path(), 8));
    CHECK(error.code == ErrorCode::kInvalidData);
    CHECK(mentions(error.message, folder.path()));
  }
  SUBCASE("a FIFO, without waiting on it") {
    REQUIRE(mkfifo((folder / "fifo").c_str(), 0600) == 0);
    CHECK(refused(text_request(folder / "fifo", 8)).code == ErrorCode::kInvalidData);
  }
  SUBCASE("a vocabulary other than bytes") {
    LoadRequest request = text_request(folder.write("t", "text"), 8);
    request.model.vocabulary = 50257;
    const Error error = refused(request);
    CHECK(error.code == ErrorCode::kInvalidArgument);
    CHECK(mentions(error.message, "50257"));
    CHECK(mentions(error.message, "256"));
  }
  SUBCASE("a model of images") {
    LoadRequest request = text_request(folder.write("t", "text"), 8);
    request.model.family = ModelFamily::kCnn;
    CHECK(mentions(refused(request).message, "transformer"));
  }
  SUBCASE("grouping by column") {
    LoadRequest request = text_request(folder.write("t", "text"), 8);
    request.grouping.kind = PartitionKind::kColumn;
    request.grouping.column = "x";
    CHECK(refused(request).code == ErrorCode::kInvalidArgument);
  }
  SUBCASE("a file without permission") {
    const std::string path = folder.write("secret.txt", "secret");
    REQUIRE(chmod(folder.path().c_str(), 0755) == 0);
    REQUIRE(chmod(path.c_str(), 0) == 0);
    const bool root = geteuid() == 0;  // whom permissions do not stop
    if (root) REQUIRE(seteuid(65534) == 0);
    const auto data = load_dataset(text_request(folder.path(), 8));
    if (root) REQUIRE(seteuid(0) == 0);
    REQUIRE(!data);
    CHECK(data.error().code == ErrorCode::kInvalidData);
    CHECK(mentions(data.error().message, "secret.txt"));
  }
}

TEST_CASE("dialogue: blocks are dealt to the roles that open them") {
  const auto roles = roles_of("A:\none\ntwo\n\nB:\nthree\n\n\nno name: goes on\n\nA:\nfour\n\nC:\n");
  REQUIRE(roles);
  REQUIRE(roles->size() == 3);
  CHECK((*roles)[0].name == "A");
  CHECK((*roles)[0].speech == "one\ntwo\n\nfour\n");
  CHECK((*roles)[1].speech == "three\n\nno name: goes on\n");
  CHECK((*roles)[2].name == "C");
  CHECK((*roles)[2].speech.empty());

  const auto untitled = roles_of("\nThe Tragedy\n\nA:\none\n");
  REQUIRE(!untitled);
  CHECK(mentions(untitled.error().message, "line 2"));
}

TEST_CASE("text: by role, windows run on from one speech to the next; a silent role is no group") {
  const TemporaryFolder folder;
  folder.write("play.txt", "A:\nto be or not\n\nB:\n\nA:\nto be\n");
  LoadRequest request = text_request(folder / "play.txt", 8);
  request.grouping.kind = PartitionKind::kRole;
  const auto data = loaded(request);
  CHECK(data->groups() == std::vector<std::string>{"A"});
  CHECK(data->size() == 3);  // "to be or not\n\nto be\n" has 20 bytes
  for (std::uint32_t i = 0; i < data->size(); ++i) CHECK(data->group(i) == 0);
}

TEST_CASE("text: Tiny Shakespeare has 299 roles") {
  const std::string path = shared_data("tinyshakespeare/input.txt");
  if (path.empty()) {
    MESSAGE("skipped: no tinyshakespeare beside the repository");
    return;
  }
  LoadRequest request = text_request(path, 80);
  CHECK(loaded(request)->size() == (1'115'394 - 2) / 80 + 1);

  request.grouping.kind = PartitionKind::kRole;
  const auto data = loaded(request);
  CHECK(data->groups().size() == 299);
  std::set<std::uint32_t> used;
  for (std::uint32_t i = 0; i < data->size(); ++i) used.insert(data->group(i));
  CHECK(used.size() == 299);

  const auto parts = partition(*data, request.grouping, 299, Random(1));
  REQUIRE(parts);
  for (const Indices& part : *parts) {
    std::set<std::uint32_t> groups;
    for (const std::uint32_t i : part) groups.insert(data->group(i));
    CHECK(groups.size() <= 1);
  }
}

}  // namespace covey
