// What passes between steps: the request on its way, what is known of its user, and what was found.
#pragma once

#include <array>
#include <cstdint>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "request.h"
#include "scores.h"
#include "shelf.h"

namespace trireme {

/// Where a source is in contracts.features.SOURCES, known when this is compiled.
consteval std::size_t source_place(std::string_view name) {
  for (std::size_t i = 0; i < std::size(sources); ++i) {
    if (name == sources[i]) return i;
  }
  throw "no such source";
}

/// ensemble.steps.envelope.Envelope: one request under way.
struct Envelope {
  std::string user_id, region, request_id, variant;
  int k = default_k;
  std::int64_t as_of = 0;              ///< the instant for which features and trends hold, ms
  std::int64_t deadline = 0;           ///< wall clock by which a step must have started, ms
  std::vector<std::int64_t> excluded;  ///< item codes that must not be answered
  Filter filter;
  double diversity = 0;       ///< how unlike the items of the list are to be, from 0 to 1
  std::int64_t evidence = 0;  ///< the user's interactions ever
  std::int64_t session_dwell_ms = 0, feature_age_ms = -1;
  std::vector<std::pair<std::string, std::string>> skipped;  ///< (stage, reason)
};

/// ensemble.steps.arrays.Query of one request.
struct Query {
  std::vector<std::int64_t> user_codes, recent_items;  ///< recent items newest first, padded with 0
  std::vector<float> recent_weights;                   ///< 0 where padded
  std::vector<std::int64_t> seen_items;                ///< distinct catalogue items, newest first, without padding
  std::vector<float> category_counts;                  ///< [half-lives, categories], decayed
};

/// contracts.features.RETRIEVAL_SIGNALS by place: two of every source, and the trend.
constexpr std::size_t score_signal(std::size_t source) {
  return 2 * source;
}
constexpr std::size_t log_signal(std::size_t source) {
  return 2 * source + 1;
}
inline constexpr std::size_t trend_signal = 2 * std::size(sources), signal_count = trend_signal + 1;

/// Weights of signals by their place.
using SignalWeights = std::vector<std::pair<std::size_t, double>>;

/// ensemble.steps.arrays.Candidates of one request, best first, without padding.
struct Candidates {
  std::vector<std::int32_t> ids;                              ///< item codes
  std::array<std::vector<float>, std::size(sources)> scores;  ///< by contracts.features.SOURCES; -inf: it has none
  std::array<std::vector<float>, signal_count> signals;
};

/// The numbers that the ranker was given for the candidates of one request, in tiles: [tiles, columns, rows].
struct RankerInputs {
  std::vector<float> tiles;  ///< none when ranking was skipped
  std::size_t rows = 1;
};

/// One request on its way through the steps, each of which fills in its part.
struct Passage {
  Envelope envelope;
  Query query;
  Candidates candidates;               ///< none when retrieval was skipped
  std::vector<float> ranked;           ///< calibrated probabilities of the candidates; NaN where ranking was skipped
  std::shared_ptr<const Shelf> shelf;  ///< what may be listed, the same at every step
  RankerInputs inputs = {};
};

/// Requests that pass a step together.
using Batch = std::vector<Passage*>;

}  // namespace trireme
