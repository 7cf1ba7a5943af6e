// Where a batch's time goes: every moment from its start to its end belongs to one stage.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>

namespace trireme {

/// What a batch's time is spent on; `other` is Triton's own calls and what lies between the rest.
enum class Stage : std::size_t {
  other,
  parse,
  store,
  lookup,
  query_tower,
  dot_products,
  neighbours,
  users_alike,
  top_k,
  merge,
  ranker_features,
  ranker,
  blend,
  write,
  impressions,
};

/// As the metrics page calls them, in the order of Stage.
inline constexpr const char* stage_names[] = {"other",           "parse",      "store",       "lookup", "query_tower",
                                              "dot_products",    "neighbours", "users_alike", "top_k",  "merge",
                                              "ranker_features", "ranker",     "blend",       "write",  "impressions"};
inline constexpr std::size_t stage_count = std::size(stage_names);

/// One clock's nanoseconds by stage.
using Spent = std::array<std::int64_t, stage_count>;

/// The account of the work that this thread does while it lives; one at a time a thread.
class Account {
 public:
  /// With `cpu` the thread's CPU time is read too, which costs a system call each time the stage changes.
  explicit Account(bool cpu, Stage first = Stage::other);
  Account(const Account&) = delete;
  ~Account();

  /// Charge what passed to the stage at hand, and go over to another; the one before.
  Stage turn(Stage next);

  /// Take over what another thread spent while this one waited for it; the rest of the wait is the stage's at hand.
  void absorb(const Spent& wall, const Spent& cpu);

  /// Take over the CPU time of another thread that worked beside this one.
  void add_cpu(const Spent& cpu);

  /// What was spent until the last turn.
  const Spent& wall() const { return wall_; }
  const Spent& cpu() const { return cpu_; }
  bool has_cpu() const { return reads_cpu_; }
  Stage stage() const { return now_; }

  /// This thread's, or none.
  static Account* open();

 private:
  const bool reads_cpu_;
  Stage now_;
  std::int64_t wall_since_, cpu_since_;
  Spent wall_{}, cpu_{};
};

/// Charges its lifetime to a stage, where an account is open; what begins within it is charged to that.
class During {
 public:
  explicit During(Stage stage);
  During(const During&) = delete;
  ~During();

 private:
  Account* const account_;
  Stage before_{};
};

}  // namespace trireme
