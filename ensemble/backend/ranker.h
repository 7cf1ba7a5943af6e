// Every candidate's calibrated probability (ensemble/steps/ranker.py).
#pragma once

#include <memory>
#include <optional>

#include "onnx.h"
#include "query.h"
#include "ranker_features.h"
#include "release.h"
#include "trees.h"

namespace trireme {

/// contracts.blending.calibrated: log-odds straight from knot to knot, as a probability.
double calibrated(double logit, const Blend& blend);

class Ranker {
 public:
  Ranker(const RankerFeatures& features, const Release& release, std::shared_ptr<const OnnxLibrary> onnx);

  /// Fill in the probabilities of a batch's candidates.
  void operator()(const Batch& batch) const;

 private:
  std::vector<float> logits(Passage& passage) const;
  std::vector<float> logits(const Batch& batch, std::size_t number) const;
  void calibrate(Passage& passage, const float* logit) const;

  const RankerFeatures& features_;
  std::optional<OnnxGraph> model_;
  std::optional<Trees> trees_;  ///< in the place of the graph, where a release has them
  const Blend blend_;
};

}  // namespace trireme
