#include "embeddings.h"

#include <algorithm>

#include "arrays.h"
#include "contracts.h"
#include "error.h"
#include "lanes.h"
#include "stages.h"

namespace trireme {
namespace {

/// Items that stay in the first cache while every query passes over them: 64 rows of 64 floats are 16 KiB.
constexpr std::size_t block = 64;

/// [queries, items] = queries [number, width] times items [items, width], transposed.
TRIREME_WIDE void dot_products(const float* queries, std::size_t number, const float* rows, std::size_t items,
                               std::size_t width, float* out) {
  for (std::size_t start = 0; start < items; start += block) {
    std::size_t end = std::min(start + block, items);
    for (std::size_t q = 0; q < number; ++q) {
      const float* query = queries + q * width;
      for (std::size_t item = start; item < end; ++item) {
        const float* row = rows + item * width;
        Lanes sums = {};
        std::size_t i = 0;
        for (; i + lanes <= width; i += lanes) {
          sums += *reinterpret_cast<const Lanes*>(query + i) * *reinterpret_cast<const Lanes*>(row + i);
        }
        float sum = ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
        for (; i < width; ++i) sum += query[i] * row[i];
        out[q * items + item] = sum;
      }
    }
  }
}

}  // namespace

Embeddings::Embeddings(std::string_view npy, std::size_t items) : items_(items) {
  Array array = read_npy(npy);
  if (array.shape.size() != 2 || array.shape[0] != items) throw ArtifactError("expected a vector for every item");
  width_ = array.shape[1];
  rows_ = array.as<float>();
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

std::vector<float> Embeddings::scores(const std::vector<float>& queries, std::size_t number) const {
  During multiplying(Stage::dot_products);
  std::vector<float> out(number * items_);
  dot_products(queries.data(), number, rows_.data(), items_, width_, out.data());
  return out;
}

}  // namespace trireme
