// The last step: ranking, trending and the running session blended by what is known of the user, and the answer, always
// (ensemble/steps/blend.py).
#pragma once

#include <vector>

#include "answer.h"
#include "popularity.h"
#include "query.h"
#include "release.h"
#include "signals.h"
#include "tables.h"

namespace trireme {

class ColdStart {
 public:
  ColdStart(const Tables& tables, const Popularity& popularity, const Blend& blend);

  /// Without a ranker the order is retrieval's, without candidates it is trending; a std::runtime_error when a score is
  /// no number.
  Answer operator()(const Passage& passage) const;

 private:
  /// Items of an answer in the making.
  struct Listed {
    std::vector<std::int64_t> codes;
    std::vector<double> scores;
    std::vector<const char*> sources;
  };

  std::vector<double> personal(const Passage& passage, const Column& two_tower) const;
  Listed listed(const Passage& passage, const std::vector<double>& trending) const;
  void fill(Listed& listed, const Passage& passage, const std::vector<double>& trending) const;

  const Tables& tables_;
  const Popularity& popularity_;
  const Blend blend_;
  const SignalWeights weights_;
};

}  // namespace trireme
