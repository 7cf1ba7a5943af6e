#include "budget.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

#include "contracts.h"

namespace trireme {
namespace {

/// When, of a batch's budget, its last piece has to be done: the rest is for lists of trending and the way back.
std::chrono::milliseconds until_last_piece(std::chrono::milliseconds allowed) {
  return allowed * 4 / 5;
}

/// What a batch may take, from the deadline of the request in the greatest hurry; recorded ones have none.
std::chrono::milliseconds budget(const std::vector<Asked>& asked) {
  double allowed = budget_recorded_ms;
  for (const Asked& one : asked) {
    if (one.golden) continue;
    double deadline = one.similar ? one.similar->deadline_ms : one.request.deadline_ms;
    allowed = std::min({allowed, budget_most_ms, std::max(deadline * budget_share, least_ms_to_answer)});
  }
  return std::chrono::milliseconds(static_cast<long>(allowed));
}

}  // namespace

struct Worker::Work {
  std::shared_ptr<const std::vector<Asked>> asked;
  bool reads_cpu = false;
  Course course;
  Answered answered;
  std::exception_ptr error;
  Spent wall{}, cpu{};
};

/// Where a thread gets its batches; under the mutex, but for a batch's own fields while it is under way.
struct Worker::Desk {
  std::mutex mutex;
  std::condition_variable changed;
  std::shared_ptr<Work> work;
  bool is_done = false, is_left = false, is_closed = false;
};

Worker::Worker(std::shared_ptr<const Chain> chain, std::string redis, TellHung tell)
    : chain_(std::move(chain)), redis_(std::move(redis)), tell_(std::move(tell)) {}

Worker::~Worker() {
  if (!desk_) return;
  std::lock_guard lock(desk_->mutex);
  desk_->is_closed = true;
  desk_->changed.notify_all();
}

Answered Worker::answer(std::shared_ptr<const std::vector<Asked>> asked, Account& account) {
  std::erase_if(left_, [](const std::shared_ptr<Desk>& desk) {
    std::lock_guard lock(desk->mutex);
    return desk->is_done;
  });
  if (left_.size() >= most_left_behind) {
    auto reason = "Error: not begun: " + std::to_string(left_.size()) + " earlier runs hang";
    return chain_->degraded(*asked, stuck_, reason);
  }
  auto work = std::make_shared<Work>();
  work->asked = std::move(asked);
  work->reads_cpu = account.has_cpu();
  auto allowed = budget(*work->asked);
  work->course.until = std::chrono::steady_clock::now() + until_last_piece(allowed);
  begin(work);
  std::unique_lock lock(desk_->mutex);
  if (desk_->changed.wait_for(lock, allowed, [this] { return desk_->is_done; })) {
    desk_->work.reset();
    account.absorb(work->wall, work->cpu);
    if (work->error) std::rethrow_exception(work->error);
    return std::move(work->answered);
  }
  desk_->is_left = true;
  stuck_ = work->course.step.load();
  tell_(stuck_, 1);
  lock.unlock();
  left_.push_back(std::exchange(desk_, nullptr));
  auto reason = "Error: took longer than its " + std::to_string(allowed.count()) + " ms";
  return chain_->degraded(*work->asked, stuck_, reason);
}

void Worker::begin(const std::shared_ptr<Work>& work) {
  if (!desk_) {
    desk_ = std::make_shared<Desk>();
    std::thread(serve, desk_, chain_, redis_, tell_).detach();
  }
  std::lock_guard lock(desk_->mutex);
  desk_->work = work;
  desk_->is_done = false;
  desk_->changed.notify_all();
}

void Worker::serve(std::shared_ptr<Desk> desk, std::shared_ptr<const Chain> chain, std::string redis, TellHung tell) {
  OnlineStore store(redis, chain->release().derived.layout);
  std::unique_lock lock(desk->mutex);
  for (;;) {
    desk->changed.wait(lock, [&] { return desk->is_closed || (desk->work && !desk->is_done); });
    if (desk->is_closed) return;
    auto work = desk->work;
    lock.unlock();
    {
      Account account(work->reads_cpu);
      try {
        work->answered = chain->answer(*work->asked, store, work->course);
      } catch (...) {
        work->error = std::current_exception();
      }
      account.turn(Stage::other);
      work->wall = account.wall();
      work->cpu = account.cpu();
    }
    lock.lock();
    desk->is_done = true;
    if (desk->is_left) return tell(work->course.step.load(), -1);
    desk->changed.notify_all();
  }
}

}  // namespace trireme
