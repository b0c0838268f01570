#include "core/nn/generate.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace covey {
namespace {

constexpr std::size_t kByteValues = 256;

std::size_t likeliest(std::span<const float> logits) {
  return static_cast<std::size_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

std::size_t sample(std::span<const float> logits, double temperature, Random& random) {
  const std::size_t best = likeliest(logits);
  std::vector<double> weights(logits.size());
  double total = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const double difference = static_cast<double>(logits[i]) - static_cast<double>(logits[best]);
    total += weights[i] = std::exp(difference / temperature);
  }
  double left = random.uniform() * total;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    left -= weights[i];
    if (left < 0) return i;
  }
  return best;  // only if rounding ate the last weight, or the logits are not numbers
}

}  // namespace

std::string generate(Model& model, const ModelSpec& spec, std::string_view prompt,
                     std::size_t bytes, double temperature, Random random) {
  COVEY_CHECK(spec.family == ModelFamily::kTransformer && spec.vocabulary == kByteValues);
  std::string text(prompt.empty() ? std::string_view("\n") : prompt);
  const std::size_t start = text.size();
  std::vector<std::int32_t> tokens;
  while (text.size() - start < bytes) {
    const std::size_t length = std::min<std::size_t>(text.size(), spec.context);
    tokens.clear();
    for (const char c : std::string_view(text).substr(text.size() - length))
      tokens.push_back(static_cast<unsigned char>(c));
    const Minibatch batch{tensor_of(tokens, {1, static_cast<std::int64_t>(length)}), {}};
    const std::span<const float> logits = model.logits(batch).floats();
    const std::span<const float> last = logits.last(kByteValues);
    text += static_cast<char>(temperature > 0 ? sample(last, temperature, random) : likeliest(last));
  }
  return text.substr(start);
}

}  // namespace covey
