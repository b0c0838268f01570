#include "net/codec.h"

#include <doctest/doctest.h>

#include <limits>
#include <set>

#include "coordinator/journal.h"
#include "coordinator/operator_desk.h"
#include "core/base/random.h"
#include "core/protocol/limits.h"
#include "tests/net/message_samples.h"

using namespace covey;

namespace {

template <class T>
T sample() {
  for (const Message& message : message_samples())
    if (const auto* found = std::get_if<T>(&message)) return *found;
  FAIL("no sample");
  return {};
}

// What the peer says when `message`, whose encoder checks nothing but sizes, arrives.
std::string refusal(const Message& message) {
  const Result<Message> decoded = decode_frame(encode_frame(message));
  REQUIRE(!decoded);
  CHECK(decoded.error().code == ErrorCode::kInvalidMessage);
  return decoded.error().message;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("codec: every kind of message comes back equal") {
  std::set<std::size_t> kinds;
  std::set<std::size_t> verbs;
  std::set<std::size_t> answers;
  for (const Message& message : message_samples()) {
    const Bytes frame = encode_frame(message);
    const Result<Message> decoded = decode_frame(frame);
    CAPTURE(name_of(message));
    CAPTURE((decoded ? std::string() : decoded.error().message));
    REQUIRE(decoded);
    CHECK(*decoded == message);
    CHECK(frame.size() <= (is_bulk(message) ? kBulkFrameBytesMax : kControlFrameBytesMax));
    kinds.insert(message.index());
    if (const auto* request = std::get_if<OperatorRequest>(&message)) verbs.insert(request->verb.index());
    if (const auto* reply = std::get_if<OperatorReply>(&message)) answers.insert(reply->answer.index());
  }
  CHECK(kinds.size() == std::variant_size_v<Message>);
  CHECK(verbs.size() == std::variant_size_v<OperatorVerb>);
  CHECK(answers.size() == std::variant_size_v<OperatorAnswer>);
}

TEST_CASE("codec: every error code keeps its meaning") {
  for (int code = 0; code <= static_cast<int>(ErrorCode::kInternal); ++code) {
    const Message message = EnrolRefused{{static_cast<ErrorCode>(code), "x"}};
    const Result<Message> decoded = decode_frame(encode_frame(message));
    REQUIRE(decoded);
    // A full disk is nobody else's business: a peer hears that it may try again.
    const bool ours = static_cast<ErrorCode>(code) == ErrorCode::kDiskFull;
    CHECK(*decoded == (ours ? Message(EnrolRefused{{ErrorCode::kUnavailable, "x"}}) : message));
  }
}

TEST_CASE("codec: a frame at any alignment is read") {
  const Message message = sample<RoundOffer>();
  const Bytes frame = encode_frame(message);
  for (std::size_t shift = 0; shift < 8; ++shift) {
    Bytes shifted(frame.size() + 8);
    std::copy(frame.begin(), frame.end(), shifted.begin() + static_cast<std::ptrdiff_t>(shift));
    const Result<Message> decoded = decode_frame(ByteSpan(shifted).subspan(shift, frame.size()));
    REQUIRE(decoded);
    CHECK(*decoded == message);
  }
}

TEST_CASE("codec: no truncation and no single flipped bit does harm") {
  std::size_t decoded = 0;
  std::size_t refused = 0;
  for (const Message& message : message_samples()) {
    Bytes frame = encode_frame(message);
    for (std::size_t size = 0; size < frame.size(); ++size) CHECK(!decode_frame(ByteSpan(frame).first(size)));
    for (std::size_t bit = 0; bit < frame.size() * 8; ++bit) {
      const auto mask = static_cast<std::uint8_t>(1u << (bit % 8));
      frame[bit / 8] ^= mask;
      const Result<Message> result = decode_frame(frame);
      if (result) encode_frame(*result);  // what is let in can be said again
      if (!result) CHECK(result.error().code == ErrorCode::kInvalidMessage);
      ++(result ? decoded : refused);
      frame[bit / 8] ^= mask;
    }
  }
  CHECK(decoded > 0);
  CHECK(refused > 0);
}

TEST_CASE("codec: random damage does no harm") {
  Random random(11);
  for (const Message& message : message_samples()) {
    const Bytes frame = encode_frame(message);
    for (int round = 0; round < 200; ++round) {
      Bytes damaged = frame;
      for (std::uint64_t i = 1 + random.below(8); i > 0; --i)
        damaged[random.below(damaged.size())] = static_cast<std::uint8_t>(random.next());
      const Result<Message> result = decode_frame(damaged);
      if (result) encode_frame(*result);
    }
  }
}

TEST_CASE("codec: frames that are no frame are refused in words") {
  CHECK(contains(decode_frame({}).error().message, "whole words"));
  CHECK(contains(decode_frame(Bytes(12)).error().message, "whole words"));
  CHECK(contains(decode_frame(Bytes(16)).error().message, "one segment"));
  CHECK(contains(decode_frame(Bytes(kBulkFrameBytesMax + 8)).error().message, "at most"));
  Bytes trailing = encode_frame(Ping{});
  trailing.resize(trailing.size() + 8);
  CHECK(contains(decode_frame(trailing).error().message, "one segment"));
}

TEST_CASE("codec: an unknown message is refused as one of another version") {
  Bytes frame = encode_frame(Ping{});
  // Segment header, root pointer, then the struct: the union's number is its first 16 bits.
  REQUIRE(frame[16] == 8);
  frame[16] = 200;
  CHECK(contains(decode_frame(frame).error().message, "Frame.message = 200"));
}

TEST_CASE("codec: a control message larger than a control frame is refused") {
  // The same words in a longer segment: valid Cap'n Proto, but no control message is that long.
  Bytes frame = encode_frame(sample<Heartbeat>());
  frame.resize(kControlFrameBytesMax + 8);
  const auto words = static_cast<std::uint32_t>(frame.size() / 8 - 1);
  for (std::size_t i = 0; i < 4; ++i) frame[4 + i] = static_cast<std::uint8_t>(words >> (8 * i));
  CHECK(contains(decode_frame(frame).error().message, "Heartbeat may have at most 16384"));
}

TEST_CASE("codec: values out of bounds are refused by field, value and bound") {
  RoundOffer offer = sample<RoundOffer>();
  offer.key.round = 0;
  CHECK(refusal(offer) == "RoundOffer.key.round = 0: must lie in [1, 4294967295]");
  offer = sample<RoundOffer>();
  offer.config.size = kJobTomlBytesMax + 1;
  CHECK(contains(refusal(offer), "RoundOffer.config.size = 65537"));
  offer = sample<RoundOffer>();
  offer.model.size = kBlobBytesMax + 1;
  CHECK(contains(refusal(offer), "RoundOffer.model.size"));
  offer = sample<RoundOffer>();
  offer.deadline = -1s;
  CHECK(contains(refusal(offer), "RoundOffer.deadline"));
  offer = sample<RoundOffer>();
  offer.progress_end = offer.progress_begin - 0.1;
  CHECK(contains(refusal(offer), "RoundOffer.progress_end"));
  offer = sample<RoundOffer>();
  offer.kind = static_cast<RoundKind>(3);
  CHECK(contains(refusal(offer), "RoundOffer.kind = 3: must lie in [1, 2]"));

  RoundDecline decline = sample<RoundDecline>();
  decline.reason = static_cast<DeclineReason>(7);
  CHECK(contains(refusal(decline), "RoundDecline.reason = 7"));
}

TEST_CASE("codec: an epoch out of bounds, and a record of a chain that does not read, are refused") {
  JoinAccepted accepted = sample<JoinAccepted>();
  accepted.epoch = 0;
  CHECK(refusal(accepted) == "JoinAccepted.epoch = 0: must lie in [1, " + std::to_string(kEpochMax) + "]");
  accepted.epoch = kEpochMax + 1;
  CHECK(contains(refusal(accepted), "JoinAccepted.epoch"));
  const OperatorReply page{5, ChainRows{{{12, Digest{{6}}, Bytes(40, 0x5a), Signature{{7}}}}}};
  Bytes frame = encode_frame(page);
  const Bytes record = encode(std::get<ChainRows>(page.answer).rows[0]);
  const auto at = std::search(frame.begin(), frame.end(), record.begin(), record.end());
  REQUIRE(at != frame.end());
  *at = 9;  // its version
  CHECK(contains(decode_frame(frame).error().message, "record 0"));
  OperatorReply longest{5, ChainRows{{{1, Digest{}, Bytes(kChainBodyBytesMax), Signature{}}}}};
  CHECK(decode_frame(encode_frame(longest)).value() == Message(longest));
}

TEST_CASE("codec: numbers of an update that are no numbers are refused") {
  UpdateReady update = sample<UpdateReady>();
  update.train.loss_sum = std::numeric_limits<double>::quiet_NaN();
  CHECK(contains(refusal(update), "UpdateReady.train.loss_sum = nan: must be finite"));
  update = sample<UpdateReady>();
  update.evaluation.loss_sum = std::numeric_limits<double>::infinity();
  CHECK(contains(refusal(update), "UpdateReady.evaluation.loss_sum = inf"));
  update = sample<UpdateReady>();
  update.evaluation.correct = update.evaluation.targets + 1;
  CHECK(contains(refusal(update), "UpdateReady.evaluation.correct"));
  update = sample<UpdateReady>();
  update.update->size = 4098;
  CHECK(contains(refusal(update), "UpdateReady.update.size = 4098"));
  update = sample<UpdateReady>();
  update.examples = 0;
  CHECK(contains(refusal(update), "UpdateReady.examples = 0"));
  update = sample<UpdateReady>();
  update.examples = std::uint64_t{1} << 50;
  CHECK(contains(refusal(update), "UpdateReady.examples"));
}

TEST_CASE("codec: notes and letters of secure aggregation have bounds") {
  const SecAggNote longest{sample<SecAggNote>().key, Bytes(kSecAggNoteBytesMax, 7)};
  CHECK(decode_frame(encode_frame(longest)).value() == Message(longest));
  SecAggNote note = longest;
  note.content.push_back(7);
  CHECK(contains(refusal(note), "SecAggNote.content = 12289 bytes: must be 1 to 12288"));
  note.content.clear();
  CHECK(contains(refusal(note), "SecAggNote.content = 0 bytes"));
  SecAggLetter letter = sample<SecAggLetter>();
  letter.content.size = kSecAggLetterBytesMax + 1;
  CHECK(contains(refusal(letter), "SecAggLetter.content.size = 8388609"));
  letter.content.size = 0;
  CHECK(contains(refusal(letter), "SecAggLetter.content.size = 0"));
  MaskedReady masked = sample<MaskedReady>();
  masked.vectors.size = 12;
  CHECK(contains(refusal(masked), "MaskedReady.vectors.size = 12"));
  masked = sample<MaskedReady>();
  masked.note = Bytes(kMaskedNoteBytesMax + 1);
  CHECK(contains(refusal(masked), "MaskedReady.note = 1025 bytes"));
  masked = sample<MaskedReady>();
  masked.seconds = -1;
  CHECK(contains(refusal(masked), "MaskedReady.seconds"));
}

TEST_CASE("codec: lists, pages and indices beyond a blob are refused") {
  ChunkListWant want = sample<ChunkListWant>();
  want.page = 3;  // 3 GiB: 12,288 chunks on 3 pages
  CHECK(contains(refusal(want), "ChunkListWant.page = 3: must lie in [0, 2]"));
  ChunkWant chunks = sample<ChunkWant>();
  chunks.indices = {0, 1 << 20};
  CHECK(contains(refusal(chunks), "ChunkWant.indices = 1048576"));
  Chunk chunk = sample<Chunk>();
  chunk.index = 1 << 20;
  CHECK(contains(refusal(chunk), "Chunk.index"));
}

TEST_CASE("codec: names and texts that could steer a terminal are refused") {
  Enrol enrol = sample<Enrol>();
  enrol.certificate.name = "a b";
  CHECK(contains(refusal(enrol), "Enrol.name = 'a b'"));
  enrol.certificate.name = "";
  CHECK(contains(refusal(enrol), "Enrol.name = ''"));
  // The encoder mends texts, so the control character is put in behind its back.
  Bytes frame = encode_frame(EnrolRefused{{ErrorCode::kInternal, "bellXbell"}});
  const auto at = std::find(frame.begin(), frame.end(), 'X');
  REQUIRE(at != frame.end());
  for (const std::uint8_t bad : Bytes{0x1b, 0x00, 0x7f, 0x0a, 0xff, 0xc3}) {
    *at = bad;
    CHECK(contains(decode_frame(frame).error().message, "without control characters"));
  }
}

TEST_CASE("codec: texts of our own are mended and cut, not fatal") {
  const Result<Message> decoded =
      decode_frame(encode_frame(EnrolRefused{{ErrorCode::kInternal, "line\none\x1b[2J\xff"}}));
  REQUIRE(decoded);
  CHECK(std::get<EnrolRefused>(*decoded).error.message == "line one [2J?");
  std::string umlauts;
  for (int i = 0; i < 400; ++i) umlauts += "\xc3\xa4";  // 800 bytes
  const Result<Message> cut = decode_frame(encode_frame(EnrolRefused{{ErrorCode::kInternal, umlauts}}));
  REQUIRE(cut);
  const std::string text = std::get<EnrolRefused>(*cut).error.message;
  CHECK(text.size() >= kErrorTextBytesMax - 1);
  CHECK(text.size() <= kErrorTextBytesMax);
  CHECK(text.substr(text.size() - 5) == "\xc3\xa4...");
}

TEST_CASE("codec: full pages of the longest rows fit a control frame") {
  const std::string name(kNameBytesMax, 'n');
  const std::string text(kErrorTextBytesMax, 't');
  const auto samples = message_samples();
  for (const Message& message : samples) {
    const auto* reply = std::get_if<OperatorReply>(&message);
    if (reply == nullptr) continue;
    OperatorReply full = *reply;
    if (auto* jobs = std::get_if<JobRows>(&full.answer)) {
      jobs->rows[0].name = name;
      jobs->rows[0].text = text.substr(0, kJobsPageTextBytesMax / kPageRowsMax);
      jobs->rows[0].phase = "unmasking";
      jobs->rows.assign(kPageRowsMax, JobSummary(jobs->rows[0]));
    } else if (auto* detail = std::get_if<JobDetail>(&full.answer)) {
      detail->summary.name = name;
      detail->summary.text = text;
      detail->metrics.assign(kPageRowsMax, RoundMetrics(detail->metrics[0]));
    } else if (auto* clients = std::get_if<ClientRows>(&full.answer)) {
      clients->rows[0].client = name;
      clients->rows.assign(kPageRowsMax, ClientMetrics(clients->rows[0]));
    } else if (auto* nodes = std::get_if<NodeRows>(&full.answer)) {
      nodes->rows[0].name = name;
      nodes->rows[0].capability.device = name;
      nodes->rows.assign(kPageRowsMax, NodeSummary(nodes->rows[0]));
    } else if (auto* journal = std::get_if<JournalRows>(&full.answer)) {
      journal->rows[0].text = text.substr(0, kJournalPageTextBytesMax / kPageRowsMax);
      journal->rows.assign(kPageRowsMax, JournalEntry(journal->rows[0]));
    } else if (auto* chain = std::get_if<ChainRows>(&full.answer)) {
      // The most records a page may hold, and together the most bytes.
      ChainRecord record = chain->rows[0];
      record.body.clear();
      record.body.resize(kChainPageBytesMax / kChainPageRowsMax - encode(record).size());
      chain->rows.assign(kChainPageRowsMax, record);
    }
    const Bytes frame = encode_frame(full);  // ends the process if it is too long
    CHECK(frame.size() <= kControlFrameBytesMax);
    CHECK(decode_frame(frame));
  }
}
