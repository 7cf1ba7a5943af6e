"""Ask for recommendations by gRPC: python ask_grpc.py HOST:PORT USER_ID."""

import sys

import numpy as np
import tritonclient.grpc as triton

address, user_id = sys.argv[1:]
inputs = [triton.InferInput("user_id", [1, 1], "BYTES"), triton.InferInput("k", [1, 1], "INT32")]
inputs[0].set_data_from_numpy(np.array([[user_id]], np.object_))
inputs[1].set_data_from_numpy(np.array([[5]], np.int32))

with triton.InferenceServerClient(address) as client:
    answer = client.infer("recommendations", inputs)
assert answer is not None
columns = {name: answer.as_numpy(name) for name in ("item_ids", "scores")}
for item, score in zip(columns["item_ids"][0], columns["scores"][0]):
    sys.stdout.write(f"{item.decode()}  {score:.4f}\n")
