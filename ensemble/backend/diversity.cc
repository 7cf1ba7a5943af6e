#include "diversity.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "contracts.h"

namespace trireme {
namespace {

double dot(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += double{a[i]} * b[i];
  return sum;
}

}  // namespace

std::vector<std::size_t> spread_out(const std::vector<std::span<const float>>& vectors, std::size_t k,
                                    double diversity) {
  constexpr double none = -std::numeric_limits<double>::infinity();
  std::size_t number = vectors.size();
  std::vector<double> lengths;
  for (auto vector : vectors) lengths.push_back(std::max(std::sqrt(dot(vector, vector)), least_length));
  std::vector<double> nearest(number, none);  // the greatest similarity to what is listed
  std::vector<std::uint8_t> taken(number);
  std::vector<std::size_t> chosen;
  while (chosen.size() < std::min(k, number)) {
    std::size_t best = 0;
    double most = none;
    for (std::size_t i = 0; i < number; ++i) {
      double relevance = 1 - static_cast<double>(i) / static_cast<double>(number);
      double gain = chosen.empty() ? relevance : (1 - diversity) * relevance - diversity * nearest[i];
      if (!taken[i] && gain > most) best = i, most = gain;
    }
    taken[best] = 1;
    chosen.push_back(best);
    for (std::size_t i = 0; i < number; ++i) {
      nearest[i] = std::max(nearest[i], dot(vectors[i], vectors[best]) / (lengths[i] * lengths[best]));
    }
  }
  return chosen;
}

}  // namespace trireme
