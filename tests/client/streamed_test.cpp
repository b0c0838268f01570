// Token files that are trained on as they are read, round after round, and images that are changed.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "client/data_place.h"
#include "client/tokenizer_file.h"
#include "client/trainer.h"
#include "core/base/wire.h"
#include "core/crypto/digest.h"
#include "core/data/tokens/streamed_windows.h"
#include "core/nn/model.h"
#include "core/protocol/manifest.h"
#include "core/protocol/records.h"
#include "core/store/blobs.h"
#include "tests/core/data/data_files.h"

using namespace covey;

namespace {

constexpr std::string_view kJob = R"(
name = "stream"
rounds = 9
seed = 5
[model]
family = "transformer"
vocabulary = 50
layers = 1
width = 8
heads = 2
context = 4
[data]
format = "tokens"
holdout = 0.2
separator = 49
[train]
local_steps = 3
batch_size = 2
learning_rate = 0.1
)";

struct Site {
  explicit Site(std::string_view toml = kJob) : job(*parse_job(toml)) {
    auto writer = TokenShardWriter::create(folder / "a.tokens", 50);
    REQUIRE(writer);
    Random random(3);
    for (int d = 0; d < 40; ++d) {
      TokenIds document(3 + random.below(9));
      for (TextToken& id : document) id = static_cast<TextToken>(random.below(49));
      REQUIRE(writer->add(document));
    }
    REQUIRE(writer->finish());
    auto loaded = make_path_source(folder.path())->load(job);
    REQUIRE_MESSAGE(loaded.has_value(), (loaded ? "" : loaded.error().message));
    local = std::move(*loaded);
    model = *write_model(blobs, job.model, 0, initial_parameters(job.model, Random(1)));
  }
  Result<Trained> round(std::uint32_t number, Bytes cursor) {
    RoundOffer offer;
    offer.key = {1, number, 1};
    offer.kind = RoundKind::kTrain;
    offer.model = model;
    offer.progress_end = 1;
    return train({job, offer, std::move(cursor)}, {.blobs = blobs, .local = local, .client = client, .workspace = &workspace,
                  .damaged = [&](std::uint64_t records) { damaged += records; },
                  .begun_anew = [&](const Error& error) { anew = error.message; }});
  }

  TemporaryFolder folder;
  JobSpec job;
  MemoryBlobs blobs;
  LocalData local;
  PeerKey client{{1, 2, 3}};
  BlobRef model;
  TrainWorkspace workspace;
  std::uint64_t damaged = 0;  // told of all rounds
  std::string anew;           // the last that was told
};

Bytes bytes_named(std::uint8_t name) { return Bytes(3, name); }

}  // namespace

TEST_CASE("streamed data: each round goes on where the one before ended, a repeated one makes the same bits") {
  Site site;
  REQUIRE(site.local.stream);
  const auto counts = prepare(site.local);
  REQUIRE(counts);
  CHECK(counts->train_examples == site.local.stream->windows);
  CHECK(counts->holdout_examples > 0);
  const auto first = site.round(1, {});
  REQUIRE_MESSAGE(first, first.error().message);
  CHECK(first->examples == site.local.stream->windows);
  CHECK(first->train.targets == 3 * 2 * 4);
  CHECK(first->evaluation.targets > 0);
  const auto repeated = site.round(1, {});
  REQUIRE(repeated);
  CHECK(repeated->update == first->update);
  CHECK(repeated->cursor == first->cursor);

  const auto second = site.round(2, first->cursor);
  REQUIRE(second);
  CHECK(second->cursor != first->cursor);
  const auto again = site.round(2, first->cursor);  // as after a restart
  REQUIRE(again);
  CHECK(again->update == second->update);
  const auto elsewhere = site.round(2, {});  // other windows: another update
  REQUIRE(elsewhere);
  CHECK(elsewhere->update != second->update);

  // Two rounds read what one of twice the steps reads.
  Site whole(std::string(kJob).replace(kJob.find("local_steps = 3"), 15, "local_steps = 6"));
  const auto both = whole.round(1, {});
  REQUIRE(both);
  CHECK(both->cursor == second->cursor);

  const auto wrong = site.round(3, Bytes{1, 2, 3});
  REQUIRE(!wrong);
  CHECK(wrong.error().message.find("token cursor") != std::string::npos);
  site.client.bytes[0] = 77;  // another client reads in another order
  const auto other = site.round(1, {});
  REQUIRE(other);
  CHECK(other->update != first->update);
}

TEST_CASE("streamed data: what is passed over is told in every round, also where an epoch ends within it") {
  std::string toml(kJob);
  toml.replace(toml.find("local_steps = 3"), 15, "local_epochs = 1");
  toml.replace(toml.find("separator"), 0, "damaged_max = 40\n");
  Site site(toml);
  const std::string path = site.folder / "a.tokens";
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  for (std::uint64_t at = 56; at < std::filesystem::file_size(path); at += 100) {
    file.seekp(static_cast<std::streamoff>(at));
    file.put('\x7e');
  }
  file.close();
  Bytes cursor;
  for (std::uint32_t round = 1; round <= 3; ++round) {
    const std::uint64_t before = site.damaged;
    const auto trained = site.round(round, cursor);
    REQUIRE_MESSAGE(trained, trained.error().message);
    CHECK(site.damaged > before);
    cursor = trained->cursor;
  }
}

