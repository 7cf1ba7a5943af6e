#include "ranker.h"

#include <algorithm>
#include <cmath>

#include "stages.h"

namespace trireme {

double calibrated(double logit, const Blend& blend) {
  const auto &at = blend.logit, &odds = blend.log_odds;
  auto above = std::lower_bound(at.begin(), at.end(), logit) - at.begin();
  auto piece = std::clamp<std::ptrdiff_t>(above, 1, static_cast<std::ptrdiff_t>(at.size()) - 1);
  double slope = (odds[piece] - odds[piece - 1]) / (at[piece] - at[piece - 1]);
  return 1 / (1 + std::exp(-(odds[piece - 1] + slope * (logit - at[piece - 1]))));
}

Ranker::Ranker(const RankerFeatures& features, const Release& release, std::shared_ptr<const OnnxLibrary> onnx)
    : features_(features), model_(onnx, release.read("ranker/1/ranker.onnx")), blend_(release.blend) {}

void Ranker::operator()(const Batch& batch) const {
  During describing(Stage::ranker_features);
  auto inputs = std::make_shared<RankerInputs>();
  std::size_t number = 0;
  for (const Passage* passage : batch) {
    features_.append(*passage, inputs->categorical, inputs->continuous);
    number += passage->candidates.ids.size();
  }
  if (number == 0) return;
  During ranking(Stage::ranker);
  auto rows = static_cast<std::int64_t>(number);
  auto width = [](std::size_t columns) { return static_cast<std::int64_t>(columns); };
  auto logits = model_.run({{"categorical", {rows, width(features_.categorical_width())}, &inputs->categorical, nullptr},
                            {"continuous", {rows, width(features_.continuous_width())}, nullptr, &inputs->continuous}},
                           "logit", number);
  auto logit = logits.begin();
  for (Passage* passage : batch) {
    passage->inputs = inputs;
    passage->first_input = static_cast<std::size_t>(logit - logits.begin());
    for (std::size_t i = 0; i < passage->candidates.ids.size(); ++i) {
      passage->ranked[i] = static_cast<float>(calibrated(*logit++, blend_));
    }
  }
}

}  // namespace trireme
