// What scores the whole catalogue for a user: contracts.features.SOURCES of a release (ensemble/steps/sources.py).
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "embeddings.h"
#include "onnx.h"
#include "query.h"
#include "release.h"
#include "sums.h"
#include "user_user.h"

namespace trireme {

/// By place, what a whole history says and what it says as it fades.
using Histories = Sums<2>;

/// Item-item neighbours: how much each item speaks for others.
class Neighbours {
 public:
  Neighbours(const Release& release, std::size_t items);

  /// The weights by which one item (code) names others, of the catalogue.
  std::vector<double> of(std::int64_t code) const;

  /// Add up the weights by which taken items (codes) name an item: each once, and each as often as it counts by now.
  void add(std::span<const std::int64_t> taken, std::span<const float> fading, Histories& sums) const;

 private:
  std::size_t items_, width_;
  struct Neighbour {
    std::uint32_t place;  ///< padding is one behind the last item
    float weight;
  };
  std::vector<Neighbour> neighbours_;
};

/// Where one request's sums are made; made anew for none, for they are as long as the catalogue.
struct Workspace {
  explicit Workspace(std::size_t items) : similar(items), alike(items) {}

  Histories similar;
  Sums<1> alike;
};

class Scores;

class Sources {
 public:
  Sources(const Release& release, std::size_t items, std::shared_ptr<const OnnxLibrary> onnx);

  const Embeddings& items() const { return embeddings_; }
  const Neighbours& neighbours() const { return neighbours_; }

  /// The query tower's vectors of a batch, [batch, width].
  std::vector<float> queries(const Batch& batch) const;

 private:
  friend class Scores;

  std::unique_ptr<Workspace> take() const;
  void give_back(std::unique_ptr<Workspace> workspace) const;

  std::size_t items_;
  double half_items_;  ///< 0: histories do not fade
  OnnxGraph tower_;
  Embeddings embeddings_;
  Neighbours neighbours_;
  std::optional<Embeddings> factors_;
  std::optional<Alike> alike_;
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<Workspace>> free_;
};

/// What every source says to one request. Only the best are looked for in the whole catalogue.
class Scores {
 public:
  /// `embedding` is the request's of the query tower; all of them outlive this.
  Scores(const Sources& sources, const Query& query, std::span<const float> embedding);
  Scores(const Scores&) = delete;
  ~Scores();

  /// Places of a source's k best that are not blocked, best first; none where it knows nobody.
  std::vector<std::uint32_t> best(std::size_t source, const Mask& blocked, std::size_t k) const;

  /// A source's scores of some items (codes); -inf where it knows nobody.
  std::vector<float> of(std::size_t source, std::span<const std::int32_t> codes) const;

 private:
  bool knows(std::size_t source) const;
  std::span<const float> vector(std::size_t source) const;

  const Sources& sources_;
  const Query& query_;
  std::span<const float> embedding_;
  std::vector<float> factors_, fading_factors_;  ///< of the user, by ALS
  std::unique_ptr<Workspace> sums_;
};

}  // namespace trireme
