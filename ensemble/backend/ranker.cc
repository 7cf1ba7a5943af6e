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
    : features_(features), blend_(release.blend) {
  if (std::string file = "ranker/1/trees.npz"; release.has(file)) {
    trees_.emplace(release.read(file), features.continuous_width());
  } else {
    model_.emplace(onnx, release.read("ranker/1/ranker.onnx"));
  }
}

void Ranker::operator()(const Batch& batch) const {
  if (trees_) {
    for (Passage* passage : batch) calibrate(*passage, logits(*passage).data());
    return;
  }
  std::size_t number = 0;
  for (const Passage* passage : batch) number += passage->candidates.ids.size();
  if (number == 0) return;
  auto all = logits(batch, number);
  const float* next = all.data();
  for (Passage* passage : batch) {
    calibrate(*passage, next);
    next += passage->candidates.ids.size();
  }
}

/// By trees, of one passage: more at once would not be faster.
std::vector<float> Ranker::logits(Passage& passage) const {
  During describing(Stage::ranker_features);
  auto tiles = features_.tiles(passage, Trees::together);
  During ranking(Stage::ranker);
  std::size_t number = tiles.size() / (Trees::together * features_.continuous_width());
  std::vector<float> out(number * Trees::together);
  trees_->sum(tiles.data(), number, out.data());
  passage.inputs = {std::move(tiles), Trees::together};
  return out;
}

/// By the graph, of a batch's candidates in one run.
std::vector<float> Ranker::logits(const Batch& batch, std::size_t number) const {
  During describing(Stage::ranker_features);
  std::size_t width = features_.continuous_width();
  std::vector<std::int64_t> codes;
  std::vector<float> numbers(number * width);
  auto row = numbers.begin();
  for (Passage* passage : batch) {
    features_.append_codes(*passage, codes);
    std::size_t rows = passage->candidates.ids.size();
    auto columns = features_.tiles(*passage, std::max<std::size_t>(rows, 1));
    for (std::size_t i = 0; i < rows; ++i) {
      for (std::size_t j = 0; j < width; ++j) *row++ = columns[j * rows + i];
    }
    passage->inputs = {std::move(columns), rows};
  }
  During ranking(Stage::ranker);
  auto shape = [&](std::size_t columns) {
    return std::vector{static_cast<std::int64_t>(number), static_cast<std::int64_t>(columns)};
  };
  return model_->run({{"categorical", shape(features_.categorical_width()), &codes, nullptr},
                      {"continuous", shape(width), nullptr, &numbers}},
                     "logit", number);
}

void Ranker::calibrate(Passage& passage, const float* logit) const {
  During ranking(Stage::ranker);
  for (float& probability : passage.ranked) probability = static_cast<float>(calibrated(*logit++, blend_));
}

}  // namespace trireme
