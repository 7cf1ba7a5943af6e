#include "sources.h"

#include <algorithm>
#include <limits>

#include "arrays.h"
#include "contracts.h"
#include "error.h"
#include "far_rows.h"
#include "stages.h"

namespace trireme {
namespace {

constexpr auto two_tower = source_place("two_tower"), similar = source_place("similar");
constexpr auto als = source_place("als"), user_user = source_place("user_user");
constexpr auto similar_recent = source_place("similar_recent"), als_recent = source_place("als_recent");

template <class Number>
void append(std::vector<Number>& all, const std::vector<Number>& more) {
  all.insert(all.end(), more.begin(), more.end());
}

/// How much each item counts in a history that fades: half when so many distinct items were taken since; 0: it does
/// not.
std::vector<float> faded(std::size_t items, double half_items) {
  std::vector<float> counts;
  for (std::size_t i = 0; i < items; ++i)
    counts.push_back(half_items == 0 ? 1 : static_cast<float>(decay(i, half_items)));
  return counts;
}

}  // namespace

Neighbours::Neighbours(const Release& release, std::size_t items) : items_(items) {
  auto table = read_npz(release.read("retrieval/1/item_item.npz"));
  const Array& array = table["neighbours"];
  auto codes = array.as<std::int64_t>();
  auto weights = table["weights"].as<float>();
  if (array.shape.size() != 2 || array.shape[0] != items || weights.size() != codes.size()) {
    throw ArtifactError("expected neighbours and weights of every item in item_item.npz");
  }
  width_ = array.shape[1];
  for (std::size_t i = 0; i < codes.size(); ++i) {
    bool known = codes[i] >= first_value && codes[i] < static_cast<std::int64_t>(items) + first_value;
    neighbours_.push_back({static_cast<std::uint32_t>(known ? codes[i] - first_value : items), weights[i]});
  }
}

std::vector<double> Neighbours::of(std::int64_t code) const {
  std::vector<double> out(items_ + 1);
  auto first = neighbours_.begin() + (code - first_value) * width_;
  std::for_each(first, first + width_, [&](const Neighbour& one) { out[one.place] += one.weight; });
  out.pop_back();
  return out;
}

void Neighbours::add(std::span<const std::int64_t> taken, std::span<const float> fading, Histories& sums) const {
  During adding(Stage::neighbours);
  auto row = [&](std::size_t n) { return std::span(&neighbours_[(taken[n] - first_value) * width_], width_); };
  visit_rows(taken.size(), row,
             [&](std::size_t n, const Neighbour& one) { sums.add(one.place, one.weight, {1, fading[n]}); });
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

std::vector<float> Sources::queries(const Batch& batch) const {
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

std::unique_ptr<Workspace> Sources::take() const {
  std::lock_guard lock(mutex_);
  if (free_.empty()) return std::make_unique<Workspace>(items_);
  auto workspace = std::move(free_.back());
  free_.pop_back();
  return workspace;
}

void Sources::give_back(std::unique_ptr<Workspace> workspace) const {
  workspace->similar.clear();
  workspace->alike.clear();
  std::lock_guard lock(mutex_);
  free_.push_back(std::move(workspace));
}

Scores::Scores(const Sources& sources, const Query& query, std::span<const float> embedding)
    : sources_(sources), query_(query), embedding_(embedding), sums_(sources.take()) {
  const auto& seen = query.seen_items;
  if (seen.empty()) return;  // all but the two-tower know a user by what he has seen
  auto fading = faded(seen.size(), sources.half_items_);
  sources.neighbours_.add(seen, fading, sums_->similar);
  if (sources.alike_) sources.alike_->add(seen, query.user_codes.front(), sums_->alike);
  if (!sources.factors_) return;
  factors_ = sources.factors_->sum(seen, std::vector<float>(seen.size(), 1));
  fading_factors_ = sources.factors_->sum(seen, fading);
}

Scores::~Scores() {
  sources_.give_back(std::move(sums_));
}

std::vector<std::uint32_t> Scores::best(std::size_t source, const Mask& blocked, std::size_t k) const {
  if (k == 0 || !knows(source)) return {};
  if (source == similar) return sums_->similar.best(0, blocked, k);
  if (source == user_user) return sums_->alike.best(0, blocked, k);
  const Embeddings& items = source == two_tower ? sources_.embeddings_ : *sources_.factors_;
  return items.best(vector(source), blocked, k);
}

std::vector<float> Scores::of(std::size_t source, std::span<const std::int32_t> codes) const {
  if (!knows(source)) return std::vector<float>(codes.size(), -std::numeric_limits<float>::infinity());
  if (source == two_tower) return sources_.embeddings_.scores(embedding_, codes);
  if (source == als || source == als_recent) return sources_.factors_->scores(vector(source), codes);
  std::vector<float> out;
  for (auto code : codes) {
    std::size_t place = code - first_value;
    double sum = source == user_user ? sums_->alike.at(place, 0) : sums_->similar.at(place, source == similar_recent);
    out.push_back(static_cast<float>(sum));
  }
  return out;
}

bool Scores::knows(std::size_t source) const {
  static_assert(std::size(sources) == 6, "a source without its scores would be one that knows nobody");
  if (source == two_tower) return true;
  if (query_.seen_items.empty()) return false;
  if ((source == similar_recent || source == als_recent) && sources_.half_items_ == 0) return false;
  if (source == als || source == als_recent) return sources_.factors_.has_value();
  return source != user_user || sources_.alike_.has_value();
}

std::span<const float> Scores::vector(std::size_t source) const {
  return source == two_tower ? embedding_ : source == als ? factors_ : fading_factors_;
}

}  // namespace trireme
