// What scores the whole catalogue for a user: contracts.features.SOURCES of a release (ensemble/steps/sources.py).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <variant>
#include <vector>

#include "embeddings.h"
#include "onnx.h"
#include "query.h"
#include "release.h"
#include "user_user.h"

namespace trireme {

/// Item-item neighbours: how much each item speaks for others.
class Neighbours {
 public:
  Neighbours(const Release& release, std::size_t items);

  /// The weights by which one item (code) names others, of the catalogue.
  std::vector<double> of(std::int64_t code) const;

  /// The sum of the weights by which taken items (codes) name an item, each as often as it counts.
  std::vector<double> scores(std::span<const std::int64_t> taken, std::span<const float> counts) const;

 private:
  std::size_t items_, width_;
  std::vector<std::uint32_t> neighbours_;  ///< padding is one behind the last item
  std::vector<float> weights_;
};

/// A source's scores of the catalogue, in the precision in which Python computes them; none where it knows nobody.
using SourceScores = std::variant<std::vector<float>, std::vector<double>>;

class Sources {
 public:
  Sources(const Release& release, std::size_t items, std::shared_ptr<const OnnxLibrary> onnx);

  const Embeddings& items() const { return embeddings_; }
  const Neighbours& neighbours() const { return neighbours_; }

  /// Of every request of a batch, by source.
  std::vector<std::array<SourceScores, std::size(sources)>> operator()(const Batch& batch) const;

 private:
  std::vector<float> query_embeddings(const Batch& batch) const;

  std::size_t items_;
  double half_items_;  ///< 0: histories do not fade
  OnnxGraph tower_;
  Embeddings embeddings_;
  Neighbours neighbours_;
  std::optional<Embeddings> factors_;
  std::optional<Alike> alike_;
};

}  // namespace trireme
