#include "client/mask_work.h"

#include <limits>

#include "core/base/wire.h"
#include "tests/client/secure_cohort.h"

using namespace covey;

namespace {

MaskUpdate work_of(std::uint64_t values, BlobStore& blobs) {
  MaskUpdate work;
  work.job = *parse_job(text_of(config_bytes(kSecureJob)));
  work.offer = secure_offer(1);
  work.members_max = 10;
  Random random(3);
  std::vector<float> x(values);
  for (float& v : x) v = static_cast<float>(random.normal());
  work.trained = {*blobs.put(bytes_of_floats(x)), 12, {6.5, 12, 3, 1.5}, {4.25, 4, 2}};
  auto plan = std::make_shared<MaskPlan>();
  plan->sid = Digest{{5}};
  plan->vectors = {{"update", 32, values}, {"figures", 62, 7}};
  SeededBytes bytes(9);
  for (int i = 0; i < 5; ++i) plan->seeds.push_back({Secret<32>::random(bytes), i % 2 == 0 ? Sign::kPlus : Sign::kMinus});
  work.plan = std::move(plan);
  return work;
}

std::vector<std::uint64_t> words_of(const Bytes& bytes) {
  ByteReader in(bytes);
  std::vector<std::uint64_t> words(bytes.size() / 8);
  for (std::uint64_t& word : words) word = in.u64();
  return words;
}

}  // namespace

TEST_CASE("mask work: masks off again, the blob is the encoding; the same on any number of threads") {
  for (const std::uint64_t values : {std::uint64_t{1}, std::uint64_t{37}, std::uint64_t{400'001}}) {
    MemoryBlobs blobs;
    const MaskUpdate work = work_of(values, blobs);
    const auto masked = mask_update(work, {.blobs = blobs, .client = PeerKey{{4}}});
    REQUIRE(masked.has_value());
    WorkerPool pool(3);
    const auto threaded = mask_update(work, {.blobs = blobs, .client = PeerKey{{4}}, .pool = &pool});
    REQUIRE(threaded.has_value());
    CHECK(threaded->vectors == masked->vectors);
    CHECK(threaded->masked == masked->masked);
    CHECK(masked->vectors.size == masked_bytes(work.plan->vectors));

    const std::vector<std::uint64_t> words = words_of(*blobs.get(masked->vectors.id));
    const auto end_of_update = words.begin() + static_cast<std::ptrdiff_t>((values + 1) / 2);
    std::vector<std::uint64_t> vectors[2] = {{words.begin(), end_of_update}, {end_of_update, words.end()}};
    MaskedHash hash(work.plan->sid);
    const auto plain = encoded_vectors(work, {.blobs = blobs, .client = PeerKey{{4}}});
    REQUIRE(plain.has_value());
    for (std::size_t v = 0; v < 2; ++v) {
      hash.begin(v, work.plan->vectors[v]).update(vectors[v]);
      CHECK(vectors[v] != (*plain)[v]);
      std::vector<MaskTerm> off = terms_of(*work.plan, v);
      for (MaskTerm& term : off) term.sign = term.sign == Sign::kPlus ? Sign::kMinus : Sign::kPlus;
      apply_masks({vectors[v], 0}, off, *Ring::of_width(work.plan->vectors[v].width), work.plan->cipher);
      CHECK(vectors[v] == (*plain)[v]);
    }
    CHECK(hash.finish() == masked->masked);
    CHECK(blobs.has(work.trained.update->id));  // whose row is not this work's
  }
}

TEST_CASE("mask work: refuses what is not finite or has another length, and stops when cancelled") {
  MemoryBlobs blobs;
  MaskUpdate work = work_of(100, blobs);
  const auto fails_with = [&](ErrorCode code, const std::atomic<bool>* cancelled = nullptr) {
    const auto masked = mask_update(work, {.blobs = blobs, .client = PeerKey{{4}}, .cancelled = cancelled});
    REQUIRE_FALSE(masked.has_value());
    CHECK(masked.error().code == code);
  };
  const std::atomic<bool> yes = true;
  fails_with(ErrorCode::kUnavailable, &yes);
  std::vector<float> x(100);
  x[99] = std::numeric_limits<float>::quiet_NaN();
  work.trained.update = *blobs.put(bytes_of_floats(x));
  fails_with(ErrorCode::kInvalidUpdate);
  work.trained.update = *blobs.put(bytes_of_floats(std::vector<float>(99)));
  fails_with(ErrorCode::kInvalidMessage);
  work.trained.update.reset();
  fails_with(ErrorCode::kInvalidMessage);
  work = work_of(100, blobs);
  work.trained.evaluation.loss_sum = std::numeric_limits<double>::infinity();
  fails_with(ErrorCode::kInvalidUpdate);
}
