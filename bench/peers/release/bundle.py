"""Make a bundle of release 0.1.0, which was for digits alone, of a bundle of now: the same network, served as then.

Its arguments: a bundle of now, and the folder in which the modules and the serving.env of 0.1.0 are. Needs onnx.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

bundle, folder = map(Path, sys.argv[1:])

model = onnx.load(bundle / "model.onnx")
graph = model.graph
graph.initializer.append(numpy_helper.from_array(np.array([-1, 28, 28, 1]), "size_of_now"))
graph.node.insert(0, helper.make_node("Reshape", ["image", "size_of_now"], ["inputs"]))
graph.node.append(helper.make_node("Identity", ["outputs"], ["proba"]))
graph.input[0].CopyFrom(helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 28, 28]))
graph.output[0].CopyFrom(helper.make_tensor_value_info("proba", TensorProto.FLOAT, ["batch", 10]))
onnx.save(model, folder / "model.onnx")

metadata = json.loads((bundle / "metadata.json").read_text(encoding="utf-8"))
metadata["classes"] = metadata["schema"]["outputs"]["classes"]
metadata["model_digest"] = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
(folder / "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")

names = {"label": "label", "inputs": "pixels", "outputs": "probabilities"}
recorded = json.loads((bundle / "recorded-answers.json").read_text(encoding="utf-8"))
then = [{name: row[key] for key, name in names.items()} for row in recorded]
(folder / "recorded-answers.json").write_text(json.dumps(then), encoding="utf-8")
