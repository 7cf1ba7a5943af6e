// Candidates: the best of each source, trending, co-visits and the running session's trending items, without what is
// blocked (ensemble/steps/retrieval.py).
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "covisits.h"
#include "popularity.h"
#include "query.h"
#include "release.h"
#include "signals.h"
#include "sources.h"
#include "tables.h"

namespace trireme {

/// What must not be answered, a byte an item: what is excluded, filtered or ruled out, not there (yet) and, if so set,
/// what is seen.
Mask blocked_items(const Tables& tables, const Popularity& popularity, const Passage& passage);

/// How much of the running session each category has, by category code: a session of n interactions counts n / (n + 1).
std::vector<double> session_weights(const Tables& tables, const Query& query);

class Retrieval {
 public:
  Retrieval(const Tables& tables, const Popularity& popularity, const Covisits& covisits, const Signals& signals,
            const Release& release, std::shared_ptr<const OnnxLibrary> onnx);

  /// Fill in the candidates of a batch.
  void operator()(const Batch& batch) const;

  const Sources& all_sources() const { return sources_; }

 private:
  std::vector<std::int32_t> chosen(const Passage& passage, const Scores& scores) const;
  std::vector<std::uint32_t> of_session(const Passage& passage, const Mask& blocked, const Demand& trending) const;
  void merge(Passage& passage, std::vector<std::int32_t> chosen, const Scores& scores) const;

  const Tables& tables_;
  const Popularity& popularity_;
  const Covisits& covisits_;
  const Signals& signals_;
  Sources sources_;
  SignalWeights weights_;
};

}  // namespace trireme
