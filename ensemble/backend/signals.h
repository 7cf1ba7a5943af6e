// What retrieval knows of a candidate, by name: sources' scores within their request, and the trend
// (ensemble/steps/sources.py).
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "popularity.h"
#include "query.h"

namespace trireme {

/// One number a candidate, of a passage that has candidates.
using Column = std::vector<float>;
using Columns = std::map<std::string, std::function<Column(const Passage&)>>;

/// contracts.features.RETRIEVAL_SIGNALS.
class Signals {
 public:
  explicit Signals(const Popularity& popularity);

  const Columns& known() const { return known_; }

  /// contracts.blending.retrieval_score: the weighted sum of signals.
  std::vector<double> sum(const Passage& passage, const std::map<std::string, double>& weights) const;

  /// An ArtifactError when a weight is of no signal.
  void check(const std::map<std::string, double>& weights) const;

 private:
  Columns known_;
};

/// A catalogue vector at the candidates, each number changed.
template <class Change>
Column at_candidates(const Passage& passage, const Vector& values, Change change) {
  Column out;
  out.reserve(passage.candidates.ids.size());
  for (auto code : passage.candidates.ids) out.push_back(static_cast<float>(change((*values)[code - first_value])));
  return out;
}

}  // namespace trireme
