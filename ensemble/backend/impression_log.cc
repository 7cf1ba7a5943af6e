#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>

#include "contracts.h"
#include "impression.h"

namespace trireme {
namespace {

constexpr std::chrono::milliseconds retry(200);

}  // namespace

ImpressionLog::ImpressionLog(std::string path, Count count)
    : path_(std::move(path)), count_(std::move(count)), thread_([this] { run(); }) {}

ImpressionLog::~ImpressionLog() {
  {
    std::lock_guard lock(mutex_);
    done_ = true;
  }
  changed_.notify_all();
  thread_.join();
  disconnect();
}

void ImpressionLog::operator()(std::string record) {
  const char* dropped = nullptr;
  {
    std::lock_guard lock(mutex_);
    if (record.size() > impression_max_bytes) {
      dropped = "too_large";
    } else if (bytes_ + record.size() > impression_max_waiting_bytes) {
      dropped = away_ ? "no_reader" : "slow_reader";
    } else {
      bytes_ += record.size();
      waiting_.push_back(std::move(record));
    }
  }
  if (dropped) return count_(dropped);
  changed_.notify_one();
}

void ImpressionLog::run() {
  for (;;) {
    std::string record;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return done_ || !waiting_.empty(); });
      if (waiting_.empty()) return;
      record = std::move(waiting_.front());
      waiting_.pop_front();
      bytes_ -= record.size();
    }
    count_(sent(record));
  }
}

/// Send when there is a reader that has room; what became of it.
const char* ImpressionLog::sent(const std::string& record) {
  for (;;) {
    bool there = connected();
    if (there && ::send(socket_, record.data(), record.size(), MSG_NOSIGNAL) >= 0) return "sent";
    bool full = there && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
    if (!full) disconnect();
    std::unique_lock lock(mutex_);
    away_ = !full;
    // A full queue was waited for by the system already.
    if (full ? done_ : changed_.wait_for(lock, retry, [this] { return done_; })) {
      return full ? "slow_reader" : "no_reader";
    }
  }
}

bool ImpressionLog::connected() {
  if (socket_ >= 0) return true;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path_.size() >= sizeof address.sun_path) return false;
  std::memcpy(address.sun_path, path_.data(), path_.size());
  socket_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  timeval wait{0, std::chrono::duration_cast<std::chrono::microseconds>(retry).count()};
  if (socket_ < 0 || ::setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait) != 0) return false;
  if (::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return false;
  std::lock_guard lock(mutex_);
  away_ = false;
  return true;
}

void ImpressionLog::disconnect() {
  if (socket_ >= 0) ::close(socket_);
  socket_ = -1;
}

}  // namespace trireme
