#include "merge.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <stdexcept>
#include <unordered_set>

#include "contracts.h"

namespace trireme {
namespace {

using Both = std::array<const Row*, 2>;

/// What is read and written by name.
class Merging {
 public:
  Merging(const Both& rows, const Layout& layout, const FeatureSettings& settings)
      : rows_(rows), layout_(layout), settings_(settings), out_(*rows[0]) {}

  Row merged() {
    attributes();
    recent();
    counts();
    seen();
    std::int64_t number = 0;
    // Beyond 64 bits is no number of interactions that anybody had: as many as can be said.
    if (__builtin_add_overflow(integer(*rows_[0], "interaction_count"), integer(*rows_[1], "interaction_count"),
                               &number))
      number = INT64_MAX;
    put("interaction_count", number);
    put("last_event_time", newest());
    return std::move(out_);
  }

 private:
  template <class Held>
  const Held& get(const Row& row, const std::string& name) const {
    return std::get<Held>(row[layout_.place(name)]);
  }

  std::int64_t integer(const Row& row, const std::string& name) const { return get<std::int64_t>(row, name); }

  template <class Held>
  void put(const std::string& name, Held value) {
    out_[layout_.place(name)] = std::move(value);
  }

  std::int64_t newest() const {
    return std::max(integer(*rows_[0], "last_event_time"), integer(*rows_[1], "last_event_time"));
  }

  void attributes() {
    for (std::size_t i = 0; i < layout_.features.size(); ++i) {
      if (layout_.features[i].kind == Kind::text && std::get<std::string>(out_[i]).empty()) out_[i] = (*rows_[1])[i];
    }
  }

  void recent() {
    std::vector<std::pair<std::int64_t, std::string>> taken;
    for (const Row* row : rows_) {
      const auto& ids = get<Texts>(*row, "recent_item_ids");
      const auto& times = get<Integers>(*row, "recent_event_times");
      std::size_t held = std::min(settings_.recent_items, ids.size());
      if (held != std::min(settings_.recent_items, times.size())) {
        throw std::runtime_error("expected as many recent_event_times as recent_item_ids in a row");
      }
      for (std::size_t i = 0; i < held; ++i) taken.emplace_back(times[i], ids[i]);
    }
    std::stable_sort(taken.begin(), taken.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
    taken.resize(std::min(taken.size(), settings_.recent_items));
    Texts ids;
    Integers times;
    for (auto& [time, id] : taken) {
      times.push_back(time);
      ids.push_back(std::move(id));
    }
    session(times);
    put("recent_item_ids", std::move(ids));
    put("recent_event_times", std::move(times));
  }

  /// contracts.folds.session, and the dwell of those rows whose newest session is part of it.
  void session(const Integers& times) {
    std::size_t length = times.empty() ? 0 : 1;
    double gap = static_cast<double>(settings_.session_gap_minutes) * static_cast<double>(ms_per_minute);
    auto apart = [&](std::size_t i) { return static_cast<double>(times[i - 1]) - static_cast<double>(times[i]); };
    while (length > 0 && length < times.size() && apart(length) <= gap) ++length;
    std::int64_t start = length == 0 ? 0 : times[length - 1], dwelt = 0;
    for (const Row* row : rows_) {
      if (length == 0 || integer(*row, "session_start_time") < start) continue;
      if (__builtin_add_overflow(dwelt, integer(*row, "session_dwell_ms"), &dwelt)) dwelt = INT64_MAX;
    }
    put("session_start_time", start);
    put("session_interactions", static_cast<std::int64_t>(length));
    put("session_dwell_ms", dwelt);
  }

  /// Counts by category, each decayed to the newest interaction of both, and added.
  void counts() {
    Texts categories;
    for (double hours : settings_.count_half_lives_hours) {
      const std::string column = "category_counts_" + std::to_string(std::llround(hours)) + "h";
      std::map<std::string, double> sums;
      for (const Row* row : rows_) {
        const auto& names = get<Texts>(*row, "count_categories");
        const auto& held = get<Doubles>(*row, column);
        if (names.size() != held.size()) throw std::runtime_error("expected a count of every category in a row");
        double age = static_cast<double>(newest()) - static_cast<double>(integer(*row, "last_event_time"));
        double factor = std::exp2(-age / (hours * ms_per_hour));
        for (std::size_t i = 0; i < names.size(); ++i) sums[names[i]] += held[i] * factor;
      }
      categories.clear();
      Doubles added;
      for (const auto& [name, sum] : sums) {
        categories.push_back(name);
        added.push_back(sum);
      }
      put(column, std::move(added));
    }
    put("count_categories", std::move(categories));
  }

  void seen() {
    Texts items;
    std::unordered_set<std::string> known;
    for (const Row* row : rows_) {
      for (const std::string& item : get<Texts>(*row, "seen_item_ids")) {
        if (items.size() < settings_.max_seen_items && known.insert(item).second) items.push_back(item);
      }
    }
    put("seen_item_ids", std::move(items));
  }

  const Both& rows_;
  const Layout& layout_;
  const FeatureSettings& settings_;
  Row out_;
};

}  // namespace

Row merge(const Row& user, const Row& anonymous, const Layout& layout, const FeatureSettings& settings) {
  const Both both{&user, &anonymous};
  return Merging(both, layout, settings).merged();
}

}  // namespace trireme
