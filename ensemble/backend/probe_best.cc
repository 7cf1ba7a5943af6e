#include "probe_best.h"

#include <algorithm>
#include <memory>

#include "demand.h"
#include "nearest.h"
#include "sums.h"

namespace trireme {
namespace {

using Json = nlohmann::json;

Mask blocked_of(const Json& asked, std::size_t items) {
  Mask out(items);
  for (std::size_t place : asked.at("blocked")) out.at(place) = 1;
  return out;
}

}  // namespace

Json best_products(const Json& asked) {
  std::vector<float> rows, query = asked.at("query");
  for (const Json& row : asked.at("rows")) {
    for (float number : row) rows.push_back(number);
  }
  Nearest nearest(rows, query.size(), asked.at("leading") ? 0 : Nearest::large);
  return nearest.best(query, blocked_of(asked, rows.size() / query.size()), asked.at("k"));
}

Json best_sums(const Json& asked) {
  std::size_t items = asked.at("items");
  Sums<1> sums(items);
  Json out = Json::array();
  for (int i = 0; i < 2; ++i) {  // the second time in the place that the first has left
    for (const auto& [place, number] : asked.at("added").get<std::vector<std::pair<std::uint32_t, double>>>()) {
      sums.add(place, number, {1});
    }
    out.push_back(sums.best(0, blocked_of(asked, items), asked.at("k")));
    sums.clear();
  }
  return out;
}

Json best_demand(const Json& asked) {
  std::vector<double> counts = asked.at("counts"), weights = asked.at("weights");
  Demand::Own own = asked.at("own");
  std::size_t items = counts.size();
  Demand demand(std::make_shared<const Ranks>(std::move(counts)), std::move(own), asked.at("scale"));
  if (weights.empty()) return demand.best(blocked_of(asked, items), asked.at("k"));
  auto weighted = [&](std::size_t place, double part) { return part * weights[place % weights.size()]; };
  double most = *std::max_element(weights.begin(), weights.end());
  return demand.best(blocked_of(asked, items), asked.at("k"), weighted, most);
}

}  // namespace trireme
