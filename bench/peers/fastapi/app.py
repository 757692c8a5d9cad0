"""FastAPI with pydantic, and the same ONNX model on one thread."""

import numpy as np
import onnxruntime
from fastapi import FastAPI, Request
from pydantic import BaseModel

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession("model.onnx", options, providers=["CPUExecutionProvider"])
app = FastAPI()


class Digits(BaseModel):
    images: list[list[float]]


class Answer(BaseModel):
    probabilities: list[list[float]]


def classify(pixels):
    return session.run(None, {"inputs": pixels.reshape(-1, 28, 28, 1)})[0].tolist()


@app.get("/health")
async def health():
    return "ready"


@app.post("/predict")
async def predict(digits: Digits) -> Answer:
    return Answer(probabilities=classify(np.array(digits.images, dtype=np.float32)))


@app.post("/predict-bytes")
async def predict_bytes(request: Request) -> Answer:
    return Answer(probabilities=classify(np.frombuffer(await request.body(), dtype=np.uint8).astype(np.float32)))
