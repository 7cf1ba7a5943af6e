#include "demand.h"

#include <algorithm>
#include <numeric>

namespace trireme {
namespace {

/// Places that a list keeps in order: more than are asked for, seen and excluded by nearly every request.
constexpr std::size_t most_first = 4096;

/// The first of some places by a number, best first; of equals the smaller place.
template <class Number>
std::vector<std::uint32_t> sorted(std::vector<std::uint32_t> places, Number number) {
  auto better = [&](auto a, auto b) { return std::pair(-number(a), a) < std::pair(-number(b), b); };
  auto end = places.begin() + std::min(most_first, places.size());
  std::partial_sort(places.begin(), end, places.end(), better);
  places.erase(end, places.end());
  return places;
}

}  // namespace

Ranks::Ranks(std::vector<double> held)
    : counts(std::move(held)), whole(std::accumulate(counts.begin(), counts.end(), 0.0)) {
  std::vector<std::uint32_t> places(counts.size());
  std::iota(places.begin(), places.end(), 0);
  best = sorted(std::move(places), [&](auto place) { return counts[place]; });
}

/// What is first in a region is first among all, or is its own.
Demand::Demand(std::shared_ptr<const Ranks> all, Own own, double scale)
    : all_(std::move(all)), own_(std::move(own)), scale_(scale) {
  if (own_.empty()) {
    first_ = all_->best;
  } else {
    std::vector<std::uint32_t> places = all_->best;
    for (const auto& [place, number] : own_) places.push_back(place);
    std::sort(places.begin(), places.end());
    places.erase(std::unique(places.begin(), places.end()), places.end());
    first_ = sorted(std::move(places), [this](auto place) { return count(place); });
  }
  if (!first_.empty()) most_ = count(first_.front());
}

double Demand::count(std::size_t place) const {
  double common = all_->counts[place] * scale_;
  if (own_.empty()) return common;
  auto found = std::lower_bound(own_.begin(), own_.end(), place, [](const auto& a, auto b) { return a.first < b; });
  return found != own_.end() && found->first == place ? found->second + common : common;
}

std::vector<std::uint32_t> Demand::best(const Mask& blocked, std::size_t k) const {
  std::vector<std::uint32_t> out;
  for (auto place : first_) {
    if (out.size() == k) break;
    if (!blocked[place]) out.push_back(place);
  }
  if (out.size() == k || first_are_all()) return out;
  return top_k(std::span<const double>(whole()), blocked, k);
}

std::vector<double> Demand::whole() const {
  std::vector<double> out(all_->counts.size());
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = (*this)[i];
  return out;
}

}  // namespace trireme
