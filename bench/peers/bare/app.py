"""A bare ASGI application with the same model: no check of a request, no metrics, no limits."""

import base64

import numpy as np
import onnxruntime
import orjson

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession("model.onnx", options, providers=["CPUExecutionProvider"])
shape = session.get_inputs()[0].shape[1:]


async def app(scope, receive, send):
    body, more = bytearray(), True
    while more:
        part = await receive()
        body += part["body"]
        more = part["more_body"]
    answer = b"ok" if scope["method"] == "GET" else predict(orjson.loads(body))
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


def predict(message: dict) -> bytes:
    if "binData" in message:
        values = np.frombuffer(base64.b64decode(message["binData"]), np.uint8).astype(np.float32)
    else:
        values = np.array(message["data"]["ndarray"], dtype=np.float32)
    (answers,) = session.run(None, {"inputs": values.reshape(-1, *shape)})
    return orjson.dumps({"data": {"ndarray": answers}}, option=orjson.OPT_SERIALIZE_NUMPY)
