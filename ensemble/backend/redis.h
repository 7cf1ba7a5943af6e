// A connection to Redis that only reads: many HMGET in one round trip, GET, HGETALL and ZRANGEBYSCORE, in time or not
// at all (RESP2).
#pragma once

#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

struct addrinfo;

namespace trireme {

/// The answer did not come in time.
struct RedisTimeout : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The connection cannot be made, was lost, or says what is no answer.
struct RedisError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Values of one HMGET, in the order of its fields; none where a field is absent.
using Fields = std::vector<std::optional<std::string>>;

/// Connects at its first use, and anew after any failure; not for two threads at once.
class Redis {
 public:
  Redis(std::string host, std::string port) : host_(std::move(host)), port_(std::move(port)) {}
  Redis(const Redis&) = delete;
  ~Redis() { close(); }

  /// `fields` of every key, all in one round trip.
  std::vector<Fields> hmget(const std::vector<std::string>& keys, const std::vector<std::string>& fields,
                            std::chrono::milliseconds timeout);

  /// The text of a key; none where there is none.
  std::optional<std::string> get(const std::string& key, std::chrono::milliseconds timeout);

  /// Every field of a hash and its value, in no order.
  std::vector<std::pair<std::string, std::string>> hgetall(const std::string& key, std::chrono::milliseconds timeout);

  /// Members of a sorted set by score, the lowest first; what is no text is left out.
  std::vector<std::string> zrangebyscore(const std::string& key, const std::string& low, const std::string& high,
                                         std::chrono::milliseconds timeout);

 private:
  using Deadline = std::chrono::steady_clock::time_point;

  void connect(Deadline deadline);
  int dial(const addrinfo& address, Deadline deadline);
  void close();
  void await(short event, Deadline deadline);
  void send(std::string_view bytes, Deadline deadline);
  template <class Answer>
  Answer asked(const std::string& command, Deadline deadline, Answer (Redis::*read)(Deadline));
  std::optional<std::string> read_value(Deadline deadline);
  Fields read_all(Deadline deadline);
  long read_length(char kind, Deadline deadline);
  Fields read_fields(std::size_t number, Deadline deadline);
  std::string_view line(Deadline deadline);
  std::string bytes(std::size_t length, Deadline deadline);
  void receive(Deadline deadline);

  std::string host_, port_;
  int socket_ = -1;
  std::string received_;  ///< what came and was not read yet starts at `read_`
  std::size_t read_ = 0;
};

}  // namespace trireme
