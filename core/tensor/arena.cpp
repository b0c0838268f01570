#include "core/tensor/arena.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <utility>

#include "core/base/huge_pages.h"

namespace covey {
namespace {

constexpr std::size_t kAlignment = 64;  // a cache line, and the widest vector

std::size_t rounded_up(std::size_t bytes) {
  COVEY_CHECK(bytes <= std::numeric_limits<std::size_t>::max() - kAlignment);
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

// Products walk down the rows of large matrices: with pages of 4 KiB the processor would look up an
// address for each row. Memory from the system is zero, and is there only when it is first touched.
constexpr std::size_t kHugePage = std::size_t{2} << 20;
constexpr std::size_t kHugeFrom = 2 * kHugePage;

std::size_t in_huge_pages(std::size_t bytes) { return (bytes + kHugePage - 1) / kHugePage * kHugePage; }

std::byte* huge_pages(std::size_t bytes) {
  const std::size_t size = in_huge_pages(bytes);
  COVEY_CHECK(size <= std::numeric_limits<std::size_t>::max() - kHugePage);
  void* const found = mmap(nullptr, size + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (found == MAP_FAILED) throw std::bad_alloc();
  auto* const begin = static_cast<std::byte*>(found);
  const std::size_t before = (kHugePage - reinterpret_cast<std::uintptr_t>(found) % kHugePage) % kHugePage;
  if (before > 0) munmap(begin, before);  // what is around the aligned part
  if (before < kHugePage) munmap(begin + before + size, kHugePage - before);
  ask_for_huge_pages(begin + before, size);
  return begin + before;
}

}  // namespace

Arena::Arena(std::size_t bytes) : capacity_(rounded_up(bytes)) {
  if (capacity_ == 0) return;
  if (capacity_ >= kHugeFrom) {
    base_ = huge_pages(capacity_);
    return;
  }
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

Arena::~Arena() {
  if (capacity_ >= kHugeFrom && base_ != nullptr)
    munmap(base_, in_huge_pages(capacity_));
  else
    std::free(base_);
}

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
