#include "core/tensor/cpu/conv_tiles.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/tensor/cpu/amx_conv.h"

namespace covey::cpu {
namespace {

constexpr std::int64_t kRoomMax = 4 << 20;       // floats that one image may take
constexpr std::int64_t kStripsMax = 4;           // of images, whose gradients are added up apart
constexpr std::int64_t kSlotBytes = 512 * 1024;  // of operands that stay in the cache meanwhile
constexpr std::int64_t kWorthwhile = 1 << 12;    // products below which packing costs more

std::int64_t rounded_up(std::int64_t n, std::int64_t by) { return (n + by - 1) / by * by; }

std::int64_t products(const ConvSize& s) {
  return s.batch * s.out_height * s.out_width * s.in * s.out * s.kernel * s.kernel;
}

// The gradient by the input is a convolution of dy with the kernels turned round.
ConvSize turned(const ConvSize& s) {
  return {.batch = s.batch, .in = s.out, .out = s.in, .height = s.out_height, .width = s.out_width,
          .kernel = s.kernel, .padding = s.kernel - 1 - s.padding, .out_height = s.height, .out_width = s.width};
}

}  // namespace

ConvTiles::ConvTiles(Team& team, const Kernels& kernels, bool tiles)
    : team_(team), kernels_(kernels), tiles_(tiles && amx_usable()) {
  const auto members = static_cast<std::size_t>(team.size());
  for (std::size_t i = 0; i < members + 2; ++i) rooms_.emplace_back(0);
  starts_.assign(rooms_.size(), nullptr);
  rows_.resize(members);
}

bool ConvTiles::serve(const ConvSize& s) const {
  const std::int64_t plane = rounded_up((s.height + s.padding) * (s.width + s.padding), 32);
  const std::int64_t taps = s.kernel * s.kernel, lines = few_planes(s.in, taps) ? s.in * taps : s.in;
  return tiles_ && s.out >= 8 && s.in * taps >= 8 && products(s) >= kWorthwhile &&
         (s.in + s.out + 2 * lines) * plane <= kRoomMax;
}
bool ConvTiles::serve_grad_input(const ConvSize& s) const { return serve(turned(s)); }

float* ConvTiles::room(std::size_t index, std::int64_t floats) {
  if (rooms_[index].capacity() < static_cast<std::size_t>(floats) * sizeof(float)) {
    rooms_[index] = Arena(static_cast<std::size_t>(floats) * sizeof(float));
    starts_[index] = rooms_[index].take({floats}).f32();
  }
  return starts_[index];
}

void ConvTiles::prepare(std::int64_t floats) {  // before the team runs, so that nobody allocates
  for (std::size_t i = 0; i < rows_.size(); ++i) room(i, floats);
}

#ifdef COVEY_X86_KERNELS
namespace {

// Rows of lines that are an odd number of cache lines apart do not fall into the same set.
std::int64_t odd_lines(std::int64_t n) {
  const std::int64_t up = rounded_up(n, 32);
  return up / 32 % 2 == 0 ? up + 32 : up;
}

}  // namespace

struct ConvTiles::Layout {
  ConvSize size;
  std::int64_t planes;       // bf16 numbers of an element
  std::int64_t taps, pitch, lead;  // lead: of the first element inside
  std::int64_t columns;      // outputs in a line, those between rows too, a multiple of 32
  std::int64_t image_length; // of a padded plane
  bool unfolded;             // a line for each plane and tap
  ConvLines lines;
  ConvTaps shifts;
  std::int64_t outputs;      // a multiple of 32
  std::int64_t depth() const { return shifts.count * lines.lines; }
  std::int64_t lines_floats() const { return lines.planes * lines.lines * lines.length / 2; }
  std::int64_t image_floats() const { return size.in * image_length; }
  // An unfolded line of the last tap reads past the end of its plane by what rounding added to its length; behind
  // the planes is also a sum of each.
  std::int64_t image_room() const { return rounded_up(image_floats() + std::max<std::int64_t>(size.in, 64), 16); }
  std::int64_t output_floats() const { return outputs * columns; }
  std::int64_t panel_floats() const { return outputs / kPanelLines * panel_elements(columns, planes) / 2; }
  std::int64_t gradient_floats() const { return depth() * outputs; }
  // [tap][output][line], or where planes are unfolded [line][output].
  std::int64_t gradient_at(std::int64_t tap, std::int64_t line, std::int64_t o) const {
    return unfolded ? line * outputs + o : (tap * outputs + o) * lines.lines + line;
  }
  // Of pack_pixel_pairs(), the first pair of that channel that the shift begins with.
  std::int64_t pair_of(std::int64_t channel, std::int64_t shift) const {
    const std::int64_t odd = shift % 2;
    return odd * planes * lines.lines * lines.length + channel * lines.length + (shift - odd) / 2 * 32;
  }
  PixelRows pixels() const { return {lines.lines, lines.length, planes}; }
  std::int64_t pairs_floats() const { return lines_floats() * (unfolded ? 1 : 2); }  // pixels are paired both ways
  std::int64_t each_floats() const { return gradient_floats() + outputs; }  // with the bias
  std::int64_t strips() const { return std::min(size.batch, kStripsMax); }
  std::int64_t slots() const {  // images whose operands are packed at once
    const std::int64_t bytes = 4 * (pairs_floats() + panel_floats());
    return std::clamp<std::int64_t>(kSlotBytes / bytes, 1, (size.batch + strips() - 1) / strips());
  }
};

// Where the weight of (output, input, tap) lies, and from which tap on which way.
struct ConvTiles::WeightPlaces {
  std::int64_t output, input, first_tap, tap_step;
};

struct ConvTiles::Strip {
  std::int64_t begin, end;  // images
  float *sums, *bias;       // as gradient_at() says; [output]; both are set
};

ConvTiles::Layout ConvTiles::layout_of(const ConvSize& s, DType type) {
  Layout l{};
  l.size = s;
  l.planes = type == DType::kBf16 ? 1 : 3;
  l.taps = s.kernel * s.kernel;
  l.pitch = s.width + s.padding;
  l.lead = s.padding * (l.pitch + 1);
  l.columns = rounded_up((s.out_height - 1) * l.pitch + s.out_width, 32);
  l.image_length = odd_lines(l.columns + (s.kernel - 1) * (l.pitch + 1));
  l.unfolded = few_planes(s.in, l.taps);
  const std::int64_t lines = l.unfolded ? s.in * l.taps : s.in;
  l.lines = {rounded_up(lines, 32), l.unfolded ? odd_lines(l.columns) : l.image_length, l.planes};
  l.outputs = rounded_up(s.out, 32);
  shifts_.clear();
  for (std::int64_t tap = 0; tap < (l.unfolded ? 1 : l.taps); ++tap)
    shifts_.push_back(tap / s.kernel * l.pitch + tap % s.kernel);
  l.shifts = {shifts_.data(), static_cast<std::int64_t>(shifts_.size())};
  for (auto& rows : rows_) rows.assign(static_cast<std::size_t>(l.lines.lines), nullptr);
  return l;
}

// As a matrix [output][tap][line] in right panels, or where planes are unfolded [output][plane][tap] in left ones.
const std::uint16_t* ConvTiles::pack_weights(const Layout& l, const float* w, const WeightPlaces& at) {
  const std::int64_t depth = l.depth(), in = l.size.in;
  float* matrix = room(rows_.size(), l.size.out * depth);
  std::fill_n(matrix, l.size.out * depth, 0.0F);
  for (std::int64_t o = 0; o < l.size.out; ++o) {
    for (std::int64_t c = 0; c < in; ++c) {
      const float* from = w + o * at.output + c * at.input + at.first_tap;
      float* to = matrix + o * depth + (l.unfolded ? c * l.taps : c);
      const std::int64_t step = l.unfolded ? 1 : l.lines.lines;
      for (std::int64_t tap = 0; tap < l.taps; ++tap) to[tap * step] = from[tap * at.tap_step];
    }
  }
  auto* packed = reinterpret_cast<std::uint16_t*>(room(rows_.size() + 1, l.outputs / kPanelLines * panel_elements(depth, l.planes) / 2));
  const TileSource source{matrix, depth, true, false};
  if (l.unfolded)
    pack_left_panels(source, {l.size.out, depth, l.planes}, packed);
  else
    pack_right_panels(source, {l.size.out, depth, l.planes}, packed);
  return packed;
}

namespace {

// One image of x, or the gradient of one, between zeros; sums[count] += those of its planes where it is of windows.
void spread(const ConvTiles::Gradient& x, std::int64_t image, const PaddedImages& size, float* to, float* sums) {
  const bool bf16 = x.dy.dtype == DType::kBf16;
  const auto at = [bf16](Tensor t, std::int64_t element) { return static_cast<const char*>(t.data) + element * (bf16 ? 2 : 4); };
  if (x.argmax.empty()) return spread_images(at(x.dy, image * size.count * size.height * size.width), bf16, size, to);
  const std::int64_t first = image * size.count * (size.height / 2) * (size.width / 2);
  spread_pooled({at(x.dy, first), at(x.y, first), x.argmax.i32() + first, bf16}, size, to, sums);
}

}  // namespace

// What is around images stays zero from one to the next.
void ConvTiles::clear_rooms(std::int64_t floats) {
  for (std::size_t i = 0; i < rows_.size(); ++i) std::fill_n(starts_[i], floats, 0.0F);
}

// Sets the member's rows to the lines of that image, in the first of its memory, after clear_rooms().
void ConvTiles::lines_of(const Layout& l, const Gradient& x, std::int64_t image, int member) {
  const ConvSize& s = l.size;
  const auto i = static_cast<std::size_t>(member);
  float* padded = starts_[i];
  spread(x, image, {s.in, s.height, s.width, l.pitch, l.image_length}, padded + l.lead, padded + l.image_floats());
  std::size_t line = 0;
  for (std::int64_t c = 0; c < s.in; ++c) {
    const float* plane = padded + c * l.image_length;
    for (std::int64_t tap = 0; tap < (l.unfolded ? l.taps : 1); ++tap)
      rows_[i][line++] = plane + tap / s.kernel * l.pitch + tap % s.kernel;
  }
}

// finish(image, sums of its outputs: [output][columns] where planes are unfolded, else [columns][output])
template <class Finish>
void ConvTiles::images(const Layout& l, const Gradient& x, const std::uint16_t* weights, Finish finish) {
  const std::int64_t image = l.image_room();
  prepare(image + l.lines_floats() + l.output_floats());
  clear_rooms(image);
  const std::int64_t panel = panel_elements(l.depth(), l.planes);
  team_.run(l.size.batch, [&](std::int64_t piece, int member) {
    const auto i = static_cast<std::size_t>(member);
    lines_of(l, x, piece, member);
    auto* pairs = reinterpret_cast<std::uint16_t*>(starts_[i] + image);
    float* sums = starts_[i] + image + l.lines_floats();
    if (l.unfolded)
      pack_line_pairs(rows_[i].data(), l.lines, pairs);
    else
      pack_pixels(rows_[i].data(), l.pixels(), pairs);
    tiles_begin();
    for (std::int64_t column = 0; column < l.columns; column += 32) {
      for (std::int64_t o = 0; o < l.outputs; o += kPanelLines) {
        const std::uint16_t* some = weights + o / kPanelLines * panel;
        if (l.unfolded)
          multiply_line_pairs(some, pairs, l.lines, l.shifts, column, sums + o * l.columns + column, l.columns);
        else
          multiply_pixels(pairs, some, l.pixels(), l.shifts, column, sums + column * l.outputs + o, l.outputs);
      }
    }
    tiles_end();
    finish(piece, sums);
  });
}

void ConvTiles::outputs(const Layout& l, const Gradient& x, const std::uint16_t* weights, const float* bias, Tensor y) {
  const ConvSize& s = l.size;
  const bool bf16 = y.dtype == DType::kBf16;
  const std::int64_t image_bytes = s.out * s.out_height * s.out_width * (bf16 ? 2 : 4);
  images(l, x, weights, [&](std::int64_t image, const float* sums) {
    const PaddedImages planes{s.out, s.out_height, s.out_width, l.pitch, l.columns};
    char* to = static_cast<char*>(y.data) + image * image_bytes;
    if (l.unfolded)
      gather_images(sums, planes, bias, to, bf16);
    else
      gather_pixels(sums, l.outputs, planes, bias, to, bf16);
  });
}

void ConvTiles::forward(const ConvSize& size, Tensor x, const float* w, const float* bias, Tensor y) {
  const Layout l = layout_of(size, x.dtype);
  outputs(l, {x}, pack_weights(l, w, {size.in * l.taps, l.taps, 0, 1}), bias, y);
}

void ConvTiles::forward_pooled(const ConvSize& s, Tensor x, const float* w, const float* bias, Pooled out) {
  const Layout l = layout_of(s, x.dtype);
  const bool bf16 = out.y.dtype == DType::kBf16;
  const std::int64_t image_elements = s.out * (s.out_height / 2) * (s.out_width / 2);
  images(l, {x}, pack_weights(l, w, {s.in * l.taps, l.taps, 0, 1}), [&](std::int64_t image, const float* sums) {
    const PaddedImages planes{s.out, s.out_height, s.out_width, l.pitch, l.columns};
    const PooledOutput to{static_cast<char*>(out.y.data) + image * image_elements * (bf16 ? 2 : 4),
                          out.argmax.i32() + image * image_elements, bf16};
    if (l.unfolded)
      gather_pooled(sums, planes, bias, to);
    else
      gather_pooled_pixels(sums, l.outputs, planes, bias, to);
  });
}

void ConvTiles::grad_input(const ConvSize& size, const Gradient& dy, const float* w, Tensor dx) {
  const Layout l = layout_of(turned(size), dy.dy.dtype);
  outputs(l, dy, pack_weights(l, w, {l.taps, size.in * l.taps, l.taps - 1, -1}), nullptr, dx);
}

void ConvTiles::grad_weight(const ConvSize& size, const Gradient& dy, Tensor x, float* dw, float* db) {
  const Layout l = layout_of(size, x.dtype);
  const std::int64_t strips = l.strips(), each = l.each_floats();
  prepare_strips(l, l.slots());
  float* sums = room(rows_.size(), strips * each);
  team_.run(strips, [&](std::int64_t piece, int member) {
    float* mine = sums + piece * each;
    strip(l, {piece * size.batch / strips, (piece + 1) * size.batch / strips, mine, mine + l.gradient_floats()}, dy, x,
          member);
  });
  for (std::int64_t i = 1; i < strips; ++i) kernels_.f32.accumulate(sums + i * each, sums, each);  // in their order
  add_sums(l, sums, dw, db);
}

void ConvTiles::prepare_strips(const Layout& l, std::int64_t slots) {
  const std::int64_t image = l.image_room() + l.size.out * l.columns;  // and dy between zeros
  prepare(image + slots * (l.pairs_floats() + l.panel_floats()));
  clear_rooms(image);
}

void ConvTiles::example_grads(const ConvSize& size, const Gradient& dy, Tensor x, const Examples& to) {
  const Layout l = layout_of(size, x.dtype);
  const std::int64_t each = l.each_floats(), weights = l.gradient_floats();
  COVEY_CHECK(each == conv_example_floats({size.out, size.in, size.kernel, size.kernel}));
  prepare_strips(l, l.slots());
  team_.run(size.batch, [&](std::int64_t image, int member) {
    float* mine = to.kept + image * each;
    strip(l, {image, image + 1, mine, mine + weights}, dy, x, member);
    // What fills up the tiles is zero.
    to.squares[image] += static_cast<float>(kernels_.squared_norm(mine, to.bias == Bias::kCounts ? each : weights));
  });
}

void ConvTiles::add_examples(const ConvSize& size, DType type, const Scaled& from, float* dw, float* db) {
  const Layout l = layout_of(size, type);
  const std::int64_t each = l.each_floats(), piece = 4096;
  float* sums = room(rows_.size(), each);
  team_.run((each + piece - 1) / piece, [&](std::int64_t task, int) {
    const std::int64_t begin = task * piece;
    add_scaled_rows({from.kept + begin, from.factors, size.batch, each}, std::min(piece, each - begin), sums + begin);
  });
  add_sums(l, sums, dw, db);
}

void ConvTiles::strip(const Layout& l, const Strip& strip, const Gradient& dy, Tensor x, int member) {
  const ConvSize& s = l.size;
  const auto i = static_cast<std::size_t>(member);
  float* padded = starts_[i] + l.image_room();  // dy between zeros
  auto* lines = reinterpret_cast<std::uint16_t*>(padded + s.out * l.columns);
  auto* panels = lines + 2 * l.slots() * l.pairs_floats();
  const std::int64_t panel = panel_elements(l.columns, l.planes);
  std::fill_n(strip.bias, l.outputs, 0.0F);
  for (std::int64_t first = strip.begin; first < strip.end; first += l.slots()) {
    const ConvSlots slots{std::min(l.slots(), strip.end - first), l.columns, 2 * l.pairs_floats(), 2 * l.panel_floats(),
                          first == strip.begin};
    for (std::int64_t slot = 0; slot < slots.count; ++slot) {
      lines_of(l, {x}, first + slot, member);
      if (l.unfolded)
        pack_lines(rows_[i].data(), l.lines, lines + slot * slots.line_slot);
      else
        pack_pixel_pairs(rows_[i].data(), l.pixels(), lines + slot * slots.line_slot);
      spread(dy, first + slot, {s.out, s.out_height, s.out_width, l.pitch, l.columns}, padded, strip.bias);
      for (std::int64_t o = 0; o < s.out && dy.argmax.empty(); ++o)
        strip.bias[o] += static_cast<float>(kernels_.f32.sum(padded + o * l.columns, l.columns));
      const TileSource source{padded, l.columns, true, false};
      if (l.unfolded)
        pack_right_panels(source, {s.out, l.columns, l.planes}, panels + slot * slots.panel_slot);
      else
        pack_left_panels(source, {s.out, l.columns, l.planes}, panels + slot * slots.panel_slot);
    }
    tiles_begin();
    for (std::int64_t line = 0; line < l.lines.lines; line += kPanelLines) {
      for (std::int64_t tap = 0; tap < l.shifts.count; ++tap) {
        const std::int64_t shift = l.shifts.shifts[tap];
        const std::uint16_t* from = lines + (l.unfolded ? line * l.lines.length + shift : l.pair_of(line, shift));
        for (std::int64_t o = 0; o < l.outputs; o += kPanelLines) {
          const std::uint16_t* some = panels + o / kPanelLines * panel;
          float* to = strip.sums + l.gradient_at(tap, line, o);
          if (l.unfolded)
            multiply_lines(from, some, l.lines, slots, to, l.outputs);
          else
            multiply_pixel_pairs(some, from, l.pixels(), slots, to, l.lines.lines);
        }
      }
    }
    tiles_end();
  }
}

// To the orders of dw and db, which may be null.
void ConvTiles::add_sums(const Layout& l, const float* all, float* dw, float* db) {
  const std::int64_t in = l.size.in;
  for (std::int64_t o = 0; o < l.size.out; ++o) {
    if (db != nullptr) db[o] += all[l.gradient_floats() + o];
    float* to = dw + o * in * l.taps;
    for (std::int64_t c = 0; c < in; ++c)
      for (std::int64_t tap = 0; tap < l.taps; ++tap)
        *to++ += all[l.unfolded ? l.gradient_at(0, c * l.taps + tap, o) : l.gradient_at(tap, c, o)];
  }
}
#else
void ConvTiles::example_grads(const ConvSize&, const Gradient&, Tensor, const Examples&) { COVEY_CHECK(tiles_); }
void ConvTiles::add_examples(const ConvSize&, DType, const Scaled&, float*, float*) { COVEY_CHECK(tiles_); }
void ConvTiles::forward(const ConvSize&, Tensor, const float*, const float*, Tensor) { COVEY_CHECK(tiles_); }
void ConvTiles::forward_pooled(const ConvSize&, Tensor, const float*, const float*, Pooled) { COVEY_CHECK(tiles_); }
void ConvTiles::grad_input(const ConvSize&, const Gradient&, const float*, Tensor) { COVEY_CHECK(tiles_); }
void ConvTiles::grad_weight(const ConvSize&, const Gradient&, Tensor, float*, float*) { COVEY_CHECK(tiles_); }
#endif

}  // namespace covey::cpu
