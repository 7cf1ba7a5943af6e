#include "user_user.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "arrays.h"
#include "contracts.h"
#include "error.h"
#include "far_rows.h"
#include "stages.h"

namespace trireme {
namespace {

std::span<const std::uint32_t> row(const std::vector<std::uint32_t>& entries, const std::vector<std::int64_t>& starts,
                                   std::size_t n) {
  return std::span(entries).subspan(starts[n], starts[n + 1] - starts[n]);
}

}  // namespace

Alike::Alike(std::string_view npz, std::size_t items, std::size_t number) : number_(number), taker_starts_(items + 1) {
  auto arrays = read_npz(npz);
  users_ = arrays["users"].as<std::int64_t>();
  starts_ = arrays["starts"].as<std::int64_t>();
  auto taken = arrays["items"].as<std::int64_t>();
  bool whole = starts_.size() == users_.size() + 1 && starts_.front() == 0 &&
               std::is_sorted(starts_.begin(), starts_.end()) &&
               starts_.back() == static_cast<std::int64_t>(taken.size());
  for (auto item : taken) whole = whole && item >= 0 && item < static_cast<std::int64_t>(items);
  if (!whole) throw ArtifactError("expected whole histories of users in user_user.npz");
  taken_.assign(taken.begin(), taken.end());
  for (auto item : taken_) ++taker_starts_[item + 1];
  std::partial_sum(taker_starts_.begin(), taker_starts_.end(), taker_starts_.begin());
  takers_.resize(taken_.size());
  auto next = taker_starts_;
  for (std::size_t user = 0; user < users_.size(); ++user) {
    for (auto i = starts_[user]; i < starts_[user + 1]; ++i)
      takers_[next[taken_[i]]++] = static_cast<std::uint32_t>(user);
  }
}

void Alike::add(std::span<const std::int64_t> seen, std::int64_t own, Sums<1>& sums) const {
  During adding(Stage::users_alike);
  auto near = nearest(seen, own);
  auto took = [&](std::size_t n) { return row(taken_, starts_, near[n].user); };
  visit_rows(near.size(), took, [&](std::size_t n, auto item) { sums.add(item, near[n].similarity, {1}); });
}

/// By cosine; of equals the earlier.
std::vector<Alike::Near> Alike::nearest(std::span<const std::int64_t> seen, std::int64_t own) const {
  std::vector<std::uint32_t> shared(users_.size());
  auto takers = [&](std::size_t n) { return row(takers_, taker_starts_, seen[n] - first_value); };
  visit_rows(seen.size(), takers, [&](std::size_t, auto user) { ++shared[user]; });
  std::vector<Near> near;
  for (std::size_t user = 0; user < users_.size(); ++user) {
    if (shared[user] == 0 || users_[user] == own) continue;
    double size = static_cast<double>(starts_[user + 1] - starts_[user]);
    near.push_back({static_cast<double>(shared[user]) / std::sqrt(size * static_cast<double>(seen.size())), user});
  }
  auto closer = [](const Near& a, const Near& b) {
    return a.similarity != b.similarity ? a.similarity > b.similarity : a.user < b.user;
  };
  if (near.size() > number_) {
    std::nth_element(near.begin(), near.begin() + number_, near.end(), closer);
    near.resize(number_);
  }
  std::sort(near.begin(), near.end(), [](const Near& a, const Near& b) { return a.user < b.user; });
  return near;
}

}  // namespace trireme
