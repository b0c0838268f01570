#include "core/data/gzip.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <span>

#include "core/base/check.h"

namespace covey {
namespace {

constexpr std::uint64_t kExpansionMax = 1032;  // zlib's technical notes, "Maximum Compression Factor"
constexpr std::size_t kStepBytes = std::size_t{1} << 20;

Unexpected ends_early(std::size_t wanted, std::size_t got) {
  return unexpected(ErrorCode::kInvalidData, "ends early: " + std::to_string(wanted) +
                                                 " more bytes expected, " + std::to_string(got) +
                                                 " there; fetch the file again");
}

}  // namespace

struct InflatingReader::Stream {
  z_stream z{};
  std::size_t given = 0;  // bytes of the file handed to zlib
  bool ended = false;
};

InflatingReader::InflatingReader(Bytes file) : file_(std::move(file)) {
  if (file_.size() < 2 || file_[0] != 0x1f || file_[1] != 0x8b) return;
  gzip_ = std::make_unique<Stream>();
  COVEY_CHECK(inflateInit2(&gzip_->z, 15 + 16) == Z_OK);  // 15: largest window; 16: gzip only
}

InflatingReader::~InflatingReader() {
  if (gzip_) inflateEnd(&gzip_->z);
}

std::uint64_t InflatingReader::bytes_max() const {
  return gzip_ ? file_.size() * kExpansionMax : file_.size();
}

// Fills `out` as far as the stream reaches and returns how far that was.
Result<std::size_t> InflatingReader::inflate_into(std::span<std::uint8_t> out) {
  Stream& s = *gzip_;
  std::size_t done = 0;
  while (done < out.size() && !s.ended) {
    if (s.z.avail_in == 0) {
      const std::size_t step = std::min(file_.size() - s.given, kStepBytes);
      s.z.next_in = file_.data() + s.given;
      s.z.avail_in = static_cast<uInt>(step);
      s.given += step;
    }
    const std::size_t room = std::min(out.size() - done, kStepBytes);
    s.z.next_out = out.data() + done;
    s.z.avail_out = static_cast<uInt>(room);
    const int status = inflate(&s.z, Z_NO_FLUSH);
    done += room - s.z.avail_out;
    if (status == Z_STREAM_END)
      s.ended = true;
    else if (status == Z_BUF_ERROR && s.z.avail_in == 0 && s.given == file_.size())
      return done;
    else if (status != Z_OK)
      return unexpected(ErrorCode::kInvalidData, std::string("damaged gzip data (") +
                                                     (s.z.msg ? s.z.msg : "unexpected end") +
                                                     "): fetch the file again");
  }
  return done;
}

Result<Bytes> InflatingReader::take(std::size_t count) {
  if (!gzip_) {
    const std::size_t rest = file_.size() - position_;
    if (rest < count) return ends_early(count, rest);
    const auto begin = file_.begin() + static_cast<std::ptrdiff_t>(position_);
    position_ += count;
    return Bytes(begin, begin + static_cast<std::ptrdiff_t>(count));
  }
  // Grows with what is really there, not with what was asked for.
  Bytes out;
  while (out.size() < count) {
    const std::size_t before = out.size();
    const std::size_t step = std::min(count - before, std::max(before, kStepBytes));
    out.resize(before + step);
    COVEY_TRY(const std::size_t got, inflate_into(std::span(out).subspan(before)));
    if (got < step) return ends_early(count, before + got);
  }
  return out;
}

Result<void> InflatingReader::finish() {
  std::uint64_t left = file_.size() - position_;
  if (gzip_) {
    std::array<std::uint8_t, 1> one{};
    COVEY_TRY(const std::size_t more, inflate_into(one));
    left = more + gzip_->z.avail_in + (file_.size() - gzip_->given);
    if (more == 0 && !gzip_->ended)
      return unexpected(ErrorCode::kInvalidData, "its gzip trailer is missing: fetch the file again");
  }
  if (left != 0)
    return unexpected(ErrorCode::kInvalidData, "holds more bytes than its header says: fetch the file again");
  return {};
}

}  // namespace covey
