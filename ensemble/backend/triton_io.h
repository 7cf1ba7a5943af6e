// Between Triton's tensors and requests and answers; tensors are those of contracts/tensors.py.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "answer.h"
#include "chain.h"
#include "triton_api.h"

namespace trireme {

/// Throws what a call of Triton's API complains of.
void checked(TRITONSERVER_Error* error);

/// A message of Triton as the JSON text that it is.
std::string text_of(TRITONSERVER_Message* message);

/// Of a body that holds a batch: why each of its elements was refused, "" where it was not. Of any other: nothing.
using Refusals = std::optional<std::vector<std::string>>;

/// What one Triton request asks, and of each of its bodies how the answers are put together.
struct Questions {
  std::vector<Asked> asked;
  std::vector<Refusals> bodies;
};

/// The checked requests of one Triton request; a RequestError when one that is no element of a batch breaks the
/// contract.
Questions read(TRITONBACKEND_Request* request, const Layout& layout);

/// Answers as the tensors that the request asks for, as wide as its longest: shorter ones end in "" and 0.
void write(TRITONBACKEND_Response* response, TRITONBACKEND_Request* request, std::span<const Answer> answers,
           const std::vector<Refusals>& bodies);

}  // namespace trireme
