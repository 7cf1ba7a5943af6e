// Candidates: two-tower, item-item, trending, co-visits and the running session's trending items, without what is
// blocked (ensemble/steps/retrieval.py).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "covisits.h"
#include "embeddings.h"
#include "onnx.h"
#include "popularity.h"
#include "query.h"
#include "release.h"
#include "tables.h"

namespace trireme {

/// What must not be answered: what is excluded, not there yet and, if so set, what is seen; a byte an item.
Mask blocked_items(const Tables& tables, const Popularity& popularity, const Passage& passage);

/// How much of the running session each category has, by category code: a session of n interactions counts n / (n + 1).
std::vector<double> session_weights(const Tables& tables, const Query& query);

/// contracts.blending.retrieval_score of candidates; `trend` is empty where it has no weight.
std::vector<double> merged_score(const Candidates& candidates, double similar_weight, double trend_weight,
                                 std::span<const double> trend);

/// Item-item neighbours: how much each item speaks for others.
class Neighbours {
 public:
  Neighbours(const Release& release, std::size_t items);

  /// The sum of the weights by which seen items (codes) name an item; -inf throughout without any.
  std::vector<double> scores(std::span<const std::int64_t> seen) const;

 private:
  std::size_t items_, width_;
  std::vector<std::uint32_t> neighbours_;  ///< padding is one behind the last item
  std::vector<float> weights_;
};

class Retrieval {
 public:
  Retrieval(const Tables& tables, const Popularity& popularity, const Covisits& covisits, const Release& release,
            std::shared_ptr<const OnnxLibrary> onnx);

  /// Fill in the candidates of a batch.
  void operator()(const Batch& batch) const;

 private:
  std::vector<float> query_embeddings(const Batch& batch) const;
  void find(Passage& passage, std::span<const float> two_tower) const;
  void choose_session(Passage& passage, const Mask& blocked, std::span<const double> trending, Mask& chosen) const;

  const Tables& tables_;
  const Popularity& popularity_;
  const Covisits& covisits_;
  OnnxGraph tower_;
  Embeddings embeddings_;
  Neighbours neighbours_;
};

}  // namespace trireme
