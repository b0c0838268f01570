#include "core/tensor/cuda/cuda_ops.h"

#include <cuda_runtime.h>

#include <cmath>
#include <utility>

namespace covey::cuda {
// Of this file alone. nvcc names what has no name after the file's whole path, and two builds would differ.
inline namespace cuda_ops_file {

constexpr unsigned kThreads = 256;

__global__ void add_kernel(const float* a, const float* b, float* y, std::size_t n) {
  const std::size_t i = std::size_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < n) y[i] = a[i] + b[i];
}

__global__ void fill_kernel(float* y, float value, std::size_t n) {
  const std::size_t i = std::size_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < n) y[i] = value;
}

__global__ void scale_kernel(float* x, float factor, std::size_t n) {
  const std::size_t i = std::size_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < n) x[i] *= factor;
}

__global__ void relu_kernel(const float* x, float* y, std::size_t n) {
  const std::size_t i = std::size_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < n) y[i] = x[i] < 0.0F ? 0.0F : x[i];
}

__global__ void relu_grad_kernel(const float* y, const float* dy, float* dx, std::size_t n) {
  const std::size_t i = std::size_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < n) dx[i] = y[i] > 0.0F ? dy[i] : 0.0F;
}

// `velocity` is null without momentum.
__global__ void sgd_kernel(float* p, const float* g, float* velocity, SgdStep step, std::size_t n) {
  const std::size_t i = std::size_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= n) return;
  const float gradient = g[i] * step.gradient_scale + step.weight_decay * p[i];
  float move = gradient;
  if (velocity != nullptr) {
    if (!step.first) move += step.momentum * velocity[i];
    velocity[i] = move;
    if (step.nesterov) move = gradient + step.momentum * move;
  }
  p[i] -= step.learning_rate * move;
}

struct AdamWFactors {
  float keep, beta1, beta2, step_size, root_correction, epsilon, scale;
};

__global__ void adamw_kernel(float* p, const float* g, float* m, float* v, AdamWFactors f,
                             std::size_t n) {
  const std::size_t i = std::size_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= n) return;
  const float gradient = g[i] * f.scale;
  const float m1 = f.beta1 * m[i] + (1.0F - f.beta1) * gradient;
  const float v1 = f.beta2 * v[i] + (1.0F - f.beta2) * gradient * gradient;
  m[i] = m1;
  v[i] = v1;
  p[i] = p[i] * f.keep - f.step_size * m1 / (sqrtf(v1) * f.root_correction + f.epsilon);
}

// Device memory of one call, and the first failure among its steps.
class Call {
 public:
  explicit Call(std::size_t n) : n_(n) {
    std::string why_not;
    if (!cuda_available(&why_not)) failure_ = {ErrorCode::kUnavailable, std::move(why_not)};
  }
  ~Call() {
    for (std::size_t i = 0; i < used_; ++i) cudaFree(buffers_[i]);  // nothing to do if it fails
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  float* in(std::span<const float> host) {
    float* device = out();
    if (ok()) note("copy to the device", cudaMemcpy(device, host.data(), bytes(), cudaMemcpyHostToDevice));
    return device;
  }
  float* out() {
    float* device = nullptr;
    if (!ok()) return nullptr;
    note("allocate", cudaMalloc(&device, bytes()));
    if (ok()) buffers_[used_++] = device;
    return device;
  }
  template <class Launch>
  void launch(Launch launch) {
    if (!ok() || n_ == 0) return;
    launch(static_cast<unsigned>((n_ + kThreads - 1) / kThreads));
    note("launch", cudaGetLastError());
    if (ok()) note("run", cudaDeviceSynchronize());
  }
  void back(const float* device, std::span<float> host) {
    if (ok()) note("copy from the device", cudaMemcpy(host.data(), device, bytes(), cudaMemcpyDeviceToHost));
  }
  Result<void> result() const {
    if (ok()) return {};
    return unexpected(failure_);
  }

 private:
  bool ok() const { return failure_.message.empty(); }
  std::size_t bytes() const { return n_ * sizeof(float); }
  void note(const char* what, cudaError_t status) {
    if (status == cudaSuccess) return;
    failure_ = {ErrorCode::kInternal, std::string("CUDA could not ") + what + " " +
                                          std::to_string(bytes()) + " bytes: " +
                                          cudaGetErrorString(status)};
  }

  std::size_t n_, used_ = 0;
  float* buffers_[4] = {};
  Error failure_{ErrorCode::kInternal, ""};
};

}  // namespace cuda_ops_file

