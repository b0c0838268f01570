#include "core/tensor/arena.h"

#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <utility>

namespace covey {
namespace {

constexpr std::size_t kAlignment = 64;  // a cache line, and the widest vector

std::size_t rounded_up(std::size_t bytes) {
  COVEY_CHECK(bytes <= std::numeric_limits<std::size_t>::max() - kAlignment);
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace

Arena::Arena(std::size_t bytes) : capacity_(rounded_up(bytes)) {
  if (capacity_ == 0) return;
  base_ = static_cast<std::byte*>(std::aligned_alloc(kAlignment, capacity_));
  if (base_ == nullptr) throw std::bad_alloc();
  std::memset(base_, 0, capacity_);
}

Arena::Arena(Arena&& other) noexcept
    : base_(std::exchange(other.base_, nullptr)),
      capacity_(std::exchange(other.capacity_, 0)),
      used_(std::exchange(other.used_, 0)) {}

Arena& Arena::operator=(Arena&& other) noexcept {
  std::swap(base_, other.base_);
  std::swap(capacity_, other.capacity_);
  std::swap(used_, other.used_);
  return *this;
}

Arena::~Arena() { std::free(base_); }

void Arena::rewind(std::size_t to) {
  COVEY_CHECK(to <= used_);
  used_ = to;
}

Tensor Arena::take(Shape shape, DType dtype) {
  std::size_t bytes = size_of(dtype);
  for (std::size_t i = 0; i < shape.rank(); ++i) {
    COVEY_CHECK(shape[i] >= 0);
    COVEY_CHECK(!__builtin_mul_overflow(bytes, static_cast<std::size_t>(shape[i]), &bytes));
  }
  const std::size_t offset = used_;
  COVEY_CHECK(!__builtin_add_overflow(used_, rounded_up(bytes), &used_));
  if (base_ == nullptr && capacity_ == 0) return {nullptr, shape, dtype, Device::kCpu};
  COVEY_CHECK(used_ <= capacity_);
  return {base_ + offset, shape, dtype, Device::kCpu};
}

}  // namespace covey
