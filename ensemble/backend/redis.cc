#include "redis.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>
#include <utility>

namespace trireme {
namespace {

/// No row is longer; a length beyond it is no length.
constexpr std::size_t most_bytes = 16 << 20;
constexpr std::size_t longest_line = 512;

std::string bulk(std::string_view text) {
  return "$" + std::to_string(text.size()) + "\r\n" + std::string(text) + "\r\n";
}

std::string pipeline(const std::vector<std::string>& keys, const std::vector<std::string>& fields) {
  std::string wanted;
  for (const std::string& field : fields) wanted += bulk(field);
  std::string head = "*" + std::to_string(fields.size() + 2) + "\r\n" + bulk("HMGET"), out;
  for (const std::string& key : keys) out += head + bulk(key) + wanted;
  return out;
}

std::string command(std::initializer_list<std::string_view> words) {
  std::string out = "*" + std::to_string(words.size()) + "\r\n";
  for (auto word : words) out += bulk(word);
  return out;
}

/// The number after a line's first letter, or -1.
long number_of(std::string_view line, char kind) {
  long number = -1;
  if (line.empty() || line[0] != kind)
    throw RedisError("expected " + std::string(1, kind) + ", got " + std::string(line.substr(0, 64)));
  auto [end, error] = std::from_chars(line.data() + 1, line.data() + line.size(), number);
  if (error != std::errc() || end != line.data() + line.size() || number < -1) throw RedisError("expected a length");
  return number;
}

}  // namespace

std::vector<Fields> Redis::hmget(const std::vector<std::string>& keys, const std::vector<std::string>& fields,
                                 std::chrono::milliseconds timeout) {
  auto deadline = std::chrono::steady_clock::now() + timeout;
  try {
    if (socket_ < 0) connect(deadline);
    send(pipeline(keys, fields), deadline);
    std::vector<Fields> rows;
    while (rows.size() < keys.size()) rows.push_back(read_fields(fields.size(), deadline));
    return rows;
  } catch (...) {
    close();  // an answer that still comes would be taken for another's
    throw;
  }
}

std::optional<std::string> Redis::get(const std::string& key, std::chrono::milliseconds timeout) {
  return asked(command({"GET", key}), std::chrono::steady_clock::now() + timeout, &Redis::read_value);
}

std::vector<std::pair<std::string, std::string>> Redis::hgetall(const std::string& key,
                                                                std::chrono::milliseconds timeout) {
  auto held = asked(command({"HGETALL", key}), std::chrono::steady_clock::now() + timeout, &Redis::read_all);
  std::vector<std::pair<std::string, std::string>> out;
  for (std::size_t i = 0; i + 1 < held.size(); i += 2) {
    if (held[i] && held[i + 1]) out.emplace_back(*held[i], *held[i + 1]);
  }
  return out;
}

std::vector<std::string> Redis::zrangebyscore(const std::string& key, const std::string& low, const std::string& high,
                                              std::chrono::milliseconds timeout) {
  auto deadline = std::chrono::steady_clock::now() + timeout;
  std::vector<std::string> out;
  for (auto& member : asked(command({"ZRANGEBYSCORE", key, low, high}), deadline, &Redis::read_all)) {
    if (member) out.push_back(std::move(*member));
  }
  return out;
}

/// One command and what is read of its answer.
template <class Answer>
Answer Redis::asked(const std::string& command, Deadline deadline, Answer (Redis::*read)(Deadline)) {
  try {
    if (socket_ < 0) connect(deadline);
    send(command, deadline);
    return (this->*read)(deadline);
  } catch (...) {
    close();  // an answer that still comes would be taken for another's
    throw;
  }
}

/// The first of the host's addresses that takes a connection: a name may stand for one that nobody listens on.
void Redis::connect(Deadline deadline) {
  addrinfo wanted{}, *found = nullptr;
  wanted.ai_socktype = SOCK_STREAM;
  if (int failure = getaddrinfo(host_.c_str(), port_.c_str(), &wanted, &found)) {
    throw RedisError(std::string("cannot find its host: ") + gai_strerror(failure));
  }
  std::unique_ptr<addrinfo, void (*)(addrinfo*)> held(found, freeaddrinfo);
  int failure = 0;
  for (const addrinfo* address = found; address; address = address->ai_next) {
    failure = dial(*address, deadline);
    if (failure == 0) return;
    close();
  }
  throw RedisError(std::string("cannot connect: ") + std::strerror(failure));
}

/// Connect to one address; the number of what went wrong, or 0.
int Redis::dial(const addrinfo& address, Deadline deadline) {
  socket_ = socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (socket_ < 0) return errno;
  int on = 1, failure = 0;
  setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (::connect(socket_, address.ai_addr, address.ai_addrlen) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  await(POLLOUT, deadline);
  socklen_t size = sizeof failure;
  getsockopt(socket_, SOL_SOCKET, SO_ERROR, &failure, &size);
  return failure;
}

void Redis::close() {
  if (socket_ >= 0) ::close(socket_);
  socket_ = -1;
  received_.clear();
  read_ = 0;
}

void Redis::await(short event, Deadline deadline) {
  pollfd polled{socket_, event, 0};
  auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
  int ready = left > 0 ? poll(&polled, 1, static_cast<int>(left)) : 0;
  if (ready == 0) throw RedisTimeout("not in time");
  if (ready < 0 && errno != EINTR) throw RedisError(std::strerror(errno));
}

void Redis::send(std::string_view bytes, Deadline deadline) {
  while (!bytes.empty()) {
    auto sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      bytes.remove_prefix(sent);
    } else if (errno == EAGAIN) {
      await(POLLOUT, deadline);
    } else if (errno != EINTR) {
      throw RedisError(std::string("connection lost: ") + std::strerror(errno));
    }
  }
}

Fields Redis::read_fields(std::size_t number, Deadline deadline) {
  Fields values = read_all(deadline);
  if (values.size() != number) throw RedisError("expected as many values as fields");
  return values;
}

/// All values of an array, however many.
Fields Redis::read_all(Deadline deadline) {
  Fields values;
  for (long left = read_length('*', deadline); left > 0; --left) values.push_back(read_value(deadline));
  return values;
}

std::optional<std::string> Redis::read_value(Deadline deadline) {
  long length = read_length('$', deadline);
  if (length > static_cast<long>(most_bytes)) throw RedisError("a value is longer than any row");
  return length < 0 ? std::nullopt : std::optional(bytes(length, deadline));
}

/// The number in a line of one kind; an error that Redis answers in its place is thrown.
long Redis::read_length(char kind, Deadline deadline) {
  auto head = line(deadline);
  if (!head.empty() && head[0] == '-') throw RedisError(std::string(head.substr(1)));
  return number_of(head, kind);
}

std::string_view Redis::line(Deadline deadline) {
  for (;;) {
    auto end = received_.find("\r\n", read_);
    if (end != received_.npos) {
      std::string_view found(received_.data() + read_, end - read_);
      read_ = end + 2;
      return found;
    }
    if (received_.size() - read_ > longest_line) throw RedisError("expected the end of a line");
    receive(deadline);
  }
}

std::string Redis::bytes(std::size_t length, Deadline deadline) {
  while (received_.size() - read_ < length + 2) receive(deadline);
  std::string taken = received_.substr(read_, length);
  read_ += length + 2;
  return taken;
}

void Redis::receive(Deadline deadline) {
  received_.erase(0, std::exchange(read_, 0));
  char buffer[16384];
  for (;;) {
    auto came = recv(socket_, buffer, sizeof buffer, 0);
    if (came > 0) {
      received_.append(buffer, came);
      return;
    }
    if (came == 0) throw RedisError("connection closed");
    if (errno == EAGAIN) {
      await(POLLIN, deadline);
    } else if (errno != EINTR) {
      throw RedisError(std::string("connection lost: ") + std::strerror(errno));
    }
  }
}

}  // namespace trireme
