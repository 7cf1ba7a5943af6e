// Score arithmetic that several steps need: exact top-k, and scores against the others of a request (steps/scores.py).
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "contracts.h"

namespace trireme {

/// What must not be taken, one byte a place.
using Mask = std::vector<std::uint8_t>;

/// Scores less their mean over their deviation; 0 where a score is not finite.
std::vector<float> standardised(std::span<const float> scores);

/// Log of each score over the greatest, no less than that of `least_part`; 0 for all where none has a score.
std::vector<float> log_of_greatest(std::span<const float> scores);

/// exp2 of minus so many half-lives.
double decay(double hours, double half_life_hours);

/// The places at which a threshold that a sample suggests is passed; all that may be taken when fewer than `k` pass.
template <class Score>
std::vector<std::uint32_t> likely(std::span<const Score> scores, const Mask& blocked, std::size_t k) {
  auto may_be_taken = [&](std::size_t i) { return !blocked[i] && scores[i] > -std::numeric_limits<Score>::infinity(); };
  std::vector<Score> sample;
  for (std::size_t i = 0; i < scores.size(); i += score_stride) {
    if (may_be_taken(i)) sample.push_back(scores[i]);
  }
  std::size_t wanted = 2 * k / score_stride + 8;
  Score threshold = -std::numeric_limits<Score>::infinity();
  if (wanted < sample.size()) {
    std::nth_element(sample.begin(), sample.begin() + wanted, sample.end(), std::greater());
    threshold = sample[wanted];
  }
  std::vector<std::uint32_t> passing;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (scores[i] >= threshold && may_be_taken(i)) passing.push_back(static_cast<std::uint32_t>(i));
  }
  if (passing.size() >= k || threshold == -std::numeric_limits<Score>::infinity()) return passing;
  passing.clear();
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (may_be_taken(i)) passing.push_back(static_cast<std::uint32_t>(i));
  }
  return passing;
}

/// Places of the k best, best first; of equals the smaller place. What is blocked, -inf or NaN is never taken.
template <class Score>
std::vector<std::uint32_t> top_k(std::span<const Score> scores, const Mask& blocked, std::size_t k) {
  auto places = likely(scores, blocked, k);
  auto better = [&](std::uint32_t a, std::uint32_t b) {
    return scores[a] != scores[b] ? scores[a] > scores[b] : a < b;
  };
  std::size_t number = std::min(k, places.size());
  std::partial_sort(places.begin(), places.begin() + number, places.end(), better);
  places.resize(number);
  return places;
}

}  // namespace trireme
