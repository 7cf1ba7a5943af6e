#include "shelf.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "contracts.h"

namespace trireme {
namespace {

/// A byte for every code that comes: 0 for those that are named.
Mask all_but(const std::vector<std::int64_t>& named, const std::vector<std::int64_t>& codes) {
  std::int64_t most = codes.empty() ? 0 : *std::max_element(codes.begin(), codes.end());
  for (auto code : named) most = std::max(most, code);
  Mask out(most + 1, 1);
  for (auto code : named) out[code] = 0;
  return out;
}

/// What was checked when it was taken in (contracts/item_state.py); NaN all the same where it is no number.
double price_of(const std::string& text) {
  double price = std::numeric_limits<double>::quiet_NaN();
  std::from_chars(text.data(), text.data() + text.size(), price);
  return price;
}

}  // namespace

Mask Shelf::blocked(const Filter& filter) const {
  Mask out = filter.available ? closed : ruled_out;
  if (filter.categories) {
    Mask unwanted = all_but(*filter.categories, category);
    for (std::size_t i = 0; i < out.size(); ++i) out[i] |= unwanted[category[i]];
  }
  // What has no known price (NaN) is within no range.
  if (double least = filter.price_min.value_or(0); filter.price_min) {
    for (std::size_t i = 0; i < out.size(); ++i) out[i] |= !(price[i] >= least);
  }
  if (double most = filter.price_max.value_or(0); filter.price_max) {
    for (std::size_t i = 0; i < out.size(); ++i) out[i] |= !(price[i] <= most);
  }
  return out;
}

Shelves::Shelves(const Tables& tables)
    : tables_(tables), price_(tables.item_price.begin() + first_value, tables.item_price.end()) {
  for (const auto& [column, values] : tables.serve.never) rules_.push_back({column, values, false});
  for (const auto& [column, values] : tables.serve.only) rules_.push_back({column, values, true});
  std::set<std::string> named;
  if (!tables.features.category.empty()) named.insert(tables.features.category);
  for (const Rule& rule : rules_) {
    named.insert(rule.column);
    const Vocabulary& known = tables.vocabulary(rule.column);
    Codes& extra = extra_[rule.column];
    for (const std::string& value : rule.values) {
      if (known.code(value, out_of_vocabulary) == out_of_vocabulary) {
        extra.emplace(value, static_cast<std::int64_t>(known.codes() + extra.size()));
      }
    }
  }
  for (const std::string& column : named) {
    const auto& codes = tables.codes_of(column);
    columns_[column].assign(codes.begin() + first_value, codes.end());
  }
  recorded_ = shelf(columns_, price_, Mask(tables.items));
  now_.put(recorded_);
}

void Shelves::take(const std::map<std::string, ItemState>& states) {
  Columns columns = columns_;
  auto price = price_;
  Mask missing(tables_.items);
  const Vocabulary& items = tables_.vocabulary("item_id");
  for (const auto& [item_id, said] : states) {
    auto item = items.code(item_id, out_of_vocabulary);
    if (item == out_of_vocabulary) continue;  // comes with the next release
    auto place = item - first_value;
    if (auto found = said.find(attribute_available); found != said.end()) missing[place] = found->second == said_no;
    if (auto found = said.find(attribute_price); found != said.end()) price[place] = price_of(found->second);
    for (auto& [column, codes] : columns) {
      if (auto found = said.find(column); found != said.end()) codes[place] = code(column, found->second);
    }
  }
  now_.put(shelf(columns, price, std::move(missing)));
}

std::shared_ptr<const Shelf> Shelves::shelf(const Columns& columns, const std::vector<double>& price,
                                            Mask missing) const {
  auto out = std::make_shared<Shelf>(Shelf{Mask(price.size()), std::move(missing), {}, price});
  for (const Rule& rule : rules_) {
    std::vector<std::int64_t> named;
    for (const std::string& value : rule.values) named.push_back(code(rule.column, value));
    const auto& codes = columns.at(rule.column);
    Mask others = all_but(named, codes);
    for (std::size_t i = 0; i < codes.size(); ++i) out->ruled_out[i] |= others[codes[i]] == rule.only;
  }
  for (std::size_t i = 0; i < out->closed.size(); ++i) out->closed[i] |= out->ruled_out[i];
  auto category = columns.find(tables_.features.category);
  out->category = category == columns.end() ? std::vector<std::int64_t>(price.size(), null_code) : category->second;
  return out;
}

std::int64_t Shelves::code(const std::string& column, const std::string& value) const {
  if (value.empty()) return null_code;
  if (auto extra = extra_.find(column); extra != extra_.end()) {
    if (auto found = extra->second.find(value); found != extra->second.end()) return found->second;
  }
  return tables_.vocabulary(column).code(value, out_of_vocabulary);
}

}  // namespace trireme
