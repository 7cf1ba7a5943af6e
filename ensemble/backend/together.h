// Two pieces of work at once, for what is large enough to be worth a second thread.
#pragma once

#include <exception>
#include <thread>

#include "stages.h"

namespace trireme {

/// Do `here`, and meanwhile `there` on a thread of its own; its CPU time is charged to this thread's account, from the
/// stage at hand on. What either throws is thrown when both are done.
template <class Here, class There>
void together(Here here, There there) {
  Account* account = Account::open();
  const Stage stage = account ? account->stage() : Stage::other;
  std::exception_ptr error;
  Spent cpu{};
  {
    std::jthread other([&] {
      Account own(account && account->has_cpu(), stage);
      try {
        there();
      } catch (...) {
        error = std::current_exception();
      }
      own.turn(stage);
      cpu = own.cpu();
    });
    here();
  }
  if (account) account->add_cpu(cpu);
  if (error) std::rethrow_exception(error);
}

}  // namespace trireme
