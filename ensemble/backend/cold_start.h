// The last step: ranking, trending and the running session blended by what is known of the user, and the answer, always
// (ensemble/steps/blend.py).
#pragma once

#include <vector>

#include "answer.h"
#include "embeddings.h"
#include "listed.h"
#include "popularity.h"
#include "query.h"
#include "release.h"
#include "signals.h"
#include "tables.h"

namespace trireme {

class ColdStart {
 public:
  /// `vectors` of the two-tower's items say how alike two of them are.
  ColdStart(const Tables& tables, const Popularity& popularity, const Blend& blend, const Embeddings& vectors);

  /// Without a ranker the order is retrieval's, without candidates it is trending; a std::runtime_error when a score is
  /// no number.
  Answer operator()(const Passage& passage) const;

 private:
  std::vector<double> personal(const Passage& passage, const Column& two_tower) const;
  Listed listed(const Passage& passage, const Demand& trending) const;
  std::vector<std::uint32_t> best(const Passage& passage, const std::vector<double>& final) const;

  const Tables& tables_;
  const Popularity& popularity_;
  const Blend blend_;
  const SignalWeights weights_;
  const Embeddings& vectors_;
};

}  // namespace trireme
