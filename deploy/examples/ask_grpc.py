"""Ask for recommendations by gRPC: python ask_grpc.py HOST:PORT USER_ID."""
# pyright: reportOptionalMemberAccess=false, reportOptionalSubscript=false

import sys

import numpy as np
import tritonclient.grpc as triton

address, user_id = sys.argv[1:]
inputs = [triton.InferInput("user_id", [1, 1], "BYTES"), triton.InferInput("k", [1, 1], "INT32")]
inputs[0].set_data_from_numpy(np.array([[user_id]], np.object_))
inputs[1].set_data_from_numpy(np.array([[5]], np.int32))

with triton.InferenceServerClient(address) as client:
    answer = client.infer("recommendations", inputs)
for item, score in zip(answer.as_numpy("item_ids")[0], answer.as_numpy("scores")[0]):
    sys.stdout.write(f"{item.decode()}  {score:.4f}\n")
