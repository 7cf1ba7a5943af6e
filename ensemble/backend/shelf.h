// What may be listed: business rules, availability and a request's own filter, as masks (ensemble/steps/shelf.py).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "scores.h"
#include "swapped.h"
#include "tables.h"

namespace trireme {

/// What a request's filter lets in.
struct Filter {
  std::optional<std::vector<std::int64_t>> categories;  ///< codes; none: all
  std::optional<double> price_min, price_max;
  bool available = true;  ///< only what is there
};

/// The catalogue at one moment: a row an item.
struct Shelf {
  Mask ruled_out;                      ///< what a rule keeps from ever being listed
  Mask closed;                         ///< that, and what an update said to be unavailable
  std::vector<std::int64_t> category;  ///< codes of the category column
  std::vector<double> price;           ///< NaN where it is not known

  /// What must not be answered by rules, availability and a filter.
  Mask blocked(const Filter& filter) const;
};

/// Attribute -> its newest value.
using ItemState = std::map<std::string, std::string>;

/// The shelf of the release, and the shelf of now; whoever holds one keeps it while the other is swapped.
class Shelves {
 public:
  explicit Shelves(const Tables& tables);

  std::shared_ptr<const Shelf> recorded() const { return recorded_; }
  std::shared_ptr<const Shelf> now() const { return now_.get(); }

  /// Make the shelf of now, of the states of all items that were ever updated, by item id.
  void take(const std::map<std::string, ItemState>& states);

 private:
  using Codes = std::unordered_map<std::string, std::int64_t>;
  using Columns = std::map<std::string, std::vector<std::int64_t>>;

  std::shared_ptr<const Shelf> shelf(const Columns& columns, const std::vector<double>& price, Mask missing) const;
  std::int64_t code(const std::string& column, const std::string& value) const;

  struct Rule {
    std::string column;
    std::vector<std::string> values;
    bool only;  ///< these alone may be listed; else never these
  };

  const Tables& tables_;
  std::vector<Rule> rules_;
  std::map<std::string, Codes> extra_;  ///< codes of the values that only rules name: an update may give an item one
  Columns columns_;                     ///< of rules and the category, a row an item
  std::vector<double> price_;
  std::shared_ptr<const Shelf> recorded_;
  Swapped<Shelf> now_;
};

}  // namespace trireme
