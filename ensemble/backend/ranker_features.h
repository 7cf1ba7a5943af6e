// The ranker's inputs by name (ensemble/steps/ranker.py); which of them, in which order, is the release's to say.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "covisits.h"
#include "popularity.h"
#include "query.h"
#include "release.h"
#include "signals.h"
#include "tables.h"

namespace trireme {

class RankerFeatures {
 public:
  /// An ArtifactError when the release asks for a column that is not known here.
  /// `novelty` is the popularity of first takes.
  RankerFeatures(const Tables& tables, const Popularity& popularity, const Popularity& novelty,
                 const Covisits& covisits, const Derived& derived);

  std::size_t categorical_width() const { return user_columns_ + item_columns_.size(); }
  std::size_t continuous_width() const { return continuous_.size(); }

  /// Append a passage's rows, [candidates, categorical_width].
  void append_codes(const Passage& passage, std::vector<std::int64_t>& codes) const;

  /// A passage's numbers in tiles of so many rows, [tiles, continuous_width, rows]; rows of 0 fill the last.
  std::vector<float> tiles(const Passage& passage, std::size_t rows) const;

 private:
  void know_user();
  void know_popularity();
  void know_categories();
  void know_item_values(const std::string& column);
  void know_covisits();
  void know_first_takes();
  Column value_share(const Passage& passage, const std::string& column, bool seen, bool count) const;

  const Tables& tables_;
  const Popularity &popularity_, &novelty_;
  const Covisits& covisits_;
  Columns known_;
  std::vector<Columns::mapped_type> continuous_;
  std::size_t user_columns_;
  std::vector<const std::vector<std::int64_t>*> item_columns_;
};

}  // namespace trireme
