// What was shown as one record (contracts/impressions.py), and the way of records to the process that publishes them.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "answer.h"
#include "query.h"
#include "ranker_features.h"
#include "release.h"
#include "request.h"
#include "tables.h"

namespace trireme {

/// Answers to records: ensemble/impressions.py.
class Impressions {
 public:
  Impressions(const Tables& tables, const RankerFeatures& features, const Derived& derived);

  /// The bytes of a record; of a request for similar items the passage knows region, k and instant alone.
  std::string operator()(const Request& request, const Passage& passage, const Answer& answer) const;
  std::string operator()(const SimilarRequest& request, const Passage& passage, const Answer& answer) const;

 private:
  /// Who asks, and from where.
  struct Who {
    std::string_view user_id, item_id, anonymous_id, session_id, device, context;
  };

  std::string record(const Who& who, const Passage& passage, const Answer& answer) const;

  const Tables& tables_;
  const RankerFeatures& features_;
  std::string query_columns_, sources_, categorical_columns_, continuous_columns_;  ///< written already
};

/// Whether somebody sees the answer to a request that brought no row along.
bool is_shown(const Wishes& request);

/// Records to a Unix socket, a datagram each, by a thread of its own (ensemble/impression_log.py): what finds no room
/// while nobody reads, or not fast enough, is dropped.
class ImpressionLog {
 public:
  /// Told of every record what became of it: `sent`, or one of contracts.impressions.DROPPED.
  using Count = std::function<void(const char* what)>;

  ImpressionLog(std::string path, Count count);

  /// Sends what waits if there is a reader.
  ~ImpressionLog();

  /// Returns at once.
  void operator()(std::string record);

 private:
  void run();
  const char* sent(const std::string& record);
  bool connected();
  void disconnect();

  const std::string path_;
  const Count count_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::string> waiting_;
  std::size_t bytes_ = 0;
  bool done_ = false, away_ = true;
  int socket_ = -1;  ///< the thread's alone
  std::thread thread_;
};

}  // namespace trireme
