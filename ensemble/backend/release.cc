#include "release.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "contracts.h"
#include "error.h"
#include "row_json.h"
#include "sha256.h"

namespace trireme {
namespace {

using Json = nlohmann::json;

std::string bytes_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw ArtifactError(path.string() + " is missing; copy or export the release again");
  return {std::istreambuf_iterator<char>(file), {}};
}

FeatureSettings features_of(const Json& raw) {
  FeatureSettings out{};
  raw.at("item_categorical").get_to(out.item_categorical);
  raw.at("item_numeric").get_to(out.item_numeric);
  raw.at("context").get_to(out.context);
  raw.at("category").get_to(out.category);
  raw.at("recent_items").get_to(out.recent_items);
  raw.at("max_seen_items").get_to(out.max_seen_items);
  raw.at("session_gap_minutes").get_to(out.session_gap_minutes);
  raw.at("count_half_lives_hours").get_to(out.count_half_lives_hours);
  raw.at("popularity_half_lives_hours").get_to(out.popularity_half_lives_hours);
  raw.at("covisit_half_lives_hours").get_to(out.covisit_half_lives_hours);
  raw.at("bucket_minutes").get_to(out.bucket_minutes);
  raw.at("live_items").get_to(out.live_items);
  raw.at("first_takes").get_to(out.first_takes);
  return out;
}

ServeSettings serve_of(const Json& raw) {
  ServeSettings out{};
  raw.at("exclude_seen").get_to(out.exclude_seen);
  raw.at("never").get_to(out.never);
  raw.at("only").get_to(out.only);
  for (std::string source : proposing) out.source_candidates.push_back(raw.at(source + "_candidates"));
  raw.at("history_half_items").get_to(out.history_half_items);
  raw.at("user_user_neighbours").get_to(out.user_user_neighbours);
  raw.at("trending_candidates").get_to(out.trending_candidates);
  raw.at("covisit_candidates").get_to(out.covisit_candidates);
  raw.at("session_candidates").get_to(out.session_candidates);
  raw.at("trending_half_life_hours").get_to(out.trending_half_life_hours);
  raw.at("trending_min_count").get_to(out.trending_min_count);
  raw.at("session_weight").get_to(out.session_weight);
  raw.at("similar_item_item").get_to(out.similar_item_item);
  raw.at("similar_two_tower").get_to(out.similar_two_tower);
  raw.at("similar_covisits").get_to(out.similar_covisits);
  return out;
}

Blend blend_of(const Json& raw) {
  Blend out{};
  raw.at("calibration").at("logit").get_to(out.logit);
  raw.at("calibration").at("log_odds").get_to(out.log_odds);
  raw.at("retrieval_weight").get_to(out.retrieval_weight);
  raw.at("signals").get_to(out.signals);
  raw.at("spread").get_to(out.spread);
  raw.at("evidence_half").get_to(out.evidence_half);
  raw.at("ranker_evidence_half").get_to(out.ranker_evidence_half);
  bool rising = std::adjacent_find(out.logit.begin(), out.logit.end(), std::greater_equal()) == out.logit.end();
  if (out.logit.size() < 2 || out.logit.size() != out.log_odds.size() || !rising) {
    throw ArtifactError("expected a calibration of at least two rising knots");
  }
  return out;
}

Derived derived_of(const Json& raw) {
  Derived out;
  raw.at("query_columns").get_to(out.query_columns);
  raw.at("ranker_categorical").get_to(out.ranker_categorical);
  raw.at("ranker_continuous").get_to(out.ranker_continuous);
  raw.at("entity").get_to(out.layout.entity);
  raw.at("clock").get_to(out.clock);
  for (const Json& feature : raw.at("row")) {
    std::string field;
    for (int byte : feature.at("field")) field += static_cast<char>(byte);
    Kind kind = kind_of(feature.at("kind"));
    out.layout.features.push_back({feature.at("name"), kind, field, value_of(kind, feature.at("default"))});
  }
  return out;
}

}  // namespace

std::int64_t FeatureSettings::bucket_ms() const {
  return bucket_minutes * ms_per_minute;
}

std::int64_t FeatureSettings::bucket(std::int64_t as_of) const {
  return as_of >= 0 ? as_of / bucket_ms() : -(-(as_of + 1) / bucket_ms()) - 1;
}

Release::Release(const std::filesystem::path& root) : root_(root) {
  try {
    Json document = Json::parse(bytes_of(root / "release.json"));
    document.at("release").get_to(id);
    features = features_of(document.at("features"));
    serve = serve_of(document.at("serve"));
    blend = blend_of(document.at("blend"));
    derived = derived_of(document.at("derived"));
    document.at("recent_half_life_hours").get_to(recent_half_life_hours);
    document.at("shift_ms").get_to(shift_ms);
    for (const auto& [name, file] : document.at("files").items()) file.at("sha256").get_to(digests_[name]);
  } catch (const Json::exception& error) {
    throw ArtifactError((root / "release.json").string() + " is no release document (" + error.what() +
                        "): export the release again");
  }
}

std::string Release::read(const std::string& name) const {
  auto expected = digests_.find(name);
  if (expected == digests_.end()) throw ArtifactError("release " + id + " has no file " + name);
  std::string data = bytes_of(root_ / name);
  std::string found = sha256(data);
  if (found != expected->second) {
    throw ArtifactError("release " + id + ": " + name + " is not what was exported: expected sha256 " +
                        expected->second.substr(0, 12) + ", got " + found.substr(0, 12) +
                        "; copy or export the release again");
  }
  return data;
}

}  // namespace trireme
