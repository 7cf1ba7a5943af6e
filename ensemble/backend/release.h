// A release on disk: its settings, and its files, each checked against its digest (ensemble/steps/release.py).
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "row.h"

namespace trireme {

/// The part of contracts.config.FeatureSettings that serving reads.
struct FeatureSettings {
  std::vector<std::string> item_categorical, item_numeric, context;
  std::string category;
  std::size_t recent_items, max_seen_items;
  std::int64_t session_gap_minutes;
  std::vector<double> count_half_lives_hours, popularity_half_lives_hours, covisit_half_lives_hours;
  std::int64_t bucket_minutes;
  bool live_items, first_takes;

  std::int64_t bucket_ms() const;

  /// The bucket of an instant (ms); they are numbered from the epoch, before it too.
  std::int64_t bucket(std::int64_t as_of) const;
};

/// The part of contracts.model_settings.ServeSettings that answering reads.
struct ServeSettings {
  bool exclude_seen;
  std::map<std::string, Texts> never, only;    ///< rules: item column -> values
  std::vector<std::size_t> source_candidates;  ///< in the order of contracts.features.PROPOSING
  double history_half_items;
  std::size_t user_user_neighbours, trending_candidates, covisit_candidates, session_candidates;
  double trending_half_life_hours, trending_min_count, session_weight;
  double similar_item_item, similar_two_tower, similar_covisits;
};

/// blend.json: what was tuned on window C (contracts/blending.py).
struct Blend {
  std::vector<double> logit, log_odds;    ///< knots of the calibration
  std::map<std::string, double> signals;  ///< weights of what retrieval knows
  double retrieval_weight, spread;
  double evidence_half, ranker_evidence_half;
};

/// What the contracts derive from the settings, as the export wrote it down (ensemble/twin.py).
struct Derived {
  Layout layout;
  /// When the clock of the data set was set: instants, and how far it is ahead of UTC from then on, ms.
  std::vector<std::pair<std::int64_t, std::int64_t>> clock;
  std::vector<std::string> query_columns, ranker_categorical, ranker_continuous;
};

/// One release; an ArtifactError says what is wrong with it.
class Release {
 public:
  explicit Release(const std::filesystem::path& root);

  bool has(const std::string& name) const { return digests_.contains(name); }

  /// The bytes of a file, by its path within the release.
  std::string read(const std::string& name) const;

  std::string id;
  FeatureSettings features;
  ServeSettings serve;
  Blend blend;
  Derived derived;
  double recent_half_life_hours;
  std::int64_t shift_ms;  ///< by which all times of the log are shifted

 private:
  std::filesystem::path root_;
  std::map<std::string, std::string> digests_;
};

}  // namespace trireme