const Digest kConfig{{9}};

TEST_CASE("streamed data: the place in it survives a restart") {
  client::ClientOutbox out({PeerKey{{7}}, 1});
  client::DataPlaces places(out);
  CHECK(places.begin_of({4, 1, 1}, kConfig).empty());
  places.trained({4, 1, 1}, kConfig, bytes_named(1));
  CHECK(places.begin_of({4, 1, 2}, kConfig).empty());  // that round again
  CHECK(places.begin_of({4, 2, 1}, kConfig) == bytes_named(1));
  places.trained({4, 3, 1}, kConfig, bytes_named(2));
  CHECK(places.begin_of({4, 3, 2}, kConfig) == bytes_named(1));
  CHECK(places.begin_of({4, 4, 1}, kConfig) == bytes_named(2));
  CHECK(places.begin_of({5, 4, 1}, kConfig).empty());

  Row last;
  for (const Command& command : out.take()) {
    const auto* persist = std::get_if<Persist>(&command);
    REQUIRE(persist != nullptr);
    REQUIRE(persist->batch.puts.size() == 1);
    last = {persist->batch.puts[0].key, persist->batch.puts[0].value};
  }
  CHECK(client::DataPlaces::holds(last));
  client::DataPlaces again(out);
  REQUIRE(again.load(last));
  CHECK(again.begin_of({4, 3, 2}, kConfig) == bytes_named(1));
  CHECK(again.begin_of({4, 4, 1}, kConfig) == bytes_named(2));
  Row bad = last;
  bad.value.pop_back();
  CHECK(again.load(bad).error().code == ErrorCode::kCorrupted);
  bad = last;
  bad.key = "cursor/" + hex_number(9);
  CHECK(again.load(bad).error().message.find("job 4") != std::string::npos);

  for (JobId job = 10; job < 110; ++job) again.trained({job, 1, 1}, kConfig, bytes_named(3));
  std::size_t puts = 0, deletes = 0;
  for (const Command& command : out.take()) {
    puts += std::get<Persist>(command).batch.puts.size();
    deletes += std::get<Persist>(command).batch.deletes.size();
  }
  CHECK(puts - deletes == 63);  // with the one that was loaded, 64 jobs are remembered
}

TEST_CASE("tokenizer file: the one that is pinned, and no other") {
  const TemporaryFolder folder;
  const std::string text = to_tokenizer_json(byte_tokenizer());
  folder.write("data/tokenizer.json", text);
  folder.write("data/a.txt", "words");
  DataSpec data;
  CHECK(*pinned_tokenizer(data, "", folder / "data") == nullptr);  // pins none
  data.tokenizer_sha256 = hex(sha256(bytes_of(text)).span());
  CHECK(*pinned_tokenizer(data, "", folder / "data") != nullptr);
  CHECK(*pinned_tokenizer(data, folder / "data", "") != nullptr);
  CHECK(*pinned_tokenizer(data, folder / "data/tokenizer.json", folder / "none") != nullptr);
  CHECK(pinned_tokenizer(data, "", folder / "none").error().message.find("--tokenizer") != std::string::npos);
  folder.write("other/tokenizer.json", text + " ");
  CHECK(*pinned_tokenizer(data, folder / "data", folder / "other") != nullptr);
  data.format = DataFormat::kTokens;  // which were made with the one that lies there
  CHECK(pinned_tokenizer(data, folder / "data", folder / "other").error().code == ErrorCode::kInvalidData);
  data.format = DataFormat::kText;
  folder.write("data/tokenizer.json", text + " ");
  const auto other = pinned_tokenizer(data, "", folder / "data");
  REQUIRE(!other);
  CHECK(other.error().code == ErrorCode::kInvalidData);
  CHECK(other.error().message.find(data.tokenizer_sha256) != std::string::npos);
  folder.write("data/tokenizer.json", "{}");
  CHECK(pinned_tokenizer(data, "", folder / "data").error().message.find("tokenizer.json") != std::string::npos);
}