bool cuda_available(std::string* why_not) {
  int devices = 0;
  const cudaError_t status = cudaGetDeviceCount(&devices);
  if (status == cudaSuccess && devices > 0) return true;
  if (why_not != nullptr)
    *why_not = status == cudaSuccess ? "no CUDA device in this machine"
                                     : std::string("no usable CUDA device: ") + cudaGetErrorString(status);
  return false;
}

Result<void> add(std::span<const float> a, std::span<const float> b, std::span<float> y) {
  COVEY_CHECK(a.size() == b.size() && a.size() == y.size());
  Call call(y.size());
  float *da = call.in(a), *db = call.in(b), *dy = call.out();
  call.launch([&](unsigned blocks) { add_kernel<<<blocks, kThreads>>>(da, db, dy, y.size()); });
  call.back(dy, y);
  return call.result();
}

Result<void> fill(std::span<float> y, float value) {
  Call call(y.size());
  float* dy = call.out();
  call.launch([&](unsigned blocks) { fill_kernel<<<blocks, kThreads>>>(dy, value, y.size()); });
  call.back(dy, y);
  return call.result();
}

Result<void> scale(std::span<float> x, float factor) {
  Call call(x.size());
  float* dx = call.in(x);
  call.launch([&](unsigned blocks) { scale_kernel<<<blocks, kThreads>>>(dx, factor, x.size()); });
  call.back(dx, x);
  return call.result();
}

Result<void> relu(std::span<const float> x, std::span<float> y) {
  COVEY_CHECK(x.size() == y.size());
  Call call(x.size());
  float *dx = call.in(x), *dy = call.out();
  call.launch([&](unsigned blocks) { relu_kernel<<<blocks, kThreads>>>(dx, dy, x.size()); });
  call.back(dy, y);
  return call.result();
}

Result<void> relu_grad(std::span<const float> y, std::span<const float> dy, std::span<float> dx) {
  COVEY_CHECK(y.size() == dy.size() && y.size() == dx.size());
  Call call(y.size());
  float *ys = call.in(y), *dys = call.in(dy), *dxs = call.out();
  call.launch(
      [&](unsigned blocks) { relu_grad_kernel<<<blocks, kThreads>>>(ys, dys, dxs, y.size()); });
  call.back(dxs, dx);
  return call.result();
}

Result<void> sgd(std::span<float> p, std::span<const float> g, std::span<float> velocity,
                 SgdStep step) {
  const bool moving = step.momentum != 0;
  COVEY_CHECK(p.size() == g.size() && (!moving || p.size() == velocity.size()));
  Call call(p.size());
  float *dp = call.in(p), *dg = call.in(g), *dv = moving ? call.in(velocity) : nullptr;
  call.launch(
      [&](unsigned blocks) { sgd_kernel<<<blocks, kThreads>>>(dp, dg, dv, step, p.size()); });
  call.back(dp, p);
  if (moving) call.back(dv, velocity);
  return call.result();
}

Result<void> adamw(std::span<float> p, std::span<const float> g, std::span<float> m,
                   std::span<float> v, AdamWStep step) {
  COVEY_CHECK(p.size() == g.size() && p.size() == m.size() && p.size() == v.size());
  COVEY_CHECK(step.step >= 1);
  const double steps = static_cast<double>(step.step), rate = step.learning_rate;
  const AdamWFactors factors{
      static_cast<float>(1.0 - rate * step.weight_decay),
      step.beta1,
      step.beta2,
      static_cast<float>(rate / (1.0 - std::pow(double{step.beta1}, steps))),
      static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(double{step.beta2}, steps))),
      step.epsilon,
      step.gradient_scale};
  Call call(p.size());
  float *dp = call.in(p), *dg = call.in(g), *dm = call.in(m), *dv = call.in(v);
  call.launch([&](unsigned blocks) {
    adamw_kernel<<<blocks, kThreads>>>(dp, dg, dm, dv, factors, p.size());
  });
  call.back(dp, p);
  call.back(dm, m);
  call.back(dv, v);
  return call.result();
}

}  // namespace covey::cuda
