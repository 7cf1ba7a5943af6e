#include "embeddings.h"

#include <numeric>

#include "arrays.h"
#include "contracts.h"
#include "error.h"
#include "stages.h"

namespace trireme {
Embeddings::Embeddings(std::string_view npy, std::size_t items) : items_(items) {
  Array array = read_npy(npy);
  if (array.shape.size() != 2 || array.shape[0] != items) throw ArtifactError("expected a vector for every item");
  width_ = array.shape[1];
  rows_ = array.as<float>();
  nearest_ = Nearest(rows_, width_);
}

std::span<const float> Embeddings::row(std::int64_t code) const {
  return {rows_.data() + (code - first_value) * width_, width_};
}

std::vector<float> Embeddings::sum(std::span<const std::int64_t> codes, std::span<const float> counts) const {
  std::vector<float> out(width_);
  for (std::size_t n = 0; n < codes.size(); ++n) {
    const float* row = rows_.data() + (codes[n] - first_value) * width_;
    for (std::size_t i = 0; i < width_; ++i) out[i] += counts[n] * row[i];
  }
  return out;
}

std::vector<float> Embeddings::scores(const std::vector<float>& query) const {
  During multiplying(Stage::dot_products);
  std::vector<std::uint32_t> places(items_);
  std::iota(places.begin(), places.end(), 0);
  std::vector<float> out(items_);
  dot_products(query, rows_.data(), places, out.data());
  return out;
}

std::vector<float> Embeddings::scores(std::span<const float> query, std::span<const std::int32_t> codes) const {
  During multiplying(Stage::dot_products);
  std::vector<std::uint32_t> places;
  for (auto code : codes) places.push_back(static_cast<std::uint32_t>(code - first_value));
  std::vector<float> out(places.size());
  dot_products(query, rows_.data(), places, out.data());
  return out;
}

std::vector<std::uint32_t> Embeddings::best(std::span<const float> query, const Mask& blocked, std::size_t k) const {
  During multiplying(Stage::dot_products);
  return nearest_.best(query, blocked, k);
}

}  // namespace trireme
