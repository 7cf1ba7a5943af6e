#include "scores.h"

#include <cmath>

namespace trireme {

std::vector<float> standardised(std::span<const float> scores) {
  double sum = 0, squares = 0;
  std::size_t known = 0;
  for (float score : scores) {
    if (std::isfinite(score)) sum += score, ++known;
  }
  double number = std::max<double>(known, 1), mean = sum / number;
  for (float score : scores) {
    if (std::isfinite(score)) squares += (score - mean) * (score - mean);
  }
  double deviation = std::max(std::sqrt(squares / number), 1e-9);
  std::vector<float> out(scores.size());
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (std::isfinite(scores[i])) out[i] = static_cast<float>((scores[i] - mean) / deviation);
  }
  return out;
}

std::vector<float> log_of_greatest(std::span<const float> scores) {
  double greatest = 0;
  for (float score : scores) {
    if (std::isfinite(score)) greatest = std::max<double>(greatest, score);
  }
  std::vector<float> out(scores.size());
  if (greatest == 0) return out;
  for (std::size_t i = 0; i < out.size(); ++i) {
    double part = std::isfinite(scores[i]) ? scores[i] / std::max(greatest, 1e-30) : 0.0;
    out[i] = static_cast<float>(std::log(std::max(part, least_part)));
  }
  return out;
}

double decay(double hours, double half_life_hours) {
  return std::exp2(-hours / half_life_hours);
}

}  // namespace trireme
