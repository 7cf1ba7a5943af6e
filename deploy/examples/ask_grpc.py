"""Ask for recommendations by gRPC: python ask_grpc.py HOST:PORT USER_ID.

Where the door asks for it, the environment holds ASK_TOKEN; the PEM files ASK_CA (by which the door is known), ASK_CERT
and ASK_KEY (to show there); and ASK_NAME, where the door's certificate names another than HOST.
"""
# pyright: reportOptionalMemberAccess=false, reportOptionalSubscript=false

import os
import sys

import numpy as np
import tritonclient.grpc as triton

address, user_id = sys.argv[1:]
inputs = [triton.InferInput("user_id", [1, 1], "BYTES"), triton.InferInput("k", [1, 1], "INT32")]
inputs[0].set_data_from_numpy(np.array([[user_id]], np.object_))
inputs[1].set_data_from_numpy(np.array([[5]], np.int32))

token, ca, cert, key, name = (os.environ.get(f"ASK_{each}") for each in ("TOKEN", "CA", "CERT", "KEY", "NAME"))
headers = {"authorization": f"Bearer {token}"} if token else None
named = [("grpc.ssl_target_name_override", name)] if name else None
tls = {"ssl": True, "root_certificates": ca, "private_key": key, "certificate_chain": cert} if ca else {}

with triton.InferenceServerClient(address, **tls, channel_args=named) as client:
    answer = client.infer("recommendations", inputs, headers=headers)
for item, score in zip(answer.as_numpy("item_ids")[0], answer.as_numpy("scores")[0]):
    sys.stdout.write(f"{item.decode()}  {score:.4f}\n")
