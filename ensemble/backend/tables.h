// The tables of a release that several steps share: vocabularies, item columns, buckets (ensemble/steps/tables.py).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "contracts.h"
#include "release.h"

namespace trireme {

/// Value -> code of one column, looked up without a copy of the value.
class Vocabulary {
 public:
  explicit Vocabulary(const std::vector<std::string>& values);

  /// The code of a value; `otherwise` when it is unknown.
  std::int64_t code(std::string_view value, std::int64_t otherwise) const;

  /// Codes, those of pad, null and out of vocabulary among them.
  std::size_t codes() const { return codes_.size() + first_value; }

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  std::unordered_map<std::string, std::int64_t, Hash, std::equal_to<>> codes_;
};

/// Interactions by bucket, region and item: arrays of one length, sorted by region, then bucket.
struct Buckets {
  std::vector<std::int64_t> number, region, item;
  std::vector<double> count;
  std::unordered_map<std::string, std::int64_t> regions;
};

/// Pairs of items taken one after the other, by bucket: arrays of one length.
struct Pairs {
  std::vector<std::int64_t> number, item, following;
  std::vector<double> count;
};

/// Rows 0 to 2 of item columns stand for pad, null and out of vocabulary; vectors of the catalogue have `items` rows.
struct Tables {
  explicit Tables(const Release& release);

  /// The code of a raw value; empty is null, unknown is out of vocabulary.
  std::int64_t code(const std::string& column, std::string_view value) const;

  const Vocabulary& vocabulary(const std::string& column) const;
  const std::vector<std::int64_t>& codes_of(const std::string& item_column) const;

  std::string release;
  FeatureSettings features;
  ServeSettings serve;
  double recent_half_life_hours;
  std::map<std::string, Vocabulary> vocabularies;
  std::vector<std::string> item_ids;
  std::map<std::string, std::vector<std::int64_t>> item_codes;
  std::map<std::string, std::vector<float>> item_numeric;  ///< standardised, 0 where unknown
  std::vector<double> item_price;                          ///< NaN where it is not known
  std::vector<std::int64_t> item_category;                 ///< null for all where the settings name no category
  std::size_t items;                                       ///< the catalogue's size
  std::size_t categories;                                  ///< codes of the category column
  Buckets buckets;
  Buckets first_takes;  ///< of all regions together; none where that is not counted
  Pairs covisits;
};

}  // namespace trireme
