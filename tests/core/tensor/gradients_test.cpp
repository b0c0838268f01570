// The backward operations of `ref` against central differences of its forward operations.
#include "tests/core/tensor/op_case.h"

namespace covey::test {
namespace {

// A random linear functional of the outputs is the loss, so dy is `weights`.
double loss_of(const Run& forward, Arrays inputs, const Arrays& weights) {
  const std::unique_ptr<Ops> ref = make_ref_ops();
  Arrays outputs = weights;
  Tensors tensors = views(inputs);
  for (const Tensor& t : views(outputs)) tensors.push_back(t);
  forward(*ref, tensors);
  double loss = 0;
  for (std::size_t i = 0; i < weights.size(); ++i)
    for (std::size_t j = 0; j < weights[i].size(); ++j)
      loss += double{outputs[i].floats[j]} * weights[i].floats[j];
  return loss;
}

// `gradients[i]` must be dloss/dinputs[i]; an empty array is skipped.
void check_gradients(const Run& forward, const Arrays& inputs, const Arrays& weights,
                     const Arrays& gradients, double tolerance = 2e-3) {
  constexpr float kStep = 1e-2F;
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    if (gradients[i].floats.empty()) continue;
    const double scale = std::max(largest_magnitude(gradients[i]), 1e-3);
    for (std::size_t j = 0; j < inputs[i].size(); ++j) {
      Arrays above = inputs, below = inputs;
      above[i].floats[j] += kStep;
      below[i].floats[j] -= kStep;
      const double width = double{above[i].floats[j]} - below[i].floats[j];
      const double expected =
          (loss_of(forward, above, weights) - loss_of(forward, below, weights)) / width;
      CAPTURE(i);
      CAPTURE(j);
      CHECK(std::abs(gradients[i].floats[j] - expected) <= tolerance * scale);
    }
  }
}

TEST_CASE("ref linear gradients") {
  Random random(21);
  Array x = normal(random, {3, 4}), w = normal(random, {5, 4}), b = normal(random, {5});
  Array dy = normal(random, {3, 5}), dx = constant({3, 4}, 9.0F), dw = zeros({5, 4}), db = zeros({5});
  const std::unique_ptr<Ops> ref = make_ref_ops();
  ref->linear_grad_input(dy.view(), w.view(), dx.view());
  ref->linear_grad_weight(dy.view(), x.view(), dw.view(), db.view());
  check_gradients([](Ops& o, const Tensors& t) { o.linear(t[0], t[1], t[2], t[3]); }, {x, w, b},
                  {dy}, {dx, dw, db});
}

TEST_CASE("ref embedding gradient") {
  Random random(22);
  Array table = normal(random, {4, 3}), tokens = integers(random, {6}, 0, 4);
  Array dy = normal(random, {6, 3}), dtable = zeros({4, 3});
  make_ref_ops()->embedding_grad(tokens.view(), dy.view(), dtable.view());
  check_gradients([&](Ops& o, const Tensors& t) { o.embedding(tokens.view(), t[0], t[1]); },
                  {table}, {dy}, {dtable});
}

TEST_CASE("ref rmsnorm gradients") {
  Random random(23);
  Array x = normal(random, {3, 5}), g = normal(random, {5}), y = zeros({3, 5}), rstd = zeros({3});
  Array dy = normal(random, {3, 5}), dx = zeros({3, 5}), dg = zeros({5});
  const std::unique_ptr<Ops> ref = make_ref_ops();
  ref->rmsnorm(x.view(), g.view(), y.view(), rstd.view());
  ref->rmsnorm_grad(x.view(), g.view(), rstd.view(), dy.view(), dx.view(), dg.view());
  check_gradients([&](Ops& o, const Tensors& t) { o.rmsnorm(t[0], t[1], t[2], rstd.view()); },
                  {x, g}, {dy}, {dx, dg});
}

TEST_CASE("ref rope gradient") {
  Random random(24);
  Array x = normal(random, {2, 3, 2, 4}), dy = normal(random, {2, 3, 2, 4}), dx = dy;
  make_ref_ops()->rope(dx.view(), -1);
  check_gradients([](Ops& o, const Tensors& t) {
    std::copy_n(t[0].f32(), t[0].elements(), t[1].f32());
    o.rope(t[1], 1);
  }, {x}, {dy}, {dx});
}

TEST_CASE("ref attention gradients") {
  Random random(25);
  const Shape shape{2, 4, 2, 4};
  Array q = normal(random, shape), k = normal(random, shape), v = normal(random, shape);
  Array y = zeros(shape), lse = zeros({2, 2, 4}), dy = normal(random, shape);
  Array dq = constant(shape, 9.0F), dk = dq, dv = dq;
  const std::unique_ptr<Ops> ref = make_ref_ops();
  ref->attention(q.view(), k.view(), v.view(), y.view(), lse.view());
  ref->attention_grad(q.view(), k.view(), v.view(), y.view(), lse.view(), dy.view(), dq.view(),
                      dk.view(), dv.view());
  check_gradients([&](Ops& o, const Tensors& t) {
    o.attention(t[0], t[1], t[2], t[3], lse.view());
  }, {q, k, v}, {dy}, {dq, dk, dv});
}

TEST_CASE("ref activation gradients") {
  Random random(26);
  Array gate = normal(random, {20}), up = normal(random, {20}), dy = normal(random, {20});
  Array dgate = zeros({20}), dup = zeros({20});
  const std::unique_ptr<Ops> ref = make_ref_ops();
  ref->swiglu_grad(gate.view(), up.view(), dy.view(), dgate.view(), dup.view());
  check_gradients([](Ops& o, const Tensors& t) { o.swiglu(t[0], t[1], t[2]); }, {gate, up}, {dy},
                  {dgate, dup});

  Array x = normal(random, {20}), y = zeros({20}), dx = constant({20}, 9.0F);
  for (std::size_t i = 0; i < x.size(); ++i)  // away from the kink
    if (std::abs(x.floats[i]) < 0.05F) x.floats[i] = 0.5F;
  ref->relu(x.view(), y.view());
  ref->relu_grad(y.view(), dy.view(), dx.view());
  check_gradients([](Ops& o, const Tensors& t) { o.relu(t[0], t[1]); }, {x}, {dy}, {dx});
}

TEST_CASE("ref conv2d gradients") {
  Random random(27);
  for (const ConvGeometry g : {ConvGeometry{3, 1}, ConvGeometry{3, 0}, ConvGeometry{2, 1}}) {
    const std::int64_t out_h = 4 + 2 * g.padding - g.kernel + 1, out_w = out_h + 1;
    Array x = normal(random, {2, 2, 4, 5}), w = normal(random, {3, 2, g.kernel, g.kernel});
    Array b = normal(random, {3}), dy = normal(random, {2, 3, out_h, out_w});
    Array dx = constant(x.shape, 9.0F), dw = zeros(w.shape), db = zeros({3});
    const std::unique_ptr<Ops> ref = make_ref_ops();
    ref->conv2d_grad_input(dy.view(), w.view(), dx.view(), g);
    ref->conv2d_grad_weight(dy.view(), x.view(), dw.view(), db.view(), g);
    check_gradients([&](Ops& o, const Tensors& t) { o.conv2d(t[0], t[1], t[2], t[3], g); },
                    {x, w, b}, {dy}, {dx, dw, db});
  }
}

TEST_CASE("ref maxpool2 gradient") {
  Random random(28);
  Array x = zeros({1, 2, 4, 5});
  for (std::size_t i = 0; i < x.size(); ++i)  // distinct, so that small steps change no winner
    x.floats[i] = static_cast<float>((i * 7) % x.size());
  Array y = zeros({1, 2, 2, 2}), argmax = integers(random, {1, 2, 2, 2}, 0, 1);
  Array dy = normal(random, {1, 2, 2, 2}), dx = constant(x.shape, 9.0F);
  const std::unique_ptr<Ops> ref = make_ref_ops();
  ref->maxpool2(x.view(), y.view(), argmax.view());
  ref->maxpool2_grad(dy.view(), argmax.view(), dx.view());
  Array other = argmax;
  check_gradients([&](Ops& o, const Tensors& t) { o.maxpool2(t[0], t[1], other.view()); }, {x},
                  {dy}, {dx});
}

TEST_CASE("ref softmax_cross_entropy gradient") {
  Random random(29);
  Array logits = normal(random, {5, 6}), targets = integers(random, {5}, 0, 6);
  targets.ints[2] = -1;
  Array dlogits = constant({5, 6}, 9.0F), losses = zeros({5});
  make_ref_ops()->softmax_cross_entropy(logits.view(), targets.view(), losses.view(),
                                        dlogits.view(), 0.5F);
  check_gradients([&](Ops& o, const Tensors& t) {
    o.softmax_cross_entropy(t[0], targets.view(), t[1], {}, 1.0F);
  }, {logits}, {constant({5}, 0.5F)}, {dlogits});
}

TEST_CASE("ref layernorm gradients") {
  Random random(30);
  Array x = normal(random, {3, 5}), g = normal(random, {5}), b = normal(random, {5}), y = zeros({3, 5});
  Array mean = zeros({3}), rstd = zeros({3}), dy = normal(random, {3, 5}), dx = zeros({3, 5}), dg = zeros({5}), db = dg;
  const std::unique_ptr<Ops> ref = make_ref_ops();
  ref->layernorm(x.view(), g.view(), b.view(), y.view(), mean.view(), rstd.view());
  ref->layernorm_grad(x.view(), g.view(), mean.view(), rstd.view(), dy.view(), dx.view(), dg.view(), db.view());
  check_gradients([&](Ops& o, const Tensors& t) { o.layernorm(t[0], t[1], t[2], t[3], mean.view(), rstd.view()); },
                  {x, g, b}, {dy}, {dx, dg, db});
}

TEST_CASE("ref gelu gradients") {
  Random random(31);
  for (const Gelu kind : {Gelu::kTanh, Gelu::kExact}) {
    Array x = normal(random, {30}, 2.0), dy = normal(random, {30}), dx = constant({30}, 9.0F);
    make_ref_ops()->gelu_grad(x.view(), dy.view(), dx.view(), kind);
    check_gradients([&](Ops& o, const Tensors& t) { o.gelu(t[0], t[1], kind); }, {x}, {dy}, {dx});
  }
}

TEST_CASE("ref embedding_at gradients") {
  Random random(32);
  Array table = normal(random, {4, 3}), positions = normal(random, {5, 3}), tokens = integers(random, {2, 3}, 0, 4);
  Array dy = normal(random, {2, 3, 3}), dtable = zeros({4, 3}), dpositions = zeros({5, 3});
  const std::unique_ptr<Ops> ref = make_ref_ops();
  ref->embedding_grad(tokens.view(), dy.view(), dtable.view());
  ref->positions_grad(dy.view(), dpositions.view());
  check_gradients([&](Ops& o, const Tensors& t) { o.embedding_at(tokens.view(), t[0], t[1], t[2]); },
                  {table, positions}, {dy}, {dtable, dpositions});
}

TEST_CASE("ref attention gradients of grouped queries") {
  Random random(33);
  const Shape many{1, 4, 4, 4}, few{1, 4, 2, 4};
  Array q = normal(random, many), k = normal(random, few), v = normal(random, few);
  Array y = zeros(many), lse = zeros({1, 4, 4}), dy = normal(random, many);
  Array dq = constant(many, 9.0F), dk = constant(few, 9.0F), dv = dk;
  const std::unique_ptr<Ops> ref = make_ref_ops();
  ref->attention(q.view(), k.view(), v.view(), y.view(), lse.view());
  ref->attention_grad(q.view(), k.view(), v.view(), y.view(), lse.view(), dy.view(), dq.view(), dk.view(), dv.view());
  check_gradients([&](Ops& o, const Tensors& t) { o.attention(t[0], t[1], t[2], t[3], lse.view()); }, {q, k, v}, {dy},
                  {dq, dk, dv});
}

TEST_CASE("ref smoothed cross-entropy and head gradients") {
  Random random(34);
  Array logits = normal(random, {5, 6}), targets = integers(random, {5}, 0, 6);
  targets.ints[2] = -1;
  Array dlogits = constant({5, 6}, 9.0F), losses = zeros({5});
  const std::unique_ptr<Ops> ref = make_ref_ops();
  const LossTerms terms{0.5F, 0.2F};
  ref->softmax_cross_entropy(logits.view(), targets.view(), losses.view(), dlogits.view(), terms);
  check_gradients([&](Ops& o, const Tensors& t) {
    o.softmax_cross_entropy(t[0], targets.view(), t[1], {}, terms);
  }, {logits}, {constant({5}, 0.5F)}, {dlogits});

  Array x = normal(random, {5, 3}), w = normal(random, {6, 3}), dx = constant({5, 3}, 9.0F), dw = zeros({6, 3});
  ref->head_loss({x.view(), w.view(), targets.view(), losses.view(), dx.view(), dw.view(), terms});
  check_gradients([&](Ops& o, const Tensors& t) { o.head_loss({t[0], t[1], targets.view(), t[2], {}, {}, terms}); },
                  {x, w}, {constant({5}, 0.5F)}, {dx, dw});
}

TEST_CASE("ref depth-wise convolution gradients") {
  Random random(35);
  for (const ConvGeometry g : {ConvGeometry{3, 1}, ConvGeometry{3, 0}, ConvGeometry{2, 1}}) {
    const std::int64_t out_h = 4 + 2 * g.padding - g.kernel + 1, out_w = out_h + 1;
    Array x = normal(random, {2, 3, 4, 5}), w = normal(random, {3, 1, g.kernel, g.kernel});
    Array b = normal(random, {3}), dy = normal(random, {2, 3, out_h, out_w});
    Array dx = constant(x.shape, 9.0F), dw = zeros(w.shape), db = zeros({3});
    const std::unique_ptr<Ops> ref = make_ref_ops();
    ref->depthwise_conv2d_grad_input(dy.view(), w.view(), dx.view(), g);
    ref->depthwise_conv2d_grad_weight(dy.view(), x.view(), dw.view(), db.view(), g);
    check_gradients([&](Ops& o, const Tensors& t) { o.depthwise_conv2d(t[0], t[1], t[2], t[3], g); }, {x, w, b}, {dy},
                    {dx, dw, db});
  }
}

}  // namespace
}  // namespace covey::test
