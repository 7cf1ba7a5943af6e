#include "tables.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>

#include "arrays.h"
#include "contracts.h"
#include "error.h"

namespace trireme {
namespace {

using Arrays = std::map<std::string, Array>;

const Array& named(const Arrays& arrays, const std::string& name) {
  auto found = arrays.find(name);
  if (found == arrays.end()) throw ArtifactError("a table of the release has no column " + name);
  return found->second;
}

/// Whole numbers that lie within bounds, for they are used as places.
std::vector<std::int64_t> places(const Array& array, std::int64_t low, std::int64_t end, const std::string& what) {
  auto numbers = array.as<std::int64_t>();
  for (auto number : numbers) {
    if (number < low || number >= end)
      throw ArtifactError(what + " names " + std::to_string(number) + ", which is none");
  }
  return numbers;
}

template <class Number>
std::vector<Number> column(const std::vector<Number>& rows, std::size_t number, std::size_t width) {
  std::vector<Number> out(rows.size() / width);
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = rows[i * width + number];
  return out;
}

template <class Number>
std::vector<Number> taken(const std::vector<Number>& values, const std::vector<std::size_t>& order) {
  std::vector<Number> out;
  out.reserve(order.size());
  for (auto place : order) out.push_back(values[place]);
  return out;
}

void same_length(std::initializer_list<std::size_t> sizes, const std::string& what) {
  if (std::adjacent_find(sizes.begin(), sizes.end(), std::not_equal_to()) != sizes.end()) {
    throw ArtifactError("the columns of " + what + " are not of one length");
  }
}

Buckets buckets_of(const Release& release, std::int64_t end) {
  Arrays raw = read_npz(release.read("feature_lookup/1/buckets.npz"));
  auto names = named(raw, "regions").texts();
  auto number = named(raw, "bucket").as<std::int64_t>();
  auto region = places(named(raw, "region"), 0, static_cast<std::int64_t>(names.size()), "a bucket");
  auto item = places(named(raw, "item_code"), first_value, end, "a bucket");
  auto count = named(raw, "count").as<double>();
  same_length({number.size(), region.size(), item.size(), count.size()}, "buckets.npz");
  std::vector<std::size_t> order(number.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](auto a, auto b) { return std::pair(region[a], number[a]) < std::pair(region[b], number[b]); });
  Buckets out{taken(number, order), taken(region, order), taken(item, order), taken(count, order), {}};
  for (std::size_t i = 0; i < names.size(); ++i) out.regions[names[i]] = static_cast<std::int64_t>(i);
  return out;
}

Buckets first_takes_of(const Release& release, std::int64_t end) {
  if (!release.features.first_takes) return {};
  Arrays raw = read_npz(release.read("feature_lookup/1/first_takes.npz"));
  auto item = places(named(raw, "item_code"), first_value, end, "a first take");
  Buckets out{named(raw, "bucket").as<std::int64_t>(),
              std::vector<std::int64_t>(item.size()),
              item,
              named(raw, "count").as<double>(),
              {}};
  same_length({out.number.size(), out.item.size(), out.count.size()}, "first_takes.npz");
  return out;
}

Pairs covisits_of(const Release& release, std::int64_t end) {
  if (release.features.covisit_half_lives_hours.empty()) return {};
  Arrays raw = read_npz(release.read("feature_lookup/1/covisits.npz"));
  Pairs out{named(raw, "bucket").as<std::int64_t>(), places(named(raw, "item_code"), first_value, end, "a co-visit"),
            places(named(raw, "next_code"), first_value, end, "a co-visit"), named(raw, "count").as<double>()};
  same_length({out.number.size(), out.item.size(), out.following.size(), out.count.size()}, "covisits.npz");
  return out;
}

}  // namespace

Vocabulary::Vocabulary(const std::vector<std::string>& values) {
  for (std::size_t i = 0; i < values.size(); ++i) codes_[values[i]] = static_cast<std::int64_t>(i) + first_value;
}

std::int64_t Vocabulary::code(std::string_view value, std::int64_t otherwise) const {
  auto found = codes_.find(value);
  return found == codes_.end() ? otherwise : found->second;
}

Tables::Tables(const Release& release)
    : release(release.id),
      features(release.features),
      serve(release.serve),
      recent_half_life_hours(release.recent_half_life_hours) {
  auto values = nlohmann::json::parse(release.read("feature_lookup/1/vocabulary.json"));
  for (const auto& [name, listed] : values.items()) vocabularies.emplace(name, listed.get<Texts>());
  item_ids.assign(first_value, "");
  for (const std::string& id : values.at("item_id").get<Texts>()) item_ids.push_back(id);
  items = item_ids.size() - first_value;

  Arrays columns = read_npz(release.read("feature_lookup/1/items.npz"));
  for (std::size_t i = 0; i < features.item_categorical.size(); ++i) {
    const std::string& name = features.item_categorical[i];
    auto end = static_cast<std::int64_t>(vocabulary(name).codes());
    auto codes = places(named(columns, "codes"), 0, std::numeric_limits<std::int64_t>::max(), "an item");
    item_codes[name] = column(codes, i, features.item_categorical.size());
    same_length({item_codes[name].size(), item_ids.size()}, "items.npz");
    if (std::any_of(item_codes[name].begin(), item_codes[name].end(), [&](auto code) { return code >= end; })) {
      throw ArtifactError("an item has a " + name + " that the vocabulary does not");
    }
  }
  for (std::size_t i = 0; i < features.item_numeric.size(); ++i) {
    auto& held = item_numeric[features.item_numeric[i]];
    held = column(named(columns, "numeric").as<float>(), i, features.item_numeric.size());
    same_length({held.size(), item_ids.size()}, "items.npz");
  }
  item_price = named(columns, "price").as<double>();
  same_length({item_price.size(), item_ids.size()}, "items.npz");
  auto category = item_codes.find(features.category);
  item_category =
      category == item_codes.end() ? std::vector<std::int64_t>(item_ids.size(), null_code) : category->second;
  categories = vocabularies.contains(features.category) ? vocabulary(features.category).codes() : first_value;
  buckets = buckets_of(release, static_cast<std::int64_t>(item_ids.size()));
  first_takes = first_takes_of(release, static_cast<std::int64_t>(item_ids.size()));
  covisits = covisits_of(release, static_cast<std::int64_t>(item_ids.size()));
}

std::int64_t Tables::code(const std::string& column, std::string_view value) const {
  return value.empty() ? null_code : vocabulary(column).code(value, out_of_vocabulary);
}

const Vocabulary& Tables::vocabulary(const std::string& column) const {
  auto found = vocabularies.find(column);
  if (found == vocabularies.end()) throw ArtifactError("the release has no vocabulary of " + column);
  return found->second;
}

const std::vector<std::int64_t>& Tables::codes_of(const std::string& item_column) const {
  auto found = item_codes.find(item_column);
  if (found == item_codes.end()) throw ArtifactError("items of the release have no " + item_column);
  return found->second;
}

}  // namespace trireme