namespace {

// `count` images of 4 x 4, each with one bright column at its left, of two classes.
void write_images(const TemporaryFolder& folder, int count) {
  const auto number = [](std::uint32_t n) {
    return std::string{static_cast<char>(n >> 24), static_cast<char>(n >> 16), static_cast<char>(n >> 8), static_cast<char>(n)};
  };
  const auto size = static_cast<std::uint32_t>(count);
  std::string images = number(0x803) + number(size) + number(4) + number(4), labels = number(0x801) + number(size);
  for (int i = 0; i < count; ++i) {
    for (int pixel = 0; pixel < 16; ++pixel) images += static_cast<char>(pixel % 4 == 0 ? 200 : 10 * (i % 5));
    labels += static_cast<char>(i % 2);
  }
  folder.write("a-images-idx3-ubyte", images);
  folder.write("a-labels-idx1-ubyte", labels);
}

Trained train_images(const std::string& settings, std::uint32_t round) {
  const TemporaryFolder folder;
  write_images(folder, 20);
  const auto job = parse_job(
      "name = \"images\"\n[model]\nfamily = \"cnn\"\nimage_height = 4\nimage_width = 4\nconv_channels = [2]\n"
      "kernel = 3\ndense = 4\nclasses = 2\n[data]\nformat = \"idx\"\n" +
      settings + "[train]\nlocal_steps = 3\nbatch_size = 4\nmicro_batch = 3\n");
  REQUIRE_MESSAGE(job.has_value(), (job ? "" : job.error().message));
  const auto local = make_path_source(folder.path())->load(*job);
  REQUIRE_MESSAGE(local.has_value(), (local ? "" : local.error().message));
  MemoryBlobs blobs;
  RoundOffer offer;
  offer.key = {1, round, 1};
  offer.kind = RoundKind::kTrain;
  offer.model = *write_model(blobs, job->model, 0, initial_parameters(job->model, Random(1)));
  offer.progress_end = 1;
  const auto trained = train({*job, offer}, {.blobs = blobs, .local = *local, .client = PeerKey{{4}}});
  REQUIRE_MESSAGE(trained.has_value(), (trained ? "" : trained.error().message));
  return *trained;
}

}  // namespace

TEST_CASE("augmented images: training sees changed ones, the same for the same round; what is held out stays") {
  const Trained plain = train_images("", 1), flipped = train_images("augment_flip = 1\n", 1);
  const Trained cropped = train_images("augment_crop = 2\n", 1);
  CHECK(plain.update != flipped.update);
  CHECK(plain.update != cropped.update);
  CHECK(train_images("augment_crop = 2\n", 1).update == cropped.update);
  CHECK(train_images("augment_crop = 2\n", 2).update != cropped.update);
  CHECK(plain.evaluation == flipped.evaluation);
  CHECK(plain.evaluation == cropped.evaluation);
}

TEST_CASE("streamed data: a job that took the number of a lost one begins at the beginning") {
  client::ClientOutbox out({PeerKey{{7}}, 1});
  client::DataPlaces places(out);
  const Digest other{{8}};
  places.trained({4, 5, 1}, kConfig, bytes_named(1));
  CHECK(places.begin_of({4, 6, 1}, kConfig) == bytes_named(1));
  CHECK(places.begin_of({4, 6, 1}, other).empty());
  places.trained({4, 1, 1}, other, bytes_named(2));
  CHECK(places.begin_of({4, 1, 2}, other).empty());
  CHECK(places.begin_of({4, 2, 1}, other) == bytes_named(2));
  CHECK(places.begin_of({4, 6, 1}, kConfig).empty());
}

TEST_CASE("streamed data: a round that a restore took back begins where it began") {
  client::ClientOutbox out({PeerKey{{7}}, 1});
  client::DataPlaces places(out);
  for (std::uint8_t round = 1; round <= 40; ++round)
    if (round != 36) places.trained({4, round, 1}, kConfig, bytes_named(round));
  CHECK(places.begin_of({4, 35, 2}, kConfig) == bytes_named(34));
  CHECK(places.begin_of({4, 36, 2}, kConfig) == bytes_named(35));  // it was not asked in that one
  CHECK(places.begin_of({4, 37, 2}, kConfig) == bytes_named(35));
  places.trained({4, 35, 2}, kConfig, bytes_named(135));
  CHECK(places.begin_of({4, 36, 1}, kConfig) == bytes_named(135));
  CHECK(places.begin_of({4, 40, 1}, kConfig) == bytes_named(135));
  CHECK(places.begin_of({4, 34, 1}, kConfig) == bytes_named(33));
}

TEST_CASE("streamed data: a row that does not say of which job it is counts for its number") {
  client::ClientOutbox out({PeerKey{{7}}, 1});
  client::DataPlaces places(out);
  ByteWriter row;
  row.u8(1).u64(4).u32(3).blob(bytes_named(1)).blob(bytes_named(2));
  REQUIRE(places.load({"cursor/" + hex_number(4), row.take()}));
  CHECK(places.begin_of({4, 3, 2}, kConfig) == bytes_named(1));
  CHECK(places.begin_of({4, 4, 1}, kConfig) == bytes_named(2));
}

TEST_CASE("streamed data: a place that these files do not have is said, and they begin anew") {
  Site site;
  const auto first = site.round(1, {});
  REQUIRE_MESSAGE(first, first.error().message);
  CHECK(site.anew.empty());
  auto place = token_cursor_from(first->cursor);
  REQUIRE(place);
  place->record += 1'000'000;
  const auto other = site.round(1, encode(*place));
  REQUIRE_MESSAGE(other, other.error().message);
  CHECK(site.anew.find("cursor") != std::string::npos);
  CHECK(other->update == first->update);
}
