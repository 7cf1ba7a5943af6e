#include "stages.h"

#include <ctime>

namespace trireme {
namespace {

thread_local Account* at_hand = nullptr;

std::int64_t nanoseconds(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

Account::Account(bool cpu, Stage first)
    : reads_cpu_(cpu),
      now_(first),
      wall_since_(nanoseconds(CLOCK_MONOTONIC)),
      cpu_since_(cpu ? nanoseconds(CLOCK_THREAD_CPUTIME_ID) : 0) {
  at_hand = this;
}

Account::~Account() {
  at_hand = nullptr;
}

Stage Account::turn(Stage next) {
  auto charge = [&](clockid_t clock, Spent& spent, std::int64_t& since) {
    auto now = nanoseconds(clock);
    spent[static_cast<std::size_t>(now_)] += now - since;
    since = now;
  };
  charge(CLOCK_MONOTONIC, wall_, wall_since_);
  if (reads_cpu_) charge(CLOCK_THREAD_CPUTIME_ID, cpu_, cpu_since_);
  auto before = now_;
  now_ = next;
  return before;
}

void Account::absorb(const Spent& wall, const Spent& cpu) {
  turn(now_);
  auto& waited = wall_[static_cast<std::size_t>(now_)];
  for (std::size_t i = 0; i < stage_count; ++i) {
    waited -= wall[i];
    wall_[i] += wall[i];
    cpu_[i] += cpu[i];
  }
}

void Account::add_cpu(const Spent& cpu) {
  for (std::size_t i = 0; i < stage_count; ++i) cpu_[i] += cpu[i];
}

Account* Account::open() {
  return at_hand;
}

During::During(Stage stage) : account_(Account::open()) {
  if (account_) before_ = account_->turn(stage);
}

During::~During() {
  if (account_) account_->turn(before_);
}

}  // namespace trireme
