// Every candidate's calibrated probability (ensemble/steps/ranker.py).
#pragma once

#include <memory>

#include "onnx.h"
#include "query.h"
#include "ranker_features.h"
#include "release.h"

namespace trireme {

/// contracts.blending.calibrated: log-odds straight from knot to knot, as a probability.
double calibrated(double logit, const Blend& blend);

class Ranker {
 public:
  Ranker(const RankerFeatures& features, const Release& release, std::shared_ptr<const OnnxLibrary> onnx);

  /// Fill in the probabilities of a batch's candidates, all in one run of the graph.
  void operator()(const Batch& batch) const;

 private:
  const RankerFeatures& features_;
  OnnxGraph model_;
  const Blend blend_;
};

}  // namespace trireme
