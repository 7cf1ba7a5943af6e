// What goes wrong on purpose, named as in contracts/errors.py.
#pragma once

#include <stdexcept>
#include <string>

namespace trireme {

/// A request breaks the contract: answered with INVALID_ARG (HTTP 400), and no other request notices.
struct RequestError : std::runtime_error {
  RequestError(const std::string& field, const std::string& message) : std::runtime_error(field + ": " + message) {}
};

/// The online store cannot give a row: its user is answered as one never seen, and the answer says why.
struct StoreError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A release's file is missing, damaged, or asks for what this backend does not know: the model does not load.
struct ArtifactError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace trireme
