#include "leading.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "lanes.h"

namespace trireme {
namespace {

constexpr std::size_t most_leading = 16;
constexpr float most_byte = 127;
/// Rows that the axes are found from.
constexpr std::size_t sample = 1 << 14;
/// More than whatever float32 rounds, of the whole.
constexpr float margin = 1e-4f;

using Matrix = std::vector<double>;  // [n, n]

float length(std::span<const float> numbers) {
  double squares = 0;
  for (float number : numbers) squares += double{number} * number;
  return static_cast<float>(std::sqrt(squares));
}

float greatest(std::span<const float> numbers) {
  float out = 0;
  for (float number : numbers) out = std::max(out, std::abs(number));
  return out;
}

/// Turn the axes p and q so that they have nothing in common; `turned` is told (Golub and Van Loan, 8.5).
void part(Matrix& matrix, Matrix& turned, std::size_t n, std::size_t p, std::size_t q) {
  double common = matrix[p * n + q];
  if (common == 0) return;
  double ratio = (matrix[q * n + q] - matrix[p * n + p]) / (2 * common);
  double tangent = (ratio < 0 ? -1 : 1) / (std::abs(ratio) + std::hypot(ratio, 1));
  double cosine = 1 / std::hypot(tangent, 1), sine = tangent * cosine;
  auto mix = [&](double& a, double& b) {
    double before = a;
    a = cosine * before - sine * b;
    b = sine * before + cosine * b;
  };
  for (std::size_t i = 0; i < n; ++i) mix(matrix[i * n + p], matrix[i * n + q]);
  for (std::size_t i = 0; i < n; ++i) mix(matrix[p * n + i], matrix[q * n + i]);
  for (std::size_t i = 0; i < n; ++i) mix(turned[p * n + i], turned[q * n + i]);
}

/// Rows of length 1 at right angles, those along which a sample of the vectors is longest first (Jacobi's method). Any
/// such axes are right; these keep most away.
Matrix principal_axes(std::span<const float> rows, std::size_t n) {
  Matrix matrix(n * n), turned(n * n);
  std::size_t items = rows.size() / n, step = std::max<std::size_t>(1, items / sample);
  for (std::size_t item = 0; item < items; item += step) {
    const float* row = rows.data() + item * n;
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < n; ++j) matrix[i * n + j] += double{row[i]} * row[j];
    }
  }
  for (std::size_t i = 0; i < n; ++i) turned[i * n + i] = 1;
  for (int sweep = 0; sweep < 12; ++sweep) {
    for (std::size_t p = 0; p + 1 < n; ++p) {
      for (std::size_t q = p + 1; q < n; ++q) part(matrix, turned, n, p, q);
    }
  }
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](auto a, auto b) { return matrix[a * n + a] > matrix[b * n + b]; });
  Matrix out;
  for (auto axis : order) out.insert(out.end(), turned.begin() + axis * n, turned.begin() + (axis + 1) * n);
  return out;
}

}  // namespace

Leading::Leading(std::span<const float> rows, std::size_t width)
    : width_(width),
      number_(std::min(width, most_leading)),
      bytes_(rows.size() / width * number_),
      scales_(rows.size() / width),
      rests_(scales_.size()) {
  Matrix axes = principal_axes(rows, width);
  axes_.assign(axes.begin(), axes.begin() + number_ * width);
  std::vector<float> leading(number_);
  for (std::size_t i = 0; i < scales_.size(); ++i) {
    rests_[i] = turn(rows.subspan(i * width, width), leading);
    scales_[i] = greatest(leading) / most_byte;
    for (std::size_t j = 0; j < number_ && scales_[i] > 0; ++j) {
      bytes_[i * number_ + j] = static_cast<std::int8_t>(std::lround(leading[j] / scales_[i]));
    }
  }
}

TRIREME_WIDE float Leading::turn(std::span<const float> vector, std::span<float> leading) const {
  for (std::size_t j = 0; j < number_; ++j) {
    const float* axis = axes_.data() + j * width_;
    Lanes sums = {};
    std::size_t i = 0;
    for (; i + lanes <= width_; i += lanes) {
      sums += *reinterpret_cast<const Lanes*>(vector.data() + i) * *reinterpret_cast<const Lanes*>(axis + i);
    }
    float sum = ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
    for (; i < width_; ++i) sum += vector[i] * axis[i];
    leading[j] = sum;
  }
  double whole = length(vector), held = length(leading);
  double left = std::max(0.0, whole * whole - held * held);
  return static_cast<float>(std::sqrt(left) + margin * whole);
}

/// By Cauchy and Schwarz, of what leads, of what rounding takes from it (half a step a number at most), and of the
/// rest.
Leading::Query Leading::turned(std::span<const float> query) const {
  std::vector<float> leading(number_);
  Query out;
  out.rest = turn(query, leading);
  auto number = static_cast<float>(number_);
  float steps = std::min(32767.f, std::floor(1e9f / (most_byte * number)));
  out.scale = greatest(leading) / steps;
  for (float one : leading) {
    out.numbers.push_back(out.scale > 0 ? static_cast<std::int16_t>(std::lround(one / out.scale)) : 0);
  }
  float root = std::sqrt(number), whole = length(query);
  out.error = .5f * root * whole + .5f * out.scale * most_byte * number + margin * most_byte * root * whole;
  return out;
}

TRIREME_WIDE void Leading::bound(const Query& query, std::size_t first, std::size_t last, float* most) const {
  const std::int16_t* numbers = query.numbers.data();
  auto each = [&](std::size_t number) {
    for (std::size_t i = first; i < last; ++i) {
      const std::int8_t* row = bytes_.data() + i * number;
      std::int32_t sum = 0;
      for (std::size_t j = 0; j < number; ++j) sum += static_cast<std::int16_t>(row[j]) * numbers[j];
      *most++ = scales_[i] * (static_cast<float>(sum) * query.scale + query.error) + rests_[i] * query.rest;
    }
  };
  if (number_ == most_leading) return each(most_leading);  // a length that is known is unrolled
  each(number_);
}

}  // namespace trireme
