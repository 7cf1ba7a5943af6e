#include "sources.h"

#include "arrays.h"
#include "contracts.h"
#include "error.h"
#include "scores.h"
#include "stages.h"

namespace trireme {
namespace {

template <class Number>
void append(std::vector<Number>& all, const std::vector<Number>& more) {
  all.insert(all.end(), more.begin(), more.end());
}

/// How much each item counts in a history that fades: half when so many distinct items were taken since.
std::vector<float> faded(std::size_t items, double half_items) {
  std::vector<float> counts;
  for (std::size_t i = 0; i < items; ++i) counts.push_back(static_cast<float>(decay(i, half_items)));
  return counts;
}

}  // namespace

Neighbours::Neighbours(const Release& release, std::size_t items) : items_(items) {
  auto table = read_npz(release.read("retrieval/1/item_item.npz"));
  const Array& codes = table["neighbours"];
  weights_ = table["weights"].as<float>();
  if (codes.shape.size() != 2 || codes.shape[0] != items || weights_.size() != codes.size()) {
    throw ArtifactError("expected neighbours and weights of every item in item_item.npz");
  }
  width_ = codes.shape[1];
  for (auto code : codes.as<std::int64_t>()) {
    bool known = code >= first_value && code < static_cast<std::int64_t>(items) + first_value;
    neighbours_.push_back(static_cast<std::uint32_t>(known ? code - first_value : items));
  }
}

std::vector<double> Neighbours::scores(std::span<const std::int64_t> taken, std::span<const float> counts) const {
  During adding(Stage::neighbours);
  std::vector<double> out(items_ + 1);
  for (std::size_t n = 0; n < taken.size(); ++n) {
    std::size_t start = (taken[n] - first_value) * width_;
    for (std::size_t i = start; i < start + width_; ++i) out[neighbours_[i]] += double{weights_[i]} * counts[n];
  }
  out.pop_back();
  return out;
}

std::vector<double> Neighbours::of(std::int64_t code) const {
  constexpr float once = 1;
  return scores(std::span(&code, 1), std::span(&once, 1));
}

Sources::Sources(const Release& release, std::size_t items, std::shared_ptr<const OnnxLibrary> onnx)
    : items_(items),
      half_items_(release.serve.history_half_items),
      tower_(onnx, release.read("retrieval/1/query_tower.onnx")),
      embeddings_(release.read("retrieval/1/item_embeddings.npy"), items),
      neighbours_(release, items) {
  if (std::string file = "retrieval/1/als.npy"; release.has(file)) factors_.emplace(release.read(file), items);
  if (std::string file = "retrieval/1/user_user.npz"; release.has(file)) {
    alike_.emplace(release.read(file), items, release.serve.user_user_neighbours);
  }
}

/// In the order of contracts.features.SOURCES.
std::vector<std::array<SourceScores, std::size(sources)>> Sources::operator()(const Batch& batch) const {
  constexpr auto two_tower = source_place("two_tower"), similar = source_place("similar");
  constexpr auto als = source_place("als"), user_user = source_place("user_user");
  constexpr auto similar_recent = source_place("similar_recent"), als_recent = source_place("als_recent");
  static_assert(std::size(sources) == 6, "a source without its scores would be one that knows nobody");
  auto cosines = embeddings_.scores(query_embeddings(batch), batch.size());
  std::vector<std::array<SourceScores, std::size(sources)>> out(batch.size());
  for (std::size_t i = 0; i < batch.size(); ++i) {
    const Query& query = batch[i]->query;
    out[i][two_tower] = std::vector<float>(cosines.begin() + i * items_, cosines.begin() + (i + 1) * items_);
    if (query.seen_items.empty()) continue;  // the others know a user by what he has seen
    std::vector<float> whole(query.seen_items.size(), 1);
    out[i][similar] = neighbours_.scores(query.seen_items, whole);
    if (factors_) out[i][als] = factors_->scores(factors_->sum(query.seen_items, whole), 1);
    if (alike_) out[i][user_user] = alike_->scores(query.seen_items, query.user_codes.front());
    if (half_items_ == 0) continue;
    auto fading = faded(query.seen_items.size(), half_items_);
    out[i][similar_recent] = neighbours_.scores(query.seen_items, fading);
    if (factors_) out[i][als_recent] = factors_->scores(factors_->sum(query.seen_items, fading), 1);
  }
  return out;
}

std::vector<float> Sources::query_embeddings(const Batch& batch) const {
  During asking(Stage::query_tower);
  std::vector<std::int64_t> codes, recent;
  std::vector<float> weights;
  for (const Passage* passage : batch) {
    append(codes, passage->query.user_codes);
    append(recent, passage->query.recent_items);
    append(weights, passage->query.recent_weights);
  }
  auto rows = static_cast<std::int64_t>(batch.size());
  auto shape = [&](std::size_t numbers) { return std::vector{rows, static_cast<std::int64_t>(numbers) / rows}; };
  return tower_.run({{"user_codes", shape(codes.size()), &codes, nullptr},
                     {"recent_items", shape(recent.size()), &recent, nullptr},
                     {"recent_weights", shape(weights.size()), nullptr, &weights}},
                    "query_embedding", batch.size() * embeddings_.width());
}

}  // namespace trireme
