// What retrieval knows of a candidate: sources' scores within their request, and the trend (ensemble/steps/sources.py).
#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "popularity.h"
#include "query.h"

namespace trireme {

/// One number a candidate, of a passage that has candidates.
using Column = std::vector<float>;
using Columns = std::map<std::string, std::function<Column(const Passage&)>>;

/// contracts.features.RETRIEVAL_SIGNALS: two of every source, and the trend.
class Signals {
 public:
  explicit Signals(const Popularity& popularity) : popularity_(popularity) {}

  /// Fill in the signals of a passage's candidates.
  void operator()(Passage& passage) const;

  /// They as columns by name.
  static Columns known();

  /// Weights by signal, as `sum` takes them; an ArtifactError when one is of no signal.
  static SignalWeights weights(const std::map<std::string, double>& named);

  /// contracts.blending.retrieval_score: the weighted sum of a passage's signals.
  static std::vector<double> sum(const Candidates& candidates, const SignalWeights& weights);

 private:
  const Popularity& popularity_;
};

/// A catalogue vector at the candidates, each number changed.
template <class Values, class Change>
Column at_candidates(const Passage& passage, const std::shared_ptr<const Values>& values, Change change) {
  Column out;
  out.reserve(passage.candidates.ids.size());
  for (auto code : passage.candidates.ids) out.push_back(static_cast<float>(change((*values)[code - first_value])));
  return out;
}

}  // namespace trireme
