// A batch under the budget of its requests: answered on a thread beside the one that Triton waits for, and left behind
// when it takes too long (ensemble/budget.py).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "chain.h"
#include "stages.h"

namespace trireme {

/// Told of a stage whose thread was left behind (1), or came back (-1), by any thread.
using TellHung = std::function<void(const std::string& stage, int change)>;

/// Answers batches one at a time; for one caller. Threads that hang keep what they use alive.
class Worker {
 public:
  Worker(std::shared_ptr<const Chain> chain, std::string redis, TellHung tell);
  Worker(const Worker&) = delete;
  ~Worker();

  /// Answers of a batch, in its order: by the chain, or in time. What was spent is charged to `account`.
  Answered answer(std::shared_ptr<const std::vector<Asked>> asked, Account& account);

 private:
  struct Work;
  struct Desk;

  static void serve(std::shared_ptr<Desk> desk, std::shared_ptr<const Chain> chain, std::string redis, TellHung tell);
  void begin(const std::shared_ptr<Work>& work);

  std::shared_ptr<const Chain> chain_;
  const std::string redis_;
  const TellHung tell_;
  std::shared_ptr<Desk> desk_;               ///< of the thread at work; none before the first batch and after a hang
  std::vector<std::shared_ptr<Desk>> left_;  ///< of threads left behind
  std::string stuck_;                        ///< the stage in which the last of them was
};

}  // namespace trireme
